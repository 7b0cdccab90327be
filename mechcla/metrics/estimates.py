"""An estimate with its 95% interval and n, and the bootstrap over questions that makes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

RESAMPLES = 2000
PART = 4_096  # resamples held at once, so that memory does not grow with their number
PART_BYTES = 1 << 20  # of their counts, so that it does not grow with the questions either
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
    """Means of each language's values and of their pool: element 0 is the sample's, the rest
    resamples.

    A resample draws ids, the same ones in every language, so that languages stay paired; the pooled
    mean is over all (id, language) values drawn.
    """
    ids = list(dict.fromkeys(i for column in table.values() for i in column))
    present = [np.asarray([i in c for i in ids], dtype=float) for c in table.values()]
    values = [np.asarray([c.get(i, 0.0) for i in ids]) for c in table.values()]
    parts: list[dict[str, Float[np.ndarray, " part"]]] = []
    for counts in _draws(len(ids), resamples, seed):
        part: dict[str, Float[np.ndarray, " part"]] = {}
        total, weight = np.zeros(len(counts)), np.zeros(len(counts))
        with np.errstate(invalid="ignore"):
            for language, value, there in zip(table, values, present, strict=True):
                s, w = counts @ value, counts @ there
                total, weight = total + s, weight + w
                part[language] = s / w
            part[POOLED] = total / weight
        parts.append(part)
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def _draws(n_ids: int, resamples: int, seed: int) -> Iterator[Float[np.ndarray, "part n_ids"]]:
    """How often each id is drawn, a row per resample, the sample itself first; at most PART rows
    and PART_BYTES at a time.
    """
    generator = np.random.default_rng(seed)
    # By eights: rows are multiplied in groups, and a group's place in them decides its last bits.
    most = min(PART, max(8, PART_BYTES // (8 * max(1, n_ids)) // 8 * 8))
    left, first = resamples, 1
    while first or left:
        size = min(left, most - first)
        counts = np.ones((first + size, n_ids))
        counts[first:] = generator.multinomial(n_ids, np.full(n_ids, 1 / n_ids), size=size)
        yield counts
        left, first = left - size, 0


def _estimate(draws: Float[np.ndarray, " resample_plus_1"], n: int, measure: str) -> Estimate:
    low, high = np.nanpercentile(draws[1:], [2.5, 97.5]) if len(draws) > 1 else (np.nan, np.nan)
    return Estimate(float(draws[0]), float(low), float(high), n, measure)


def _interval(draws: Float[np.ndarray, " resample_plus_1"]) -> tuple[float, float]:
    if np.isnan(draws).all():
        return (float("nan"), float("nan"))
    low, high = np.nanpercentile(draws[1:], [2.5, 97.5])
    return float(low), float(high)
