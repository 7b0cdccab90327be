"""Recipes on planted directions: which finds what, and that only the direction differs."""

from __future__ import annotations

import pytest
import torch

import mechcla
from mechcla.errors import MechclaError
from mechcla.vectors.recipes import RECIPES
from mechcla.vectors.residuals import cache_residuals


def planted(nuisance: float, n=120, d=24):
    """Two sides that differ by one along axis 0, with large noise of both sides along axis 1 and a
    lean into it.
    """
    generator = torch.Generator().manual_seed(0)
    plus, minus = (0.3 * torch.randn(n, 2, d, generator=generator) for _ in range(2))
    shared = nuisance * torch.randn(n, 2, generator=generator)
    plus[..., 0] += 1.0
    plus[..., 1] += shared + 0.3
    minus[..., 1] += nuisance * torch.randn(n, 2, generator=generator)
    return plus, minus


def toward_axis_0(direction):
    return direction[:, 0] / direction.norm(dim=-1)


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_points_as_the_mean_does_and_has_its_norm(name):
    plus, minus = planted(0.2)
    found, mean = RECIPES[name](plus, minus), RECIPES["mean_difference"](plus, minus)
    assert found.shape == (2, 24)
    assert torch.allclose(found.norm(dim=-1), mean.norm(dim=-1), rtol=1e-5)
    assert (toward_axis_0(found) > 0.85).all()
    assert torch.allclose(RECIPES[name](minus, plus), -found, atol=1e-4)


def test_whitening_and_the_probe_see_past_a_nuisance_that_pca_follows():
    plus, minus = planted(4.0)
    found = {name: float(toward_axis_0(make(plus, minus)).min()) for name, make in RECIPES.items()}
    assert found["lda"] > 0.9
    assert found["logistic"] > 0.9
    assert found["pca_difference"] < 0.3


def test_an_unknown_recipe_names_the_nearest():
    with pytest.raises(MechclaError, match="did you mean 'logistic'"):
        RECIPES.get("logistics")


def test_language_means_need_no_pairs():
    plus, minus = planted(0.2)
    assert torch.allclose(
        RECIPES["language_mean"](plus, minus[:50]), plus.mean(0) - minus[:50].mean(0), atol=1e-6
    )


def test_steered_residuals_differ_from_the_steered_block_on(tiny, small_items):
    items = small_items.universal.dev.language("en", "es")
    en = mechcla.en_vectors(tiny, items)
    steps = mechcla.en_steering(en, language="es", layer=1, strength=2.0)
    plain, steered = (
        cache_residuals(tiny, items),
        cache_residuals(tiny, items, interventions={"es": steps}),
    )
    assert torch.equal(plain["en"], steered["en"])
    assert torch.equal(plain["es"][:, 0], steered["es"][:, 0])
    assert torch.allclose(steered["es"][:, 1], plain["es"][:, 1] + 2 * en["es"][1], atol=1e-5)
    assert not torch.allclose(steered["es"][:, 2], plain["es"][:, 2], atol=1e-3)
    assert steered.record["interventions"]["es"][0]["layer"] == 1
    with pytest.raises(MechclaError, match="name 'fr'"):
        cache_residuals(tiny, items, interventions={"fr": steps})
