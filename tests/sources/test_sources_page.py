"""The examples of docs/sources.md print what the page says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import mechcla
from tests.sources.global_mmlu_folder import parallel, question, save


@pytest.fixture(autouse=True)
def _as_before():
    """The page registers a source; nothing of it stays."""
    before = mechcla.sources.SOURCES.names()
    yield
    for name in set(mechcla.sources.SOURCES) - set(before):
        mechcla.sources.SOURCES.remove(name)


def test_the_examples_of_the_sources_page_print_what_it_says(tmp_path, monkeypatch, capsys):
    page = (Path(__file__).parents[2] / "docs" / "sources.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    folder = save(tmp_path / "my_global_mmlu", parallel("en", "es", "ko"))
    save(
        folder,
        {la: [question(la, n, split="dev") for n in range(5)] for la in ("en", "es", "ko")},
        "dev",
    )
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", page, flags=re.DOTALL | re.MULTILINE)
    names: dict[str, Any] = {}
    ran = 0
    for (language, code), (following, printed) in zip(blocks, [*blocks[1:], ("", "")], strict=True):
        if language == "python" and not code.startswith("# downloads"):
            exec(compile(code, "sources.md", "exec"), names)
            assert following == "", "every example is followed by what it prints"
            assert capsys.readouterr().out == printed
            ran += 1
    assert ran == 4
    for name in ("demo", "global_mmlu", "hub"):
        assert f'| `"{name}"` |' in page
