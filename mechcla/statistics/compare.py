"""One table for a steered-against-unsteered comparison: difference, p, corrected p, what was
detectable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mechcla.errors import MechclaError, nearest
from mechcla.metrics.estimates import POOLED, Estimate
from mechcla.metrics.metrics import Measure, difference
from mechcla.scoring.scores import Scores
from mechcla.statistics.permutation import RESAMPLES, TestResult, correct, permutation_test
from mechcla.statistics.power import Effect, minimum_detectable_effect

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class ComparisonRow:
    """One metric in one language ("all" is the pool): all values are shares of items, 0 to 1.

    p_corrected is p_value adjusted for the row's family of `family` tests; detectable is at alpha /
    family.
    """

    metric: str
    language: str
    difference: Estimate
    test: TestResult
    p_corrected: float
    family: int
    detectable: Effect

    @property
    def p_value(self) -> float:
        return self.test.p_value


@dataclass(frozen=True)
class Comparison:
    """The rows of `compare` with its settings; `print` it, or take `to_pandas()`."""

    rows: tuple[ComparisonRow, ...]
    measure: str
    normalisation: str
    correction: str
    power: float
    alpha: float
    resamples: int
    seed: int

    def row(self, metric: str, language: str = POOLED) -> ComparisonRow:
        """One cell. Raises MechclaError for one that is not there."""
        for row in self.rows:
            if (row.metric, row.language) == (metric, language):
                return row
        have = [f"{r.metric} {r.language}" for r in self.rows]
        raise MechclaError(
            f"no cell {metric!r}, {language!r}; {nearest(f'{metric} {language}', have, 30)}"
        )

    @property
    def findings(self) -> tuple[ComparisonRow, ...]:
        """The rows whose corrected p-value is at most alpha."""
        return tuple(row for row in self.rows if row.p_corrected <= self.alpha)

    def to_pandas(self) -> pd.DataFrame:
        """A row per cell, with plain numbers only."""
        import pandas as pd

        return pd.DataFrame(
            [
                {
                    "metric": r.metric,
                    "language": r.language,
                    "measure": self.measure,
                    "difference": r.difference.value,
                    "low": r.difference.low,
                    "high": r.difference.high,
                    "p_value": r.p_value,
                    "p_corrected": r.p_corrected,
                    "correction": self.correction,
                    "family": r.family,
                    "exact": r.test.exact,
                    "detectable": r.detectable.value,
                    "n": r.difference.n,
                    "questions": r.test.clusters,
                    "changed": r.test.changed,
                }
                for r in self.rows
            ]
        )

    def __str__(self) -> str:
        value, corrected = f"difference ({self.measure})", f"p {self.correction}"
        lines = [
            f"{'metric':<13} {'language':<8} {value:<25} "
            f"{'p':>7} {corrected:>7} {'detects':>7} {'n':>5}"
        ]
        for r in self.rows:
            d = r.difference
            lines.append(
                f"{r.metric:<13} {r.language:<8} "
                f"{f'{d.value:+.3f} [{d.low:+.3f}, {d.high:+.3f}]':<25} "
                f"{_p(r.p_value):>7} {_p(r.p_corrected):>7} {r.detectable.value:>7.3f} {d.n:>5}"
            )
        return "\n".join(lines)


def _p(value: float) -> str:
    return f"{value:.4f}" if value >= 0.0001 else "<0.0001"


def compare(
    scores: Scores,
    base: Scores,
    metrics: Sequence[str] = ("transfer", "localization", "english_bias"),
    measure: Measure = "share",
    normalisation: str = "sum",
    correction: str = "holm",
    *,
    power: float = 0.8,
    alpha: float = 0.05,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Comparison:
    """The whole comparison of `scores` with `base`: each metric in each language, and pooled.

    A row has the paired difference with its 95% bootstrap interval (`mechcla.difference`), the
    p-value of the sign-flip test (`permutation_test`), the same corrected (`correct`), and the
    smallest difference that the row could have shown (`minimum_detectable_effect`). There are two
    families: the single languages times the metrics, and the pooled values, one a metric; a
    correction holds within each. Intervals are not corrected.

    What is detectable is given at alpha / family, the level of the strictest step of both
    corrections, or at alpha for correction="none". Raises MechclaError for unknown names, for a
    metric that the tables have no items for (name the ones they have in `metrics`), and for tables
    without an item in common. Limit: a family counts only the tests of this call; several methods
    against one base are one family too: give `correct` all their p-values.

    >>> print(compare(steered, base, measure="share"))
    metric        language difference (share)              p  p holm detects     n
    transfer      es       +0.031 [+0.008, +0.055]    0.0113  0.1356   0.049   127
    ...
    """
    if isinstance(metrics, str) or not metrics or len(set(metrics)) < len(metrics):
        raise MechclaError(
            f"metrics={metrics!r}; expected different names in a tuple, e.g. metrics=('transfer',)"
        )
    tests, differences = {}, {}
    for metric in metrics:
        for language, test in permutation_test(
            scores, base, metric, measure, normalisation, resamples, seed
        ).items():
            tests[metric, language] = test
        for language, value in difference(
            scores, base, metric, measure, normalisation, seed=seed
        ).items():
            differences[metric, language] = value
    corrected: dict[tuple[str, str], float] = {}
    effects: dict[tuple[str, str], Effect] = {}
    sizes = {}
    for pooled in (False, True):
        p_values = {
            key: test.p_value for key, test in tests.items() if (key[1] == POOLED) == pooled
        }
        corrected |= correct(p_values, correction)
        sizes[pooled] = len(p_values)
        level = alpha if correction == "none" else alpha / len(p_values)
        for metric in metrics:
            for language, effect in minimum_detectable_effect(
                scores, base, metric, measure, normalisation, power, level
            ).items():
                if (language == POOLED) == pooled:
                    effects[metric, language] = effect
    rows = tuple(
        ComparisonRow(
            *key, value, tests[key], corrected[key], sizes[key[1] == POOLED], effects[key]
        )
        for key, value in differences.items()
    )
    return Comparison(rows, measure, normalisation, correction, power, alpha, resamples, seed)
