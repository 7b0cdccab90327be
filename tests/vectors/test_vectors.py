"""EN and LOC vectors against a direct transformers computation."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import mechcla
from mechcla.errors import MechclaError
from mechcla.models.hooked_model import SITES
from mechcla.steering.controls import random_like
from mechcla.vectors.activations import last_token_residuals
from mechcla.vectors.extract import extract
from mechcla.vectors.steering_vectors import SteeringVectors


def last_hidden(model, tokenizer, text):
    """Residuals after every block at the last token of one text, one text at a time, in float64."""
    ids = tokenizer(text, return_tensors="pt")["input_ids"]
    caught = []
    handles = [
        layer.register_forward_hook(
            lambda _m, _a, out: caught.append(
                (out[0] if isinstance(out, tuple) else out)[0, -1].double()
            )
        )
        for layer in model.get_decoder().layers
    ]
    with torch.no_grad():
        model(ids)
    for handle in handles:
        handle.remove()
    return torch.stack(caught)


@pytest.mark.parametrize("family", ["gemma3_text", "llama", "qwen3"])
def test_vectors_equal_a_direct_transformers_computation(
    family, tiny_folders, tiny_models, small_items
):
    folder = tiny_folders[family]
    model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    dev = small_items.dev
    made = extract(tiny_models[family], dev, controls=["us"])
    english = torch.stack(
        [last_hidden(model, tokenizer, i.prompt) for i in dev.universal.language("en")]
    )
    spanish = torch.stack(
        [last_hidden(model, tokenizer, i.prompt) for i in dev.universal.language("es")]
    )
    expected = (english - spanish).mean(0)
    assert torch.allclose(
        made["EN"]["es"].double(), expected, atol=1e-5 * float(expected.abs().max())
    )
    assert torch.allclose(made["EN"].norms["es"].double(), spanish.norm(dim=-1).mean(0), rtol=1e-5)
    assert made["EN"].languages == ("es",)
    for language in ("en", "es"):
        cultural = dev.cultural.language(language)
        explicit = torch.stack([last_hidden(model, tokenizer, i.prompt_explicit) for i in cultural])
        implicit = torch.stack([last_hidden(model, tokenizer, i.prompt) for i in cultural])
        expected = (explicit - implicit).mean(0)
        assert torch.allclose(
            made["LOC"][language].double(), expected, atol=1e-5 * float(expected.abs().max())
        )
    assert made["EN"].counts == {"es": 3}
    cultural = dev.cultural.language("es")
    us, implicit = (
        torch.stack([last_hidden(model, tokenizer, i.prompt_text(form)) for i in cultural])
        for form in ("us", "implicit")
    )
    expected = (us - implicit).mean(0)
    assert torch.allclose(
        made["LOC US"]["es"].double(), expected, atol=1e-5 * float(expected.abs().max())
    )
    assert made["LOC US"].languages == ("es",)
    alone = mechcla.loc_vectors(tiny_models[family], cultural, cue="us")
    assert torch.allclose(
        alone["es"], made["LOC US"]["es"], atol=1e-5 * float(expected.abs().max())
    )


def test_one_pass_gives_what_two_give(tiny, small_items):
    both = extract(tiny, small_items.dev)
    en, loc = (
        mechcla.en_vectors(tiny, small_items.dev.universal),
        mechcla.loc_vectors(tiny, small_items.dev.cultural),
    )
    assert torch.allclose(both["EN"]["es"], en["es"], atol=1e-6)
    assert torch.allclose(both["LOC"]["es"], loc["es"], atol=1e-6)


def test_swapping_the_sides_flips_the_sign(tiny, small_items):
    swapped = mechcla.ItemSet(
        tuple(
            type(i)(**{**vars(i), "language": {"en": "es", "es": "en"}[i.language]})
            for i in small_items.universal
        )
    )
    there, back = mechcla.en_vectors(tiny, small_items.universal), mechcla.en_vectors(tiny, swapped)
    assert torch.allclose(there["es"], -back["es"], atol=1e-6)


@pytest.mark.parametrize("site", SITES)
def test_batches_do_not_change_residuals(site, tiny, small_items):
    texts = [i.prompt for i in small_items]
    alone = torch.cat([r for t in texts for _, r in last_token_residuals(tiny, [t], site)], dim=1)
    together = torch.empty_like(alone)
    for indices, residuals in last_token_residuals(tiny, texts, site, max_tokens=100):
        together[:, indices] = residuals
    assert torch.allclose(alone, together, atol=1e-5)


def test_save_and_load_keep_every_bit(tmp_path, tiny, small_items):
    en = mechcla.en_vectors(tiny, small_items.universal)
    en.save(tmp_path / "en.safetensors")
    back = SteeringVectors.load(tmp_path / "en.safetensors")
    assert torch.equal(back["es"], en["es"])
    assert torch.equal(back.norms["es"], en.norms["es"])
    assert (back.name, back.site, back.counts, back.record) == (
        en.name,
        en.site,
        en.counts,
        en.record,
    )
    assert list(tmp_path.iterdir()) == [tmp_path / "en.safetensors"]
    (tmp_path / "bad.safetensors").write_bytes(b"not tensors")
    with pytest.raises(MechclaError, match="cannot read steering vectors"):
        SteeringVectors.load(tmp_path / "bad.safetensors")


def test_items_that_allow_no_vector_say_why(tiny, small_items):
    with pytest.raises(MechclaError, match="these are 'en' only"):
        mechcla.en_vectors(tiny, small_items.language("en"))
    with pytest.raises(MechclaError, match="need universal items in 'en'"):
        mechcla.en_vectors(tiny, small_items.language("es"))
    with pytest.raises(MechclaError, match="need cultural items"):
        mechcla.loc_vectors(tiny, small_items.universal)


def test_cosine_and_perpendicularity_by_hand():
    def family(name, rows):
        stack = torch.tensor(rows)
        return SteeringVectors(
            name, "resid_post", {"es": stack}, {"es": torch.ones(len(rows))}, {"es": 1}
        )

    en = family("EN", [[1.0, 0.0], [1.0, 1.0], [-2.0, 0.0]])
    loc = family("LOC", [[0.0, 3.0], [1.0, 0.0], [5.0, 0.0]])
    assert mechcla.cosine_by_layer(en, loc)["es"].tolist() == pytest.approx([0.0, 2**-0.5, -1.0])
    assert mechcla.perpendicularity_by_layer(en, loc)["es"].tolist() == pytest.approx(
        [1.0, 1 - 2**-0.5, 0.0]
    )


def test_random_perpendicularity_is_what_random_vectors_have():
    from mechcla.geometry import random_perpendicularity

    pairs = torch.nn.functional.normalize(
        torch.randn(2, 20000, 50, generator=torch.Generator().manual_seed(0)), dim=-1
    )
    assert random_perpendicularity(50) == pytest.approx(
        1 - float((pairs[0] * pairs[1]).sum(-1).abs().mean()), abs=0.003
    )


def test_random_vectors_keep_norms_and_nothing_else(tiny, small_items):
    en = mechcla.en_vectors(tiny, small_items.universal.dev)
    one, two, other = random_like(en, 0), random_like(en, 0), random_like(en, 1)
    assert torch.allclose(one["es"].norm(dim=-1), en["es"].norm(dim=-1), rtol=1e-5)
    assert torch.equal(one["es"], two["es"])
    assert not torch.allclose(one["es"], other["es"])
    assert (torch.nn.functional.cosine_similarity(one["es"], en["es"], dim=-1).abs() < 0.7).all()
    assert one.record["random_seed"] == 0
