"""The tutorial runs as printed, and prints what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import unlike

PAGE = (Path(__file__).parents[2] / "docs" / "tutorial.md").read_text(encoding="utf-8")


def test_every_step_shows_its_output():
    steps = re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]
    assert len(steps) == 6
    for step in steps:
        assert step.count("```") == (4 if "print(" in step else 2), step[:40]


@pytest.mark.demo
@pytest.mark.slow
def test_the_tutorial_prints_what_it_says(demo, monkeypatch, capsys, tmp_path):
    """To the letter, but for one unit of a decimal's last digit (`unlike` says why)."""
    monkeypatch.chdir(tmp_path)
    load = 'mechcla.load_model("demo")'
    assert PAGE.count(load) == 1
    page = PAGE.replace(load, "demo")  # loaded once per session
    names: dict[str, object] = {"demo": demo}
    for code, shown in re.findall(
        r"```python\n(.*?)```\n(?:```\n(.*?)```)?", page, flags=re.DOTALL
    ):
        exec(compile(code, "docs/tutorial.md", "exec"), names)
        printed = capsys.readouterr().out
        assert unlike(printed, shown) == []
