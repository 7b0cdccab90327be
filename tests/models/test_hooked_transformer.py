"""A HookedTransformer through HookedModel's methods. The oracles are transformers on the same
folder, and HookedTransformer.run_with_hooks.
"""

from __future__ import annotations

import copy
import warnings
from functools import partial
from typing import Any

import pytest
import torch

import mechcla
from mechcla import Intervention
from mechcla.engine.capability import fits, plain_because
from mechcla.engine.decoding import cache_fits
from mechcla.errors import MechclaError
from mechcla.models.hooked_model import SITES
from mechcla.models.hooking import users_hooks
from mechcla.models.sites import faults
from mechcla.models.tokens import encode
from mechcla.vectors.activations import last_token_residuals
from tests.conftest import tiny_items
from tests.engine.families import Oracle
from tests.models.lens import CONVERTERS, hooked_transformer, save_for_lens

pytestmark = pytest.mark.usefixtures("one_thread")

ITEMS = tiny_items().language("en", "es")
TEST = ITEMS.language("es").test
# Float32; folding multiplies weights once more, and centring subtracts means.
TOLERANCE = {False: 1e-4, True: 2e-4}


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Any:
    base, kept = tmp_path_factory.mktemp("lens"), {}

    def make(family: str, processed: bool) -> Any:
        folder = base / family
        if not folder.exists():
            save_for_lens(family, folder)
        if (family, processed) not in kept:
            hooked = hooked_transformer(family, folder, processed)
            kept[family, processed] = (quiet(mechcla.wrap_model, hooked), Oracle(folder))
        return kept[family, processed]

    return make


def quiet(run: Any, *args: Any, **settings: Any) -> Any:
    """Without the warning that it runs on the plain path."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return run(*args, **settings)


BOTH = [(family, processed) for family in CONVERTERS for processed in (False, True)]


@pytest.mark.parametrize(("family", "processed"), BOTH)
def test_scores_are_transformers(family, processed, made):
    model, oracle = made(family, processed)
    assert not quiet(fits, model)
    assert "HookedTransformer" in plain_because(model)
    for row, item in zip(quiet(mechcla.score, model, TEST, prior=False), TEST, strict=True):
        expected = oracle.candidates(item)
        assert row.log_likelihood == pytest.approx(expected, abs=TOLERANCE[processed])


def keep(kept: dict[int, torch.Tensor], k: int, _module: Any, _args: Any, out: Any) -> None:
    """What block k gives at the last token of a row."""
    kept[k] = (out[0] if isinstance(out, tuple) else out)[0, -1].clone()


@pytest.mark.parametrize("family", CONVERTERS)
def test_residuals_are_transformers_unless_the_weights_are_processed(family, made):
    """With centred weights, those of LayerNorm models are the same streams less their means."""
    texts = [item.prompt for item in TEST]
    for processed in (False, True):
        model, oracle = made(family, processed)
        kept: dict[int, torch.Tensor] = {}
        handles = [
            layer.register_forward_hook(partial(keep, kept, k))
            for k, layer in enumerate(oracle.layers())
        ]
        for indices, found in quiet(lambda m=model: list(last_token_residuals(m, texts))):
            for place, i in enumerate(indices):
                oracle.logits(oracle.ids(texts[i]))
                expected = torch.stack([kept[k] for k in range(model.n_layers)])
                centred = expected - expected.mean(-1, keepdim=True)
                layer_norm = family in ("gpt2", "gpt_neox")
                wanted = centred if processed and layer_norm else expected
                torch.testing.assert_close(found[:, place], wanted, atol=2e-4, rtol=1e-4)
                assert not torch.allclose(centred, expected, atol=1e-3)
        for handle in handles:
            handle.remove()


def by_hand(model: Any, edit: Intervention, item: Any) -> list[float]:
    """Steered log-likelihoods by HookedTransformer.run_with_hooks, one row per candidate."""
    hooked, head = model.bridge, encode(item.prompt, model.tokenizer).ids
    found = []
    for candidate in item.candidates:
        ids = encode(item.prompt + item.separator + candidate.text, model.tokenizer).ids
        assert ids[: len(head)] == head

        def hook(h, hook):
            h = h.clone()
            h[:, 1 : len(head)] += edit.strength * edit.vector
            return h

        name = f"blocks.{edit.layer}.hook_{edit.site}"
        with torch.inference_mode():
            logits = hooked.run_with_hooks(torch.tensor([ids]), fwd_hooks=[(name, hook)])
        logs = logits[0].log_softmax(-1)
        found.append(sum(float(logs[i - 1, ids[i]]) for i in range(len(head), len(ids))))
    return found


@pytest.mark.parametrize(("family", "processed"), BOTH)
def test_steered_scores_are_run_with_hooks(family, processed, made):
    model, _ = made(family, processed)
    vector = torch.randn(model.d_model, generator=torch.Generator().manual_seed(1))
    asked = TEST.cultural
    for site in SITES:
        if faults(model, 1)[site] is not None:
            assert (family, site) == ("gpt_neox", "resid_mid")
            continue
        edit = Intervention(vector, 1, 1.5, site=site, positions="prompt")
        before = quiet(mechcla.score, model, asked, prior=False)
        after = quiet(mechcla.score, model, asked, edit, prior=False)
        for was, row, item in zip(before, after, asked, strict=True):
            expected = by_hand(model, edit, item)
            assert row.log_likelihood == pytest.approx(expected, abs=1e-4)
            assert was.log_likelihood != pytest.approx(expected, abs=1e-2)
    assert users_hooks(model) == ()
    assert not any(m._forward_hooks for m in model.bridge.modules())


@pytest.mark.parametrize("family", CONVERTERS)
def test_folded_weights_steer_as_the_same_push_does_on_unfolded_ones(family, made):
    """A vector from folded weights is of the centred stream: its push is the same up to the mean,
    which the norms of LayerNorm models take away.
    """
    asked = ITEMS.language("es").universal.test
    tables = []
    for processed in (False, True):
        model, _ = made(family, processed)
        en = quiet(mechcla.en_vectors, model, ITEMS.universal.dev)
        edit = mechcla.en_steering(en, language="es", layer=1, strength=1.5, unit="raw")
        tables.append((en["es"], quiet(mechcla.score, model, asked, edit, prior=False)))
    (plain, steered), (centred, folded) = tables
    mean = plain.mean(-1, keepdim=True) if family in ("gpt2", "gpt_neox") else 0.0
    torch.testing.assert_close(centred, plain - mean, atol=2e-4, rtol=1e-4)
    for one, other in zip(steered, folded, strict=True):
        assert one.log_likelihood == pytest.approx(other.log_likelihood, abs=5e-4)


def test_vectors_of_folded_weights_are_refused_on_unfolded_ones(made):
    folded, _ = made("gpt2", True)
    plain, _ = made("gpt2", False)
    assert folded.digest != plain.digest
    en = quiet(mechcla.en_vectors, folded, ITEMS.universal.dev)
    edit = mechcla.en_steering(en, language="es", layer=1, strength=1.0, unit="raw")
    with pytest.raises(MechclaError, match="digest"):
        quiet(mechcla.score, plain, TEST, edit)


@pytest.mark.parametrize(("family", "processed"), [("gpt2", True), ("mistral", False)])
def test_generation_is_transformers(family, processed, made):
    model, oracle = made(family, processed)
    assert cache_fits(model)
    asked = list(ITEMS.language("es").universal.test)
    for cache in (True, False):
        answers = quiet(mechcla.generate, model, asked, stop=None, max_new_tokens=6, cache=cache)
        for answer, item in zip(answers, asked, strict=True):
            ids = oracle.ids(item.prompt)
            out = oracle.model.generate(
                torch.tensor([ids]), do_sample=False, max_new_tokens=6, pad_token_id=0
            )
            assert answer.tokens == tuple(out[0, len(ids) :].tolist())


def test_the_logit_lens_of_the_last_block_is_the_models_logits(made):
    for family, processed in BOTH:
        model, oracle = made(family, processed)
        ids, kept = oracle.ids("The capital of Peru is"), []
        point = model.hook_point(model.n_layers - 1, "resid_post")
        row = torch.tensor([ids])
        with torch.inference_mode():
            mechcla.models.hooking.run_hooked(
                [("site", point, kept.append)],
                lambda m=model, r=row: m.run_decoder(
                    r, torch.ones_like(r), torch.arange(r.shape[1])[None]
                ),
            )
            head = model.unembedding
            found = head.finish(model.final_norm(kept[0][0]) @ head.weight.T)
            found = found if head.bias is None else found + head.bias
        expected = oracle.logits(ids).log_softmax(-1)
        torch.testing.assert_close(found.log_softmax(-1), expected, atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("tokens", [{"adds_bos": False}, {"bos": False}, {"adds_eos": True}, {}])
def test_tokens_are_the_tokenizers_own(tokens, tmp_path):
    folder = save_for_lens("mistral", tmp_path, **tokens)
    hooked, oracle = hooked_transformer("mistral", folder), Oracle(folder)
    text = "The capital of Peru is"
    shown = hooked.to_tokens(text)[0].tolist()
    if shown == oracle.ids(text):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model = mechcla.wrap_model(hooked)
    else:
        with pytest.warns(UserWarning, match="to_tokens gives"):
            model = mechcla.wrap_model(hooked)
    assert list(encode(text, model.tokenizer).ids) == oracle.ids(text)
    asked = ITEMS.language("es").universal.test
    for row, item in zip(quiet(mechcla.score, model, asked, prior=False), asked, strict=True):
        assert row.log_likelihood == pytest.approx(oracle.candidates(item), abs=1e-4)


def test_what_cannot_be_wrapped_is_refused_by_what_it_lacks(tmp_path):
    hooked = hooked_transformer("mistral", save_for_lens("mistral", tmp_path))
    blind = copy.deepcopy(hooked)
    blind.cfg.attention_dir = "bidirectional"
    with pytest.raises(MechclaError, match=r"bidirectional.*look back only"):
        mechcla.wrap_model(blind)
    hooked.tokenizer = None
    with pytest.raises(MechclaError, match="has no tokenizer; give it one"):
        mechcla.wrap_model(hooked)


def test_positions_and_masks_that_it_cannot_take_are_refused(made):
    model, _ = made("gpt2", False)
    ids = torch.tensor([[1, 40, 50]])
    with pytest.raises(MechclaError, match="counts positions along a row"):
        model.logits(ids, torch.ones_like(ids), torch.tensor([[0, 1, 1]]))
    with pytest.raises(MechclaError, match="no mask but that of padding"):
        model.run_decoder(ids, torch.zeros(1, 1, 3, 3), torch.arange(3)[None])
    assert faults(model, 0)["resid_mid"] is None


def test_a_sweep_runs_from_end_to_end(made, tmp_path):
    model, _ = made("gpt2", True)
    settings = {"layers": [0, 2], "restore": False, "resamples": 100, "controls": False}
    run = quiet(mechcla.run_sweep, model, ITEMS, out=tmp_path / "run", **settings)
    assert run.status == "complete"
    assert run.record["identity"]["model"] == model.digest
    expected = quiet(mechcla.score, model, ITEMS.test.language("es").universal, prior=False)
    found = {row.id: row.log_likelihood for row in run.scores("unsteered") if row.language == "es"}
    for row in expected:
        assert found[row.id] == pytest.approx(row.log_likelihood, abs=1e-5)
