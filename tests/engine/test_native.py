"""Blocks without hook points give what the bridge's blocks give, to the last bit, with less."""

from __future__ import annotations

import warnings

import pytest
import torch

import mechcla
from analyses.benchmarks.launches import launched, on_the_bridge
from mechcla import Intervention, scoring
from mechcla.engine import state
from mechcla.engine.packing import collate, pack
from mechcla.models.load import load_model
from tests.engine.families import ATTENTION, PARALLEL, VARIANTS, save, tokenizer
from tests.engine.test_user_hooks import HOW, ITEMS, last, put
from tests.slow import others_slow

pytestmark = pytest.mark.usefixtures("one_thread")

# Whose blocks compute the same without the bridge; the others round otherwise in float32.
SAME = (
    *("llama", "gemma2", "gemma3_text", "granite", "mixtral", "gpt_neox", "opt", "qwen2.5"),
    *("gemma3", "llama3", "llama4_text", "qwen3", "mistral", "olmo2", "phi"),
)
OTHERWISE = ("gpt2", "cohere", "phi3", "gptj", "gpt_neo")


def cells(width: int = 32) -> list[list[Intervention]]:
    vector = torch.randn(width, generator=torch.Generator().manual_seed(0))
    made = [[]]
    for layer in range(4):
        for site in ("resid_pre", "resid_post"):
            made += [[Intervention(vector, layer, a, site=site)] for a in (0.5, -2.0)]
    return [*made, [Intervention(vector, 0, 1.0), Intervention(vector, 2, 1.0, site="attn_out")]]


def scores(model, packed: bool = False) -> list[list[float]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return [
            [
                x
                for row in mechcla.score(model, ITEMS, edits, packed=packed)
                for x in row.log_likelihood
            ]
            for edits in cells()
        ]


def begun(model) -> state.State:
    return state.start(model, collate([pack(i, model.tokenizer) for i in ITEMS], model.pad_id))


@pytest.fixture
def model(tmp_path):
    return load_model(str(save("gemma3_text", tmp_path, tokenizer())), device="cpu")


@pytest.mark.parametrize("family", [*SAME, *OTHERWISE])
def test_which_families_run_without_hook_points(family, tmp_path):
    model = load_model(str(save(family, tmp_path, tokenizer())), device="cpu")
    assert [block is not None for block in begun(model).native] == [family in SAME] * 4


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("family", others_slow([*SAME[:8], *OTHERWISE[:3]], SAME[:3]))
def test_scores_are_the_bridges_to_the_last_bit(family, dtype, tmp_path, monkeypatch):
    model = load_model(str(save(family, tmp_path, tokenizer())), device="cpu", dtype=dtype)
    ran = [block is not None for block in begun(model).native]
    assert ran == [family in SAME] * 4 if dtype == "float32" else any(ran) or family in OTHERWISE
    assert scores(model) == on_the_bridge(lambda: scores(model))


def test_the_lists_name_families_that_are_tried():
    assert {*SAME, *OTHERWISE} <= {*ATTENTION, *PARALLEL, *VARIANTS}


def test_a_block_launches_a_quarter_less(model):
    """What a GPU is kept waiting for; on the demo model it is a third (docs/benchmarks.md)."""
    begin = begun(model)
    native = begin.native[1]

    h, given = begin.trunk[1], begin.calls[1]
    less = launched(lambda: native(h, given))
    more = launched(lambda: model.blocks[1](h, **given))
    assert less <= 0.75 * more


@pytest.mark.parametrize("how", [*HOW, "inside"])
def test_a_users_hook_is_seen_and_its_end_too(model, monkeypatch, how):
    before = scores(model, packed=True)

    def hook():
        if how != "inside":
            return put(model, how, last)
        inner = model.blocks[1].original_component.mlp.original_component.act_fn
        return inner.register_forward_hook(lambda m, a, h: h * 2).remove

    take_away = hook()
    hooked = scores(model, packed=True)
    assert hooked == on_the_bridge(lambda: scores(model, packed=True))
    assert hooked != before
    take_away()
    assert scores(model, packed=True) == before


def test_a_hook_that_comes_after_the_first_pass_is_seen(model):
    begin = begun(model)
    plain = state.finish(state.advance(state.replace(begin, trunk=()), 2))
    take_away = put(model, "point", last)
    hooked = state.finish(state.advance(state.replace(begin, trunk=()), 2))
    take_away()
    assert not torch.equal(plain, hooked)


def test_weights_that_are_changed_in_place_are_the_ones_that_run(model, monkeypatch):
    before = scores(model)
    linear = model.blocks[2].mlp.original_component.down_proj.original_component
    with torch.no_grad():
        linear.weight.mul_(2)
    changed = scores(model)
    assert changed != before
    assert changed == on_the_bridge(lambda: scores(model))
    linear.weight = torch.nn.Parameter(linear.weight.detach() / 2)
    assert scores(model) == before


@pytest.mark.parametrize("change", ["module", "number", "compatibility", "dtype"])
def test_a_model_that_was_changed_is_asked_anew(model, monkeypatch, change):
    scores(model)
    if change == "module":
        mlp = model.blocks[2].mlp.original_component
        mlp.act_fn = torch.nn.ReLU()
    elif change == "number":
        model.blocks[2].attn.original_component.scaling *= 2
    elif change == "compatibility":
        model.bridge.enable_compatibility_mode(disable_warnings=True)
    else:
        model.bridge.to(torch.bfloat16)
    assert scores(model) == on_the_bridge(lambda: scores(model))


def test_memory_that_runs_out_in_the_check_is_said_and_not_taken_as_a_no(model, monkeypatch):
    def full(_self, _h, _given):
        raise torch.OutOfMemoryError("none left")

    monkeypatch.setattr(state.NativeBlock, "__call__", full)
    with pytest.raises(torch.OutOfMemoryError):
        begun(model)
    monkeypatch.undo()
    assert all(block is not None for block in begun(model).native)


def test_a_cell_runs_no_block_of_the_bridge_where_nothing_is_hooked(model, monkeypatch):
    prepared = scoring.prepare(model, ITEMS, prior=False)
    kind = type(model.blocks[0])
    ran, real = [], kind.forward
    monkeypatch.setattr(kind, "forward", lambda self, *a, **b: ran.append(0) or real(self, *a, **b))
    *plain, inside = cells()
    list(scoring.score_many(prepared, plain))
    assert not ran
    list(scoring.score_many(prepared, [inside]))
    assert len(ran) == 1  # the one whose attention is edited
