"""`extract` from cached residuals: a recipe on the very rows that were cached, and on no others."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import mechcla
from mechcla.engine.offload import ResidualCache
from mechcla.errors import MechclaError
from mechcla.vectors.extract import extract, half_signs
from mechcla.vectors.recipes import RECIPES
from mechcla.vectors.residuals import cache_residuals


def cached_of(model, items, *forms):
    return [
        cache_residuals(model, items.universal),
        *(cache_residuals(model, items.cultural, form) for form in forms),
    ]


@pytest.fixture(scope="module")
def dev(small_items):
    return small_items.dev


@pytest.fixture(scope="module")
def cached(tiny, dev):
    return cached_of(tiny, dev, "implicit", "explicit")


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_vectors_are_the_recipe_on_the_cached_rows_to_the_bit(recipe, tiny, dev, cached):
    universal, implicit, explicit = cached
    made = extract(tiny, dev, recipe, cached=cached)
    assert set(made) == {"EN", "LOC"}
    sides = universal.paired("en", "es")
    if recipe == "language_mean":
        sides = universal["en"], universal["es"]
    expected = {("EN", "es"): sides}
    expected |= {("LOC", k): (explicit[k], implicit[k]) for k in ("en", "es")}
    assert {(n, k) for n, v in made.items() for k in v.languages} == set(expected)
    for (name, language), (plus, minus) in expected.items():
        vectors = made[name]
        assert vectors[language].equal(RECIPES[recipe](plus, minus))
        assert vectors.norms[language].equal(minus.double().norm(dim=-1).mean(0).float())
        assert vectors.counts[language] == len(minus)


@pytest.mark.parametrize("recipe", ["mean_difference", "lda"])
def test_cached_or_not_the_vectors_record_and_controls_are_the_same(recipe, tiny, dev):
    spanish = dev.cultural.where(lambda i: i.prompt_us is not None)
    items = dev.universal + spanish
    cached = [
        cache_residuals(tiny, dev.universal),
        *(cache_residuals(tiny, spanish, f) for f in ("implicit", "explicit", "us")),
    ]
    controls = ["shuffled", "us"]
    made = extract(tiny, items, recipe, controls, seed=3, cached=cached)
    run = extract(tiny, items, recipe, controls, seed=3)
    assert set(made) == set(run) == {"EN", "LOC", "EN shuffled", "LOC shuffled", "LOC US"}
    assert set(half_signs(items, 3).values()) == {1, -1}
    for name, vectors in run.items():
        assert made[name].record == vectors.record
        for language in vectors.languages:
            torch.testing.assert_close(
                made[name][language], vectors[language], atol=2e-3, rtol=2e-3
            )


@pytest.mark.parametrize("recipe", ["lda", "language_mean"])
def test_rows_beyond_the_bound_are_mapped_and_give_the_same_vectors_to_the_bit(
    recipe, tiny, dev, tmp_path
):
    held, mapped = ResidualCache(), ResidualCache(0, str(tmp_path))
    made, again = (extract(tiny, dev, recipe, ["shuffled"], cache=c) for c in (held, mapped))
    prompts = {i.prompt_text(f) for i in dev for f in ("implicit", "explicit")}
    prompts -= {i.prompt for i in dev.cultural if i.prompt_explicit is None}
    assert held.offloaded == 0
    assert mapped.offloaded == len(prompts) * tiny.n_layers * tiny.d_model * 4
    assert not list(tmp_path.iterdir())
    for name, vectors in made.items():
        for language in vectors.languages:
            assert again[name][language].equal(vectors[language])


def test_a_translation_that_is_missing_and_another_order_change_no_pair(tiny, dev):
    items = mechcla.ItemSet(
        (*reversed(dev.universal.language("es")[:2]), *dev.universal.language("en"))
    )
    cached = [cache_residuals(tiny, items)]
    made = extract(tiny, items, cached=cached)["EN"]
    plus, minus = cached[0].paired("en", "es")
    assert made.counts["es"] == 2
    assert made["es"].equal(RECIPES["mean_difference"](plus, minus))


def test_a_universal_and_a_cultural_question_of_one_id_are_kept_apart(tiny, dev):
    same = {i: f"q{k}" for k, i in enumerate(dev.universal.ids)}
    same |= {i: f"q{k}" for k, i in enumerate(dev.cultural.ids)}
    items = mechcla.ItemSet(tuple(replace(i, id=same[i.id]) for i in dev))
    made = extract(tiny, items, cached=cached_of(tiny, items, "implicit", "explicit"))
    apart = extract(tiny, dev, cached=cached_of(tiny, dev, "implicit", "explicit"))
    for name in ("EN", "LOC"):
        assert made[name]["es"].equal(apart[name]["es"])


def test_residuals_of_something_else_are_refused_by_name(
    tiny, tiny_models, dev, small_items, cached
):
    universal, implicit, explicit = cached
    for bad, said in (
        ([universal, implicit], "none of cultural items in 'e[ns]' asked explicit; .* 'explicit'"),
        ([implicit, explicit], "none of universal items in 'e[ns]' asked implicit"),
        (cached_of(tiny, small_items.test, "implicit"), "of en, es are of other items"),
        ([replace(universal, record={})], "of en, es are of other items"),
        (
            [cache_residuals(tiny, dev.universal, site="attn_out")],
            "universal items have site 'attn_out'; expected 'resid_post'",
        ),
        (
            [cache_residuals(tiny_models["gpt2"], dev.universal)],
            "universal items have model {.*gpt2",
        ),
    ):
        with pytest.raises(MechclaError, match=said):
            extract(tiny, dev, cached=bad)
    en = mechcla.en_vectors(tiny, dev)
    steered = {"es": mechcla.en_steering(en, language="es", layer=1, strength=2.0)}
    with pytest.raises(MechclaError, match=r"have interventions \{'es': .*; expected None"):
        extract(tiny, dev, cached=[cache_residuals(tiny, dev.universal, interventions=steered)])
