"""How sure a difference-of-means direction is: intervals, nulls, reliability, and what languages
share.

All take item-wise differences (`mechcla.vectors.residuals.en_differences`, `loc_differences`):
[item, layer, d_model]. Formulas: ours, after the source paper's Figure 4 (left) and its reviewers'
wish for numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mechcla.errors import MechclaError
from mechcla.geometry.curve import RESAMPLES, Curve, basic_interval

LIMIT = "An angle between two directions says where they point, not that either causes anything."


LEAST_AGREEMENT = 0.1  # of a language's two halves; below it there is no direction to compare
HALVES = 50


def _unit(v: Tensor) -> Tensor:
    unit: Tensor = v / v.norm(dim=-1, keepdim=True).clamp_min(1e-30)
    return unit


def without_common(
    differences: Float[Tensor, "item layer d_model"], residuals: Float[Tensor, "row layer d_model"]
) -> Float[Tensor, "item layer d_model"]:
    """Differences with the stream's leading common direction projected out, layer by layer.

    The direction is the first right singular vector of the uncentred residuals: the one that all of
    them share (anisotropy), which makes any two vectors look alike.
    """
    kept = []
    for layer in range(differences.shape[1]):
        rows = residuals[:, layer].double()
        common = torch.linalg.eigh(rows.T @ rows).eigenvectors[:, -1]
        part = differences[:, layer].double()
        kept.append(part - torch.outer(part @ common, common))
    return torch.stack(kept, dim=1)


def perpendicularity(
    en: Float[Tensor, "item layer d_model"],
    loc: Float[Tensor, "item_2 layer d_model"],
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Curve:
    """1 - |cos(mean EN difference, mean LOC difference)| by layer, with interval and permutation
    null.

    The interval is the basic one (`curve.bootstrap`) and resamples EN and LOC questions apart: it
    is for many questions, whose means are less noisy, and may lie to one side of the value. null:
    the 5th percentile of the same number after every item's difference got a random sign, which
    keeps the items' spread and takes their common direction away; a value below it is closer to one
    line than directions without a consistent sign would be.

    >>> from mechcla.vectors.residuals import en_differences, loc_differences
    >>> perpendicularity(en_differences(h, "es"), loc_differences(e, i, "es")).value.shape
    (18,)
    """
    generator = np.random.default_rng(seed)

    def value(left: Tensor, right: Tensor) -> np.ndarray:
        return (1 - (_unit(left) * _unit(right)).sum(-1).abs()).numpy()

    def means(differences: Tensor, weights: np.ndarray) -> Tensor:
        w = torch.from_numpy(weights.astype(np.float64)) / differences.shape[0]
        return torch.einsum("rn,nld->rld", w, differences.double())

    def counts(n: int) -> np.ndarray:
        return generator.multinomial(n, np.full(n, 1 / n), size=resamples)

    point = value(en.double().mean(0), loc.double().mean(0))
    n, m = len(en), len(loc)
    draws = value(means(en, counts(n)), means(loc, counts(m)))
    signs = [generator.choice([-1.0, 1.0], size=(resamples, k)) for k in (n, m)]
    null = np.percentile(value(means(en, signs[0]), means(loc, signs[1])), 5, axis=0)
    low, high = basic_interval(point, draws, 0.0, 1.0)
    settings = {
        "resamples": resamples,
        "seed": seed,
        "interval": "basic",
        "null": "random signs, 5th percentile",
        "n_loc": m,
    }
    return Curve("perpendicularity", point, low, high, n, null, settings, LIMIT)


@dataclass(frozen=True, eq=False)
class Reliability:
    """Mean cosine of the directions of two disjoint sets of `sizes` items, by size and layer, over
    `repeats`.
    """

    sizes: tuple[int, ...]
    cosine: Float[np.ndarray, "size layer"]
    low: Float[np.ndarray, "size layer"]
    high: Float[np.ndarray, "size layer"]
    settings: dict[str, Any]
    limit: str = "Stable is not right: two halves share the same prompts' habits."

    def enough(self, layer: int, cosine: float = 0.9) -> int | None:
        """The smallest size at which the halves agree to this cosine, or None."""
        return next(
            (n for n, c in zip(self.sizes, self.cosine[:, layer], strict=True) if c >= cosine), None
        )


def reliability(
    differences: Float[Tensor, "item layer d_model"],
    sizes: Sequence[int] = (4, 8, 16, 32, 64),
    repeats: int = 50,
    seed: int = 0,
) -> Reliability:
    """Split-half reliability of a difference-of-means direction by the number of items."""
    n = len(differences)
    fitting = tuple(size for size in sizes if 2 * size <= n)
    if not fitting:
        raise MechclaError(
            f"split halves of {min(sizes)} need {2 * min(sizes)} items, there are {n}; "
            "give smaller sizes"
        )
    generator = np.random.default_rng(seed)
    found = np.empty((len(fitting), repeats, differences.shape[1]))
    for s, size in enumerate(fitting):
        for r in range(repeats):
            order = generator.permutation(n)
            one, two = (
                differences[torch.from_numpy(order[k * size : (k + 1) * size])].double().mean(0)
                for k in (0, 1)
            )
            found[s, r] = (_unit(one) * _unit(two)).sum(-1).numpy()
    low, high = np.percentile(found, [2.5, 97.5], axis=1)
    return Reliability(
        fitting, found.mean(axis=1), low, high, {"repeats": repeats, "seed": seed, "n": n}
    )


@dataclass(frozen=True, eq=False)
class SharedDirections:
    """Cosine of every two languages' mean directions by layer, as it is and corrected for
    attenuation.

    low, high: 95% basic bootstrap interval over items of the cosine as it is; it is for many items,
    and may lie to one side. corrected: the mean cosine of one language's direction from half of the
    items with the other's from the other half, over the root of what either language's own two
    halves have: so neither few items nor a side that both share (English) counts as sharing or as
    difference. Clipped to [-1, 1]; the diagonal is 1; nan where a language's halves agree to less
    than LEAST_AGREEMENT. null: 95th percentile of |cosine| as it is when every item's difference
    has a random sign.
    """

    languages: tuple[str, ...]
    cosine: Float[np.ndarray, "layer language language"]
    low: Float[np.ndarray, "layer language language"]
    high: Float[np.ndarray, "layer language language"]
    corrected: Float[np.ndarray, "layer language language"]
    null: Float[np.ndarray, "layer language language"]
    settings: dict[str, Any]
    limit: str = LIMIT

    def rows(self, **labels: Any) -> list[dict[str, Any]]:
        """A record per layer and pair of languages, for a table."""
        names = ("cosine", "low", "high", "corrected", "null")
        return [
            {**labels, "layer": layer, "left": a, "right": b}
            | {name: float(getattr(self, name)[layer, i, j]) for name in names}
            for layer in range(len(self.cosine))
            for i, a in enumerate(self.languages)
            for j, b in enumerate(self.languages)
            if i < j
        ]


def across_languages(
    differences: Mapping[str, Float[Tensor, "_ layer d_model"]],
    parallel: bool = False,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> SharedDirections:
    """Is the direction shared? Cosines between languages' mean differences by layer, with intervals
    and a null.

    parallel: row n is the same question in every language (as EN differences are, which share their
    English side), so the bootstrap draws, the null flips and the halves split a question in all
    languages at once. Raises MechclaError for fewer than two languages or four items, and for rows
    that cannot be parallel.
    """
    sizes = {k: len(d) for k, d in differences.items()}
    if len(sizes) < 2 or min(sizes.values()) < 4 or (parallel and len(set(sizes.values())) > 1):
        raise MechclaError(
            "across_languages compares two or more languages of at least 4 items, "
            f"of as many items each where parallel=True; got {sizes}"
        )
    generator = np.random.default_rng(seed)

    def units(w: Mapping[str, np.ndarray]) -> Tensor:
        """[language, resample, layer, d_model] from weights [resample, item] by language."""
        means = [
            torch.einsum("rn,nld->rld", torch.from_numpy(w[k].astype(np.float64)), d.double())
            for k, d in differences.items()
        ]
        return _unit(torch.stack(means))

    def cosines(left: Tensor, right: Tensor) -> np.ndarray:
        return torch.einsum("irld,jrld->rlij", left, right).numpy()

    def weights(make: Any) -> dict[str, np.ndarray]:
        first = make(next(iter(sizes.values()))) if parallel else None
        return {k: make(n) if first is None else first for k, n in sizes.items()}

    def draws(make: Any) -> np.ndarray:
        """Cosines at `resamples` draws, by parts, for [resample, layer, d_model] a language is what
        memory has to hold.
        """
        found = []
        for begin in range(0, resamples, 50):
            r = min(50, resamples - begin)
            drawn = units(weights(lambda n, r=r: make(n, r)))
            found.append(cosines(drawn, drawn))
        return np.concatenate(found) if found else np.full((1, *point.shape), np.nan)

    whole = units({k: np.ones((1, n)) for k, n in sizes.items()})
    point = cosines(whole, whole)[0]
    low, high = basic_interval(
        point, draws(lambda n, r: generator.multinomial(n, np.full(n, 1 / n), size=r)), -1.0, 1.0
    )
    null = np.percentile(
        np.abs(draws(lambda n, r: generator.choice([-1.0, 1.0], size=(r, n)))), 95, axis=0
    )
    halves = weights(lambda n: np.stack([generator.permutation(n) < n // 2 for _ in range(HALVES)]))
    across = cosines(units(halves), units({k: ~w for k, w in halves.items()})).mean(0)
    settings = {
        "n": sizes,
        "parallel": parallel,
        "resamples": resamples,
        "seed": seed,
        "interval": "basic",
        "halves": HALVES,
        "null": "random signs, 95th percentile of |cosine|",
    }
    return SharedDirections(
        tuple(differences), point, low, high, _corrected(across), null, settings
    )


def _corrected(
    across: Float[np.ndarray, "layer language language"],
) -> Float[np.ndarray, "layer language language"]:
    """Cosines between halves, over the root of both languages' own agreement, which is on the
    diagonal.
    """
    own = np.diagonal(across, axis1=1, axis2=2)
    trust = np.where(own >= LEAST_AGREEMENT, own, np.nan)
    scaled: np.ndarray = np.clip(
        (across + across.transpose(0, 2, 1)) / 2 / np.sqrt(trust[:, :, None] * trust[:, None, :]),
        -1,
        1,
    )
    for layer in scaled:
        np.fill_diagonal(layer, 1.0)
    return scaled
