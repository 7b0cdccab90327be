"""Is it more than chance, and more than its control arms? Test-set p-values of a run, corrected for
being many.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mechcla.metrics.estimates import POOLED, Estimate
from mechcla.metrics.item_values import ItemTable
from mechcla.metrics.metrics import METRICS, difference
from mechcla.runs.tables import csv_text, in_columns
from mechcla.statistics import (
    Contrast,
    TestResult,
    contrast,
    correct,
    minimum_detectable_effect,
    permutation_test,
)
from mechcla.steering.families import BOTH, FAMILIES, Condition, axes_of

ALPHA = 0.05


@dataclass(frozen=True)
class Tested:
    """One method against another on one metric in one language: difference with interval, p-values,
    what was detectable.

    p_holm is corrected over the comparisons of the same measure: over the pooled ones, and over
    those of single languages. detectable: the smallest difference that this many questions would
    have shown (power 0.8, alpha 0.05, uncorrected).
    """

    method: str
    against: str
    metric: str
    language: str
    measure: str
    difference: Estimate
    test: TestResult
    detectable: float
    p_holm: float = float("nan")

    def flat(self) -> dict[str, Any]:
        d = self.difference
        return {
            "method": self.method,
            "against": self.against,
            "metric": self.metric,
            "language": self.language,
            "measure": self.measure,
            "difference": d.value,
            "low": d.low,
            "high": d.high,
            "p_value": self.test.p_value,
            "p_holm": self.p_holm,
            "exact": self.test.exact,
            "detectable": self.detectable,
            "n": d.n,
            "questions": self.test.clusters,
            "changed": self.test.changed,
        }


def is_arm(method: str) -> bool:
    """Whether a table's name is a control arm's ("EN random") and not a family's ("EN+restore")."""
    return Condition.parse(method).is_arm


def against_unsteered(
    tables: Mapping[str, ItemTable], measure: str, resamples: int, seed: int
) -> list[Tested]:
    """Every family on both axes of the plane and its own, and explicit prompting on its own alone,
    against the unsteered model.
    """
    pairs = [
        (name, "unsteered", metric)
        for name in tables
        if name != "unsteered" and not is_arm(name)
        for metric in dict.fromkeys((*(BOTH if name != "explicit" else ()), *axes_of(name)))
        if len(tables[name].where(kind=METRICS[metric].kind))  # one kind of items has one axis
    ]
    return pairwise(tables, pairs, measure, resamples, seed)


def against_arms(
    tables: Mapping[str, ItemTable], measure: str, resamples: int, seed: int
) -> list[Tested]:
    """Every family against each of its control arms, on the axis that the family is for (SUR: on
    both).
    """
    pairs = [
        (Condition.parse(name).family, name, metric)
        for name in tables
        if is_arm(name) and Condition.parse(name).family in tables
        for metric in FAMILIES[Condition.parse(name).family].axes
    ]
    return pairwise(tables, pairs, measure, resamples, seed)


CONTRASTS = {  # by condition: the two tables whose answers are held against each other
    "prompt": ("explicit", "explicit us_country"),
    "LOC": ("LOC", "LOC us_country"),
}


def contrasts(
    tables: Mapping[str, ItemTable], resamples: int, seed: int
) -> dict[str, dict[str, Contrast]]:
    """The matched-pair contrast of the local answer and the American one, by condition, then by
    language and pooled.

    prompt: the own country named against the United States named. LOC: the same implicit prompt
    under the two countries' LOC vectors, of equal norms. A run without the United States as a
    control has neither. A language that dev left unsteered has the share 0.5. The interval and
    p-value are over questions for these very vectors: analyses/contrast shows how far pairs of
    random directions scatter about one half.
    """
    return {
        name: contrast(tables[one], tables[two], resamples=resamples, seed=seed)
        for name, (one, two) in CONTRASTS.items()
        if one in tables and two in tables
    }


def contrast_rows(found: Mapping[str, Mapping[str, Contrast]]) -> list[dict[str, Any]]:
    """A row per condition and language; p_holm over the pooled ones, and over those of single
    languages.
    """
    corrected = _corrected_contrasts(found)
    return [
        {"condition": name, "language": k} | c.flat() | {"p_holm": corrected[name, k]}
        for name, by in found.items()
        for k, c in by.items()
    ]


def contrast_table(found: Mapping[str, Mapping[str, Contrast]]) -> str:
    """The pooled contrasts as text, with p-values after Holm over the conditions."""
    corrected = _corrected_contrasts(found)
    return "\n".join(
        f"{name:<10}share {by[POOLED].share}, p (Holm)={corrected[name, POOLED]:.4f}; nats "
        f"{by[POOLED].nats}"
        for name, by in found.items()
    )


def _corrected_contrasts(
    found: Mapping[str, Mapping[str, Contrast]],
) -> dict[tuple[str, str], float]:
    p_values = {(name, k): c.p_value for name, by in found.items() for k, c in by.items()}
    corrected: dict[tuple[str, str], float] = {}
    for pooled in (True, False):
        corrected |= correct({k: p for k, p in p_values.items() if (k[1] == POOLED) == pooled})
    return corrected


def pairwise(
    tables: Mapping[str, ItemTable],
    pairs: Sequence[tuple[str, str, str]],
    measure: str,
    resamples: int,
    seed: int,
) -> list[Tested]:
    """These comparisons, (method, against, metric), in each language and pooled: one family of
    tests pooled, and one of those of single languages.
    """
    rows: list[Tested] = []
    for method, other, metric in pairs:
        one, two = tables[method], tables[other]
        gains = difference(one, two, metric, measure, resamples=resamples, seed=seed)
        least = minimum_detectable_effect(one, two, metric, measure)
        for language, test in permutation_test(one, two, metric, measure, seed=seed).items():
            rows.append(
                Tested(
                    method,
                    other,
                    metric,
                    language,
                    measure,
                    gains[language],
                    test,
                    least[language].value,
                )
            )
    corrected: dict[int, float] = {}
    for pooled in (True, False):
        corrected |= correct(
            {k: r.test.p_value for k, r in enumerate(rows) if (r.language == POOLED) == pooled}
        )
    return [Tested(**{**vars(r), "p_holm": corrected[k]}) for k, r in enumerate(rows)]


def to_csv(rows: Sequence[Tested]) -> str:
    """A row per comparison."""
    return csv_text([row.flat() for row in rows])


def erased(tested: Sequence[Tested], measure: str) -> dict[str, list[str]]:
    """Where localization fell by more than chance, as {method: [language, ...]}: the claim of
    cultural erasure.

    A difference below 0 whose sign-flip test, after Holm's correction over the run's comparisons of
    this measure, has p < 0.05. An interval below 0 is no such claim: it is one of many, and not
    corrected for being so.
    """
    found: dict[str, list[str]] = {}
    for r in tested:
        own = (r.metric, r.measure) == ("localization", measure)
        if own and r.difference.value < 0 and r.p_holm < ALPHA:
            found.setdefault(r.method, []).append(r.language)
    return found


def arms_table(rows: Sequence[Tested]) -> str:
    """The pooled comparisons with control arms as text."""
    table = [("method", "less its control", "on", "difference", "p (Holm)")]
    for r in rows:
        if r.language == POOLED:
            d = f"{r.difference.value:+.3f} [{r.difference.low:+.3f}, {r.difference.high:+.3f}]"
            arm = Condition.parse(r.against).arm
            table.append((r.method, arm, r.metric, d, f"{r.p_holm:.4f}"))
    return "\n".join(in_columns(table, (10, 22, 14, 28)))
