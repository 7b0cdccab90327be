"""The test numbers of a run: every method, language and metric, with interval and n, as CSV and JSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mechcla.metrics import metrics
from mechcla.metrics.estimates import POOLED, Estimate
from mechcla.metrics.plane_point import PlanePoint
from mechcla.scoring.scores import Scores
from mechcla.steering.families import FAMILIES, Condition

METRICS = ("transfer", "localization", "english_bias")


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
    tables: Mapping[str, Scores], languages: list[str], resamples: int, seed: int, pivot: str = "en"
) -> list[Row]:
    """All rows; "all" pools the steered languages and leaves English out."""
    rows: list[Row] = []
    steered = {
        name: Scores(tuple(r for r in t if r.language in languages)) for name, t in tables.items()
    }
    english = {
        name: t.where(language=pivot) for name, t in tables.items() if len(t.where(language=pivot))
    }
    options: dict[str, Any] = {"resamples": resamples, "seed": seed}
    for measure in ("accuracy", "share"):
        for metric in METRICS:
            for group, keys in ((steered, [*languages, POOLED]), (english, [pivot])):
                if metric == "english_bias" and group is english:
                    continue
                base = group["unsteered"]
                for name, scores in group.items():
                    if name == "explicit" and metric == "transfer":
                        continue  # explicit prompting leaves universal items as they are
                    if not len(scores.where(kind=metrics.METRICS[metric][0])):
                        continue  # a control arm is scored on its family's axis alone
                    values = metrics.metric(scores, metric, measure, **options)
                    changes = (
                        metrics.difference(scores, base, metric, measure, **options)
                        if name != "unsteered"
                        else {}
                    )
                    rows += [Row(name, k, metric, measure, values[k], changes.get(k)) for k in keys]
        for name, scores in steered.items():
            if (
                FAMILIES[Condition.parse(name).family].vectors and not Condition.parse(name).is_arm
            ):  # control arms recover nothing
                found = metrics.recoverable_fraction(
                    scores, steered["unsteered"], steered["explicit"], measure, **options
                )
                rows += [
                    Row(name, k, "recoverable_fraction", measure, found[k], None)
                    for k in [*languages, POOLED]
                ]
    return rows


def to_csv(rows: list[Row]) -> str:
    out = io.StringIO()
    flat = [row.flat() for row in rows]
    writer = csv.DictWriter(out, fieldnames=list(flat[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return out.getvalue()


def remarks(points: Sequence[PlanePoint], unsteered: Scores) -> str:
    """Chance levels, and where a method erases: its interval on the localization axis lies below 0."""
    levels = ", ".join(
        f"{metric} {metrics.chance(unsteered.where(kind=kind)):.3f}"
        for metric, kind in (("transfer", "universal"), ("localization", "cultural"))
    )
    erased: dict[str, list[str]] = {}
    for p in points:
        if p.erasure:
            erased.setdefault(p.method, []).append(p.language)
    listed = (
        "; ".join(f"{method}: {' '.join(languages)}" for method, languages in erased.items())
        or "nowhere"
    )
    return f"A guess would get: {levels}\nCultural erasure (interval of the change in localization below 0): {listed}"


def pooled_table(rows: list[Row], measure: str = "share", change: bool = False) -> str:
    """The pooled test numbers as text, a line a method; change: differences from the unsteered model, paired by item."""
    lines = [f"{'method':<12}{'transfer':<30}{'localization':<30}{'English bias':<30}"]
    for name in dict.fromkeys(r.method for r in rows):
        cells = []
        for metric in METRICS:
            row = next(
                (
                    r
                    for r in rows
                    if (r.method, r.language, r.metric, r.measure)
                    == (name, POOLED, metric, measure)
                ),
                None,
            )
            cells.append(_cell(row, change))
        lines.append(f"{name:<12}" + "".join(f"{c:<30}" for c in cells))
    return "\n".join(lines)


def _cell(row: Row | None, change: bool) -> str:
    if row is None:
        return ""
    if not change:
        return str(row.value)
    d = row.difference
    return f"{d.value:+.3f} [{d.low:+.3f}, {d.high:+.3f}]" if d else ""
