"""What finished runs on real cultural questions show: every condition's localization, English bias
and collision-aware bias on test, beside transfer where the run has universal items.

    python -m analyses.cultural_steering runs/blend runs/locqa --out docs/reference

Writes cultural_steering.csv: a row per run, condition, metric and language (and "all", pooled over
all but English), in share, with its 95% bootstrap interval over questions and n; `difference` is
from the run's own unsteered model, paired by item. p_holm is the run's own test, corrected over all
that this run tests; biases and control arms are not tested against the unsteered model. `chosen` is
what dev chose in this language.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from analyses.common import one_message, write
from mechcla.items.item import PIVOT
from mechcla.metrics.estimates import POOLED, Estimate
from mechcla.metrics.metrics import METRICS, difference, metric
from mechcla.runs.run import Run
from mechcla.runs.several import complete_runs
from mechcla.scoring.scores import Scores
from mechcla.steering.families import Condition

SHOWN = ("transfer", "localization", "english_bias", "collision_aware_bias")
UNSTEERED = "unsteered"


def steered_rows(scores: Scores) -> Scores:
    """Without English, which no vector steers."""
    return Scores(tuple(row for row in scores if row.language != PIVOT), scores.settings)


def rows_of(name: str, run: Run, resamples: int, seed: int = 0) -> Iterator[dict[str, Any]]:
    """The rows of one run."""
    tables = {c: steered_rows(run.scores(c)) for c in run.conditions}
    tested = {
        (r["method"], r["metric"], r["language"]): r["p_holm"]
        for r in run.tests
        if (r["against"], r["measure"]) == (UNSTEERED, "share")
    }
    for condition, scores in tables.items():
        chosen = run.choice.get(Condition.parse(condition).family, {})
        for what in SHOWN:
            if not _measures(scores, what):
                continue
            values = metric(scores, what, resamples=resamples, seed=seed)
            apart: dict[str, Estimate] = {}
            if condition != UNSTEERED and _measures(tables[UNSTEERED], what):
                base = tables[UNSTEERED]
                apart = difference(scores, base, what, resamples=resamples, seed=seed)
            for language, value in values.items():
                yield {
                    "run": name,
                    "condition": condition,
                    "language": language,
                    "metric": what,
                    **_cells("value", value),
                    "n": value.n,
                    **_cells("difference", apart.get(language)),
                    "p_holm": tested.get((condition, what, language), ""),
                    "questions": _questions(scores, what, language),
                    "chosen": chosen.get(language, {}).get("name", ""),
                }


def _measures(scores: Scores, what: str) -> bool:
    """Whether there are items of the metric's kind that offer a candidate of its role."""
    found = METRICS[what]
    return any(found.role in row.roles for row in scores.where(kind=found.kind))


def _questions(scores: Scores, what: str, language: str) -> int:
    found = METRICS[what]
    kept = (row for row in scores.where(kind=found.kind) if found.role in row.roles)
    return len({row.id for row in kept if language in (POOLED, row.language)})


def _cells(name: str, found: Estimate | None) -> dict[str, Any]:
    keys = (name, f"{name}_low", f"{name}_high")
    if found is None:
        return dict.fromkeys(keys, "")
    return dict(zip(keys, (found.value, found.low, found.high), strict=True))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path, nargs="+", help="finished run folders")
    parser.add_argument("--out", type=Path, default=Path("runs/figures"), help="folder to write to")
    parser.add_argument("--resamples", type=int, default=2000, help="of the bootstrap")
    sys.excepthook = one_message
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    found = complete_runs(args.runs, "laid side by side")
    table = [row for name, run in found.items() for row in rows_of(name, run, args.resamples)]
    write(args.out, "cultural_steering", table)
