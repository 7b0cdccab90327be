"""Control arms keep the norms and change the one thing that they are named for."""

from __future__ import annotations

import pytest
import torch

import mechcla
from mechcla.engine.intervention import Intervention
from mechcla.errors import MechclaError
from mechcla.steering.controls import ARMS, control, other_country
from mechcla.steering.families import FAMILIES
from mechcla.steering.method import Method
from mechcla.sweep.config import make
from mechcla.vectors.extract import extract
from mechcla.vectors.steering_vectors import SteeringVectors


def vectors(seed: int, name: str, languages: tuple[str, ...]) -> SteeringVectors:
    generator = torch.Generator().manual_seed(seed)
    made = {k: torch.randn(3, 8, generator=generator) * (1 + n) for n, k in enumerate(languages)}
    return SteeringVectors(
        name, "resid_post", made, {k: torch.ones(3) for k in made}, dict.fromkeys(made, 5), {}
    )


@pytest.fixture
def real() -> dict[str, SteeringVectors]:
    en, loc = vectors(0, "EN", ("es", "ko")), vectors(1, "LOC", ("en", "es", "ko"))
    return {
        "EN": en,
        "LOC": loc,
        "LOC US": vectors(4, "LOC US", ("es", "ko")),
        "EN shuffled": vectors(2, "EN", ("es", "ko")),
        "LOC shuffled": vectors(3, "LOC", ("es", "ko")),
    }


@pytest.mark.parametrize("name", [c for c in ARMS if c != "shuffled"])
def test_every_arm_keeps_the_norms(name, real):
    made = control(name, real)
    for part in ("EN", "LOC"):
        for language in ("es", "ko"):
            assert torch.allclose(
                made[part][language].norm(dim=-1), real[part][language].norm(dim=-1), rtol=1e-4
            )


def cosine(a, b):
    return torch.nn.functional.cosine_similarity(a, b, dim=-1)


def test_random_directions_of_en_and_loc_and_of_languages_are_not_the_same(real):
    made = control("random", real)
    stacks = [made["EN"]["es"], made["EN"]["ko"], made["LOC"]["es"], made["LOC"]["ko"]]
    for k, one in enumerate(stacks):
        assert all(float(cosine(one, other).abs().max()) < 0.99 for other in stacks[:k])


def test_what_each_arm_changes(real):
    en, loc = real["EN"], real["LOC"]
    assert torch.allclose(
        cosine(control("swapped", real)["EN"]["ko"], loc["ko"]), torch.ones(3), atol=1e-5
    )
    assert torch.allclose(
        cosine(control("orthogonal", real)["LOC"]["es"], en["es"]), torch.zeros(3), atol=1e-5
    )
    assert torch.allclose(
        cosine(control("other_country", real)["LOC"]["ko"], loc["es"]), torch.ones(3), atol=1e-5
    )
    assert torch.allclose(
        cosine(control("us_country", real)["LOC"]["es"], real["LOC US"]["es"]),
        torch.ones(3),
        atol=1e-5,
    )
    assert control("same_layer", real)["LOC"] is loc
    assert set(ARMS) == {arm for family in FAMILIES.values() for arm in family.arms}


def test_shuffled_labels_flip_whole_pairs(tiny, small_items):
    """Flipping by hand: the mean of the item-wise differences with the same signs, rescaled."""
    real = extract(tiny, small_items.dev, controls=["us"])
    made = extract(tiny, small_items.dev, controls=["shuffled", "us"])
    assert set(made) == {*real, "EN shuffled", "LOC shuffled"}
    assert all(made[name]["es"].equal(real[name]["es"]) for name in real)
    found, whole = made["EN shuffled"]["es"], real["EN"]["es"]
    assert torch.allclose(found.norm(dim=-1), whole.norm(dim=-1), rtol=1e-4)
    ids = sorted(small_items.dev.universal.ids)
    order = torch.randperm(len(ids), generator=torch.Generator().manual_seed(0)).tolist()
    signs = {i: 1 if place % 2 else -1 for i, place in zip(ids, order, strict=True)}
    h = mechcla.vectors.residuals.cache_residuals(tiny, small_items.dev.universal)
    difference = mechcla.vectors.residuals.en_differences(h, "es")
    expected = (difference * torch.tensor([signs[i] for i in h.ids["es"]])[:, None, None]).mean(0)
    assert torch.allclose(
        cosine(found.double(), expected), torch.ones(tiny.n_layers, dtype=torch.float64), atol=1e-4
    )


def test_an_arm_of_a_method_has_its_vectors_and_places(real):
    config = make({"out": "nowhere"})
    sur = Method(en_layer=0, en_strength=0.5, restore_layer=2, loc_layer=1, loc_strength=2.0)
    moved = sur.with_arm("same_layer")
    steps = moved.interventions(real, "es", config.manner)
    assert [(e.layer, e.label) for e in steps] == [(1, "EN"), (1, "LOC")]
    assert float(steps[0].strength * steps[0].vector.norm()) == pytest.approx(
        0.5 * float(real["EN"]["es"][0].norm()), rel=1e-5
    )
    assert Method().with_arm("random") == Method()
    swapped: tuple[Intervention, ...] = sur.with_arm("swapped").interventions(
        real, "es", config.manner
    )
    assert [e.layer for e in swapped] == [
        e.layer for e in sur.interventions(real, "es", config.manner)
    ]
    assert sur.with_arm("random").name.endswith("-random")


def test_what_an_arm_cannot_do_is_said(real):
    with pytest.raises(MechclaError, match="did you mean 'orthogonal'"):
        control("orthogonl", real)
    with pytest.raises(MechclaError, match="items with 'prompt_us'"):
        control("us_country", {k: v for k, v in real.items() if k != "LOC US"})
    one = {"EN": vectors(0, "EN", ("es",)), "LOC": vectors(1, "LOC", ("en", "es"))}
    with pytest.raises(MechclaError, match="two steered languages; there is es"):
        other_country(one["LOC"])
