"""README's Python runs as printed, and every command it names exists."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import unlike

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
HOWTO = (ROOT / "docs" / "howto.md").read_text(encoding="utf-8")


@pytest.mark.demo
@pytest.mark.slow
def test_the_python_block_prints_what_readme_shows(demo, tmp_path, monkeypatch, capsys):
    """To the letter, but for one unit of a decimal's last digit (`unlike` says why)."""
    [(code, shown)] = re.findall(r"```python\n(.*?)```\n.*?```\n(.*?)```", README, flags=re.DOTALL)
    assert len([line for line in code.splitlines() if line]) <= 8
    load = 'mechcla.load_model("demo")'
    assert code.count(load) == 1
    monkeypatch.chdir(tmp_path)
    exec(compile(code.replace(load, "demo"), "README.md", "exec"), {"demo": demo})  # loaded once
    printed = capsys.readouterr().out
    assert unlike(printed, shown) == []


def test_make_targets_that_readme_names_exist():
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    named = set(re.findall(r"(?:^|`)make ([a-z]+)", README + HOWTO, flags=re.MULTILINE))
    assert named <= set(targets)
    assert {"sweep", "test"} <= named


def test_sweep_flags_that_readme_names_exist():
    from mechcla.sweep.config import SweepConfig

    known = {f"--{n.replace('_', '-')}" for n in SweepConfig.model_fields} | {"--help"}
    for line in re.findall(r"python -m mechcla\.sweep ([^`\n]*)", README + HOWTO):
        assert set(re.findall(r"--[a-z-]+", line)) <= known


def test_links_lead_somewhere():
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), ROOT / "data/README.md"]:
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_the_module_answers_help_without_a_model():
    done = subprocess.run(
        [sys.executable, "-m", "mechcla.sweep", "--help"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0
    assert "--preset" in done.stdout


def test_another_output_is_told_from_the_page_s():
    """Words, counts and digits; a decimal's last digit alone may be the next one."""
    shown = "LOC13x4 share 0.356 [-0.194, 0.521] n=24 p <0.0001 -0.001"
    assert unlike(shown, shown) == []
    assert unlike(shown.replace("0.356", "0.357").replace("-0.001", "0.000"), shown) == []
    for old, new in (
        ("0.356", "0.358"),
        ("0.356", "0.36"),
        ("n=24", "n=25"),
        ("LOC13x4", "LOC13x3"),
        ("-0.194", "0.194"),
        ("share", "shares"),
        ("<0.0001", "0.0001"),
        ("0.521]", "0.521"),
    ):
        assert unlike(shown.replace(old, new), shown), new
