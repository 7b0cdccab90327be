"""Operators are entries of one registry, and a user's own works wherever mechcla's do.

The oracle is transformers on the model's own folder, a row per candidate, with a hook by hand.
"""

import pytest
import torch
from transformers import AutoModelForCausalLM

import mechcla
from mechcla.engine.intervention import Intervention
from mechcla.engine.operators import OPERATORS, Operation
from mechcla.errors import MechclaError
from mechcla.models.tokens import encode
from mechcla.registry import Registry
from mechcla.scoring.prepared import prepare
from mechcla.scoring.scorer import score_many
from mechcla.sweep.config import make
from mechcla.user_code import user_code

LAYER, STRENGTH = 2, 0.7


def reflect(h, v, strength, matrix):
    """Moves h towards its mirror image across the plane that v is normal to."""
    unit = v / v.norm()
    return h - (2 * strength * (h.float() @ unit).unsqueeze(-1) * unit).to(h.dtype)


def replace_by(h, v, strength, matrix):
    """h becomes strength * v, whatever it was: strength 0 is no idle one."""
    return (strength * v).to(h.dtype).expand_as(h)


@pytest.fixture
def registered():
    assert isinstance(OPERATORS, Registry)
    OPERATORS.register("reflect", Operation(reflect, unit=False, does="mirrors h"))
    OPERATORS.register("replace_by", Operation(replace_by, nothing_at_zero=False))
    yield
    for name in ("reflect", "replace_by"):
        OPERATORS.remove(name)


def by_hand(folder, tokenizer, item, edit):
    """An item's log-likelihoods from transformers, with `edit` on the user's tokens."""
    own = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()
    start = len(encode("", tokenizer).ids)  # what the tokenizer puts in front
    prompt = list(encode(item.prompt, tokenizer).ids)
    found = []
    for candidate in item.candidates:
        ids = list(encode(item.prompt + item.separator + candidate.text, tokenizer).ids)
        assert ids[: len(prompt)] == prompt

        def act(_block, _args, out):
            h = (out[0] if isinstance(out, tuple) else out).clone()
            h[:, start:] = edit(h[:, start:])
            return (h, *out[1:]) if isinstance(out, tuple) else h

        handle = own.model.layers[LAYER].register_forward_hook(act)
        with torch.inference_mode():
            logp = own(input_ids=torch.tensor([ids])).logits[0].double().log_softmax(-1)
        handle.remove()
        found.append(sum(float(logp[i - 1, ids[i]]) for i in range(len(prompt), len(ids))))
    return found


@pytest.mark.parametrize("family", ["llama", "gemma3_text"])
@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize(
    ("operator", "strength"), [("reflect", STRENGTH), ("replace_by", STRENGTH), ("replace_by", 0.0)]
)
def test_a_users_operator_on_both_paths_is_transformers_with_a_hook(
    operator, strength, fast, family, registered, tiny_models, tiny_folders, small_items
):
    model, items = tiny_models[family], small_items.test.language("es")
    v = torch.randn(model.d_model, generator=torch.Generator().manual_seed(5))
    edit = Intervention(v, LAYER, strength, operator=operator)
    if fast:
        scores = mechcla.score(model, items, interventions=edit)
    else:
        prepared = prepare(model, items, fast=False)
        scores = prepared.table(prepared.edge_log_probs((edit,)), (edit,))
    unit = v.double() / v.double().norm()
    image = torch.eye(model.d_model).double() - 2 * strength * torch.outer(unit, unit)

    def act(h):
        return (h.double() @ image).float() if operator == "reflect" else 0 * h + strength * v

    assert len(scores) == len(items) > 4
    for item, row in zip(items, scores, strict=True):
        expected = by_hand(tiny_folders[family], model.tokenizer, item, act)
        assert row.log_likelihood == pytest.approx(expected, abs=2e-4)


def test_strength_0_is_no_intervention_where_the_operator_says_so(registered, tiny, small_items):
    v = torch.ones(tiny.d_model)
    plain = [row.log_likelihood for row in mechcla.score(tiny, small_items)]

    def scored(operator):
        edit = Intervention(v, LAYER, 0.0, operator=operator)
        return [r.log_likelihood for r in mechcla.score(tiny, small_items, interventions=edit)]

    assert scored("reflect") == plain
    assert scored("replace_by") != plain


def test_the_identity_of_an_edit_names_the_operator_and_a_users_code(registered):
    edit = Intervention(torch.ones(4), 0, 1.0, operator="reflect")
    assert edit.describe()["operator"] == "reflect"
    assert edit.describe()["operator_sha256"] == user_code(reflect)
    assert "operator_sha256" not in Intervention(torch.ones(4), 0, 1.0).describe()


def test_a_users_operator_keeps_to_the_rules_that_it_gives(registered):
    with pytest.raises(MechclaError, match="'reflect' mirrors h; its strength has no unit"):
        Intervention(torch.ones(4), 0, 1.0, operator="reflect", unit="relative", norm=1.0)
    with pytest.raises(MechclaError, match="'reflect' with matrix given; 'map' alone takes one"):
        Intervention(torch.ones(4), 0, 1.0, operator="reflect", matrix=torch.eye(4))
    with pytest.raises(MechclaError, match="unknown operator 'reflct'; did you mean 'reflect'"):
        Intervention(torch.ones(4), 0, 1.0, operator="reflct")
    with pytest.raises(MechclaError, match="set unit=False"):
        Operation(reflect, takes_matrix=True)
    with pytest.raises(MechclaError, match="registered already"):
        OPERATORS.register("add", Operation(reflect))


def test_an_operator_that_edits_in_place_is_the_one_that_does_not(tiny, small_items):
    """Twice over the same cached residuals, and at resid_mid, where the skip connection is read."""

    def added(h, v, strength, matrix):
        h += (strength * v).to(h.dtype)
        return h

    OPERATORS.register("in place", Operation(added))
    v = torch.randn(tiny.d_model, generator=torch.Generator().manual_seed(7))
    prepared = prepare(tiny, small_items)
    for site in ("resid_post", "resid_mid"):
        for strength in (1.0, 2.0, 1.0):
            rows = []
            for operator in ("in place", "add"):
                edit = Intervention(v, LAYER, strength, operator=operator, site=site)
                scores = dict(score_many(prepared, [[edit]]))[0]
                rows.append([row.log_likelihood for row in scores])
            assert rows[0] == rows[1]
    OPERATORS.remove("in place")


def test_restoration_needs_an_operator_that_can_be_taken_back(registered, tiny, small_items):
    en = mechcla.en_vectors(tiny, small_items.universal.dev)
    for operator in ("reflect", "replace_by", "ablate"):
        with pytest.raises(MechclaError, match=rf"'{operator}' .* cannot be taken back"):
            mechcla.en_steering(
                en, language="es", layer=0, strength=1.0, restore_layer=2, operator=operator
            )


def test_an_operator_that_makes_another_shape_is_named(tiny, small_items):
    OPERATORS.register("mean", Operation(lambda h, v, strength, matrix: h.mean(1)))
    edit = Intervention(torch.ones(tiny.d_model), LAYER, 1.0, operator="mean")
    with pytest.raises(MechclaError, match=r"operator 'mean' made .* expected the same shape"):
        mechcla.score(tiny, small_items, interventions=edit)
    OPERATORS.remove("mean")


def test_a_registered_operator_is_a_setting_of_a_sweep(registered):
    settings = {"out": "nowhere", "restore": False}
    assert make(settings | {"operator": "reflect"}).operator == "reflect"
    with pytest.raises(MechclaError, match="'reflect' has no restoration and no unit"):
        make(settings | {"operator": "reflect", "unit": "relative"})
    with pytest.raises(MechclaError, match="'operator' is 'reflct': did you mean 'reflect'"):
        make(settings | {"operator": "reflct"})
    with pytest.raises(MechclaError, match="'operator' is 'map'"):  # its matrix is no setting
        make(settings | {"operator": "map"})
