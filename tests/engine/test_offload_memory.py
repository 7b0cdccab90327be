"""Memory does not grow with the number of cells.

Neither tables nor streams of those that are done are held.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
import torch

import mechcla
from mechcla import scoring
from mechcla.engine.intervention import Intervention
from mechcla.scoring.scores import ItemScore
from mechcla.sweep.config import make
from mechcla.sweep.runner import open_sweep
from mechcla.sweep.search import choose


@pytest.fixture(autouse=True)
def _only_what_is_new() -> Iterator[None]:
    """What was there before is left out of gc.get_objects, which makes it short."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def strengths(n: int) -> list[float]:
    return [0.1 * (k + 1) for k in range(n)]


def most_rows_held(tiny, small_items, folder, n: int) -> tuple[int, int]:
    """Cells of a search over n strengths, and the most item rows alive while it wrote them."""
    asked = {"en_strengths": strengths(n), "loc_strengths": strengths(n), "restore": False}
    sweep = open_sweep(make(asked | {"out": str(folder), "layers": [1, 3]}), tiny, small_items)
    write, held = sweep.store.write, []

    def observed(path, scores) -> None:
        write(path, scores)
        held.append(sum(type(o) is ItemScore for o in gc.get_objects()))

    sweep.store.write = observed
    choose(sweep)
    del sweep.store.write
    return len(sweep.counted), max(held)


def test_a_search_holds_no_more_rows_for_four_times_the_cells(tiny, small_items, tmp_path):
    few, held_few = most_rows_held(tiny, small_items, tmp_path / "few", 2)
    many, held_many = most_rows_held(tiny, small_items, tmp_path / "many", 8)
    assert many > 3 * few
    assert 0 < held_many <= held_few + 6  # a cell of three items, and the one before it


@pytest.mark.parametrize("max_tokens", [64, 512])
def test_streams_of_variants_that_wait_are_not_made_yet(tiny, small_items, max_tokens):
    """Bytes of residual streams alive at the last block, for 8 and 64 strengths of one layer."""
    items = small_items.cultural.dev.language("es")
    vector = torch.randn(tiny.d_model, generator=torch.Generator().manual_seed(0))
    held: list[int] = []

    def measure(*_) -> None:
        streams = [
            o
            for o in gc.get_objects()
            if isinstance(o, torch.Tensor) and o.ndim == 3 and o.shape[-1] == tiny.d_model
        ]
        storages = {s.untyped_storage().data_ptr(): s.untyped_storage().nbytes() for s in streams}
        held.append(sum(storages.values()))

    most = {}
    for n in (8, 64):
        held.clear()
        variants = [(Intervention(vector, 2, s),) for s in strengths(n)]
        handle = tiny.blocks[-1].register_forward_hook(measure)
        try:
            prepared = scoring.prepare(tiny, items, max_tokens=max_tokens, prior=False, packed=True)
            held.clear()
            found = dict(scoring.score_many(prepared, variants))
        finally:
            handle.remove()
        assert len(found) == n
        most[n] = max(held)
        alone = mechcla.score(tiny, items, variants[-1], max_tokens=max_tokens, prior=False)
        for a, b in zip(found[n - 1], alone, strict=True):
            assert a.log_likelihood == pytest.approx(b.log_likelihood, abs=2e-5)
    # One pass's rows, a few times over: before, after, steered.
    pass_bytes = 4 * max_tokens * tiny.d_model * 4
    assert most[64] <= most[8] + pass_bytes
