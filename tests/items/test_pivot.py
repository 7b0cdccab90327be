"""The language that others are paired with is named in one place."""

from __future__ import annotations

import ast
from pathlib import Path

import mechcla
from mechcla.items.item import PIVOT


def named(source: str) -> list[int]:
    """Lines where a constant or a default called pivot is given as text."""
    lines = []
    for node in ast.walk(ast.parse(source)):
        pairs: list[tuple[str, ast.expr | None]] = []
        if isinstance(node, ast.Assign):
            pairs = [(t.id, node.value) for t in node.targets if isinstance(t, ast.Name)]
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            pairs = [(node.target.id, node.value)]
        elif isinstance(node, ast.arguments):
            last = [*node.posonlyargs, *node.args]
            pairs = [(a.arg, d) for a, d in zip(last[::-1], node.defaults[::-1], strict=False)]
            pairs += [(a.arg, d) for a, d in zip(node.kwonlyargs, node.kw_defaults, strict=True)]
        for name, value in pairs:
            if name.lower() == "pivot" and isinstance(value, ast.Constant):
                lines.append(value.lineno)
    return lines


def test_pivot_is_named_once():
    root = Path(mechcla.__file__).parent
    found = {
        p.relative_to(root).as_posix(): n
        for p in root.rglob("*.py")
        if (n := named(p.read_text("utf-8")))
    }
    assert list(found) == ["items/item.py"]
    assert len(found["items/item.py"]) == 1
    assert PIVOT == "en"


def test_a_second_name_is_found():
    assert named('PIVOT = "en"') == [1]
    assert named('def f(a, pivot="en"): ...') == [1]
    assert named('def f(a, *, b, pivot: str = "en"): ...') == [1]
    assert not named("def f(a, pivot=PIVOT): ...")
