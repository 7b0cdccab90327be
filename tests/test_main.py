"""python -m mechcla: commands by name, exit codes, one message for bad input and no traceback."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from mechcla import Candidate, Item, ItemSet
from mechcla.__main__ import main
from mechcla.commands.command import COMMANDS

NAMES = ["align", "compare", "export", "generate", "lint", "merge", "report", "sweep"]
ROOT = Path(__file__).resolve().parents[1]


def made(name: str, language: str, prompt: str) -> Item:
    return Item(
        id=name,
        language=language,
        kind="cultural",
        split="dev",
        country={"de": "DE", "fr": "FR"}[language],
        prompt=prompt,
        candidates=(Candidate("Euro", "local"), Candidate("Dollar", "english")),
    )


@pytest.fixture
def items(tmp_path: Path) -> Path:
    """One clean French item, and 25 German ones that name Germany and end with a space."""
    path = tmp_path / "items.jsonl"
    bad = (made(f"q{n}", "de", "Deutsches Geld ist ") for n in range(25))
    ItemSet((made("q0", "fr", "Notre monnaie est"), *bad)).to_jsonl(path)
    return path


def test_lint_exits_with_1_and_shows_every_finding(
    items: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["lint", str(items)]) == 1
    said = capsys.readouterr()
    lines = said.out.split("\n")
    assert lines[0] == "26 items in fr de: 25 country-in-prompt, 25 double-space"
    assert sum(line.startswith("  error: ") for line in lines) == 25
    assert sum(line.startswith("  warning: ") for line in lines) == 25
    assert said.err == ""


def test_lint_exits_with_0_for_clean_items(items: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", str(items), "--languages", "fr"]) == 0
    assert capsys.readouterr().out.startswith("1 item in fr: no faults\n")
    assert main(["lint", str(items), "--rules", "equal-candidates,us-is-explicit"]) == 0
    assert main(["lint", str(items), "--languages", "fr,de", "--rules", "double-space"]) == 1
    assert main(["lint", "demo"]) == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["lint"], "required: ITEMS"),
        (["lint", "no-such.jsonl"], "no source and no file is named 'no-such.jsonl'"),
        (["lint", "ITEMS", "--languages", "ge"], "no items in language 'ge'; did you mean 'de'?"),
        (["lint", "ITEMS", "--languages", ","], "selects nothing"),
        (["lint", "ITEMS", "--rules", "double-spaces"], "did you mean 'double-space'?"),
        (["lint", "ITEMS", "--langs", "de"], "--langs"),
        (
            ["lnt", "ITEMS"],
            "unknown command 'lnt'; did you mean 'lint'? "
            "known: align, compare, export, generate, lint, merge, report, sweep",
        ),
        (["sweep", "--model", "demo", "--preset", "quik"], "quick"),
    ],
)
def test_bad_input_exits_with_2_and_one_message(
    arguments: list[str], said: str, items: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(items) if a == "ITEMS" else a for a in arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.startswith("mechcla")
    assert "Traceback" not in error


def test_a_broken_line_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "broken.jsonl"
    path.write_text('{"id": "a"\n', encoding="utf-8")
    assert main(["lint", str(path)]) == 2
    assert "broken.jsonl, line 1" in capsys.readouterr().err


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out.split("\n")[2 : 2 + len(NAMES)]
    assert [line.split()[0] for line in shown] == NAMES
    assert main([]) == 2
    assert "usage: python -m mechcla COMMAND" in capsys.readouterr().err


def test_sweep_is_python_m_mechcla_sweep(capsys: pytest.CaptureFixture[str]) -> None:
    from mechcla.sweep.__main__ import main as sweep_main

    with pytest.raises(SystemExit) as stopped:
        main(["sweep", "--help"])
    forwarded = capsys.readouterr().out
    with pytest.raises(SystemExit):
        sweep_main(["--help"])
    assert stopped.value.code == 0
    assert forwarded == capsys.readouterr().out


def test_it_runs_as_a_module_and_the_console_script_is_its_main(items: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mechcla", "lint", str(items), "--rules", "country-in-prompt"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 1
    assert done.stdout.startswith("26 items in fr de: 25 country-in-prompt\n")
    assert done.stderr == ""
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "scripts"
    ]
    module, function = scripts["mechcla"].split(":")
    assert getattr(sys.modules[module], function) is main
    assert list(COMMANDS.names()) == NAMES
