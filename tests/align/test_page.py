"""docs/align.md's example, on a tiny model and two steps."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import mechcla
from tests.conftest import save_tiny

ROOT = Path(__file__).resolve().parents[2]


def test_the_pages_example_trains_and_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / "docs/align.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", page, re.S)
    base = save_tiny("llama", tmp_path / "base", max_position_embeddings=512)
    folder = repr(str(base))
    small = block.replace('model="demo"', f"model={folder}, steps=2, batch_rows=8")
    small = small.replace('load_model("demo"', f"load_model({folder}")
    assert small.count(folder) == 2
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(compile(small, "docs/align.md", "exec"), names)
    assert names["adapter"].folder == Path("adapters/midalign")
    assert names["model"].digest != mechcla.load_model(base).digest
