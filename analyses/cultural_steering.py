"""What finished runs on real cultural questions show: every condition's localization, English bias
and collision-aware bias on test, beside transfer where the run has universal items.

    python -m analyses.cultural_steering runs/blend runs/locqa --out docs/reference

Writes cultural_steering.csv: a row per run, condition, metric and language (and "all", pooled over
all but English), in share, with its 95% bootstrap interval over questions and n; `difference` is
from the run's own unsteered model, paired by item. p_holm is the run's own test, corrected over all
that this run tests; biases and control arms are not tested against the unsteered model. `chosen` is
what dev chose in this language. With --choice RUN the questions are also scored under what that
run's dev chose, with its vectors ("LOC carried"), in the languages that both have.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import mechcla
from analyses.common import one_message, write
from mechcla.errors import nearest
from mechcla.items.item import PIVOT
from mechcla.metrics.estimates import POOLED, Estimate
from mechcla.metrics.metrics import METRICS, difference, metric
from mechcla.runs.run import Run
from mechcla.runs.several import complete_runs
from mechcla.scoring.scores import Scores
from mechcla.steering.method import Method
from mechcla.steering.recorded import method_of

SHOWN = ("transfer", "localization", "english_bias", "collision_aware_bias")
UNSTEERED = "unsteered"
CARRIED = "carried"


def steered_rows(scores: Scores) -> Scores:
    """Without English, which no vector steers."""
    return Scores(tuple(row for row in scores if row.language != PIVOT), scores.settings)


def carried(
    choice: Run, run: Run, model: mechcla.HookedModel, families: Sequence[str]
) -> dict[str, Scores]:
    """A run's test questions under the methods of these families that another run's dev chose, with
    the vectors of that one, in the languages that both have: {"LOC carried": scores, ...}.

    Where the other one chose the unsteered model its scores are the run's own.
    """
    base = steered_rows(run.scores(UNSTEERED)).where(kind="cultural")
    shared = [k for k in dict.fromkeys(row.language for row in base) if _in_all(choice, k)]
    asked = {(row.language, row.id) for row in base if row.language in shared}
    items = run.item_set.test.cultural.where(lambda i: (i.language, i.id) in asked)
    found = {}
    for family in families:
        methods = {k: method_of(choice.choice[family][k]) for k in shared}
        steps = {k: m.interventions(choice.vectors, k) for k, m in methods.items() if m != Method()}
        rows = [row for row in base if row.language in set(shared) - set(steps)]
        if steps:
            moved = items.language(*steps)
            rows += mechcla.score(model, moved, interventions=steps, prior=False)
        found[f"{family} {CARRIED}"] = Scores(tuple(rows))
        print(run.folder.name, family, "scored", flush=True)
    return found


def _in_all(choice: Run, language: str) -> bool:
    return all(language in by_language for by_language in choice.choice.values())


def rows_of(
    name: str, run: Run, also: Mapping[str, Scores], resamples: int, seed: int = 0
) -> Iterator[dict[str, Any]]:
    """The rows of one run, and of what else its questions were scored under."""
    tables = {c: steered_rows(run.scores(c)) for c in run.conditions} | dict(also)
    base = tables[UNSTEERED]
    tested = {
        (r["method"], r["metric"], r["language"]): r["p_holm"]
        for r in run.tests
        if (r["against"], r["measure"]) == (UNSTEERED, "share")
    }
    for condition, scores in tables.items():
        chosen = run.choice.get(condition, {})
        for what in (m for m in SHOWN if _measures(scores, m)):
            values = metric(scores, what, resamples=resamples, seed=seed)
            apart: dict[str, Estimate] = {}
            if condition != UNSTEERED and _measures(base, what):
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
    parser.add_argument("--choice", type=Path, help="finished run whose choices are carried over")
    parser.add_argument("--families", help="of --choice, as LOC,GATED; default: all")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    found = complete_runs(args.runs, "laid side by side")
    also: dict[str, dict[str, Scores]] = {name: {} for name in found}
    if args.choice:
        (choice,) = complete_runs([args.choice], "carried over").values()
        families = args.families.split(",") if args.families else list(choice.choice)
        for family in families:
            if family not in choice.choice:
                raise mechcla.MechclaError(
                    f"{args.choice} chose no {family!r}; {nearest(family, choice.choice)}"
                )
        model = mechcla.load_model(choice.config["model"])
        also = {name: carried(choice, run, model, families) for name, run in found.items()}
    table = [
        row for name, run in found.items() for row in rows_of(name, run, also[name], args.resamples)
    ]
    write(args.out, "cultural_steering", table)
