"""Blocks on two devices: what a sweep does between blocks mixes none of their tensors, and its
numbers are those of one device.
"""

from __future__ import annotations

import warnings
from dataclasses import replace

import pytest
import torch

from mechcla import scoring
from mechcla.engine import capability
from mechcla.engine.gating import PromptGate
from mechcla.engine.head import log_probs
from mechcla.engine.offload import ResidualCache
from mechcla.engine.state import finish, start
from mechcla.vectors.extract import en_vectors
from mechcla.vectors.residuals import cache_residuals
from tests.engine.second_device import CPU, SECOND, Devices, blocks_there
from tests.engine.test_no_waiting import cells


def variants(model, gate=None):
    """Several strengths at every layer, alone and in pairs, inside blocks and at their ends."""
    layers = range(1 if gate else 0, model.n_layers)
    found = [(), *cells(model, layers, 2, gate=gate)]
    found += cells(model, layers, 1, gate=gate, site="mlp_out")
    found += cells(model, layers, 1, gate=gate, site="resid_pre")
    pairs = cells(model, layers, 1, gate=gate)
    return [*found, pairs[0] + pairs[1], pairs[1] + pairs[-1]]


def scores(model, items, edits, **settings):
    prepared = scoring.prepare(model, items, **settings)
    return {
        i: [x for row in t for x in row.log_likelihood]
        for i, t in scoring.score_many(prepared, edits)
    }


def near(found):
    """Other kernels run for the second device, and round otherwise."""
    return {i: pytest.approx(row, abs=2e-5) for i, row in found.items()}


@pytest.mark.parametrize("first", [1, 2])
@pytest.mark.parametrize("settings", [{}, {"max_tokens": 96}, {"fast": False}])
def test_two_devices_give_what_one_gives(tiny, small_items, first, settings):
    items, edits = small_items.language("es").test, variants(tiny)
    one = scores(tiny, items, edits, **settings)
    with blocks_there(tiny, first):
        assert scores(tiny, items, edits, **settings) == near(one)


def test_rows_that_were_cached_in_different_places_are_unembedded_together(tiny, small_items):
    batches = scoring.prepare(tiny, small_items.language("es").test, max_tokens=96).batches[:2]
    one = [finish(start(tiny, batch)) for batch in batches]
    with blocks_there(tiny, 2):
        left, right = [start(tiny, batch).unsteered for batch in batches]
        assert left.rows.device == SECOND
        two = log_probs(tiny, [left, replace(right, rows=right.rows.to(CPU))])
    for a, b in zip(one, two, strict=True):
        assert torch.allclose(a, b, atol=2e-5)


@pytest.mark.parametrize(("first", "bound"), [(0, 20_000), (2, 0)])
def test_what_is_on_disk_comes_back_to_the_device_of_its_block(tiny, small_items, first, bound):
    """first=0: one GPU, and what its memory has no room for is mapped on the CPU."""
    items, edits = small_items.language("es").test, variants(tiny)
    one = scores(tiny, items, edits)
    with blocks_there(tiny, first):
        found = scores(tiny, items, edits, cache=ResidualCache(bound), max_tokens=96)
    assert found == near(one)


@pytest.mark.parametrize("scale", [None, 0.5])
def test_gates_read_on_one_device_act_on_the_other(tiny, small_items, scale):
    items = small_items.language("es").test
    edits = variants(tiny, PromptGate(torch.ones(tiny.d_model), 0, 0.0, scale=scale))
    one = scores(tiny, items, edits)
    with blocks_there(tiny, 1 if scale else 2):
        assert scores(tiny, items, edits) == near(one)


def test_a_model_on_two_devices_fits_the_engine(tiny):
    with blocks_there(tiny, 2), warnings.catch_warnings():
        warnings.simplefilter("error")
        assert capability.probe(tiny) < 1.0
        assert capability.probe(tiny, capability.BEGINNING) < 1.0
        assert capability.leak(tiny) < 1e-5
        assert capability.padding_gap(tiny) < 1.0


def test_vectors_and_residuals_of_two_devices_are_those_of_one(tiny, small_items):
    def made():
        sites = [
            en_vectors(tiny, small_items.universal.dev, site=s) for s in ("resid_post", "mlp_out")
        ]
        kept = cache_residuals(tiny, small_items.universal.dev)
        return [v["es"] for v in sites] + [kept[k] for k in kept.languages]

    one = made()
    with blocks_there(tiny, 2):
        two = made()
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(one, two, strict=True))


def test_the_second_device_is_told_from_the_first():
    """What the tests above rest on: tensors of both are refused, as on GPUs."""
    with Devices():
        here, there = torch.ones(2, 3), torch.ones(2, 3).to(SECOND)
        assert (there + there).device == SECOND
        assert (there + there).to(CPU).tolist() == [[2.0] * 3] * 2
        for mixed in (
            lambda: here + there,
            lambda: torch.cat([here, there]),
            lambda: here[torch.tensor([1]).to(SECOND)],
        ):
            with pytest.raises(RuntimeError, match="on the CPU"):
                mixed()
        assert there[torch.tensor([1])].device == SECOND
