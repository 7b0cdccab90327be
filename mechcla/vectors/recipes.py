"""Other ways from the same activations to a direction, behind one registry, so that the recipe can
be questioned.

    vectors = RECIPES["lda"](plus, minus)   # [layer, d_model], as long as the mean difference

plus, minus: paired last-token activations [item, layer, d_model] (English and the language for EN;
explicit and implicit for LOC). Every result points where the mean difference points and has its
norm, layer by layer, so that one strength means the same step in each and only the direction
differs. Sources: mean difference and uncentred PCA as in the package steering-vectors; logistic
probe as in Li et al. 2023; whitened difference as in linear discriminant analysis, covariance
shrunk by Ledoit and Wolf; language means as in LRP2 and ShifCon (there over all tokens, here over
last prompt tokens). The scaling is ours. mechcla.steering.linear_map goes beyond a direction.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mechcla.registry import Registry
from mechcla.vectors.residuals import differences, top_directions

Recipe = Callable[[Tensor, Tensor], Tensor]


def mean_difference(
    plus: Float[Tensor, "item layer d_model"], minus: Float[Tensor, "item layer d_model"]
) -> Float[Tensor, "layer d_model"]:
    """The recipe of `en_vectors` and `loc_vectors`."""
    return differences(plus, minus).mean(0).float()


def pca_difference(
    plus: Float[Tensor, "item layer d_model"], minus: Float[Tensor, "item layer d_model"]
) -> Float[Tensor, "layer d_model"]:
    """First right singular vector of the uncentred differences."""
    return _as_mean(top_directions(differences(plus, minus), 1)[:, 0], plus, minus)


def logistic(
    plus: Float[Tensor, "item layer d_model"],
    minus: Float[Tensor, "item layer d_model"],
    regularisation: float = 0.01,
) -> Float[Tensor, "layer d_model"]:
    """Weights of a logistic probe of plus against minus, on activations divided by their overall
    scale.
    """
    from sklearn.linear_model import LogisticRegression  # seconds to import, and few need it

    found = []
    for layer in range(plus.shape[1]):
        rows = torch.cat([plus[:, layer], minus[:, layer]]).double().numpy()
        rows = rows / rows.std()
        label = np.repeat([1, 0], [len(plus), len(minus)])
        found.append(LogisticRegression(C=regularisation, max_iter=500).fit(rows, label).coef_[0])
    return _as_mean(torch.from_numpy(np.stack(found)), plus, minus)


def lda(
    plus: Float[Tensor, "item layer d_model"], minus: Float[Tensor, "item layer d_model"]
) -> Float[Tensor, "layer d_model"]:
    """The mean difference, whitened by the within-side covariance (Ledoit and Wolf's shrinkage)."""
    from sklearn.covariance import ledoit_wolf

    found = []
    for layer in range(plus.shape[1]):
        sides = [side[:, layer].double() for side in (plus, minus)]
        centred = torch.cat([side - side.mean(0) for side in sides]).numpy()
        covariance, _ = ledoit_wolf(centred, assume_centered=True)
        found.append(np.linalg.solve(covariance, (sides[0].mean(0) - sides[1].mean(0)).numpy()))
    return _as_mean(torch.from_numpy(np.stack(found)), plus, minus)


def language_mean(
    plus: Float[Tensor, "many layer d_model"], minus: Float[Tensor, "few layer d_model"]
) -> Float[Tensor, "layer d_model"]:
    """mean(plus) - mean(minus), whatever prompts they are of: h - mean_L + mean_en, as LRP2 and
    ShifCon move between languages.

    On paired rows it is the difference of means itself; what it offers is that it needs no
    translations.
    """
    return (plus.double().mean(0) - minus.double().mean(0)).float()


def _as_mean(direction: Tensor, plus: Tensor, minus: Tensor) -> Tensor:
    mean = differences(plus, minus).mean(0)
    direction = direction * torch.where((direction * mean).sum(-1) < 0, -1.0, 1.0).unsqueeze(-1)
    unit: Tensor = direction / direction.norm(dim=-1, keepdim=True).clamp_min(1e-30)
    size: Tensor = mean.norm(dim=-1, keepdim=True)
    return (unit * size).float()


RECIPES: Registry[Recipe] = Registry("recipe")
RECIPES.register("mean_difference", mean_difference)
RECIPES.register("pca_difference", pca_difference)
RECIPES.register("logistic", logistic)
RECIPES.register("lda", lda)
RECIPES.register("language_mean", language_mean)
UNPAIRED = ("language_mean",)  # for EN: these take all prompts of both languages
