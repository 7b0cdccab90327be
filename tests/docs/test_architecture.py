"""The architecture page shows the floors and files that are there; the pages' commands and examples
hold."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
PAGES = [ROOT / "docs" / n for n in ("architecture.md", "glossary.md", "items.md")]
PAGES.append(ROOT / "CONTRIBUTING.md")
ALL = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_every_file_of_the_package_has_its_line_and_no_other_file_has() -> None:
    listed = set(re.findall(r"^\| `([a-z_0-9/]+\.py)` \|", PAGE, re.MULTILINE))
    there = set()
    for path in (ROOT / "mechcla").rglob("*.py"):
        name = path.relative_to(ROOT / "mechcla").as_posix()
        # The __init__ of a room only gathers names; that of a source is the source.
        if not name.endswith("__init__.py") or name.startswith("sources/"):
            there.add(name)
    assert sorted(there - listed) == [], "add a line per file to docs/architecture.md"
    assert sorted(listed - there) == [], "docs/architecture.md lists files that are gone"


def test_the_floors_are_those_of_the_contract() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contract = settings["tool"]["importlinter"]["contracts"][0]["layers"]
    floors = [set(re.findall(r"\w+", line)) for line in contract]
    rows = re.findall(r"^\| (\d+) \| ([^|]+) \|", PAGE, re.MULTILINE)
    assert [int(floor) for floor, _ in rows] == list(range(len(floors) - 1, -1, -1))
    assert [set(re.findall(r"`(\w+)`", rooms)) for _, rooms in rows] == floors


def test_everything_that_can_be_added_has_a_heading_of_its_own() -> None:
    found = re.findall(r"^## How to add an? (.+)$", PAGE, re.MULTILINE)
    wanted = {"source", "recipe", "operator", "family", "metric", "control arm", "choice rule"}
    assert wanted | {"constraint", "lint rule", "command"} == set(found)
    assert len(found) == len(set(found))


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_lines_are_short_and_paths_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    assert [line for line in prose.split("\n") if len(line) > 120] == []
    for link in re.findall(r"\]\(([^)#:]+)", text):
        assert (page.parent / link).exists(), link
    for path in re.findall(r"`((?:mechcla|docs|tests|data|analyses)/[\w/]+\.\w+)`", text):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("page", ALL, ids=lambda p: p.name)
def test_every_dotted_name_of_a_page_is_there(page: Path) -> None:
    """Such as mechcla.vectors.recipes.RECIPES, where the page says how to add a recipe."""
    for name in set(re.findall(r"\bmechcla(?:\.[A-Za-z_]\w*)+", page.read_text(encoding="utf-8"))):
        assert there(name), name


def there(name: str) -> bool:
    """Whether it is a module, or stands in one, or in a class or object of one."""
    where, *rest = name.split(".")
    found: object = importlib.import_module(where)
    for part in rest:
        where = f"{where}.{part}"
        try:
            found = importlib.import_module(where)  # also where a function has the folder's name
        except ImportError:
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
    return True


def test_a_name_that_is_gone_is_seen() -> None:
    assert there("mechcla.steering.families.FAMILIES.register")
    for gone in ("families.FAMILY", "famlies.FAMILIES", "families.FAMILIES.add"):
        assert not there(f"mechcla.steering.{gone}")


def test_items_md_example_prints_what_the_page_shows() -> None:
    text = (ROOT / "docs" / "items.md").read_text(encoding="utf-8")
    [(code, shown)] = re.findall(r"```python\n(.*?)```\n```\n(.*?)```", text, re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout == shown
