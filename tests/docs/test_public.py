"""README and the docs use the public API alone: `mechcla` itself, and what one of its rooms hands
out (`mechcla.plots`, `mechcla.sources`, ...).
"""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT

BLOCKS = re.compile(r"^```python\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)
ONE_LINE = re.compile(r'python3? -c "([^"]*)"')


def code(text: str) -> Iterator[str]:
    yield from BLOCKS.findall(text)
    yield from ONE_LINE.findall(text)


def imports(source: str) -> Iterator[tuple[str, str]]:
    """(module, name) of every import from mechcla; the name is "" for `import mechcla.x`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            yield from ((node.module or "", alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)


@pytest.mark.parametrize("page", PAGES)
def test_nothing_deeper_is_imported(page):
    for source in code((ROOT / page).read_text(encoding="utf-8")):
        for module, name in imports(source):
            if module.split(".")[0] == "mechcla" and module != "mechcla":
                room = importlib.import_module(module)
                assert module.count(".") == 1, f"{page}: {module}"
                assert name in room.__all__, f"{page}: {module}.{name}"
            elif module == "mechcla" and name:
                there = importlib.import_module("mechcla").__all__
                assert name in there or (ROOT / "mechcla" / name).is_dir(), f"{page}: {name}"


def test_what_is_looked_for_is_found():
    page = (
        'x\n```python\nimport mechcla\nfrom mechcla.a.b import c\n```\n`python -c "import d.e; f"`'
    )
    assert [i for source in code(page) for i in imports(source)] == [
        ("mechcla", ""),
        ("mechcla.a.b", "c"),
        ("d.e", ""),
    ]


def test_the_public_api_stands_on_one_screen():
    lines = (Path(ROOT) / "mechcla/__init__.py").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 66
