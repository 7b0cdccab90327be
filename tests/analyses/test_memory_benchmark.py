"""The memory benchmark: what is watched, which sizes it runs, and the table that a page shows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from analyses.benchmarks.memory import GROWS, LEAST, figure_of, of, sizes
from analyses.benchmarks.peaks import watched
from analyses.docs.pages import TABLES
from analyses.docs.values import read
from analyses.many_languages import LONG, made_up


def test_a_peak_is_what_was_held_at_once_and_mapped_files_are_told_apart(tmp_path: Path) -> None:
    def waves() -> None:
        for _ in range(3):
            torch.ones(25 << 20).sum()  # 100 MiB each, one at a time

    found = watched(waves)
    assert 90 << 20 < found.anonymous < 190 << 20

    def mapped() -> None:
        path = str(tmp_path / "file")
        torch.from_file(path, shared=True, size=25 << 20, dtype=torch.float32).fill_(1.0)

    found = watched(mapped)
    assert found.resident > 60 << 20
    assert found.anonymous < 40 << 20


def test_each_axis_grows_by_itself() -> None:
    assert sizes()[0] == LEAST
    for size in sizes()[1:]:
        assert sum(size[axis] != LEAST[axis] for axis in GROWS) == 1
    assert len(sizes()) == 1 + sum(len(grown) - 1 for grown in GROWS.values())


def test_made_up_items_are_as_many_as_are_asked_for() -> None:
    items = made_up(["es", "ko"], 9)
    assert items.languages == ("en", "es", "ko")
    for language in items.languages:
        for kind in (items.universal, items.cultural):
            for split in (kind.dev, kind.test):
                assert len({i.prompt for i in split.language(language)}) == 9
    for item in items.cultural:
        front, _, own = item.prompt.partition(LONG)
        assert str(item.prompt_explicit).startswith(front + LONG)
        assert str(item.prompt_explicit).endswith(own)


def test_tables_and_figure_have_every_size(tmp_path: Path) -> None:
    rows = [
        {"work": work, **size, "anonymous": (k + 1) << 20, "resident": 0}
        for k, size in enumerate(sizes())
        for work in ("sweep", "vectors")
    ]
    (tmp_path / "memory.json").write_text(json.dumps({"rows": rows}), encoding="utf-8")
    read.cache_clear()
    items, cells, growth = (
        TABLES[name](tmp_path, *of).split("\n")
        for name, of in (("memory", ["items"]), ("memory", ["cells"]), ("memory-growth", []))
    )
    read.cache_clear()
    assert items[0] == "| peak, MiB | 32 items | 64 items | 128 items | 256 items |"
    assert items[2:] == ["| sweep | 1 | 2 | 3 | 4 |", "| vectors | 1 | 2 | 3 | 4 |"]
    assert cells[2:] == ["| sweep | 1 | 5 | 6 | 7 |"]
    # 2 MiB more for 96 more items of 2 kinds, 2 splits and 3 languages; 1 for 128 more
    assert growth[2].split(" | ")[1:] == ["1.8 (32 to 128)", "0.7 (128 to 256) |"]
    assert growth[3].split(" | ")[1:] == ["731.4 (1 to 8)", "128.0 (8 to 16) |"]
    drawn = figure_of(rows)
    assert [len(panel.lines) for panel in drawn.axes] == [2, 1, 2]
    assert drawn.axes[1].lines[0].get_ydata().tolist() == [1, 5, 6, 7]


def test_a_sweep_s_peak_levels_off_as_the_page_says() -> None:
    """Of the committed record: along each axis the largest size needs no more than a smaller one,
    but for what the same size differs by from run to run.
    """
    rows = [r for r in read("memory")["rows"] if r["work"] == "sweep"]
    for axis, grown in GROWS.items():
        along = {
            r[axis]: r["anonymous"]
            for r in rows
            if all(r[k] == LEAST[k] for k in GROWS if k != axis)
        }
        assert tuple(along) == grown
        assert along[grown[-1]] <= 1.1 * along[grown[-2]]


@pytest.mark.slow
def test_every_kind_of_work_has_its_peak() -> None:
    found = of(items=2, cells=1, languages=1)
    assert all(peak.resident > 0 for name, peak in found.items() if name == "sweep")
    assert len(found) == 6
