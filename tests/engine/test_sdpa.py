"""A model loaded with attention="sdpa": torch's fused attention where nothing is hooked."""

from __future__ import annotations

import pytest
import torch

import mechcla
from mechcla import scoring
from mechcla.engine import native
from mechcla.errors import MechclaError
from mechcla.models.load import load_model
from mechcla.sweep.held import held_settings, model_settings, of_model
from tests.engine.families import Oracle, save, tokenizer
from tests.engine.test_native import begun, cells
from tests.engine.test_user_hooks import ITEMS, last, put
from tests.slow import others_slow

pytestmark = pytest.mark.usefixtures("one_thread")
FAMILIES = ("gemma3_text", "llama", "mistral", "qwen3", "granite", "olmo2", "mixtral")


def scores(model) -> list[list[float]]:
    prepared = scoring.prepare(model, ITEMS, prior=False)
    tables = dict(scoring.score_many(prepared, cells()))
    return [[x for row in tables[i] for x in row.log_likelihood] for i in sorted(tables)]


@pytest.mark.parametrize("family", others_slow(FAMILIES, FAMILIES[:2]))
def test_it_runs_and_gives_what_eager_attention_gives(family, tmp_path, monkeypatch):
    folder = save(family, tmp_path, tokenizer())
    plain = load_model(str(folder), device="cpu")
    model = load_model(str(folder), device="cpu", attention="sdpa")
    ran, real = [], torch.nn.functional.scaled_dot_product_attention
    monkeypatch.setattr(
        torch.nn.functional,
        "scaled_dot_product_attention",
        lambda *a, **b: ran.append(0) or real(*a, **b),
    )
    expected = scores(plain)
    assert not ran
    for mine, theirs in zip(scores(model), expected, strict=True):
        assert mine == pytest.approx(theirs, abs=1e-4)
    assert ran
    oracle = Oracle(folder)
    for row, item in zip(mechcla.score(model, ITEMS, prior=False), ITEMS, strict=True):
        assert row.log_likelihood == pytest.approx(oracle.candidates(item), abs=2e-4)


def test_a_hook_is_seen_and_the_bridges_attention_runs_under_it(tmp_path):
    folder = str(save("llama", tmp_path, tokenizer()))
    found = []
    for attention in ("eager", "sdpa"):
        model = load_model(folder, device="cpu", attention=attention)
        take_away = put(model, "point", last)
        found.append(mechcla.score(model, ITEMS, cells()[1], prior=False, packed=True))
        take_away()
        assert mechcla.score(model, ITEMS, cells()[1], prior=False).rows != found[-1].rows
    for mine, theirs in zip(*found, strict=True):
        assert mine.log_likelihood == pytest.approx(theirs.log_likelihood, abs=1e-4)


def test_the_record_and_the_identity_say_so(tmp_path):
    folder = str(save("llama", tmp_path, tokenizer()))
    model, plain = (load_model(folder, device="cpu", attention=a) for a in ("sdpa", "eager"))
    assert of_model(model) == of_model(plain) | {"attention": "eager, sdpa where nothing is hooked"}
    assert model_settings(model) == model_settings(plain) | {"attention": "sdpa"}
    assert held_settings(model, {"attention": "sdpa"}) == model_settings(model)
    with pytest.raises(MechclaError, match="'attention' is 'sdpa', but the model"):
        held_settings(plain, {"attention": "sdpa"})
    with pytest.raises(MechclaError, match=r"attention 'sdpo'.*sdpa"):
        load_model(folder, device="cpu", attention="sdpo")


@pytest.mark.parametrize(
    ("family", "why"),
    [("gemma2", "leave out a cap"), ("gpt2", "other last digits"), ("lfm2", "plain path")],
)
def test_a_family_that_it_would_change_is_refused(family, why, tmp_path):
    model = load_model(str(save(family, tmp_path, tokenizer())), device="cpu", attention="sdpa")
    with pytest.raises(native.CannotFuse, match=why):
        mechcla.score(model, ITEMS, prior=False)


def test_the_models_own_config_stays_eager(tmp_path):
    model = load_model(str(save("llama", tmp_path, tokenizer())), device="cpu", attention="sdpa")
    begun(model)
    assert model.bridge.original_model.config._attn_implementation == "eager"
    block = model.blocks[0].attn.original_component
    assert block.config._attn_implementation == "eager"
