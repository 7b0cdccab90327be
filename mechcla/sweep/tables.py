"""The test numbers of a run: every method, language and metric, with interval and n, as CSV and
JSON.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mechcla.items.item import PIVOT
from mechcla.metrics import metrics
from mechcla.metrics.estimates import POOLED, Estimate
from mechcla.metrics.item_values import AnyTable, ItemTable, of_languages
from mechcla.runs.tables import csv_text, in_columns
from mechcla.steering.families import FAMILIES, Condition
from mechcla.sweep.evidence import Tested, erased


@dataclass(frozen=True)
class Row:
    """One number of the summary. difference: against the unsteered model, paired by item."""

    method: str
    language: str
    metric: str
    measure: str
    value: Estimate
    difference: Estimate | None

    def flat(self) -> dict[str, Any]:
        row: dict[str, Any] = {
            "method": self.method,
            "language": self.language,
            "metric": self.metric,
            "measure": self.measure,
            "value": self.value.value,
            "low": self.value.low,
            "high": self.value.high,
            "n": self.value.n,
        }
        d = self.difference
        return row | {
            "difference": d.value if d else None,
            "difference_low": d.low if d else None,
            "difference_high": d.high if d else None,
        }


def summarise(
    tables: Mapping[str, AnyTable],
    languages: list[str],
    resamples: int,
    seed: int,
    pivot: str = PIVOT,
) -> list[Row]:
    """All rows; "all" pools the steered languages and leaves English out."""
    rows: list[Row] = []
    steered = {name: of_languages(t, languages) for name, t in tables.items()}
    english = {
        name: t.where(language=pivot) for name, t in tables.items() if len(t.where(language=pivot))
    }
    options: dict[str, Any] = {"resamples": resamples, "seed": seed}
    for measure in ("accuracy", "share"):
        for metric in (n for n, m in metrics.METRICS.items() if m.summary):
            for group, keys in ((steered, [*languages, POOLED]), (english, [pivot])):
                if group is english and metric not in ("transfer", "localization"):
                    continue
                for name, scores in group.items():
                    if name == "explicit" and metric == "transfer":
                        continue  # explicit prompting leaves universal items as they are
                    if not len(scores.where(kind=metrics.METRICS[metric].kind)):
                        continue  # a control arm is scored on its family's axis alone, and so
                        # is everything where the items have one kind alone
                    values = metrics.metric(scores, metric, measure, **options)
                    changes = (
                        metrics.difference(scores, group["unsteered"], metric, measure, **options)
                        if name != "unsteered"
                        else {}
                    )
                    rows += [
                        Row(name, k, metric, measure, values[k], changes.get(k))
                        for k in keys
                        if k in values
                    ]
        for name, scores in steered.items():
            condition = Condition.parse(name)
            recovers = FAMILIES[condition.family].vectors and not condition.is_arm
            if recovers and len(scores.where(kind="cultural")):
                found = metrics.recoverable_fraction(
                    scores, steered["unsteered"], steered["explicit"], measure, **options
                )
                rows += [
                    Row(name, k, "recoverable_fraction", measure, found[k], None)
                    for k in [*languages, POOLED]
                    if k in found
                ]
    return rows


def to_csv(rows: Sequence[Row]) -> str:
    return csv_text([row.flat() for row in rows])


def remarks(tested: Sequence[Tested], unsteered: ItemTable, measure: str) -> str:
    """Chance levels, and where a method erases by more than chance (`evidence.erased`)."""
    levels = ", ".join(
        f"{metric} {metrics.chance(unsteered.where(kind=kind)):.3f}"
        for metric, kind in (("transfer", "universal"), ("localization", "cultural"))
        if len(unsteered.where(kind=kind))
    )
    found = erased(tested, measure).items()
    listed = "; ".join(f"{method}: {' '.join(languages)}" for method, languages in found)
    lines = [f"A guess would get: {levels}"]
    if len(unsteered.where(kind="cultural")):
        lines.append(
            "Cultural erasure (localization falls; sign-flip test, p < 0.05 after Holm): "
            f"{listed or 'nowhere'}"
        )
    return "\n".join(lines)


def pooled_table(rows: Sequence[Row], measure: str = "share", tested: Sequence[Tested] = ()) -> str:
    """The pooled test numbers as text, a line per method.

    tested: give these, and the cells are changes from the unsteered model, paired by item, with the
    p-values of their sign-flip tests after Holm. English bias is not tested, so it has none.
    """
    wide = 36 if tested else 30
    shown = [m for m in metrics.METRICS if any(r.metric == m for r in rows)]
    heads = [m.replace("english_bias", "English bias") for m in shown]
    table = [["method", *heads]]
    p = {
        (t.method, t.metric): t.p_holm
        for t in tested
        if (t.language, t.measure) == (POOLED, measure)
    }
    for name in dict.fromkeys(r.method for r in rows):
        cells = []
        for metric in shown:
            row = next(
                (
                    r
                    for r in rows
                    if (r.method, r.language, r.metric, r.measure)
                    == (name, POOLED, metric, measure)
                ),
                None,
            )
            cells.append(_cell(row, p.get((name, metric)) if tested else None, bool(tested)))
        table.append([name, *cells])
    lines = in_columns(table, (12, *(wide for _ in shown)))
    return "\n".join([*lines, *_pooled_over(rows, shown, measure)])


def _pooled_over(rows: Sequence[Row], shown: Sequence[str], measure: str) -> list[str]:
    """Which languages each pooled number is over, where not all are over the same ones."""
    over: dict[tuple[str, str], list[str]] = {}
    for r in rows:
        if r.measure == measure and r.metric in shown and r.language not in (POOLED, PIVOT):
            over.setdefault((r.metric, r.method), []).append(r.language)
    if len({tuple(languages) for languages in over.values()}) < 2:
        return []
    lines = []
    for metric in shown:
        mine = {method: languages for (m, method), languages in over.items() if m == metric}
        most = max(mine.values(), key=len)
        others = (f"{k} {' '.join(v)}" for k, v in mine.items() if v != most)
        lines.append("; ".join([f"{metric} is pooled over {' '.join(most)}", *others]))
    return lines


def _cell(row: Row | None, p: float | None, change: bool) -> str:
    if row is None:
        return ""
    if not change:
        return str(row.value)
    d = row.difference
    shown = "" if p is None else f" p={p:.4f}"
    return f"{d.value:+.3f} [{d.low:+.3f}, {d.high:+.3f}]{shown}" if d else ""
