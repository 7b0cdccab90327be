"""Item by item differences of two score tables, gathered by question.

A question (an id) asked in several languages is one draw, not several: its differences are added up
before anything is tested, so that the number of questions, and not of rows, decides how sure a
pooled value is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from mechcla.errors import MechclaError
from mechcla.metrics.estimates import POOLED, Estimate
from mechcla.metrics.item_values import ItemTable, ItemValues
from mechcla.metrics.metrics import METRICS, Measure
from mechcla.scoring.scores import ItemScore

Table = dict[str, dict[str, float]]  # [language][id]


@dataclass(frozen=True, eq=False)
class Clusters:
    """Values summed within questions, with how many values (languages) each question brought."""

    sums: Float[np.ndarray, " question"]
    sizes: Int[np.ndarray, " question"]

    @property
    def n(self) -> int:
        """Number of items: (id, language) pairs."""
        return int(self.sizes.sum())

    @property
    def mean(self) -> float:
        """The mean over items, so a question asked in more languages weighs more, as in
        `mechcla.difference`.
        """
        return math.fsum(self.sums) / self.n

    @property
    def standard_error(self) -> float:
        """Of the mean, by questions: sqrt(C/(C-1) sum_c (S_c - m_c mean)^2) / n for C questions
        with sums S_c of m_c values (the cluster-robust formula of survey sampling); the usual
        sd/sqrt(n) if every m_c is 1. nan for a single question.
        """
        count = len(self.sums)
        if count < 2:
            return float("nan")
        residual = self.sums - self.sizes * self.mean
        return float(np.sqrt(count / (count - 1) * (residual**2).sum()) / self.n)


def unique_rows(rows: list[ItemScore], what: str) -> dict[tuple[str, str], ItemScore]:
    """The rows by (language, id), sorted, so that no result depends on the order of rows.

    Raises MechclaError for a pair that stands twice: which of the two is meant cannot be told.
    """
    found: dict[tuple[str, str], ItemScore] = {}
    for row in rows:
        if (row.language, row.id) in found:
            raise MechclaError(
                f"{what}: item {row.id!r} ({row.language}) stands twice; "
                "give one run's scores at a time"
            )
        found[row.language, row.id] = row
    return dict(sorted(found.items()))


def values_of(
    scores: ItemTable, metric: str, measure: Measure, normalisation: str, what: str
) -> Table:
    """The metric of every item that it is defined for, by language and id (sorted)."""
    found = METRICS.get(metric)
    kind, role = found.kind, found.role
    table: Table = {}
    if isinstance(scores, ItemValues):
        own = scores.where(kind=kind).table(metric, measure, normalisation)
        table = {language: dict(sorted(own[language].items())) for language in sorted(own)}
    else:
        value = found.of(measure, normalisation)
        rows = unique_rows([r for r in scores if r.kind == kind and role in r.roles], what)
        for (language, id), row in rows.items():
            table.setdefault(language, {})[id] = value(row)
    if not table:
        raise MechclaError(
            f"{metric} needs {kind} items with a candidate of role {role!r}; "
            f"{what} ({len(scores)} rows) has none"
        )
    return table


def paired_differences(
    scores: ItemTable,
    base: ItemTable,
    metric: str,
    measure: Measure = "share",
    normalisation: str = "sum",
) -> Table:
    """The metric of `scores` minus that of `base`, item by item, over the items that both have.

    Raises MechclaError for an unknown metric, measure or normalisation, for a table without items
    of the metric's kind, and for two tables without an item in common.
    """
    new = values_of(scores, metric, measure, normalisation, "scores")
    old = values_of(base, metric, measure, normalisation, "base")
    table = {
        lang: {i: v - old[lang][i] for i, v in new[lang].items() if i in old[lang]}
        for lang in new
        if lang in old
    }
    table = {lang: column for lang, column in table.items() if column}
    if not table:
        one, other = (
            "; ".join(f"{lang}: {', '.join(list(t[lang])[:3])}, ..." for lang in t)
            for t in (new, old)
        )
        raise MechclaError(
            f"nothing to compare: scores and base share no (id, language) for {metric}. "
            f"scores {one}. base {other}"
        )
    return table


def clustered(table: Mapping[str, Mapping[str, float]]) -> dict[str, Clusters]:
    """Each language's values, a question each, and their pool, in which a question's languages are
    added up.
    """
    result = {
        lang: _clusters([[v] for _, v in sorted(column.items())]) for lang, column in table.items()
    }
    questions: dict[str, list[float]] = {}
    for column in table.values():
        for id, value in column.items():
            questions.setdefault(id, []).append(value)
    result[POOLED] = _clusters([questions[id] for id in sorted(questions)])
    return result


def _clusters(values: list[list[float]]) -> Clusters:
    # fsum is exact before it rounds, so the order of languages does not matter either
    return Clusters(
        np.asarray([math.fsum(v) for v in values], dtype=float),
        np.asarray([len(v) for v in values], dtype=int),
    )


def estimate_of(draws: Float[np.ndarray, " resample_plus_1"], n: int, measure: str) -> Estimate:
    """An Estimate from bootstrap draws whose element 0 is the sample's own value."""
    low, high = np.nanpercentile(draws[1:], [2.5, 97.5])
    return Estimate(float(draws[0]), float(low), float(high), n, measure)
