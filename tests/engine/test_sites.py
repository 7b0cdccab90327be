"""Every site shows and takes what its name says, or is refused by name; transformers' own hooks are
the oracle.
"""

from __future__ import annotations

import pytest
import torch

import mechcla
from mechcla import Intervention
from mechcla.errors import MechclaError
from mechcla.items.item import Candidate, Item
from mechcla.items.item_set import ItemSet
from mechcla.models.hooked_model import SITES
from mechcla.models.hooking import run_hooked
from mechcla.models.load import load_model
from mechcla.models.sites import faults
from mechcla.vectors.activations import last_token_residuals, watching
from tests.engine.families import ATTENTION, FAMILIES, PARALLEL, Oracle, save, tokenizer

pytestmark = pytest.mark.usefixtures("one_thread")

ITEM = Item(
    "q",
    "en",
    "universal",
    "test",
    "The capital of Peru is",
    (Candidate("Lima and far", "correct"), Candidate("Tokyo city", "wrong")),
)
STREAM = ["resid_pre", "resid_post"]
# where attention (or what stands for it) and MLP are, in transformers' own modules, for the
# independent hook
MODULES = {
    "llama": ("self_attn", "mlp"),
    "granite": ("self_attn", "mlp"),
    "gemma2": ("post_attention_layernorm", "post_feedforward_layernorm"),
    "gemma3_text": ("post_attention_layernorm", "post_feedforward_layernorm"),
    "olmo2": ("post_attention_layernorm", "post_feedforward_layernorm"),
    "opt": ("self_attn", "fc2"),
    "cohere": ("self_attn", "mlp"),
    "gpt_neox": ("attention", "mlp"),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    base, made = tmp_path_factory.mktemp("sites"), {}

    def folder(family: str):
        if family not in made:
            made[family] = save(family, base / family, tokenizer())
        return made[family]

    return folder


def load(folder):
    return load_model(str(folder), device="cpu")


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_before_and_what_is_added_make_what_is_after(family, folders):
    model = load(folders(family))
    ids = torch.tensor([[1, 40, 50, 60, 70, 80], [1, 90, 100, 110, 120, 130]])
    for layer in range(model.n_layers):
        why = faults(model, layer)
        assert why["resid_pre"] is None
        assert why["resid_post"] is None
        seen: dict[str, list[torch.Tensor]] = {s: [] for s in SITES if why[s] is None}
        places = [("site", model.hook_point(layer, s), kept.append) for s, kept in seen.items()]
        with torch.no_grad():
            run_hooked(
                places,
                lambda: model.run_decoder(ids, torch.ones_like(ids), torch.arange(6).expand(2, -1)),
            )
        assert all(len(kept) == 1 and kept[0].shape == (2, 6, 32) for kept in seen.values())
        value = {s: kept[0] for s, kept in seen.items()}
        if family in ATTENTION or family in PARALLEL:
            assert {"attn_out", "mlp_out"} <= set(value)
            assert ("resid_mid" in value) == (family in ATTENTION)
        if {"attn_out", "mlp_out"} <= set(value):
            total = value["resid_pre"] + value["attn_out"] + value["mlp_out"]
            torch.testing.assert_close(total, value["resid_post"], atol=2e-5, rtol=2e-5)
        if "resid_mid" in value:
            added = value["resid_mid"] + value["mlp_out"]
            torch.testing.assert_close(added, value["resid_post"], atol=2e-5, rtol=2e-5)


@pytest.mark.parametrize("site", ["attn_out", "mlp_out"])
@pytest.mark.parametrize("family", MODULES)
def test_an_edit_acts_as_the_same_edit_by_transformers_own_hook(family, site, folders):
    model, oracle = load(folders(family)), Oracle(folders(family))
    vector = torch.randn(32, generator=torch.Generator().manual_seed(3))
    edit = Intervention(vector, 1, 0.7, site=site, positions="prompt_and_answer")
    layers = next(
        m for n, m in oracle.model.named_modules() if n.endswith(("layers", "h")) and len(m) == 4
    )
    module = getattr(layers[1], MODULES[family][site == "mlp_out"])
    scale = getattr(oracle.model.config, "residual_multiplier", 1.0)

    def add(_module, _args, out):
        h = (out[0] if isinstance(out, tuple) else out).clone()
        rows = h.view(1, -1, 32) if h.ndim == 2 else h
        # What is added to the stream is scaled behind the module; BOS stays.
        rows[:, 1:] += 0.7 * vector / scale
        return (h, *out[1:]) if isinstance(out, tuple) else h

    before = oracle.candidates(ITEM)
    module.register_forward_hook(add)
    expected = oracle.candidates(ITEM)
    assert expected != pytest.approx(before, abs=1e-2)
    items = ItemSet((ITEM,))
    assert mechcla.score(model, items, edit)[0].log_likelihood == pytest.approx(expected, abs=1e-4)
    plain = mechcla.scoring.prepare(model, items, fast=False)
    row = dict(mechcla.scoring.score_many(plain, [[edit]]))[0][0]
    assert row.log_likelihood == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("family", ["granite", "opt"])
def test_sites_are_read_with_their_shape_and_steering_there_moves_scores(family, site, folders):
    model = load(folders(family))
    shape = next(last_token_residuals(model, [ITEM.prompt, ITEM.prompt], site))[1].shape
    assert tuple(shape) == (4, 2, 32)
    # A constant is what LayerNorm takes away.
    vector = torch.randn(32, generator=torch.Generator().manual_seed(5))
    edit = Intervention(vector, 1, 1.0, site=site)
    items = ItemSet((ITEM,))
    moved, base = mechcla.score(model, items, edit)[0], mechcla.score(model, items)[0]
    assert moved.log_likelihood != pytest.approx(base.log_likelihood, abs=1e-3)


@pytest.mark.parametrize(
    ("family", "layer", "site", "says"),
    [
        ("lfm2", 0, "attn_out", "no such place; use resid_pre, resid_mid, resid_post or mlp_out"),
        ("falcon_h1", 1, "attn_out", "not what the block adds to the stream; use resid_pre"),
        ("mamba", 1, "mlp_out", "no such place; use resid_pre or resid_post"),
        ("cohere", 2, "resid_mid", "nothing between them; use resid_pre, resid_post, attn_out or"),
    ],
)
def test_a_site_that_a_block_lacks_is_refused_by_name(family, layer, site, says, folders):
    model = load(folders(family))
    edit = Intervention(torch.ones(32), layer, 1.0, site=site)
    for run in (
        lambda: mechcla.score(model, ItemSet((ITEM,)), edit),
        lambda: watching(model, site, lambda k, h: None),
        lambda: next(last_token_residuals(model, [ITEM.prompt], site)),
        lambda: mechcla.generate(model, [ITEM], edit),
    ):
        with pytest.raises(MechclaError, match=f"has no '{site}' at block .*{says}") as caught:
            run()
        assert family in str(caught.value)


def test_a_model_that_boots_and_does_not_run_is_one_message_at_loading(tmp_path):
    """OPT 350M has no final norm, and TransformerLens' bridge expects one."""
    folder = save("opt", tmp_path, tokenizer(), do_layer_norm_before=False)
    with pytest.raises(MechclaError, match="cannot run it in float32") as caught:
        load(folder)
    assert "another dtype" not in str(caught.value)


def test_sites_are_measured_once_and_without_the_users_hooks(folders, monkeypatch):
    from mechcla.models import sites

    model = load(folders("llama"))
    monkeypatch.setattr(sites, "_known", type(sites._known)())
    seen = []
    model.bridge.add_hook("blocks.1.hook_mlp_out", lambda h, hook: seen.append(1) or h * 3)
    passes = []
    decoder = model.bridge.original_model.base_model
    ran = decoder.forward
    monkeypatch.setattr(decoder, "forward", lambda *a, **k: passes.append(1) or ran(*a, **k))
    assert all(v is None for layer in range(4) for v in faults(model, layer).values())
    assert len(passes) == 1
    assert not seen
    model.bridge.reset_hooks()
