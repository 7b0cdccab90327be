"""An estimate with its 95% interval and n, and the bootstrap over questions that makes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

RESAMPLES = 2000
POOLED = "all"


@dataclass(frozen=True)
class Estimate:
    """A mean over n items with its 95% interval. `measure` says of what."""

    value: float
    low: float
    high: float
    n: int
    measure: str

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}] n={self.n}"


def bootstrap_means(
    table: Mapping[str, Mapping[str, float]], resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, Float[np.ndarray, " resample_plus_1"]]:
    """Means of each language's values and of their pool: element 0 is the sample's, the rest resamples.

    A resample draws ids, the same ones in every language, so that languages stay paired; the pooled mean is
    over all (id, language) values drawn.
    """
    ids = list(dict.fromkeys(i for column in table.values() for i in column))
    generator = np.random.default_rng(seed)
    counts = np.ones((resamples + 1, len(ids)))
    counts[1:] = generator.multinomial(len(ids), np.full(len(ids), 1 / len(ids)), size=resamples)
    result, total, weight = {}, np.zeros(resamples + 1), np.zeros(resamples + 1)
    for language, column in table.items():
        present = np.asarray([i in column for i in ids], dtype=float)
        values = np.asarray([column.get(i, 0.0) for i in ids])
        s, w = counts @ values, counts @ present
        total, weight = total + s, weight + w
        with np.errstate(invalid="ignore"):
            result[language] = s / w
    with np.errstate(invalid="ignore"):
        result[POOLED] = total / weight
    return result


def _estimate(draws: Float[np.ndarray, " resample_plus_1"], n: int, measure: str) -> Estimate:
    low, high = np.nanpercentile(draws[1:], [2.5, 97.5]) if len(draws) > 1 else (np.nan, np.nan)
    return Estimate(float(draws[0]), float(low), float(high), n, measure)


def _interval(draws: Float[np.ndarray, " resample_plus_1"]) -> tuple[float, float]:
    if np.isnan(draws).all():
        return (float("nan"), float("nan"))
    low, high = np.nanpercentile(draws[1:], [2.5, 97.5])
    return float(low), float(high)
