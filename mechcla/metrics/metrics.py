"""Transfer, localization, English bias and the plane, each with an interval and its n.

Every metric is a mean over items. Intervals are percentile bootstraps, seeded; a pooled value
resamples questions (ids) and keeps all languages of a question together, because they are not
independent. Operationalisation: ours (the source paper's equations and numbers are not known
to us).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

from mechcla.errors import MechclaError, unknown
from mechcla.metrics.estimates import (
    POOLED,
    RESAMPLES,
    Estimate,
    _estimate,
    _interval,
    bootstrap_means,
)
from mechcla.metrics.item_values import AnyTable, ItemTable, ItemValues, offered_by
from mechcla.registry import Registry
from mechcla.scoring.scores import ItemScore, Scores

Measure = str  # "accuracy" or "share", checked where it is used


ItemValue = Callable[[ItemScore], float]


@cache
def item_value(role: str, measure: Measure = "share", normalisation: str = "sum") -> ItemValue:
    """A function of an item: 1 or 0 whether the best candidate has `role` (accuracy), or that
    role's share.

    Exact ties for the best share the point among the tied candidates. The function raises
    MechclaError for an item whose values under the normalisation are not finite (nan, +inf, or -inf
    for all): a mean over the others would be one over other items. A single -inf is an answer of
    probability 0.
    """
    if measure not in ("accuracy", "share"):
        raise unknown("measure", measure, ("accuracy", "share"))

    def value(row: ItemScore) -> float:
        has = np.asarray([r == role for r in row.roles])
        scores = row.values(normalisation)
        if np.isnan(scores).any() or not np.isfinite(scores.max()):
            listed = ", ".join(f"{v:g}" for v in scores)
            raise MechclaError(
                f"item {row.id!r} ({row.language}, {row.kind}, {row.prompt_form}) is not finite: "
                f"its {normalisation} log-likelihoods are {listed}. "
                "The pass overflowed its dtype, or a weight or vector is nan; "
                "see scores.not_finite, and try a smaller strength or dtype float32"
            )
        if measure == "share":
            return float(row.shares(normalisation)[has].sum())
        best = scores == scores.max()
        return float((has & best).sum() / best.sum())

    return value


def _table(scores: Scores, value: ItemValue) -> dict[str, dict[str, float]]:
    table: dict[str, dict[str, float]] = {}
    for row in scores:
        table.setdefault(row.language, {})[row.id] = value(row)
    return table


def _of_kind(scores: AnyTable, kind: str, what: str) -> AnyTable:
    part = scores.where(kind=kind)
    if not len(part):
        raise MechclaError(f"{what} needs {kind} items; these {len(scores)} scores have none")
    return part


def transfer(
    scores: ItemTable, measure: Measure = "share", normalisation: str = "sum"
) -> dict[str, Estimate]:
    """Share of the right answer (or accuracy) on universal items, by language and pooled.

    >>> print(mechcla.transfer(scores)["es"])
    0.592 [0.500, 0.675] n=127
    """
    return metric(scores, "transfer", measure, normalisation)


def localization(
    scores: ItemTable, measure: Measure = "share", normalisation: str = "sum"
) -> dict[str, Estimate]:
    """Share of cultural items answered as the language's culture does, by language and pooled.

    It takes language as a proxy for culture, which it is not.
    """
    return metric(scores, "localization", measure, normalisation)


def english_bias(
    scores: ItemTable, measure: Measure = "share", normalisation: str = "sum"
) -> dict[str, Estimate]:
    """Share of cultural items answered as the US does, over items where that differs from the local
    answer.
    """
    return metric(scores, "english_bias", measure, normalisation)


def collision_aware_bias(
    scores: ItemTable, measure: Measure = "share", normalisation: str = "sum"
) -> dict[str, Estimate]:
    """English bias less what is expected because other places give the American answer too, by
    language and pooled.

    An item counts as in `english_bias`: where the American and the local answer are one, it does
    not. Its American answer's value v (share, or 1 or 0) becomes v - v(k-1)/k = v/k, with k the
    places that give that answer, the US among them, as the candidate's `country` lists them ("US CA
    MX"). Without such lists it equals `english_bias`. The limits: the k places are taken to draw
    alike, whatever their size; only places that the source lists are known. Source: ours, after
    LocQA's idea of a collision-aware bias; their formula is another or unknown to us.

    >>> aware = mechcla.metrics.collision_aware_bias(scores)
    >>> aware["es"] == mechcla.english_bias(scores)["es"]  # the demo items list no sharing places
    True
    """
    return metric(scores, "collision_aware_bias", measure, normalisation)


@dataclass(frozen=True)
class Metric:
    """What a metric measures: the candidates of one role, on the items of one kind that offer it.

    value: of an item, given the measure and the normalisation; None: the role's share, or whether
    the best candidate has it. summary: a row of it in every sweep's summary.
    """

    kind: str
    role: str
    value: Callable[[Measure, str], ItemValue] | None = None
    summary: bool = True

    def of(self, measure: Measure, normalisation: str = "sum") -> ItemValue:
        """The function of an item whose mean the metric is."""
        if self.value is not None:
            return self.value(measure, normalisation)
        return item_value(self.role, measure, normalisation)


METRICS: Registry[Metric] = Registry("metric")
METRICS.register("transfer", Metric("universal", "correct"))
METRICS.register("localization", Metric("cultural", "local"))
METRICS.register("english_bias", Metric("cultural", "english"))


def unshared_english(measure: Measure = "share", normalisation: str = "sum") -> ItemValue:
    """A function of an item: its American answer's value, less what shared answers explain.

    With k places that give the American answer, the United States among them, its value v is v/k:
    each of the k is taken to be as good a reason for that answer, so v(k-1)/k is expected without
    the United States. k is read from the candidate's `country` ("US CA MX" is 3; one, or nothing,
    is 1).
    """
    english = item_value("english", measure, normalisation)

    def value(row: ItemScore) -> float:
        observed = english(row)
        k = np.asarray([max(1, len((whose or "").split())) for whose in row.countries])
        has = np.asarray([r == "english" for r in row.roles])
        if (k[has] == 1).all():
            return observed
        if measure == "share":
            parts = row.shares(normalisation)
        else:
            scores = row.values(normalisation)
            best = scores == scores.max()
            parts = best / best.sum()
        return float((parts / k)[has].sum())

    return value


# No row of a sweep's summary: where no item says who shares an answer it repeats english_bias.
METRICS.register(
    "collision_aware_bias", Metric("cultural", "english", unshared_english, summary=False)
)


def _metric_table(
    scores: ItemTable, name: str, measure: Measure, normalisation: str
) -> dict[str, dict[str, float]]:
    found = METRICS.get(name)
    if isinstance(scores, ItemValues):
        values = _of_kind(scores, found.kind, name)
        n, table = len(values), values.table(name, measure, normalisation)
    else:
        part = _of_kind(scores, found.kind, name)
        kept = tuple(r for r in part if found.role in r.roles)
        n, table = len(part), _table(Scores(kept), found.of(measure, normalisation))
    if not table:
        raise MechclaError(
            f"{name} needs candidates of role {found.role!r}; "
            f"these {n} {found.kind} scores have none"
        )
    return table


def metric(
    scores: ItemTable,
    name: str,
    measure: Measure = "share",
    normalisation: str = "sum",
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Estimate]:
    """A registered metric by its name ("transfer", "localization", "english_bias",
    "collision_aware_bias", or your own), by language and pooled."""
    table = _metric_table(scores, name, measure, normalisation)
    return _estimates(table, measure, resamples, seed)


def _estimates(
    table: dict[str, dict[str, float]], what: str, resamples: int, seed: int
) -> dict[str, Estimate]:
    """The means of a table's columns, [language][id], and of all of it."""
    counts = {k: len(v) for k, v in table.items()}
    counts[POOLED] = sum(counts.values())
    draws = bootstrap_means(table, resamples, seed)
    return {k: _estimate(d, counts[k], what) for k, d in draws.items()}


def difference(
    scores: ItemTable,
    base: ItemTable,
    name: str,
    measure: Measure = "share",
    normalisation: str = "sum",
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Estimate]:
    """The named metric of `scores` minus that of `base`, paired by item, with 95% bootstrap
    intervals.

    Only items that both have are compared. Raises MechclaError if there are none.
    """
    table = paired_differences(scores, base, name, measure, normalisation)
    return _estimates(table, f"difference in {name} {measure}", resamples, seed)


def paired_differences(
    scores: ItemTable,
    base: ItemTable,
    name: str,
    measure: Measure = "share",
    normalisation: str = "sum",
) -> dict[str, dict[str, float]]:
    """What `difference` is the mean of: each item's change in the metric, {language: {id: change}}.

    Raises MechclaError if the tables have no item in common.
    """
    new, old = (_metric_table(s, name, measure, normalisation) for s in (scores, base))
    table = {
        lang: {i: new[lang][i] - old[lang][i] for i in new[lang] if i in old[lang]}
        for lang in new
        if lang in old
    }
    table = {lang: column for lang, column in table.items() if column}
    if not table:
        raise MechclaError(
            "the two score tables have no item in common, so there is nothing to compare"
        )
    return table


def recoverable_fraction(
    steered: ItemTable,
    implicit: ItemTable,
    explicit: ItemTable,
    measure: Measure = "share",
    normalisation: str = "sum",
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Estimate]:
    """(localization steered - implicit) / (localization explicit - implicit), paired by item.

    Where naming the country does not raise localization by more than its interval there is nothing
    to recover; the value is then nan.
    """
    tables = [
        _metric_table(s, "localization", measure, normalisation)
        for s in (steered, implicit, explicit)
    ]
    shared = [lang for lang in tables[0] if all(lang in t for t in tables)]
    ids = {
        lang: [i for i in tables[0][lang] if all(i in t[lang] for t in tables)] for lang in shared
    }
    parts = [{lang: {i: t[lang][i] for i in ids[lang]} for lang in shared} for t in tables]
    draws = [bootstrap_means(p, resamples, seed) for p in parts]
    result = {}
    for key in draws[0]:
        s, i, e = (d[key] for d in draws)
        gap = e - i
        low = np.nanpercentile(gap[1:], 2.5)
        n = sum(map(len, parts[0].values())) if key == POOLED else len(parts[0][key])
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = (s - i) / gap if low > 0 else np.full_like(gap, np.nan)
        result[key] = Estimate(
            float(ratio[0]), *_interval(ratio), n, f"recoverable fraction of {measure}"
        )
    return result


def chance(scores: ItemTable) -> float:
    """Expected accuracy of a guess: the mean of 1 / number of candidates."""
    return float(np.mean([1 / n for n in offered_by(scores)])) if len(scores) else float("nan")
