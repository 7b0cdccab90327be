"""What a sweep holds while it goes does not grow with its conditions and languages: of a cell's
scores it keeps numbers and no rows.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import mechcla
from analyses.many_languages import made_up
from analyses.score_digests import of_run
from mechcla.items.item_set import ItemSet
from mechcla.metrics.item_values import Column
from mechcla.models.hooked_model import HookedModel
from mechcla.scoring.scores import ItemScore, Scores
from mechcla.sweep.cells import Job
from mechcla.sweep.config import make
from mechcla.sweep.on_test import report_test
from mechcla.sweep.report import tabulate
from mechcla.sweep.runner import Sweep, open_sweep
from mechcla.sweep.search import choose

LANGUAGES = ["es", "ko"]


def live(kind: type) -> int:
    """How many objects of a type there are."""
    return sum(type(one) is kind for one in gc.get_objects())


class Watched(Sweep):
    """A sweep that counts the rows of scores that are there whenever a cell is done."""

    before = 0
    most = 0
    cells = 0

    def run(self, jobs: Iterable[Job]) -> Iterator[tuple[Job, Scores]]:
        for job, scores in super().run(jobs):
            self.cells += 1
            self.most = max(self.most, live(ItemScore) - self.before)
            yield job, scores


def watched(tiny: HookedModel, items: ItemSet, out: Path, **settings: Any) -> Watched:
    """The sweep, opened; rows that were there before it are not counted."""
    asked = {
        "out": str(out),
        "layers": [1, 2],
        "en_strengths": [0.3, 0.6],
        "loc_strengths": [1.0, 2.0],
        "dev_items": None,
        "test_items": None,
        "resamples": 100,
    }
    opened = open_sweep(make(asked | settings), tiny, items)
    sweep = Watched(**{f.name: getattr(opened, f.name) for f in fields(Sweep)})
    gc.collect()
    sweep.before = live(ItemScore)
    return sweep


@pytest.mark.parametrize("rule", ["language", "pooled"])
def test_a_sweep_holds_the_rows_of_one_cell_at_a_time(
    rule: str, tiny: HookedModel, tmp_path: Path
) -> None:
    n = 6  # per kind, split and language
    items = made_up(LANGUAGES, n)
    with closing(watched(tiny, items, tmp_path / "run", choose=rule)) as sweep:
        choices = choose(sweep)
        # The cell that is done, and two that variables of loops still name.
        assert 0 < sweep.most <= 3 * n
        dev, sweep.most, sweep.cells = sweep.cells, 0, 0
        values = report_test(sweep, choices.methods())
        assert 0 < sweep.most <= 3 * n
        assert live(ItemScore) == sweep.before
        assert dev > 20
        assert sweep.cells > 20
        rows = sum(len(one) for one in values.values())
        assert rows > 20 * n  # that many were scored, and are here as numbers
        tables = tabulate(sweep, choices, values)
        assert live(ItemScore) == sweep.before
        assert {r.method for r in tables.rows} >= {"unsteered", "explicit", "EN", "LOC", "SUR"}


def test_the_values_of_a_run_are_a_few_bytes_each_and_ids_are_held_once(
    tiny: HookedModel, tmp_path: Path
) -> None:
    n = 6
    with closing(watched(tiny, made_up(LANGUAGES, n), tmp_path / "run")) as sweep:
        values = report_test(sweep, choose(sweep).methods())
    columns: list[Column] = []
    for one in values.values():
        for cell in one.cells.values():
            columns += [*cell.columns.values(), *filter(None, [cell.margins])]
    assert all(column.values.nbytes == 8 * len(column.ids) for column in columns)
    assert len(columns) > 50
    assert len({id(column.ids) for column in columns}) <= 4  # by kind and role, sorted or not


def test_a_run_over_items_in_a_file_is_the_run_over_the_same_items(
    tiny: HookedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file above the size beyond which a run holds no items: every table, and every cell."""
    made_up(LANGUAGES, 4).to_jsonl(tmp_path / "items.jsonl")
    asked = {
        "languages": LANGUAGES,
        "layers": [1, 2],
        "en_strengths": [0.3],
        "loc_strengths": [1.0],
        "dev_items": 2,
        "test_items": None,
        "resamples": 100,
        "figures": False,
    }
    held, lines = tmp_path / "held", tmp_path / "lines"
    mechcla.run_sweep(tiny, tmp_path / "items.jsonl", out=held, **asked)
    monkeypatch.setattr("mechcla.sweep.held.STREAMED", 0)
    monkeypatch.setattr("mechcla.items.item_set.STREAMED", 0)
    run = mechcla.run_sweep(tiny, tmp_path / "items.jsonl", out=lines, **asked)
    assert run.item_set.streamed
    assert len(of_run(lines)) > 20
    assert of_run(lines) == of_run(held)
    for file in ("items.jsonl", "summary.csv", "tests.csv", "arms.csv", "contrast.csv"):
        assert (lines / file).read_bytes() == (held / file).read_bytes()
    monkeypatch.setattr("mechcla.sweep.held.STREAMED", 1 << 30)
    again = mechcla.run_sweep(tiny, tmp_path / "items.jsonl", out=lines, **asked)
    assert again.status == "complete"  # the same items, however they are read
