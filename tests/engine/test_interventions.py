"""Operators against hand computation, and what bad edits say."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import mechcla
from mechcla.engine.intervention import Intervention, active
from mechcla.errors import MechclaError
from mechcla.vectors.steering_vectors import SteeringVectors

V = torch.tensor([3.0, 4.0])
H = torch.tensor([[[1.0, 2.0], [5.0, -1.0]]])
FIRST = torch.tensor([[True, False]])


def vectors(name="EN", layers=4, width=32, languages=("es",)):
    stack = {
        k: torch.arange(layers * width, dtype=torch.float32).reshape(layers, width) + 1
        for k in languages
    }
    return SteeringVectors(
        name,
        "resid_post",
        stack,
        {k: torch.full((layers,), 7.0) for k in languages},
        dict.fromkeys(languages, 3),
    )


@pytest.mark.parametrize(
    ("settings_", "expected"),
    [
        ({"operator": "add"}, [7.0, 10.0]),
        ({"operator": "add", "unit": "relative", "norm": 10.0}, [13.0, 18.0]),
        ({"operator": "ablate"}, [1 - 2 * 2.2 * 0.6, 2 - 2 * 2.2 * 0.8]),
        ({"operator": "add_norm"}, [7.0 * math.sqrt(5 / 149), 10.0 * math.sqrt(5 / 149)]),
    ],
)
def test_operators(settings_, expected):
    out = Intervention(V, 0, 2.0, **settings_).apply(H, FIRST)
    assert out[0, 0].tolist() == pytest.approx(expected, rel=1e-5)
    assert torch.equal(out[0, 1], H[0, 1])


@given(st.floats(-50, 50), st.floats(-50, 50))
@settings(max_examples=50, deadline=None)
def test_ablation_at_strength_one_is_idempotent_and_leaves_the_rest(x, y):
    h = torch.tensor([[[x, y]]])
    edit = Intervention(V, 0, 1.0, operator="ablate")
    once = edit.apply(h, torch.tensor([[True]]))
    assert torch.allclose(edit.apply(once, torch.tensor([[True]])), once, atol=1e-4)
    assert float((once[0, 0] * V).sum()) == pytest.approx(0, abs=1e-3)
    orthogonal = torch.tensor([-4.0, 3.0])
    assert float((once[0, 0] * orthogonal).sum()) == pytest.approx(
        float((h[0, 0] * orthogonal).sum()), abs=1e-3
    )


@given(st.floats(-5, 5).filter(lambda s: abs(s) > 1e-3))
@settings(max_examples=50, deadline=None)
def test_norm_preserving_add_preserves_the_norm(strength):
    out = Intervention(V, 0, strength, operator="add_norm").apply(H, torch.tensor([[True, True]]))
    assert torch.allclose(out.norm(dim=-1), H.norm(dim=-1), rtol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"strength": float("nan")}, "strength is nan; expected a finite number"),
        ({"strength": float("inf")}, "strength is inf"),
        ({"operator": "ad"}, "unknown operator 'ad'; did you mean 'add'"),
        ({"positions": "last"}, "unknown positions 'last'"),
        ({"unit": "relative"}, "needs `norm`"),
        ({"vector": torch.tensor([1.0, float("nan")])}, "not\\s+finite"),
    ],
)
def test_bad_settings_are_refused_with_the_input_shown(changes, message):
    with pytest.raises(MechclaError, match=message):
        Intervention(**({"vector": V, "layer": 0, "strength": 1.0} | changes))


def test_an_edit_of_another_model_or_layer_is_refused(tiny):
    wide = Intervention(torch.ones(640), 1, 1.0)
    with pytest.raises(
        MechclaError, match=r"has 640 values, .* has d_model 32: it was made with another model"
    ):
        active(wide, tiny)
    with pytest.raises(MechclaError, match=r"layer 9 is not in .* whose 4 blocks are 0 to 3"):
        active(Intervention(torch.ones(32), 9, 1.0), tiny)
    with pytest.raises(MechclaError, match="unknown site 'resid_pots'; did you mean 'resid_post'"):
        active(Intervention(torch.ones(32), 1, 1.0, site="resid_pots"), tiny)


def test_a_vector_made_with_another_model_of_the_same_width_is_refused(tiny_models, small_items):
    loc = mechcla.loc_vectors(tiny_models["llama"], small_items)
    edits = mechcla.loc_steering(loc, language="es", layer=1, strength=1.0)
    assert active(edits, tiny_models["llama"]) == edits
    with pytest.raises(MechclaError, match="the LOC vector was made with another model"):
        active(edits, tiny_models["qwen3"])
    free = mechcla.loc_steering(replace(loc, record={}), language="es", layer=1, strength=1.0)
    assert active(free, tiny_models["qwen3"]) == free


def test_parallel_blocks_have_no_resid_mid_and_say_so(tiny_models):
    with pytest.raises(MechclaError, match="nothing between them; use resid_pre, resid_post"):
        tiny_models["gpt_neox"].hook_name(1, "resid_mid")


def test_surgical_steering_is_en_then_loc_then_restoration():
    en, loc = vectors("EN"), vectors("LOC")
    edits = mechcla.surgical_steering(
        en,
        loc,
        language="es",
        en_layer=0,
        en_strength=0.5,
        loc_layer=2,
        loc_strength=2.0,
        restore_layer=3,
    )
    assert [(e.label, e.layer, e.strength) for e in edits] == [
        ("EN", 0, 0.5),
        ("EN restoration", 3, -0.5),
        ("LOC", 2, 2.0),
    ]
    assert torch.equal(edits[1].vector, en["es"][3])
    with pytest.raises(MechclaError, match="deeper than EN; got en_layer 2, loc_layer 2"):
        mechcla.surgical_steering(
            en, loc, language="es", en_layer=2, en_strength=1.0, loc_layer=2, loc_strength=1.0
        )
    with pytest.raises(MechclaError, match="restore_layer 1 must be deeper than the EN layer 1"):
        mechcla.en_steering(en, language="es", layer=1, strength=1.0, restore_layer=1)
    with pytest.raises(MechclaError, match="no EN vector for language 'ko'; known: es"):
        mechcla.en_steering(en, language="ko", layer=1, strength=1.0)
    with pytest.raises(MechclaError, match="layer 7: the LOC vectors have layers 0 to 3"):
        mechcla.loc_steering(loc, language="es", layer=7, strength=1.0)


def test_relative_strength_takes_the_vectors_own_norms():
    (edit,) = mechcla.loc_steering(
        vectors("LOC"), language="es", layer=1, strength=0.1, unit="relative"
    )
    h = torch.zeros(1, 1, 32)
    assert float(edit.apply(h, torch.tensor([[True]])).norm()) == pytest.approx(0.7, rel=1e-5)
