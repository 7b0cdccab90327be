"""The front on the plane: does Surgical Steering, plain or gated, stand above what it is made of?

    python -m analyses.front runs/base runs/midalign --out runs/front

Reads finished runs, the base's first. Written: front.csv, every condition's change in transfer and
localization on test, pooled over all languages but English, against its own model unsteered and
against the base, with 95% bootstrap interval, n, p-value after Holm over this table, the smallest
detectable difference, what came back, and whether it is on the Pareto front of its run (and of all
runs together) and in what share of bootstrap draws; front_tests.csv, SUR and GATED against EN, LOC,
each other and their control arms; front_cost.csv, cells and seconds by stage; and the figure.

Draws: questions, the same ones for all conditions; those of universal and of cultural items are
drawn apart. A condition is on a draw's front where no other one matches or beats it on both axes.
`front` is among the methods and the unsteered model; `front_with_arms` among control arms too.
Explicit prompting names the country and is on neither. An arm that was scored on one kind of items
has one axis. Seconds are between the times at which the files of the run folder were written, on
whatever else the machine was doing; a pause of over ten minutes is taken for an interruption.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from analyses.common import one_message, write
from mechcla.errors import MechclaError
from mechcla.items.item import PIVOT
from mechcla.metrics.estimates import POOLED, bootstrap_means
from mechcla.metrics.metrics import paired_differences
from mechcla.plots.labels import label_points
from mechcla.plots.style import STYLE, cross, new_figure
from mechcla.runs.aligned import aligned_tables
from mechcla.runs.aligned_values import EXPLICIT, UNSTEERED, AlignedComparison, AlignedValue
from mechcla.runs.compare import same_questions
from mechcla.runs.run import Run
from mechcla.runs.several import complete_runs
from mechcla.scoring.scores import Scores
from mechcla.statistics import minimum_detectable_effect
from mechcla.steering.families import BOTH, FAMILIES, Condition, look
from mechcla.steering.method import Method
from mechcla.sweep.dev_point import DevPoint
from mechcla.sweep.evidence import ALPHA, pairwise
from mechcla.sweep.rule import pareto_front

Tables = dict[str, dict[str, Scores]]  # by run and condition, without English
Draws = dict[str, tuple[Any, Any]]  # by condition: changes on both axes, the sample's own first
METHODS = ("SUR", "GATED")
KINDS = dict(zip(BOTH, ("universal", "cultural"), strict=True))
PAUSE = 600.0  # seconds between two files that are taken for an interruption
CELL = re.compile(r"(?P<name>.+)-(universal|cultural)-(implicit|explicit|us)-[0-9a-f]{16}-")


def tables_of(runs: Mapping[str, Run]) -> Tables:
    """Test scores of every condition, control arms too, of the steered languages."""
    return {
        name: {
            c: Scores(tuple(row for row in run.scores(c) if row.language != PIVOT))
            for c in run.conditions
        }
        for name, run in runs.items()
    }


def draws_of(tables: Mapping[str, Scores], reference: Scores, resamples: int, seed: int) -> Draws:
    """Changes against a reference of the conditions that have both axes over the same items."""
    found: Draws = {}
    for condition, scores in tables.items():
        if condition == EXPLICIT or not all(len(scores.where(kind=k)) for k in KINDS.values()):
            continue
        axes = []
        for shift, axis in enumerate(BOTH):
            changes = paired_differences(scores, reference, axis)
            ordered = {k: dict(sorted(changes[k].items())) for k in sorted(changes)}
            whole = {(row.language, row.id) for row in reference.where(kind=KINDS[axis])}
            if {(k, i) for k, by in ordered.items() for i in by} != whole:
                break  # other items: other draws
            axes.append(bootstrap_means(ordered, resamples, seed + shift)[POOLED])
        if len(axes) == len(BOTH):
            found[condition] = (axes[0], axes[1])
    return found


def fronts(draws: Mapping[Any, tuple[Any, Any]]) -> dict[Any, tuple[bool, float]]:
    """By key: whether it is on the Pareto front, and in what share of the draws."""
    keys = list(draws)
    named = [Method().named_as(str(k)) for k in range(len(keys))]  # a point needs a method
    hits = np.zeros(len(keys))
    on: list[int] = []
    n = len(next(iter(draws.values()))[0])
    for draw in range(n):
        points = [
            DevPoint(m, float(draws[k][0][draw]), float(draws[k][1][draw]), {})
            for m, k in zip(named, keys, strict=True)
        ]
        front = [int(p.method.named) for p in pareto_front(points)]
        if draw == 0:
            on = front
        else:
            hits[front] += 1
    return {k: (i in on, float(hits[i] / (n - 1))) for i, k in enumerate(keys)}


def front_columns(
    tables: Tables, resamples: int, seed: int
) -> dict[tuple[str, str], dict[str, Any]]:
    """By run and condition: the fronts that it is on."""
    base = next(iter(tables))
    found: dict[tuple[str, str], dict[str, Any]] = {}
    everywhere: dict[tuple[str, str], tuple[Any, Any]] = {}
    for run, scored in tables.items():
        own = draws_of(scored, scored[UNSTEERED], resamples, seed)
        methods = {c: d for c, d in own.items() if not Condition.parse(c).is_arm}
        for name, among in (("front", methods), ("front_with_arms", own)):
            for condition, (on, share) in fronts(among).items():
                row = found.setdefault((run, condition), {})
                row |= {name: "yes" if on else "no", f"{name}_share": share}
        against = draws_of(scored, tables[base][UNSTEERED], resamples, seed)
        everywhere |= {(run, c): d for c, d in against.items() if c in methods}
    if len(tables) > 1:
        for key, (on, share) in fronts(everywhere).items():
            found[key] |= {"front_of_all": "yes" if on else "no", "front_of_all_share": share}
    return found


def point_rows(
    compared: AlignedComparison, fronts_of: Mapping[tuple[str, str], Mapping[str, Any]]
) -> Iterator[dict[str, Any]]:
    """A row per run, condition, model that it is held against, and axis; pooled."""
    empty = dict.fromkeys(k for row in fronts_of.values() for k in row)
    for v in compared.values:
        if v.language == POOLED:
            yield v.flat() | empty | dict(fronts_of.get((v.model, v.condition), {}))


def pairs_of(conditions: Sequence[str]) -> dict[str, list[tuple[str, str, str]]]:
    """(method, against, axis) by family of tests: what is claimed, and what else is asked."""
    there = [m for m in METHODS if m in conditions]
    claimed = [(m, o, a) for m in there for o, a in zip(("EN", "LOC"), BOTH[::-1], strict=True)]
    more = [(m, o, a) for m in there for o, a in zip(("EN", "LOC"), BOTH, strict=True)]
    more += [(m, UNSTEERED, a) for m in there for a in BOTH]
    more += [("GATED", "SUR", a) for a in BOTH] if len(there) == len(METHODS) else []
    arms = [(m, f"{m} {arm}", a) for m in there for arm in FAMILIES[m].arms for a in BOTH]
    found = {"claim": claimed, "beside": more, "arms": arms}
    return {k: [p for p in v if p[1] in conditions] for k, v in found.items()}


def test_rows(tables: Tables, resamples: int, seed: int) -> Iterator[dict[str, Any]]:
    """Every comparison of all runs, by language and pooled. Each family is corrected after Holm
    over all runs, the pooled tests apart from those of single languages; detectable_holm is at
    alpha over their number.
    """
    named = {f"{run}|{c}": t for run, scored in tables.items() for c, t in scored.items()}
    asked: dict[str, list[tuple[str, str, str]]] = {}
    for run, scored in tables.items():
        for family, listed in pairs_of(list(scored)).items():
            asked.setdefault(family, []).extend(
                (f"{run}|{m}", f"{run}|{o}", axis) for m, o, axis in listed
            )
    for family, pairs in asked.items():
        found = pairwise(named, pairs, "share", resamples, seed)
        many = {pooled: sum((r.language == POOLED) == pooled for r in found) for pooled in (0, 1)}
        for r in found:
            level = ALPHA / many[r.language == POOLED]
            least = minimum_detectable_effect(
                named[r.method], named[r.against], r.metric, alpha=level
            )
            run, _, method = r.method.partition("|")
            yield {
                "family": family,
                "run": run,
                **r.flat(),
                "method": method,
                "against": r.against.partition("|")[2],
                "detectable_holm": least[r.language].value,
                "tests": many[r.language == POOLED],
            }


def cost_rows(name: str, run: Run) -> Iterator[dict[str, Any]]:
    """Cells and seconds of a run by stage: the vectors, each family's search on dev, test."""
    family = {p["name"]: p["family"] for c in run.selection["choices"] for p in c["points"]}
    vectors = sorted(p.stat().st_mtime for p in (run.folder / "vectors").glob("*.safetensors"))
    begun = (run.folder / "config.yaml").stat().st_mtime
    cells: dict[str, int] = {"vectors": 0}
    seconds: dict[str, float] = {"vectors": max(0.0, vectors[-1] - begun)}
    files = [(p.stat().st_mtime, p) for p in (run.folder / "cells").rglob("*.parquet")]
    before = vectors[-1]
    for at, path in sorted(files, key=lambda pair: (pair[0], pair[1].name)):
        match = CELL.match(path.stem)
        if match is None:
            raise MechclaError(f"{str(path)!r} is no cell that this script can read the name of")
        dev = path.relative_to(run.folder).parts[1] == "dev"
        stage = family.get(match["name"], match["name"]) if dev else "test"
        cells[stage] = cells.get(stage, 0) + 1
        took = at - before
        seconds[stage] = seconds.get(stage, 0.0) + (took if 0 <= took <= PAUSE else 0.0)
        before = at
    order = ["vectors", UNSTEERED, *(f for f in FAMILIES if f != UNSTEERED), "test"]
    for stage in sorted(cells, key=lambda s: order.index(s) if s in order else len(order)):
        yield {
            "run": name,
            "stage": stage,
            "cells": cells[stage],
            "seconds": round(seconds[stage], 1),
        }


def figure_of(
    compared: AlignedComparison, fronts_of: Mapping[tuple[str, str], Mapping[str, Any]]
) -> Figure:
    """A panel per run: changes from its own model unsteered; full marks are on the front."""
    runs = compared.models
    with matplotlib.rc_context(STYLE):
        figure, axes = new_figure(3.6 * len(runs) + 0.4, 3.6, len(runs), sharex=True, sharey=True)
        for axis, run in zip(axes, runs, strict=True):
            _panel(axis, [v for v in compared.values if v.model == run], run, fronts_of)
        axes[0].set_ylabel(f"change in localization ({compared.settings['measure']})")
    return figure


def _panel(
    axis: Axes,
    values: Sequence[AlignedValue],
    run: str,
    fronts_of: Mapping[tuple[str, str], Mapping[str, Any]],
) -> None:
    axis.axhline(0, color="0.6", lw=0.8)
    axis.axvline(0, color="0.6", lw=0.8)
    own = {(v.condition, v.metric): v.difference for v in values if _to_itself(v, run)}
    labels, marks, lines = {}, [], []
    front = [(0.0, 0.0)] if fronts_of.get((run, UNSTEERED), {}).get("front") == "yes" else []
    for condition in dict.fromkeys(c for c, _ in own):
        x, y = (own.get((condition, a)) for a in BOTH)
        if x is None or y is None or condition == EXPLICIT:
            continue
        arm = Condition.parse(condition).is_arm
        mark, tint = look(condition)
        on = fronts_of.get((run, condition), {}).get("front") == "yes"
        tint = "0.6" if arm else tint
        face = tint if on else "white"
        shape: dict[str, Any] = {"marker": mark, "ms": 3.5 if arm else 6, "color": tint}
        cross(axis, x, y, mfc=face, zorder=2 if arm else 3, **shape)
        labels[condition] = ((x.value, y.value), tint)
        marks.append((x.value, y.value))
        lines += [((x.low, y.value), (x.high, y.value)), ((x.value, y.low), (x.value, y.high))]
        front += [(x.value, y.value)] if on else []
    if front:
        xs, ys = zip(*sorted(front), strict=True)
        axis.step(xs, ys, where="pre", color="0.3", lw=0.8, ls=":")
    axis.set(title=run, xlabel="change in transfer")
    axis.xaxis.set_major_locator(MaxNLocator(5))
    axis.margins(0.12)
    label_points(axis, labels, marks, lines)


def _to_itself(v: AlignedValue, run: str) -> bool:
    return v.language == POOLED and v.difference is not None and v.against == run


def main(out: Path, folders: Sequence[Path], resamples: int, seed: int) -> None:
    runs = complete_runs(folders, "put on one plane")
    if len(runs) > 1:
        same_questions(runs)
    tables = tables_of(runs)
    compared = aligned_tables(tables, metrics=BOTH, resamples=resamples, seed=seed)
    on = front_columns(tables, resamples, seed)
    write(out, "front", point_rows(compared, on), figure_of(compared, on))
    write(out, "front_tests", test_rows(tables, resamples, seed))
    write(out, "front_cost", (row for name, run in runs.items() for row in cost_rows(name, run)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path, nargs="+", help="finished run folders, the base's first")
    parser.add_argument("--out", type=Path, default=Path("runs/figures"), help="folder to write to")
    parser.add_argument("--resamples", type=int, default=2000, help="of the bootstrap")
    parser.add_argument("--seed", type=int, default=0)
    sys.excepthook = one_message
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    main(args.out, args.runs, args.resamples, args.seed)
