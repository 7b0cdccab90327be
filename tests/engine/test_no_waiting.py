"""A cell asks no tensor for its value and sends nothing twice: what would hold a GPU up, counted on
the CPU.

Asking a tensor on a GPU for its value (`item`, `bool`, `float`, `tolist`, `cpu`) waits for all the
work before it. Here every such call is counted, with the function that made it; results alone may
be asked for, and these lie on the CPU.
"""

from __future__ import annotations

import gc
import sys
from collections import Counter, OrderedDict
from pathlib import Path

import pytest
import torch

import mechcla
from analyses.benchmarks.counting import Kernels
from mechcla import scoring
from mechcla.engine import head, reference, transfers
from mechcla.engine.gating import PromptGate
from mechcla.engine.intervention import Intervention
from tests.engine.second_device import SECOND, Devices

ASKING = ("item", "tolist", "cpu", "numpy", "__bool__", "__float__", "__int__", "__index__")
RESULTS = {("packing.py", "sums"), ("intervention.py", "sha256"), ("gating.py", "key")}


def cells(model, layers, n, **settings):
    """n strengths of one vector at each of these layers: new interventions, as a sweep makes
    them.
    """
    vectors = {
        k: torch.randn(model.d_model, generator=torch.Generator().manual_seed(k)) for k in layers
    }
    return [
        (Intervention(vectors[k], k, 0.1 * (s + 1), **settings),) for k in layers for s in range(n)
    ]


def asked(monkeypatch, run):
    """Who asked tensors for their values meanwhile."""
    seen: Counter[tuple[str, str]] = Counter()
    for name in ASKING:
        real = getattr(torch.Tensor, name)

        def counted(self, *args, real=real, **kwargs):
            frame = sys._getframe(1)
            where = frame.f_code.co_filename
            if "mechcla" in where and "/tests/" not in where:
                seen[where.rsplit("/", 1)[-1], frame.f_code.co_name] += 1
            return real(self, *args, **kwargs)

        monkeypatch.setattr(torch.Tensor, name, counted)
    run()
    monkeypatch.undo()
    return seen


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("unit", ["raw", "relative"])
def test_no_cell_waits_for_the_device(tiny, small_items, monkeypatch, unit, gated):
    items = small_items.language("es").test
    prepared = scoring.prepare(tiny, items, prior=False)
    gate = PromptGate(torch.ones(tiny.d_model), 0, 0.0) if gated else None
    more = {"unit": unit, "norm": 3.0, "gate": gate}

    def score(n):
        made = cells(tiny, (1, 2), n, **more)
        return asked(monkeypatch, lambda: list(scoring.score_many(prepared, made)))

    few, many = score(2), score(12)
    grown = {who: many[who] - few[who] for who in many if many[who] > few[who]}
    # A new vector's own, once, on the CPU: whether its length is 0.
    length = {("intervention.py", "_length"), ("intervention.py", "_zero")}
    fetched = grown.pop(("transfers.py", "fetched"), 0)
    assert fetched <= 1  # 20 cells more fill one pass more
    assert set(grown) <= RESULTS | length, grown
    assert all(grown.get(who, 0) <= 20 for who in length)


OURS = str(Path(mechcla.__file__).parent)


def frames(frame):
    while frame is not None:
        yield frame
        frame = frame.f_back


def carried(monkeypatch, run):
    """Who sent tensors to a device meanwhile, by `Tensor.to` or `sent`."""
    seen: Counter[tuple[str, str]] = Counter()
    real = torch.Tensor.to

    def counted(self, *args, **kwargs):
        told = (*args, *kwargs.values())
        by = [f for f in frames(sys._getframe(1)) if f.f_code.co_name not in ("sent", "lent")]
        ours = OURS in sys._getframe(1).f_code.co_filename
        if ours and any(isinstance(x, str | torch.device) for x in told):
            where = next(f.f_code for f in by if OURS in f.f_code.co_filename)
            seen[where.co_filename.rsplit("/", 1)[-1], where.co_name] += 1
        return real(self, *args, **kwargs)

    monkeypatch.setattr(torch.Tensor, "to", counted)
    run()
    monkeypatch.undo()
    return seen


# What comes with a cell: its own vector, sent and measured once; a State that may lie elsewhere,
# on the CPU if it was offloaded.
OWN = {("intervention.py", name) for name in ("_on", "_length", "sha256")}
OWN |= {("state.py", name) for name in ("advance", "steer_here", "join", "<listcomp>", "_on")}
BY_PASS = {("head.py", "log_probs"), ("head.py", "<listcomp>"), ("hooked_model.py", "final_norm")}
GATE = {("gating.py", "key"), ("gating.py", "sha256"), ("intervention.py", "apply")}  # its weights


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("how", ["add", "map", "gated"])
def test_no_cell_sends_what_others_have_sent(tiny, small_items, monkeypatch, how, fast):
    items = small_items.language("es").test
    prepared = scoring.prepare(tiny, items, prior=False, fast=fast)
    gate = PromptGate(torch.ones(tiny.d_model), 0, 0.0)
    more = {"add": {}, "map": {"operator": "map", "matrix": torch.eye(tiny.d_model)}}
    more["gated"] = {"gate": gate}

    def score(n):
        made = cells(tiny, (1, 2), n, **more[how])
        return carried(monkeypatch, lambda: list(scoring.score_many(prepared, made)))

    score(1)
    few, many = score(2), score(12)
    assert few["intervention.py", "_on"] == 4  # which is what a new vector must cost
    assert many["intervention.py", "_on"] == 24
    grown = {who: many[who] - few[who] for who in many if many[who] > few[who]}
    allowed = OWN | (BY_PASS if fast else set()) | (GATE if how == "gated" else set())
    assert set(grown) <= allowed, grown


def test_one_map_is_sent_once_for_all_cells_and_goes_with_its_last(monkeypatch):
    sends = []
    real = transfers.sent
    monkeypatch.setattr(transfers, "sent", lambda t, device: sends.append(1) or real(t, device))
    monkeypatch.setattr(transfers, "_lent", OrderedDict())
    h, where = torch.randn(2, 3, 8), torch.ones(2, 3, dtype=torch.bool)
    with Devices():
        there, chosen = h.to(SECOND), where.to(SECOND)
        weight = torch.randn(8, 8)
        expected, found = [], []
        for s in (0.5, 1.0):
            edit = Intervention(torch.ones(8), 0, s, operator="map", matrix=weight)
            expected.append(edit.apply(h, where))
            found.append(edit.apply(there, chosen).to("cpu"))
        assert len(transfers._lent) == 1
        assert len(sends) == 1  # on the CPU it is there already
        assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))
        maps = [torch.randn(8, 8) for _ in range(transfers.LENT + 2)]
        for one in maps:
            assert torch.equal(transfers.lent(one, SECOND).to("cpu"), one)
        assert len(transfers._lent) == transfers.LENT
        del maps, one
        gc.collect()
        assert not transfers._lent


def test_results_of_a_plain_batch_come_back_together(tiny, small_items, monkeypatch):
    prepared = scoring.prepare(
        tiny, small_items.language("es").test, prior=False, fast=False, max_tokens=96
    )
    seen = []
    real = transfers.fetched
    monkeypatch.setattr(reference, "fetched", lambda t: seen.append(len(t)) or real(t))
    for rows in ("padded", "lengths"):
        seen.clear()
        for batch in prepared.batches:
            reference.plain_log_probs(tiny, batch, rows=rows)
        assert seen == [len(batch.edge_token) for batch in prepared.batches]


def test_what_a_cell_launches_and_moves_is_bounded(tiny, small_items):
    """Of the operations of 20 more cells of one block, all but their own edits are shared."""
    prepared = scoring.prepare(tiny, small_items.language("es").test.universal, prior=False)
    assert len(prepared.batches) == 1

    def score(n):
        made = cells(tiny, (1,), n)
        with Kernels() as kernels:
            list(scoring.score_many(prepared, made))
        return kernels

    score(1)
    few, many = score(2), score(22)
    # Scale, add, choose; the scored rows; a new vector's length.
    assert (many.launched - few.launched) / 20 <= 8
    assert many.waited == few.waited
    assert many.moved == few.moved


def test_what_all_cells_share_is_made_once(tiny, small_items, monkeypatch):
    """Masks of edited tokens and scored places belong to a batch, not to a cell."""
    from mechcla.engine import hooks

    made: Counter[str] = Counter()
    real_mask, real_unique = hooks.token_mask, torch.unique

    def mask(*args):
        made["mask"] += 1
        return real_mask(*args)

    def unique(*args, **kwargs):
        made["places"] += 1
        return real_unique(*args, **kwargs)

    monkeypatch.setattr(hooks, "token_mask", mask)
    monkeypatch.setattr(torch, "unique", unique)
    prepared = scoring.prepare(tiny, small_items.language("es").test, prior=False)
    list(scoring.score_many(prepared, cells(tiny, (0, 1, 2), 4)))
    list(scoring.score_many(prepared, cells(tiny, (0, 2), 3, site="mlp_out")))
    assert made == {"mask": len(prepared.batches), "places": len(prepared.batches)}


def test_results_come_back_by_one_copy_for_all_cells_that_run_together(
    tiny, small_items, monkeypatch
):
    seen = []
    real = transfers.fetched
    monkeypatch.setattr(head, "fetched", lambda t: seen.append(len(t)) or real(t))
    prepared = scoring.prepare(tiny, small_items.language("es").test, prior=False)
    seen.clear()
    variants = cells(tiny, (1, 2), 3)
    list(scoring.score_many(prepared, variants))
    edges = sum(len(b.edge_token) for b in prepared.batches)
    assert seen == [6 * edges]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_tensors_go_to_a_gpu_and_back_unchanged():
    tensor = torch.randn(1000)
    there = transfers.sent(tensor, torch.device("cuda"))
    assert there.device.type == "cuda"
    assert torch.equal(transfers.fetched(there), tensor)
