"""Closeness to English for all languages at once, and as a change; mean-pooled residuals against
transformers' hidden states."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import mechcla
from mechcla import geometry
from mechcla.errors import MechclaError
from mechcla.vectors.residuals import Residuals, cache_residuals
from tests.geometry.spaces import normal, spaces


def test_each_language_is_the_pairs_own_cka_and_all_is_their_mean():
    h = spaces(0.5)
    found = geometry.cka_with_english(h, resamples=20)
    assert set(found) == {"es", "ko", "all"}
    for language in ("es", "ko"):
        own = geometry.linear_cka(*h.paired("en", language), resamples=20)
        for name in ("value", "low", "high"):
            assert np.array_equal(getattr(found[language], name), getattr(own, name))
    assert found["all"].value == pytest.approx((found["es"].value + found["ko"].value) / 2)
    assert (found["all"].low <= found["all"].value).all()
    assert (found["all"].value <= found["all"].high).all()
    assert found["all"].null is None


def test_retrieval_by_hand():
    h = spaces(0.0, noise=2.0)
    found = geometry.retrieval_of_english(h, resamples=20)
    for language in ("es", "ko"):
        for layer in range(2):
            english, other = h["en"][:, layer].numpy(), h[language][:, layer].numpy()
            hits = 0
            for k, row in enumerate(other):
                cosines = [
                    float(row @ e / np.linalg.norm(row) / np.linalg.norm(e)) for e in english
                ]
                hits += int(np.argmax(cosines)) == k
            assert 0 < hits < len(other)  # neither trivial
            assert found[language].value[layer] == pytest.approx(hits / len(other))
    assert found["all"].value == pytest.approx((found["es"].value + found["ko"].value) / 2)
    assert found["all"].null == pytest.approx([1 / 30, 1 / 30])
    # one way only: a hub in the other language does not count
    assert geometry.retrieval_of_english(spaces(0.0, noise=0.01), resamples=0)["all"].value == (
        pytest.approx([1.0, 1.0])
    )


def test_ties_count_against_a_text():
    values = {k: torch.ones(9, 1, 4) for k in ("en", "es")}
    ids = {k: tuple(map(str, range(9))) for k in values}
    same = Residuals(values, ids, "resid_post", "implicit")
    assert geometry.retrieval_of_english(same, resamples=0)["es"].value[0] == 0


@pytest.mark.parametrize("what", [geometry.cka_with_english, geometry.retrieval_of_english])
def test_a_change_is_paired_by_question(what):
    before, after = spaces(0.0, noise=2.5), spaces(0.0, noise=1.0)
    change = what(after, before, resamples=40)
    for language in ("es", "ko", "all"):
        own, other = what(after, resamples=0)[language], what(before, resamples=0)[language]
        assert change[language].value == pytest.approx(own.value - other.value)
        assert change[language].null == pytest.approx([0.0, 0.0])
        assert change[language].what.startswith("change in ")
    assert (change["all"].low > 0).all()  # languages came nearer
    none = what(after, after, resamples=40)["all"]
    assert none.value == pytest.approx([0, 0])
    assert none.low == pytest.approx([0, 0])
    # another order of the same questions changes nothing
    order = torch.randperm(30, generator=torch.Generator().manual_seed(0))
    turned = replace(
        before,
        values={k: v[order] for k, v in before.values.items()},
        ids={k: tuple(ids[i] for i in order.tolist()) for k, ids in before.ids.items()},
    )
    assert what(after, turned, resamples=40)["es"].value == pytest.approx(change["es"].value)


def test_only_questions_that_all_have_are_compared():
    h = spaces(0.5)
    values, ids = dict(h.values), dict(h.ids)
    values["ko"], ids["ko"] = values["ko"][5:], ids["ko"][5:]
    fewer = geometry.retrieval_of_english(replace(h, values=values, ids=ids), resamples=5)
    assert {c.n for c in fewer.values()} == {25}
    cut = replace(
        h,
        values={k: v[5:] for k, v in h.values.items()},
        ids={k: v[5:] for k, v in h.ids.items()},
    )
    assert fewer["es"].value == pytest.approx(
        geometry.retrieval_of_english(cut, resamples=5)["es"].value
    )
    few = {k: v[:7] for k, v in h.values.items()}, {k: v[:7] for k, v in h.ids.items()}
    with pytest.raises(MechclaError, match="at least 8 questions that all have; got es, ko and 7"):
        geometry.cka_with_english(replace(h, values=few[0], ids=few[1]))
    with pytest.raises(MechclaError, match="no residuals of language 'en'"):
        geometry.cka_with_english(replace(h, values={"es": normal(9, 1, 4)}, ids={"es": ids["es"]}))
    with pytest.raises(MechclaError, match="unknown method 'cosin'"):
        geometry.retrieval_of_english(h, method="cosin")


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma3_text"])
def test_mean_pooled_residuals_are_transformers_means_over_the_texts_own_tokens(
    family, tiny_folders, tiny_models, small_items
):
    """A prompt alone, without padding: hidden states at every token but BOS."""
    own = AutoModelForCausalLM.from_pretrained(tiny_folders[family]).eval()
    tokenizer = AutoTokenizer.from_pretrained(tiny_folders[family])
    items = small_items.universal.dev
    found = cache_residuals(tiny_models[family], items, position="mean_prompt_token")
    assert found.record["position"] == "mean_prompt_token"
    last = cache_residuals(tiny_models[family], items)
    assert last.record["position"] == "last_prompt_token"
    for language in found.languages:
        for k, item in enumerate(items.language(language)):
            ids = tokenizer(item.prompt, return_tensors="pt")["input_ids"]
            assert ids[0, 0] == tokenizer.bos_token_id
            with torch.inference_mode():
                states = own(ids, output_hidden_states=True).hidden_states
            for layer in range(3):  # the last one's is behind the final norm
                mean = states[layer + 1][0, 1:].mean(0)
                assert torch.allclose(found[language][k, layer], mean, atol=1e-4)
                end = states[layer + 1][0, -1]
                assert torch.allclose(last[language][k, layer], end, atol=1e-4)


def test_pooling_does_not_hang_on_the_batch(tiny, small_items):
    items = small_items.universal.dev
    together = cache_residuals(tiny, items, position="mean_prompt_token")
    for k, item in enumerate(items.language("es")):
        alone = cache_residuals(tiny, mechcla.ItemSet((item,)), position="mean_prompt_token")
        assert torch.allclose(alone["es"][0], together["es"][k], atol=1e-5)
