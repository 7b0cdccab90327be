"""The tutorials run as printed, and print what they say, but for one unit of a decimal's last digit
(`unlike` says why). A line of three dots stands for any lines.

What needs the demo model takes over 20 s a page, and is run by `make test-slow`.
"""

from __future__ import annotations

import codeop
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, unlike

PAGES = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
BLOCK = re.compile(r"^```(python|sh)\n(.*?)^```$(?:\n```\n(.*?)^```$)?", re.DOTALL | re.MULTILINE)
NUMBER = re.compile(r"[-+]?\d+\.\d+|\d+")
LOAD = 'mechcla.load_model("demo")'


def agree(printed: str, shown: str) -> None:
    """Fails where a page shows another output than was printed."""
    lines = shown.strip("\n").split("\n")
    if "..." in lines:
        kept, all_ = [line for line in lines if line != "..."], printed.split("\n")
        words = [NUMBER.sub("#", line).split() for line in all_]
        at = words.index(NUMBER.sub("#", kept[0]).split())
        printed, shown = "\n".join(all_[at : at + len(kept)]), "\n".join(kept)
    assert unlike(printed, shown) == []


def test_there_are_seven_each_says_its_time_and_shows_what_it_prints():
    assert [page.stem[:2] for page in PAGES] == [f"{n}_" for n in range(1, 8)]
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert re.search(r"^\*About [\w ]+ of processor time on one core", text, re.MULTILINE)
        for language, code, shown in BLOCK.findall(text):
            if language == "python":
                assert bool(shown.strip()) == ("print(" in code), (page.name, code[:60])


@pytest.mark.parametrize("page", [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))])
def test_every_block_can_be_pasted_into_an_open_python(page):
    """There a blank line ends what is indented, and nothing else does."""
    for language, code, _ in BLOCK.findall(page.read_text(encoding="utf-8")):
        waiting: list[str] = []
        for line in [*code.splitlines(), ""] if language == "python" else []:
            waiting.append(line)
            whole = codeop.compile_command("\n".join(waiting), page.name)  # else a SyntaxError
            waiting = waiting if whole is None else []
        assert not "".join(waiting).strip(), (page.name, waiting)


@pytest.mark.slow
@pytest.mark.demo
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_tutorial_prints_what_it_says(page, demo, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    words = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    around = os.environ | {"PATH": words, "PYTHONPATH": str(ROOT)}
    names: dict[str, object] = {"demo": demo}
    for language, code, shown in BLOCK.findall(page.read_text(encoding="utf-8")):
        if language == "sh":
            done = subprocess.run(["sh", "-ec", code], env=around, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr[-2000:]
            printed = done.stdout if shown else ""
        else:
            exec(compile(code.replace(LOAD, "demo"), page.name, "exec"), names)
            printed = capsys.readouterr().out
        agree(printed, shown)


def test_another_output_is_found():
    agree("a 1.00\nb 2\nc 3\n", "...\nb 2\n...\n")
    agree("a 1.00\n", "a 1.01\n")
    for printed, shown in (("a 1.00", "a 1.03"), ("b 2", "b 3"), ("a", "b"), ("a\nb", "a")):
        with pytest.raises(AssertionError):
            agree(printed, shown)
