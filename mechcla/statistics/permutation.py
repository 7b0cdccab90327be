"""The paired sign-flip test by question, and what many such tests at once cost."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from jaxtyping import Float

from mechcla.errors import MechclaError, unknown
from mechcla.metrics.item_values import ItemTable
from mechcla.metrics.metrics import Measure
from mechcla.statistics.differences import clustered, paired_differences

Key = TypeVar("Key", bound=Hashable)
RESAMPLES = 10_000
ENUMERATED = 16  # questions up to which all 2**n assignments of signs are looked at
WIDEST = (
    24  # and up to which they may be, if `resamples` asks for as many: 2**24 numbers are 128 MiB
)
GRAIN = 60  # ties among up to 6 candidates make accuracies multiples of 1/60
LATTICE_WORK = (
    50_000_000  # additions that an exact distribution on a lattice may take, well under a second
)
# Assignments of signs that are looked at together, as many as fit in PART_BYTES. Parts of eights
# take the random numbers of one stream and round as one.
PARTS, PART_BYTES = (1000, 200, 40, 8), 1 << 20
CORRECTIONS = ("holm", "bh", "none")


@dataclass(frozen=True)
class TestResult:
    """A mean difference over n items of `clusters` questions, and the p-value that it is 0.

    statistic  in the metric's unit (a share of items, 0 to 1)
    p_value    two-sided, in (0, 1]
    exact      True: over all assignments of signs. False: over `resamples` random ones, so p is at
               least 1 / (resamples + 1)
    changed    questions whose difference is not 0; the others say nothing in this test, so p is at
               least 2 ** (1 - changed) however large the change
    """

    __test__ = False  # pytest takes a class of this name for a test

    statistic: float
    p_value: float
    n: int
    clusters: int
    changed: int
    exact: bool
    metric: str
    measure: str
    normalisation: str
    resamples: int
    seed: int

    def __str__(self) -> str:
        kind = "exact" if self.exact else f"{self.resamples} resamples"
        size = f"n={self.n} items, {self.clusters} questions, {self.changed} changed"
        return f"{self.statistic:+.3f} p={self.p_value:.4f} ({kind}) {size}"


def sign_flip(
    values: Float[np.ndarray, " cluster"], resamples: int = RESAMPLES, seed: int = 0
) -> tuple[float, bool]:
    """Two-sided p-value that values symmetric about 0 have a sum this far from 0, and whether it is
    exact.

    Exact if the values lie on a lattice (accuracies: their distribution of sums is counted out
    whole, which for -1, 0 and 1 is McNemar's exact test) or if there are few of them (all 2**n
    assignments of signs are listed); otherwise Monte Carlo, (1 + hits) / (1 + resamples), so that p
    is never 0 and the test keeps its level. Values of 0 are left out, which changes no p-value.
    Source: Fisher 1935; the +1: Phipson and Smyth 2010.

    >>> sign_flip(np.array([1.0, 1, 1, 1, 1]))        # 2 of 2**5 assignments reach 5
    (0.0625, True)
    """
    if resamples < 1:
        raise MechclaError(f"resamples={resamples}; expected at least 1")
    if not np.isfinite(values).all():
        raise MechclaError(
            f"{int((~np.isfinite(values)).sum())} of {len(values)} differences are not finite; "
            "there is nothing to test"
        )
    values = values[values != 0]
    if not len(values):
        return 1.0, True
    p = _on_lattice(values)
    if p is not None:
        return p, True
    size, spread = abs(math.fsum(values)), math.fsum(abs(values))
    reach = size - 1e-12 * spread  # a sum that equals the sample's but for rounding counts as equal
    if len(values) <= min(WIDEST, max(ENUMERATED, int(math.log2(resamples)))):
        sums = np.zeros(1)
        for value in values:
            sums = np.concatenate((sums + value, sums - value))
        return float((abs(sums) >= reach).mean()), True
    generator, hits = np.random.default_rng(seed), 0
    most = next((p for p in PARTS if 8 * p * len(values) <= PART_BYTES), PARTS[-1])
    for start in range(0, resamples, most):
        packed = generator.integers(
            0, 256, size=(min(most, resamples - start), -(-len(values) // 8)), dtype=np.uint8
        )
        positive = np.unpackbits(packed, axis=1)[:, : len(values)].astype(float)
        hits += int((abs(2 * (positive @ values) - values.sum()) >= reach).sum())
    return (1 + hits) / (1 + resamples), False


def _on_lattice(values: Float[np.ndarray, " cluster"]) -> float | None:
    """The exact p-value if all values are multiples of 1/GRAIN, else None."""
    units = np.rint(values * GRAIN).astype(int)
    if abs(units / GRAIN - values).max() > 1e-9 or not units.any():
        return None
    # What is left of thirds that cancel is a rounding error, not a change.
    units = units[units != 0]
    units = units // np.gcd.reduce(units)
    total = int(abs(units).sum())
    if total * len(units) > LATTICE_WORK:
        return None
    probability = np.zeros(total + 1)  # of the sum of the values that get a plus
    probability[0] = 1.0
    for unit in abs(units):
        shifted = probability.copy()
        shifted[unit:] += probability[:-unit]
        probability = shifted / 2
    far = abs(2 * np.arange(total + 1) - total) >= abs(int(units.sum()))
    return float(np.clip(probability[far].sum(), np.finfo(float).tiny, 1.0))


def permutation_test(
    scores: ItemTable,
    base: ItemTable,
    metric: str,
    measure: Measure = "share",
    normalisation: str = "sum",
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, TestResult]:
    """Does the metric of `scores` differ from that of `base`? By language, and pooled under "all".

    A paired sign-flip test: if steering did nothing, which of an item's two scores is called
    steered would not matter, so the sign of a question's difference is a coin toss. For the pooled
    value all languages of a question get the same sign, because they rise and fall together.
    Two-sided; exact wherever that is cheap (see `sign_flip`). The statistic is
    `mechcla.difference`'s value.

    Only items that both have are compared. Raises MechclaError if there are none, if an item stands
    twice, and for unknown names. Limits: it speaks of these prompts and this model, over questions
    like these; it takes for granted that layers and strengths were chosen on other items (`Study`);
    and a p-value says nothing of size. Source: Fisher 1935; by question: ours.

    >>> print(permutation_test(steered, base, "transfer", "share")["es"])
    +0.041 p=0.0123 (10000 resamples) n=127 items, 127 questions, ... changed
    """
    result = {}
    for language, c in clustered(
        paired_differences(scores, base, metric, measure, normalisation)
    ).items():
        p, exact = sign_flip(c.sums, resamples, seed)
        result[language] = TestResult(
            c.mean,
            p,
            c.n,
            len(c.sums),
            int((abs(c.sums) > 1e-12).sum()),
            exact,
            metric,
            measure,
            normalisation,
            resamples,
            seed,
        )
    return result


def correct(p_values: Mapping[Key, float], method: str = "holm") -> dict[Key, float]:
    """p-values adjusted for being many: those of a family of tests, by the family's keys, in its
    order.

    "holm" bounds the chance of even one false finding in the family, whatever the dependence (Holm
    1979); "bh" the expected share of false ones among the findings (Benjamini and Hochberg 1995),
    under independence or positive dependence; "none" leaves them. Compare the result with alpha.
    The family is all that was looked at, not what turned out well. Raises MechclaError for a
    p-value outside [0, 1] (nan is) or an unknown method.

    >>> correct({("EN", "es"): 0.01, ("EN", "ko"): 0.04, ("SUR", "es"): 0.03})
    {('EN', 'es'): 0.03, ('EN', 'ko'): 0.06, ('SUR', 'es'): 0.06}
    """
    if method not in CORRECTIONS:
        raise unknown("correction", method, CORRECTIONS)
    wrong = [(key, p) for key, p in p_values.items() if not 0 <= p <= 1]
    if wrong:
        raise MechclaError(
            f"the p-value of {wrong[0][0]!r} is {wrong[0][1]}; expected a number from 0 to 1"
        )
    if method == "none" or not p_values:
        return dict(p_values)
    if method == "bh":
        from scipy.stats import false_discovery_control  # scipy.stats takes a while to import

        return dict(
            zip(p_values, map(float, false_discovery_control(list(p_values.values()))), strict=True)
        )
    adjusted, highest = {}, 0.0
    for rank, key in enumerate(sorted(p_values, key=lambda k: p_values[k])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[key]))
        adjusted[key] = highest
    return {key: adjusted[key] for key in p_values}
