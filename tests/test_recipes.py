"""Recipes on planted directions: which finds what, and that only the direction differs."""

from __future__ import annotations

import pytest
import torch

from mechcla.errors import MechclaError
from mechcla.recipes import RECIPES, recipe


def planted(nuisance: float, n=120, d=24):
    """Two sides that differ by one along axis 0, with large noise of both sides along axis 1 and a lean into it."""
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
        recipe("logistics")
