"""README's Python runs as printed, and every command it names exists."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.demo
def test_the_python_block_runs_as_printed(demo, monkeypatch, capsys):
    code = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)[0]
    monkeypatch.setattr("mechcla.load_model", lambda name: demo)  # loaded once a session
    exec(compile(code, "README.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"0\.\d{3} \[.*\] n=\d+ 0\.\d{3} \[.*\] n=\d+", lines[0])
    assert re.fullmatch(r"-?0\.\d{3} \[.*\] n=\d+", lines[1])


def test_every_name_of_the_api_that_readme_and_docs_use_exists():
    import mechcla

    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for name in re.findall(r"mechcla\.([A-Za-z_]+)", page.read_text(encoding="utf-8")):
            assert (
                hasattr(mechcla, name)
                or (ROOT / "mechcla" / name).exists()
                or (ROOT / f"mechcla/{name}.py").exists()
            ), f"{page.name}: {name}"


def test_make_targets_that_readme_names_exist():
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    named = set(re.findall(r"\bmake ([a-z]+)", README)) - {"are"}
    assert named <= set(targets)
    assert {"sweep", "test"} <= named


def test_sweep_flags_that_readme_names_exist():
    from mechcla.sweep.config import SweepConfig

    known = {f"--{n.replace('_', '-')}" for n in SweepConfig.model_fields} | {"--help"}
    for line in re.findall(r"python -m mechcla.sweep (.*)", README):
        assert set(re.findall(r"--[a-z-]+", line)) <= known


def test_links_lead_somewhere():
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), ROOT / "data/README.md"]:
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_the_module_answers_help_without_a_model():
    done = subprocess.run(
        [sys.executable, "-m", "mechcla.sweep", "--help"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0
    assert "--preset" in done.stdout
