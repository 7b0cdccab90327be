"""Curve: a value per layer, with its interval, its n, its settings and the limit of its claim."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

RESAMPLES = 500


@dataclass(frozen=True, eq=False)
class Curve:
    """One number per layer. low, high: 95% interval over questions (nan where none was asked for);
    how it was made is in `settings`.

    null: what the number would be by chance, a level or one a layer, and how that was made is in
    `settings`.
    """

    what: str
    value: Float[np.ndarray, " layer"]
    low: Float[np.ndarray, " layer"]
    high: Float[np.ndarray, " layer"]
    n: int
    null: Float[np.ndarray, " layer"] | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    limit: str = ""

    def rows(self, **labels: Any) -> list[dict[str, Any]]:
        """A record per layer, for a table."""
        return [
            {
                **labels,
                "what": self.what,
                "layer": layer,
                "value": float(self.value[layer]),
                "low": float(self.low[layer]),
                "high": float(self.high[layer]),
                "null": float(self.null[layer]) if self.null is not None else None,
                "n": self.n,
            }
            for layer in range(len(self.value))
        ]


Statistic = Callable[[Tensor], Float[np.ndarray, " layer"]]


def bootstrap(
    what: str,
    statistic: Statistic,
    n: int,
    resamples: int = RESAMPLES,
    seed: int = 0,
    interval: str = "percentile",
    **rest: Any,
) -> Curve:
    """statistic(weights) at weights 1 and at `resamples` draws of questions, and from those an
    interval.

    weights: Float[question], how often each question was drawn, so that what belongs together stays
    together. interval: "percentile" of draws of n with replacement, for means; "basic", the same
    draws mirrored about the value, for a statistic that fewer distinct questions push one way
    (distances between centroids grow with their noise): it then covers what infinitely many
    questions would give, and may lie to one side of the value. "halves": percentiles of random
    halves without replacement, whose spread about the whole is the whole's own error, for a
    statistic that a question drawn twice would distort.
    """
    generator = np.random.default_rng(seed)
    value = statistic(torch.ones(n, dtype=torch.float64))
    draws = np.full((max(resamples, 1), len(value)), np.nan)
    for k in range(resamples):
        if interval == "halves":
            weights = np.zeros(n)
            weights[generator.permutation(n)[: n // 2]] = 1
        else:
            weights = generator.multinomial(n, np.full(n, 1 / n)).astype(np.float64)
        draws[k] = statistic(torch.from_numpy(weights))
    low, high = np.nanpercentile(draws, [2.5, 97.5], axis=0) if resamples else (draws[0], draws[0])
    if interval == "basic":
        low, high = basic_interval(value, draws)
    settings = {"resamples": resamples, "seed": seed, "interval": interval} | rest.pop(
        "settings", {}
    )
    return Curve(what, value, low, high, n, settings=settings, **rest)


def basic_interval(
    value: Float[np.ndarray, ...],
    draws: Float[np.ndarray, "draw ..."],
    least: float = -np.inf,
    most: float = np.inf,
) -> tuple[Float[np.ndarray, ...], Float[np.ndarray, ...]]:
    """95% of the draws, mirrored about the value, within what the number can be: where draws are
    off to one side, so is the value.
    """
    low, high = np.percentile(draws, [2.5, 97.5], axis=0)
    return np.clip(2 * value - high, least, most), np.clip(2 * value - low, least, most)
