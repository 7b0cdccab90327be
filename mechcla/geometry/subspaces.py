"""More than one direction: the leading directions of item-wise differences, and the angles between
two such sets.

Uncentred: the mean difference is what steering uses, so it must be able to be the first direction;
centred PCA of differences would take it away.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mechcla.errors import MechclaError
from mechcla.geometry.curve import RESAMPLES, Curve, basic_interval

LIMIT = (
    "Subspaces that share a direction need not use it for the same; "
    "few items make every subspace look apart."
)


def principal_angles(
    left: Float[Tensor, "layer k d_model"], right: Float[Tensor, "layer k_2 d_model"]
) -> Float[Tensor, "layer angle"]:
    """Cosines of the principal angles between two orthonormal bases by layer, largest first: 1
    shared, 0 orthogonal.
    """
    cosines: Tensor = torch.linalg.svdvals(left.double() @ right.double().transpose(1, 2))
    return cosines.clamp(0, 1)


@dataclass(frozen=True, eq=False)
class SubspaceAngles:
    """Cosines of the principal angles of two k-dimensional subspaces by layer, the largest first.

    low, high: 95% basic bootstrap interval over the items of either side, which is for many items
    and may lie to one side. null: 95th percentile of the same cosines for random subspaces of that
    width, all directions alike; residuals are not, so unrelated differences reach more. ceiling:
    mean cosine of the subspaces of two halves of one side's items, of the side where it is lower:
    what the same subspace would give at half as many items.
    """

    cosine: Float[np.ndarray, "layer angle"]
    low: Float[np.ndarray, "layer angle"]
    high: Float[np.ndarray, "layer angle"]
    null: Float[np.ndarray, " angle"]
    ceiling: Float[np.ndarray, "layer angle"]
    settings: dict[str, Any]
    limit: str = LIMIT

    def curve(self, angle: int = 1) -> Curve:
        """The cosine of one principal angle, 1 the smallest, as a curve by layer to draw."""
        place, n = angle - 1, min(self.settings["n"])
        null = np.full(len(self.cosine), self.null[place])
        return Curve(
            f"cosine of principal angle {angle}",
            self.cosine[:, place],
            self.low[:, place],
            self.high[:, place],
            n,
            null,
            self.settings,
            self.limit,
        )

    def rows(self, **labels: Any) -> list[dict[str, Any]]:
        """A record per layer and angle, for a table."""
        return [
            {
                **labels,
                "layer": layer,
                "angle": angle + 1,
                "cosine": float(self.cosine[layer, angle]),
                "low": float(self.low[layer, angle]),
                "high": float(self.high[layer, angle]),
                "null": float(self.null[angle]),
                "ceiling": float(self.ceiling[layer, angle]),
            }
            for layer in range(len(self.cosine))
            for angle in range(self.cosine.shape[1])
        ]


def subspace_angles(
    left: Float[Tensor, "item layer d_model"],
    right: Float[Tensor, "item_2 layer d_model"],
    k: int = 4,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> SubspaceAngles:
    """How much the leading k directions of two sets of item-wise differences share, by layer.

    The same numbers as principal_angles(top_directions(left, k), top_directions(right, k)), from
    Gram matrices, so that resampling is cheap. Raises MechclaError for sides with fewer than 2 k
    items.

    >>> from mechcla.vectors.residuals import en_differences, loc_differences
    >>> en, loc = en_differences(h, "es"), loc_differences(e, i, "es")
    >>> subspace_angles(en, loc, k=2).cosine.shape
    (18, 2)
    """
    if k < 1 or min(len(left), len(right)) < 2 * k:
        raise MechclaError(
            f"k is {k}; its subspaces need at least {2 * max(k, 1)} differences a side, "
            f"there are {len(left)} and {len(right)}"
        )
    grams = _Grams.of(left, right)
    generator = np.random.default_rng(seed)
    n, m = len(left), len(right)
    point = grams.cosines(np.ones(n), np.ones(m), k)
    draws = (
        np.stack(
            [
                grams.cosines(
                    generator.multinomial(n, np.full(n, 1 / n)),
                    generator.multinomial(m, np.full(m, 1 / m)),
                    k,
                )
                for _ in range(resamples)
            ]
        )
        if resamples
        else np.full((1, *point.shape), np.nan)
    )
    ceilings = []
    for side in (left, right):
        within, halves = _Grams.of(side, side), []
        for _ in range(min(max(resamples, 1), 20)):
            half = (generator.permutation(len(side)) < len(side) // 2).astype(float)
            halves.append(within.cosines(half, 1 - half, k))
        ceilings.append(np.mean(halves, axis=0))
    low, high = basic_interval(point, draws, 0.0, 1.0)
    settings = {
        "k": k,
        "n": (n, m),
        "resamples": resamples,
        "seed": seed,
        "centring": "none",
        "interval": "basic",
        "null": "random subspaces, 95th percentile",
    }
    return SubspaceAngles(
        point, low, high, _random_cosines(left.shape[-1], k, seed), np.minimum(*ceilings), settings
    )


@dataclass(frozen=True, eq=False)
class _Grams:
    """Inner products of the differences, within and between the two sides: [layer, item, item]."""

    left: Tensor
    right: Tensor
    cross: Tensor

    @classmethod
    def of(cls, left: Tensor, right: Tensor) -> _Grams:
        a, b = left.double().transpose(0, 1), right.double().transpose(0, 1)
        return cls(a @ a.mT, b @ b.mT, a @ b.mT)

    def cosines(
        self, left: np.ndarray, right: np.ndarray, k: int
    ) -> Float[np.ndarray, "layer angle"]:
        """Principal cosines with every item counted as often as its weight says.

        The right singular vectors of the weighted rows X are X' u / s for the eigenvectors u of X
        X', so the product of two bases needs inner products only. A draw of fewer distinct items
        than k has cosine 0 for what it lacks.
        """
        u, v = _basis(self.left, left, k), _basis(self.right, right, k)
        cosines: Tensor = torch.linalg.svdvals(u.mT @ self.cross @ v)
        return cosines.clamp(0, 1).numpy()


def _basis(gram: Tensor, weights: np.ndarray, k: int) -> Float[Tensor, "layer item k"]:
    """What combines the rows into the k leading right singular vectors of the weighted rows."""
    root = torch.from_numpy(np.sqrt(np.asarray(weights, dtype=np.float64)))
    values, vectors = torch.linalg.eigh(gram * root.unsqueeze(0) * root.unsqueeze(1))
    values, vectors = values[:, -k:].flip(-1), vectors[..., -k:].flip(-1)
    real = values > values[:, :1] * 1e-12
    scale: Tensor = torch.where(real, values.clamp_min(1e-300).rsqrt(), 0.0)
    combining: Tensor = root.unsqueeze(-1) * vectors * scale.unsqueeze(1)
    return combining


def _random_cosines(
    d_model: int, k: int, seed: int, draws: int = 200
) -> Float[np.ndarray, " angle"]:
    """95th percentile of each principal cosine of two random k-dimensional subspaces: of a fixed
    one and a random one.
    """
    noise = torch.randn(
        draws, d_model, k, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )
    cosines = torch.linalg.svdvals(torch.linalg.qr(noise).Q[:, :k]).numpy()
    high: np.ndarray = np.percentile(cosines, 95, axis=0)
    return high
