"""compare_runs: two or more runs on one plane, paired by item. It reads folders, and no model.

    compared = mechcla.compare_runs(["runs/base", "runs/midalign"])
    print(compared)                        # pooled values, and differences to the first run
    compared.rows().where(language="es")   # every number

The first run is what the others are compared with: a base and its adapters, or two models.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mechcla.errors import MechclaError, nearest
from mechcla.items.item import PIVOT, Item
from mechcla.metrics.estimates import POOLED, RESAMPLES, Estimate
from mechcla.metrics.metrics import METRICS, Measure, difference, metric
from mechcla.results import Rows
from mechcla.runs.run import Run
from mechcla.runs.several import complete_runs
from mechcla.runs.tables import in_columns
from mechcla.runs.written import (
    after_holm,
    change_text,
    columns,
    not_compared,
    p_text,
    pooled_alike,
    tested,
)
from mechcla.scoring.scores import ItemScore, Scores
from mechcla.statistics import TestResult, minimum_detectable_effect, permutation_test
from mechcla.steering.families import BOTH, Condition

if TYPE_CHECKING:
    import pandas as pd

SUMMARY = (*BOTH, "english_bias")
LIMIT = (
    "a run's layers and strengths are its own dev's choice, so a difference between two runs under "
    "a steering is one between model and choice together; the unsteered rows compare the models"
)
Key = tuple[str, str, str, str]


@dataclass(frozen=True)
class ComparedValue:
    """A metric of one run under one condition in one language, over the items that all runs with
    the condition scored.

    difference, test, detectable, p_holm: against the first run, paired by item; None for the first
    run itself. p_holm is corrected over the pooled differences, or over those of single languages.
    detectable: the smallest difference that this many questions would have shown (power 0.8, alpha
    0.05, uncorrected).
    """

    run: str
    condition: str
    language: str
    metric: str
    value: Estimate
    difference: Estimate | None = None
    test: TestResult | None = None
    detectable: float | None = None
    p_holm: float | None = None

    def flat(self) -> dict[str, Any]:
        """The numbers as one record of a table."""
        return {
            "run": self.run,
            "condition": self.condition,
            "language": self.language,
            "metric": self.metric,
            "measure": self.value.measure,
            **columns("value", self.value),
            "n": self.value.n,
            **columns("difference", self.difference),
            **tested(self.test, self.p_holm, self.detectable),
        }


@dataclass(frozen=True)
class RunPoint:
    """A run under one condition in one language on the transfer-localization plane."""

    run: str
    condition: str
    language: str
    transfer: Estimate
    localization: Estimate


@dataclass(frozen=True)
class RunComparison:
    """What `compare_runs` found; `print` it, or take `rows()`, `to_pandas()` and `plane()`.

    runs: the runs' names here, the first being what the others are compared with. left_out: what
    one run scored and another did not, counted; 0 items: a run that lacks the condition. differing:
    the settings in which the runs differ, with each run's value. limit: what the numbers do not
    say.
    """

    values: tuple[ComparedValue, ...] = field(repr=False)
    runs: tuple[str, ...]
    left_out: Rows = field(repr=False)
    differing: Mapping[str, tuple[Any, ...]] = field(repr=False)
    settings: Mapping[str, Any]
    limit: str = LIMIT

    def rows(self) -> Rows:
        """One record per run, condition, language and metric."""
        return Rows(tuple(v.flat() for v in self.values), self.settings)

    def to_pandas(self) -> pd.DataFrame:
        """`rows()` as a data frame."""
        return self.rows().to_pandas()

    def plane(self) -> tuple[RunPoint, ...]:
        """The points of all runs on one plane, where a condition has both axes.

        Explicit prompting leaves universal items as they are, so it has no point of its own. The
        pooled point is left out where the two axes are not measured in the same languages.
        """
        found: dict[tuple[str, str], dict[str, dict[str, Estimate]]] = {}
        for v in self.values:
            axes = found.setdefault((v.condition, v.run), {})
            axes.setdefault(v.metric, {})[v.language] = v.value
        points = []
        for (condition, run), axes in found.items():
            x, y = (axes.get(name, {}) for name in BOTH)
            for language in x:
                if language in y and pooled_alike(x, y, language):
                    points.append(RunPoint(run, condition, language, x[language], y[language]))
        return tuple(points)

    def __str__(self) -> str:
        first, measure = self.runs[0], self.settings["measure"]
        lines = [
            f"{measure}, pooled over languages, 95% interval, n items; differences to {first!r}, "
            "paired by item; p: sign-flip test by question, after Holm",
        ]
        table = [("condition", "metric", "run", "value", "difference", "p")]
        for v in self.values:
            if v.language == POOLED:
                written = (str(v.value), change_text(v.difference), p_text(v.p_holm))
                table.append((v.condition, v.metric, v.run, *written))
        lines += in_columns(table)
        lines += not_compared(self.differing, self.left_out)
        return "\n".join([*lines, f"Limit: {self.limit}."])


def compare_runs(
    runs: Sequence[Run | str | Path],
    measure: Measure = "share",
    *,
    conditions: Sequence[str] | None = None,
    metrics: Sequence[str] = SUMMARY,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> RunComparison:
    """Two or more complete runs on one plane: each run's values, and differences to the first run.

    For every condition that the first run shares with another, each language and pooled over all
    but English: the metric of each run that has the condition, over the test items that all of
    these scored, and the paired difference to the first run with 95% bootstrap interval, n and
    sign-flip p-value by question, corrected after Holm. A run's settings, languages, chat template
    and items may differ: `differing` and `left_out` say how.

    runs: folders, or what `read_run` gave. conditions: default, all but the control arms. measure:
    "share" or "accuracy". Raises MechclaError for fewer than two runs, for one that is not complete
    or of another schema, for unknown names, for runs whose items of one id differ in their texts,
    and for runs without an item in common. Operationalisation: ours.

    >>> comparison = mechcla.compare_runs(["runs/base", "runs/midalign"])
    """
    read = read_runs(runs)
    names, first = list(read), next(iter(read.values()))
    same_questions(read)
    metrics = each_once(metrics, "metrics")
    for name in metrics:
        METRICS.get(name)
    left_out: list[dict[str, Any]] = []
    values: list[ComparedValue] = []
    for condition in _conditions(read, conditions):
        have = {name: run for name, run in read.items() if condition in run.conditions}
        lack = [name for name in names if name not in have]
        tables = {name: run.scores(condition) for name, run in have.items()}
        if names[0] not in have or len(have) < 2:
            why = f"{', '.join(map(repr, lack))} has no such condition"
            left_out += [left_record(name, condition, len(t), why) for name, t in tables.items()]
            continue
        left_out += [left_record(k, condition, 0, f"{k!r} has no such condition") for k in lack]
        tables, others = _common(tables, condition)
        left_out += others
        for table in steered_and_english(tables):
            values += _values(table, condition, metrics, measure, resamples, seed)
    if not values:
        raise MechclaError(
            f"nothing to compare: {', '.join(map(repr, names))} share no test item under any "
            f"condition; the first scored {', '.join(first.item_set.test.languages)} under "
            f"{', '.join(first.conditions)}"
        )
    settings = {
        "runs": {name: str(run.folder) for name, run in read.items()},
        "against": names[0],
        "measure": measure,
        "metrics": metrics,
        "correction": "holm",
        "resamples": resamples,
        "seed": seed,
    }
    rows = Rows(tuple(left_out), settings)
    return RunComparison(_corrected(values), tuple(names), rows, differing_settings(read), settings)


def read_runs(runs: Sequence[Run | str | Path]) -> dict[str, Run]:
    """The runs by a name for each: the last parts of its folder that tell them apart."""
    if isinstance(runs, str | Path | Run) or len(runs) < 2:
        given = [runs] if isinstance(runs, str | Path | Run) else list(runs)
        raise MechclaError(
            f"compare_runs takes two or more runs, given {[str(r) for r in given]}; expected e.g. "
            "compare_runs(['runs/base', 'runs/midalign'])"
        )
    return complete_runs(runs, "compared")


def each_once(names: Sequence[str], what: str) -> tuple[str, ...]:
    if isinstance(names, str) or not names or len(set(names)) < len(names):
        raise MechclaError(f"{what}={names!r}; expected different names, e.g. {what}=('EN',)")
    return tuple(names)


def _conditions(read: Mapping[str, Run], asked: Sequence[str] | None) -> tuple[str, ...]:
    known = tuple(dict.fromkeys(c for run in read.values() for c in run.conditions))
    if asked is None:
        return tuple(c for c in known if not Condition.parse(c).is_arm)
    for name in each_once(asked, "conditions"):
        if name not in known:
            raise MechclaError(f"no run has a condition {name!r}; {nearest(name, known, 30)}")
    return tuple(asked)


def same_questions(read: Mapping[str, Run]) -> None:
    """Refuse runs in which one id, language and kind stands for different test questions."""
    (first, one), *rest = (
        (name, {(i.id, i.language, i.kind): i for i in run.item_set.test})
        for name, run in read.items()
    )
    for name, other in rest:
        wrong = [key for key in one if key in other and _asks(one[key]) != _asks(other[key])]
        if wrong:
            a, b = _asks(one[wrong[0]]), _asks(other[wrong[0]])
            part = next(k for k in a if a[k] != b[k])
            ids = ", ".join(f"{i!r} ({language})" for i, language, _ in wrong[:10])
            raise MechclaError(
                f"{first!r} and {name!r} ask different questions under the same ids, so they "
                f"cannot be paired: {len(wrong)} test items differ: {ids}"
                f"{', ...' if wrong[10:] else ''}. The first differs in {part}: "
                f"{a[part]!r:.120} and {b[part]!r:.120}; expected runs over the same items, or ids "
                "of their own for other ones"
            )


def _asks(item: Item) -> dict[str, Any]:
    """What an item asks and offers: all that decides its scores."""
    names = ("prompt", "prompt_explicit", "prompt_us", "separator", "country", "candidates")
    return {name: getattr(item, name) for name in names}


def left_record(
    run: str, condition: str, items: int, why: str, language: str = "", kind: str = ""
) -> dict[str, Any]:
    place = {"run": run, "condition": condition, "language": language, "kind": kind}
    return {**place, "items": items, "why": why}


def _common(
    tables: Mapping[str, Scores], condition: str
) -> tuple[dict[str, Scores], list[dict[str, Any]]]:
    """The rows that all runs have, and what each has beside them, by language and kind."""
    keyed = {name: {row_key(row): row for row in table} for name, table in tables.items()}
    shared = [k for k in next(iter(keyed.values())) if all(k in rows for rows in keyed.values())]
    left = []
    for name, rows in keyed.items():
        lacking: dict[tuple[str, str, str], int] = {}
        for key in rows.keys() - set(shared):
            others = [repr(o) for o in keyed if key not in keyed[o]]
            place = (key[1], key[2], f"not scored by {', '.join(others)}")
            lacking[place] = lacking.get(place, 0) + 1
        left += [
            left_record(name, condition, n, why, language, kind)
            for (language, kind, why), n in sorted(lacking.items())
        ]
    return {n: Scores(tuple(rows[k] for k in shared)) for n, rows in keyed.items()}, left


def row_key(row: ItemScore) -> Key:
    return (row.id, row.language, row.kind, row.prompt_form)


def steered_and_english(tables: Mapping[str, Scores]) -> Iterator[dict[str, Scores]]:
    """The steered languages, which are pooled, and English, which is not."""
    tests: tuple[Callable[[ItemScore], bool], ...] = (
        lambda row: row.language != PIVOT,
        lambda row: row.language == PIVOT,
    )
    for keep in tests:
        yield {n: Scores(tuple(row for row in t if keep(row))) for n, t in tables.items()}


def _values(
    tables: Mapping[str, Scores],
    condition: str,
    metrics: Sequence[str],
    measure: Measure,
    resamples: int,
    seed: int,
) -> list[ComparedValue]:
    """Each metric that the items allow, of each run, and against the first run."""
    (first, base), *_ = tables.items()
    drawn: dict[str, Any] = {"resamples": resamples, "seed": seed}
    found = []
    for name in metrics:
        what = METRICS.get(name)
        if condition == "explicit" and what.kind == "universal":
            continue  # explicit prompting leaves universal items as they are
        if not any(row.kind == what.kind and what.role in row.roles for row in base):
            continue
        for run, scores in tables.items():
            estimates = metric(scores, name, measure, **drawn)
            changes = difference(scores, base, name, measure, **drawn) if run != first else {}
            tests = permutation_test(scores, base, name, measure, seed=seed) if changes else {}
            least = minimum_detectable_effect(scores, base, name, measure) if changes else {}
            for language, value in estimates.items():
                if language == POOLED and PIVOT in estimates:
                    continue  # English alone
                row = ComparedValue(run, condition, language, name, value)
                if changes:
                    detectable = least[language].value
                    row = replace(row, difference=changes[language], test=tests[language])
                    row = replace(row, detectable=detectable)
                found.append(row)
    return found


def _corrected(values: Sequence[ComparedValue]) -> tuple[ComparedValue, ...]:
    """The same with p-values after Holm."""
    p_holm = after_holm([(v.language, v.test) for v in values])
    return tuple(replace(v, p_holm=p) for v, p in zip(values, p_holm, strict=True))


def differing_settings(read: Mapping[str, Run]) -> dict[str, tuple[Any, ...]]:
    """The settings, and what else decides a run, in which the runs are not alike."""
    records = [
        {**{f"{k} digest": v for k, v in run.record["identity"].items()}, **run.config}
        for run in read.values()
    ]
    keys = dict.fromkeys(key for record in records for key in record)
    found = {key: tuple(record.get(key) for record in records) for key in keys}
    return {k: values for k, values in found.items() if any(v != values[0] for v in values)}
