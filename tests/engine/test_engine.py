"""The engine against TransformerLens' own run_with_hooks, one row per candidate.

Invariants 1, 2 and 3.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import mechcla
from mechcla import engine, scoring
from mechcla.engine import capability, memory
from mechcla.engine.intervention import POSITIONS, Intervention
from mechcla.engine.packing import encode
from mechcla.errors import MechclaError
from mechcla.models.hooked_model import SITES, HookedModel
from mechcla.models.load import load_model
from tests.slow import others_slow

FAMILIES = ["gemma3_text", "llama", "qwen3", "gpt2", "gpt_neox"]
quiet = settings(
    max_examples=8, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)


def edited(h, edit: Intervention, chosen):
    """The operators once more, written from their definitions, a token at a time."""
    v = edit.vector.to(h.dtype)
    out = h.clone()
    for r, t in chosen.nonzero().tolist():
        x = h[r, t]
        if edit.operator == "ablate":
            out[r, t] = x - edit.strength * torch.dot(x, v) / torch.dot(v, v) * v
        elif edit.operator == "map":
            out[r, t] = x + edit.strength * (
                torch.einsum("d,de->e", x, edit.matrix.to(h.dtype)) + v - x
            )
        else:
            step = edit.strength * (v if edit.unit == "raw" else edit.norm * v / v.norm())
            new = x + step
            out[r, t] = new * x.norm() / new.norm() if edit.operator == "add_norm" else new
    return out


def plain_scores(model: HookedModel, items, edits, prompt="implicit", padding="right"):
    """Every candidate as its own row through bridge.run_with_hooks, full logits, no help from the
    engine.
    """
    totals = []
    for item in items:
        text = item.prompt_text(prompt)
        head = encode(text, model.tokenizer)
        full = [encode(text + item.separator + c.text, model.tokenizer) for c in item.candidates]
        cut = 0
        while all(cut < len(f) and cut < len(head) and f[cut] == head[cut] for f in full):
            cut += 1
        width = max(map(len, full))
        ids = torch.full((len(full), width), model.pad_id)
        mask = torch.zeros(len(full), width, dtype=torch.long)
        positions = torch.zeros(len(full), width, dtype=torch.long)
        starts = [0 if padding == "right" else width - len(f) for f in full]
        for r, (f, s) in enumerate(zip(full, starts, strict=True)):
            ids[r, s : s + len(f)] = torch.tensor(f)
            mask[r, s : s + len(f)] = 1
            positions[r, s : s + len(f)] = torch.arange(len(f))

        def where(edit, starts=starts, full=full, cut=cut, width=width):
            chosen = torch.zeros(len(full), width, dtype=torch.bool)
            for r, (s, f) in enumerate(zip(starts, full, strict=True)):
                for t in range(1, len(f)):  # token 0 is BOS
                    parts = {
                        "last_prompt_token": t == cut - 1,
                        "prompt": t < cut,
                        "answer": t >= cut,
                        "prompt_and_answer": True,
                        "last_and_answer": t >= cut - 1,
                    }
                    chosen[r, s + t] = parts[edit.positions]
            return chosen

        hooks = []
        # The stream's end comes after its middle.
        for edit in sorted(edits, key=lambda e: e.site == "resid_post"):
            change = []

            def hook(h, hook, edit=edit, change=change):
                new = edited(h, edit, where(edit))
                change.append(new - h)
                return new

            def carry(h, hook, change=change):
                return h + change.pop()

            hooks.append((f"blocks.{edit.layer}.hook_{edit.site}", hook))
            if edit.site == "resid_mid":
                hooks.append((f"blocks.{edit.layer}.hook_resid_post", carry))
        with torch.no_grad():
            logits = model.bridge.run_with_hooks(
                ids, attention_mask=mask, position_ids=positions, fwd_hooks=hooks
            )
        logs = logits.log_softmax(-1)
        totals.append(
            [
                sum(float(logs[r, s + t - 1, f[t]]) for t in range(cut, len(f)))
                for r, (s, f) in enumerate(zip(starts, full, strict=True))
            ]
        )
    return totals


def close(scores, expected, tolerance=1e-4):
    for row, values in zip(scores, expected, strict=True):
        assert row.log_likelihood == pytest.approx(values, abs=tolerance)


def hooks_of(model: HookedModel) -> list[int]:
    return [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.bridge.modules()]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_runs_on_the_engine(family, tiny_models):
    assert capability.fits(tiny_models[family])


def draw_edits(data, family, model):
    sites = [s for s in SITES if family != "gpt_neox" or s != "resid_mid"]
    edits = []
    for _ in range(data.draw(st.integers(0, 2), "edits")):
        vector = torch.randn(
            model.d_model, generator=torch.Generator().manual_seed(data.draw(st.integers(0, 99)))
        )
        operator = data.draw(st.sampled_from(("add", "add_norm", "ablate", "map")))
        unit = (
            data.draw(st.sampled_from(["raw", "relative"]))
            if operator in ("add", "add_norm")
            else "raw"
        )
        matrix = torch.eye(model.d_model).roll(1, 0) if operator == "map" else None
        edits.append(
            Intervention(
                vector,
                data.draw(st.integers(0, model.n_layers - 1), "layer"),
                data.draw(st.floats(-2, 2).filter(lambda s: abs(s) > 0.05), "strength"),
                site=data.draw(st.sampled_from(sites)),
                operator=operator,
                positions=data.draw(st.sampled_from(POSITIONS)),
                unit=unit,
                norm=3.0 if unit == "relative" else None,
                matrix=matrix,
            )
        )
    if len({(e.layer, e.site) for e in edits}) < len(edits):
        edits = edits[:1]  # two edits of one hook point act in the list's order, tested apart
    return edits


@pytest.mark.parametrize("family", FAMILIES)
def test_engine_equals_run_with_hooks(family, tiny_models, small_items):
    model = tiny_models[family]

    @quiet
    @given(data=st.data())
    def check(data):
        edits = draw_edits(data, family, model)
        prompt = data.draw(st.sampled_from(["implicit", "explicit"]))
        items = small_items.dev.language(data.draw(st.sampled_from(["en", "es"])))
        scores = mechcla.score(
            model, items, edits, prompt, max_tokens=data.draw(st.sampled_from([1, 60, 4096]))
        )
        close(
            scores,
            plain_scores(
                model, items, edits, prompt, data.draw(st.sampled_from(["left", "right"]))
            ),
        )

    check()


@pytest.mark.parametrize("family", FAMILIES)
def test_plain_path_equals_engine(family, tiny_models, small_items):
    model = tiny_models[family]
    edit = Intervention(torch.randn(model.d_model), 1, 0.7, site="attn_out", operator="add_norm")
    fast = scoring.prepare(model, small_items, fast=True)
    slow = scoring.prepare(model, small_items, fast=False)
    left = fast.table(fast.edge_log_probs((edit,)), (edit,))
    right = slow.table(slow.edge_log_probs((edit,)), (edit,))
    close(left, [r.log_likelihood for r in right])


def test_score_many_equals_one_at_a_time(tiny, small_items):
    def edit(layer, strength, site="resid_post"):
        return Intervention(
            torch.randn(tiny.d_model, generator=torch.Generator().manual_seed(layer)),
            layer,
            strength,
            site=site,
        )

    variants = [
        (),
        (edit(2, 1.0),),
        (edit(0, 1.0), edit(2, 1.0)),
        (edit(0, 1.0), edit(2, -1.0)),
        (edit(3, 1.0),),
        (edit(1, 1.0, "mlp_out"), edit(1, 2.0)),
        (edit(0, 0.0),),
        (edit(2, 1.0, "resid_pre"), edit(1, 1.0)),
        (edit(1, 1.0),),
        (edit(1, 1.0, "attn_out"),),
    ]
    prepared = scoring.prepare(tiny, small_items)
    many = dict(scoring.score_many(prepared, variants))
    assert sorted(many) == list(range(len(variants)))
    for i, variant in enumerate(variants):
        close(many[i], [r.log_likelihood for r in mechcla.score(tiny, small_items, variant)], 2e-5)
    assert many[6].rows == many[0].rows


@pytest.mark.parametrize("family", others_slow(FAMILIES, {"gemma3_text", "llama", "gpt2"}))
def test_any_mix_of_variants_and_batch_size_equals_one_at_a_time(family, tiny_models, small_items):
    model = tiny_models[family]

    @quiet
    @given(data=st.data())
    def check(data):
        items = small_items.test.language("es")
        variants = [
            draw_edits(data, family, model) for _ in range(data.draw(st.integers(2, 5), "variants"))
        ]
        prepared = scoring.prepare(
            model, items, max_tokens=data.draw(st.sampled_from([1, 60, 400, 4096]))
        )
        together = dict(scoring.score_many(prepared, variants))
        assert sorted(together) == list(range(len(variants)))
        for i, edits in enumerate(variants):
            close(together[i], plain_scores(model, items, edits, "implicit", "right"))

    check()


@pytest.mark.parametrize("family", ["gemma3_text", "llama"])
@pytest.mark.parametrize("site", SITES)
def test_strength_zero_is_no_intervention_to_the_last_bit(family, site, tiny_models, small_items):
    model = tiny_models[family]
    edit = Intervention(torch.ones(model.d_model), 1, 0.0, site=site)
    assert mechcla.score(model, small_items, edit).rows == mechcla.score(model, small_items).rows


@pytest.mark.filterwarnings("ignore:memory ran out")
@pytest.mark.parametrize(
    "error", [RuntimeError("shapes"), KeyboardInterrupt(), torch.OutOfMemoryError("out of memory")]
)
@pytest.mark.parametrize("family", ["gemma3_text", "llama"])
def test_hooks_and_layers_are_the_same_after_a_call_and_after_an_error(
    family, error, tiny_models, small_items, monkeypatch
):
    monkeypatch.setattr(memory, "_limits", type(memory._limits)())
    model = tiny_models[family]
    before, layers = hooks_of(model), list(model.blocks)
    edits = [
        Intervention(torch.ones(model.d_model), layer, 1.0, site=s)
        for layer, s in enumerate(["resid_mid", "attn_out", "mlp_out"])
    ]
    mechcla.score(model, small_items, edits)
    assert hooks_of(model) == before

    def fail(_module, _args):
        raise error

    handle = model.blocks[2].register_forward_pre_hook(fail)
    try:
        with pytest.raises((type(error), MechclaError)):
            mechcla.score(model, small_items, edits)
        with pytest.raises((type(error), MechclaError)):
            mechcla.en_vectors(model, small_items)
    finally:
        handle.remove()
    assert hooks_of(model) == before
    assert all(a is b for a, b in zip(layers, model.blocks, strict=True))


def test_the_users_own_hooks_fire_and_stay(tiny, small_items):
    base = mechcla.score(tiny, small_items)
    seen = []

    def users(h, hook):
        seen.append(hook.name)
        return h * 1.1

    tiny.bridge.add_hook("blocks.1.hook_resid_post", users)
    try:
        hooked = mechcla.score(tiny, small_items)
        assert seen
        assert hooked.rows != base.rows
        close(hooked, plain_scores(tiny, small_items, ()))
        again = mechcla.score(tiny, small_items)
        assert again.rows == hooked.rows
    finally:
        tiny.bridge.reset_hooks()
    assert mechcla.score(tiny, small_items).rows == base.rows


def test_a_sliding_window_shorter_than_the_text_goes_to_the_plain_path(tiny_models, small_items):
    model = tiny_models["gemma3_text"]
    item = small_items.language("en").universal[0]
    long = mechcla.ItemSet((type(item)(**{**vars(item), "prompt": "tea " * 40 + item.prompt}),))
    assert not scoring.prepare(model, long).states
    close(mechcla.score(model, long), plain_scores(model, long, ()))


def test_a_model_that_does_not_fit_is_announced_and_runs_plain(tiny_folders, small_items):
    """A model whose last block looks at all tokens of its sequence, which no mask can hide."""
    model = load_model(str(tiny_folders["llama"]), device="cpu")
    block = model.blocks[-1].original_component
    right = block.forward

    def mixed(*args: Any, **kwargs: Any) -> Any:
        out = right(*args, **kwargs)
        return out + out.mean(1, keepdim=True) if isinstance(out, torch.Tensor) else out

    block.forward = mixed
    with pytest.warns(UserWarning, match="plain path"):
        prepared = scoring.prepare(model, small_items)
    assert not prepared.states


def test_advance_refuses_to_go_back(tiny, small_items):
    state = engine.advance(scoring.prepare(tiny, small_items).states[0], 2)
    with pytest.raises(MechclaError, match="from block 2 to 1"):
        engine.advance(state, 1)
