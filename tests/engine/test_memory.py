"""When memory runs out, batches halve and nothing else changes; cached residuals stay within their
bound.
"""

from __future__ import annotations

import gc

import pytest
import torch

import mechcla
from mechcla import engine, scoring
from mechcla.engine import memory
from mechcla.engine.intervention import Intervention
from mechcla.engine.offload import ResidualCache
from mechcla.errors import MechclaError
from tests.conftest import FAMILIES


@pytest.fixture(autouse=True)
def _forget(monkeypatch):
    monkeypatch.setattr(memory, "_limits", type(memory._limits)())


def edits(model, *layers):
    generator = torch.Generator().manual_seed(0)
    return [
        (Intervention(torch.randn(model.d_model, generator=generator), layer, s),)
        for layer in layers
        for s in (0.5, 1.0)
    ]


def limit_tokens(model, most: int):
    """Blocks of this model refuse more tokens than `most`, as a full device would; returns the
    handle.
    """

    def refuse(_module, args, kwargs):
        stream = (
            args[0] if args else next(v for v in kwargs.values() if isinstance(v, torch.Tensor))
        )
        if stream.shape[0] * stream.shape[1] > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    return model.blocks[2].register_forward_pre_hook(refuse, with_kwargs=True)


@pytest.mark.parametrize("most", [40, 100])
def test_batches_halve_until_they_fit_and_the_numbers_stay(tiny, small_items, most):
    expected = mechcla.score(tiny, small_items, edits(tiny, 1)[0])
    handle = limit_tokens(tiny, most)
    try:
        with pytest.warns(
            memory.OutOfMemoryWarning, match="memory ran out with batches of 2048 tokens"
        ):
            found = mechcla.score(tiny, small_items, edits(tiny, 1)[0], packed=True)
        # The smaller size is remembered: no warning.
        again = mechcla.score(tiny, small_items, edits(tiny, 1)[0], packed=True)
    finally:
        handle.remove()
    for a, b, c in zip(expected, found, again, strict=True):
        assert a.log_likelihood == pytest.approx(b.log_likelihood, abs=1e-5)
        assert b.log_likelihood == c.log_likelihood


def test_memory_that_runs_out_between_cells_loses_no_cell(tiny, small_items):
    variants = [(), *edits(tiny, 0, 1, 2)]
    expected = dict(scoring.score_many(scoring.prepare(tiny, small_items), variants))
    prepared = scoring.prepare(tiny, small_items)
    stream = scoring.score_many(prepared, variants)
    seen = dict([next(stream), next(stream)])
    handle = limit_tokens(tiny, 100)
    with pytest.warns(memory.OutOfMemoryWarning):
        seen |= dict(stream)
    handle.remove()
    assert sorted(seen) == sorted(expected)
    for i in expected:
        for a, b in zip(expected[i], seen[i], strict=True):
            assert a.log_likelihood == pytest.approx(b.log_likelihood, abs=2e-5)


def test_one_row_too_many_is_one_message(tiny, small_items):
    handle = limit_tokens(tiny, 3)
    try:
        with (
            pytest.warns(memory.OutOfMemoryWarning),
            pytest.raises(MechclaError, match="no memory left for one row of"),
        ):
            mechcla.score(tiny, small_items)
    finally:
        handle.remove()


def test_other_errors_are_not_swallowed(tiny, small_items):
    def fail(_module, _args):
        raise RuntimeError("shapes do not match")

    handle = tiny.blocks[1].register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        mechcla.score(tiny, small_items)
    handle.remove()


def test_a_full_cache_offloads_and_the_numbers_are_the_same_bits(tiny, small_items):
    variants = [(), *edits(tiny, 0, 1, 3)]
    free, none = ResidualCache(), ResidualCache(0)
    held = dict(scoring.score_many(scoring.prepare(tiny, small_items, cache=free), variants))
    offloaded = dict(scoring.score_many(scoring.prepare(tiny, small_items, cache=none), variants))
    assert free.offloaded == 0
    assert none.held == 0
    assert none.offloaded > 0
    assert all(held[i].rows == offloaded[i].rows for i in held)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_trunk_saves_blocks_and_changes_no_bit(family, tiny_models, small_items):
    """With room for it, blocks below a steered one are not run again, in this call or the next;
    without, the numbers are the same.
    """
    tiny = tiny_models[family]
    items, edit = small_items.language("es").test, edits(tiny, 2)[0]
    ran: list[int] = []
    handles = [
        b.register_forward_hook(lambda *_, k=k: ran.append(k)) for k, b in enumerate(tiny.blocks)
    ]
    found = {}
    try:
        for name, cache in (("kept", ResidualCache()), ("dropped", ResidualCache(0))):
            prepared = scoring.prepare(tiny, items, cache=cache, prior=False, packed=True)
            ran.clear()
            found[name] = [next(iter(scoring.score_many(prepared, [edit])))[1] for _ in range(2)]
            below = [k for k in ran if k < 2]
            assert bool(below) == (name == "dropped"), (name, ran)
            assert all(bool(s.trunk) == (name == "kept") for s in prepared.states)
    finally:
        for handle in handles:
            handle.remove()
    rows = [[r.log_likelihood for r in scores] for pair in found.values() for scores in pair]
    assert all(r == rows[0] for r in rows)


def test_the_cache_never_holds_more_than_its_bound_and_gives_back(tiny, small_items):
    cache = ResidualCache(20_000)
    prepared = scoring.prepare(tiny, small_items, max_tokens=64, cache=cache)
    assert 0 < cache.held <= 20_000
    assert cache.offloaded > 0
    list(scoring.score_many(prepared, edits(tiny, 0, 2)))
    assert cache.held <= 20_000
    del prepared
    gc.collect()
    assert cache.held == 0


def test_offloaded_files_have_no_name(tiny, small_items, tmp_path):
    prepared = scoring.prepare(tiny, small_items, cache=ResidualCache(0, str(tmp_path)))
    assert list(tmp_path.iterdir()) == []
    assert torch.isfinite(engine.finish(prepared.states[0])).all()


def test_extraction_halves_too_and_the_vectors_stay(tiny, small_items):
    expected = mechcla.en_vectors(tiny, small_items.universal.dev)["es"]
    handle = limit_tokens(tiny, 24)
    try:
        with pytest.warns(memory.OutOfMemoryWarning):
            found = mechcla.en_vectors(tiny, small_items.universal.dev, packed=True)["es"]
    finally:
        handle.remove()
    assert torch.allclose(found, expected, atol=1e-5)
    handle = limit_tokens(tiny, 3)
    try:
        with (
            pytest.warns(memory.OutOfMemoryWarning),
            pytest.raises(MechclaError, match="no memory left for one row"),
        ):
            mechcla.en_vectors(tiny, small_items.universal.dev, packed=True)
    finally:
        handle.remove()


def test_what_was_prepared_before_memory_ran_out_is_made_smaller_without_a_word(
    tiny, small_items, recwarn
):
    prepared = scoring.prepare(tiny, small_items)
    memory._limits[tiny] = 64
    list(scoring.score_many(prepared, edits(tiny, 1)))
    assert not [w for w in recwarn if issubclass(w.category, memory.OutOfMemoryWarning)]
