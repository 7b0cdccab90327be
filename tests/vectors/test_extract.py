"""One `extract` for every recipe and its controls.

The oracle is transformers' hidden states on the folder's own tokens, one prompt at a time.
"""

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import mechcla
from mechcla.errors import MechclaError
from mechcla.vectors.extract import extract, half_signs
from mechcla.vectors.recipes import RECIPES

OURS = ("mean_difference", "pca_difference", "logistic", "lda", "language_mean")


@pytest.fixture(scope="module")
def hidden(tiny_folders):
    """text -> [layer, d_model], behind every block at the last token."""
    own = AutoModelForCausalLM.from_pretrained(tiny_folders["llama"]).eval()
    tokenizer = AutoTokenizer.from_pretrained(tiny_folders["llama"])
    behind = [torch.empty(0)] * len(own.model.layers)
    for k, layer in enumerate(own.model.layers):

        def keep(_layer, _args, out, k=k):
            behind[k] = (out[0] if isinstance(out, tuple) else out)[0, -1].clone()

        layer.register_forward_hook(keep)

    def run(text):
        with torch.inference_mode():
            own(**tokenizer(text, return_tensors="pt", return_token_type_ids=False))
        return torch.stack(behind)

    return run


def sides(hidden, items, name, signs):
    """The two sides of a vector of Spanish, a row per question; swapped where the sign is -1."""
    if name == "EN":
        english = {i.id: i for i in items.universal.language("en")}
        pairs = [(i.id, english[i.id].prompt, i.prompt) for i in items.universal.language("es")]
    else:
        cue = "prompt_us" if name == "LOC US" else "prompt_explicit"
        pairs = [(i.id, getattr(i, cue), i.prompt) for i in items.cultural.language("es")]
    assert len(pairs) == 3
    swapped = [(b, a) if signs.get(i, 1) < 0 else (a, b) for i, a, b in pairs]
    return [torch.stack([hidden(text) for text in side]) for side in zip(*swapped, strict=True)]


@pytest.mark.parametrize("recipe", OURS)
def test_every_recipe_has_its_vectors_and_its_controls(recipe, tiny, small_items, hidden):
    dev = small_items.dev
    made = extract(tiny, dev, recipe, ["shuffled", "us"], seed=3)
    assert set(made) == {"EN", "LOC", "EN shuffled", "LOC shuffled", "LOC US"}
    signs = half_signs(dev, 3)
    assert set(signs.values()) == {1, -1}
    for name in ("EN", "LOC", "LOC US"):
        plus, minus = sides(hidden, dev, name, {})
        expected = RECIPES[recipe](plus, minus)
        torch.testing.assert_close(made[name]["es"], expected, atol=2e-3, rtol=2e-3)
        norms = minus.norm(dim=-1).mean(0)
        torch.testing.assert_close(made[name].norms["es"], norms, atol=1e-4, rtol=1e-4)
    for name in ("EN", "LOC"):
        found = made[f"{name} shuffled"]
        expected = RECIPES[recipe](*sides(hidden, dev, name, signs)).double()
        cosine = torch.cosine_similarity(found["es"].double(), expected, dim=-1)
        torch.testing.assert_close(cosine, torch.ones_like(cosine), atol=1e-3, rtol=0)
        lengths = [v["es"].norm(dim=-1) for v in (found, made[name])]
        torch.testing.assert_close(*lengths, atol=1e-5, rtol=1e-4)
        assert found.norms["es"].equal(made[name].norms["es"])


def test_the_mean_difference_is_the_same_with_and_without_controls(tiny, small_items):
    dev = small_items.dev
    made = extract(tiny, dev, controls=["shuffled"])
    assert made["EN"]["es"].equal(extract(tiny, dev)["EN"]["es"])
    assert "recipe" not in made["EN"].record
    by_name = mechcla.en_vectors(tiny, dev, recipe="lda")
    assert by_name.record["recipe"] == "lda"
    assert by_name.record["items"] == dev.digest
    torch.testing.assert_close(by_name["es"], extract(tiny, dev, "lda")["EN"]["es"])
    us = mechcla.loc_vectors(tiny, dev, cue="us", recipe="lda")
    assert us.name == "LOC US"


def test_language_means_take_prompts_that_have_no_translation(tiny, small_items, hidden):
    dev = small_items.dev
    english = dev.universal.language("en")
    alone = mechcla.ItemSet((*english, *dev.universal.language("es")[:2]))
    found = extract(tiny, alone, "language_mean")["EN"]["es"]
    plus = torch.stack([hidden(i.prompt) for i in english])
    minus = torch.stack([hidden(i.prompt) for i in dev.universal.language("es")[:2]])
    torch.testing.assert_close(found, plus.mean(0) - minus.mean(0), atol=1e-4, rtol=1e-4)


def test_a_users_recipe_has_shuffled_arms_and_bad_names_are_one_message(tiny, small_items):
    dev = small_items.dev
    RECIPES.register("first", lambda plus, minus: plus[0] - minus[0])
    made = extract(tiny, dev.universal, "first", ["shuffled"])
    assert set(made) == {"EN", "EN shuffled"}
    RECIPES.register("flat", lambda plus, minus: (plus - minus).mean(0).flatten())
    with pytest.raises(MechclaError, match=r"recipe made a tensor \(128,\) of 'es'"):
        extract(tiny, dev.universal, "flat")
    with pytest.raises(MechclaError, match="unknown control 'shufled'; did you mean 'shuffled'"):
        extract(tiny, dev, controls=["shufled"])
    with pytest.raises(MechclaError, match="unknown recipe 'ldaa'; did you mean 'lda'"):
        extract(tiny, dev, "ldaa")
    for name in ("first", "flat"):
        RECIPES.remove(name)
