"""Which choice rule generalises: cross-validation over dev questions, all rules on the same cells.

Dev questions are split into folds by a hash of their id; each rule chooses on the other folds, and
what it chose is measured on the fold that was left out. Every cell is scored once
(analyses/choice_cells.py), or was scored by a sweep (--run), so all else is arithmetic. Averaged
over --repeats ways to split; intervals are bootstraps over questions, with the choices as they
were. Limit: the vectors are made on the same dev items, left-out ones too, so gains are optimistic,
alike for all rules.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from analyses.choice_cells import Grid, Values, cells_of_run, score_cells
from analyses.common import arguments, load, write
from mechcla.errors import MechclaError
from mechcla.metrics.estimates import POOLED, bootstrap_means
from mechcla.steering.families import AXIS_OF, FAMILIES
from mechcla.steering.method import Method
from mechcla.sweep.choosing import RULES, Limits
from mechcla.sweep.dev_point import DevPoint, point_of, within
from mechcla.sweep.rule import best

Cells = Mapping[tuple[str, str], Values]  # {(language, kind): {method's name: {id: share}}}
Table = dict[str, dict[str, float]]  # {language: {id: gain}}
AGAINST = "pooled"


def fold(question: str, seed: int, folds: int) -> tuple[int, str]:
    """The fold of a question, and a text by which questions are in random order."""
    digest = hashlib.sha256(f"{seed} {question}".encode()).hexdigest()
    return int(digest[:8], 16) % folds, digest


def changes(cells: Cells, method: Method, language: str, kind: str) -> dict[str, float]:
    """What each item gains under a method."""
    found = cells[language, kind]
    steered, base = found[method.name], found[Method().name]
    return {i: steered[i] - base[i] for i in base}


def chosen(
    points: Sequence[DevPoint], rule: str, languages: Sequence[str], family: str, limits: Limits
) -> dict[str, Method]:
    """What a rule takes of these points, by language; the unsteered model where it sees none."""
    how, found = RULES.get(rule), {}
    for group in how.groups(languages):
        mine = [p for p in (within(p, group) for p in points) if p is not None]
        for language in group:
            seen = mine if how.seen is None else how.seen(mine, language)
            found[language] = best(seen, family, limits).method if seen else Method()
    return found


@dataclass
class Left:
    """What a rule's choices gained on left-out questions: {axis: {language: {id: gains}}}."""

    gains: dict[str, dict[str, dict[str, list[float]]]] = field(default_factory=dict)
    steered: list[bool] = field(default_factory=list)

    def table(self, axis: str) -> Table:
        """Each item's gain, averaged over the ways to split."""
        return {
            k: {i: float(np.mean(v)) for i, v in column.items()}
            for k, column in self.gains[axis].items()
        }


def left_out(
    cells: Cells,
    methods: Sequence[Method],
    rules: Sequence[tuple[str, Limits]],
    folds: int,
    seed: int,
    chosen_on: int | None,
    found: dict[tuple[str, str], Left],
) -> None:
    """One way to split: every fold is left out once; adds to `found`, by rule and constraint.

    chosen_on: of how many questions of either kind a choice is made; None: all but the fold's. A
    language that has none of them is seen by no rule.
    """
    family = methods[0].family
    kinds = FAMILIES[family].kinds
    languages = list(dict.fromkeys(k for k, _ in cells))
    items = {
        (m, k, kind): changes(cells, m, k, kind)
        for m in methods
        for k in languages
        for kind in kinds
    }
    order = {kind: _ordered(cells, kind, seed, folds) for kind in kinds}
    for out in range(folds):
        train = {
            kind: {i for _, i in [x for x in order[kind] if x[0] != out][:chosen_on]}
            for kind in kinds
        }
        asked = {
            (k, kind): train[kind] & cells[k, kind][Method().name].keys()
            for k in languages
            for kind in kinds
        }
        learnt = [k for k in languages if all(asked[k, kind] for kind in kinds)]
        held = {kind: {i for f, i in order[kind] if f == out} for kind in kinds}
        points = [
            point_of(
                m,
                {
                    (k, kind): {
                        AXIS_OF[kind]: {
                            i: v for i, v in items[m, k, kind].items() if i in asked[k, kind]
                        }
                    }
                    for k in learnt
                    for kind in kinds
                },
            )
            for m in methods
            if learnt
        ]
        for rule, limits in rules:
            left = found.setdefault((rule, limits.constraint), Left())
            for k, method in chosen(points, rule, languages, family, limits).items():
                left.steered.append(method != Method())
                for kind in kinds:
                    column = left.gains.setdefault(AXIS_OF[kind], {}).setdefault(k, {})
                    for i in (i for i in cells[k, kind][Method().name] if i in held[kind]):
                        gain = 0.0 if method == Method() else items[method, k, kind][i]
                        column.setdefault(i, []).append(gain)


def _ordered(cells: Cells, kind: str, seed: int, folds: int) -> list[tuple[int, str]]:
    """(fold, id) of a kind's questions in random order."""
    ids = {i for (_, n), values in cells.items() if n == kind for i in values[Method().name]}
    by_hash = sorted((fold(i, seed, folds)[1], i) for i in ids)
    return [(fold(i, seed, folds)[0], i) for _, i in by_hash]


def compared(found: Mapping[tuple[str, str], Left], resamples: int) -> Iterator[dict[str, Any]]:
    """A row per rule, constraint and axis (and their sum), less `pooled` under the same constraint
    beside it.
    """
    for (rule, constraint), left in found.items():
        other = found[AGAINST, constraint]
        sums: list[np.ndarray] = []
        less: list[np.ndarray] = []
        n = asked = 0
        for seed, axis in enumerate(left.gains):
            mine, theirs = left.table(axis), other.table(axis)
            apart = {k: {i: v - theirs[k][i] for i, v in c.items()} for k, c in mine.items()}
            sums.append(bootstrap_means(mine, resamples, seed)[POOLED])
            less.append(bootstrap_means(apart, resamples, seed)[POOLED])
            count = sum(map(len, mine.values()))
            ids = len({i for column in mine.values() for i in column})
            n, asked = n + count, asked + ids
            yield _row(rule, constraint, axis, sums[-1], less[-1], left, count, ids)
        if len(sums) > 1:  # of other questions, so drawn apart
            yield _row(rule, constraint, "sum", sum(sums), sum(less), left, n, asked)


def _row(
    rule: str, constraint: str, axis: str, gain: Any, less: Any, left: Left, n: int, questions: int
) -> dict[str, Any]:
    row: dict[str, Any] = {"rule": rule, "constraint": constraint, "axis": axis}
    for name, draws in (("gain", gain), ("difference", less)):
        low, high = np.percentile(draws[1:], [2.5, 97.5])
        row |= {name: float(draws[0]), f"{name}_low": float(low), f"{name}_high": float(high)}
    return row | {"n": n, "questions": questions, "steered": float(np.mean(left.steered))}


def compare(
    cells: Cells,
    methods: Sequence[Method],
    *,
    folds: int = 5,
    repeats: int = 20,
    chosen_on: Sequence[int | None] = (24, None),
    resamples: int = 2000,
) -> list[dict[str, Any]]:
    """The rows of the table: every registered rule, in every family, for each number of questions
    that choices are made on; constraints where there is something to lose.
    """
    rows: list[dict[str, Any]] = []
    for family in dict.fromkeys(m.family for m in methods):
        guarded = FAMILIES[family].guarded
        constraints = ("tolerance", "bounded") if guarded else ("tolerance",)
        rules = [(r, Limits(constraint=c)) for c in constraints for r in RULES]
        for number in chosen_on:
            found: dict[tuple[str, str], Left] = {}
            for seed in range(repeats):
                mine = [m for m in methods if m.family == family]
                left_out(cells, mine, rules, folds, seed, number, found)
            on = "all but a fold" if number is None else str(number)
            rows += [
                {"family": family, "chosen_on": on} | row for row in compared(found, resamples)
            ]
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument(
        "--cells", type=Path, default=Path("runs/choice_cells"), help="where scored cells are kept"
    )
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=20, help="ways to split into folds")
    parser.add_argument(
        "--chosen-on",
        type=int,
        default=24,
        help="questions of either kind that a choice is made on",
    )
    parser.add_argument(
        "--scored",
        type=int,
        default=None,
        help="score so many of --questions, on which vectors are made; default: all",
    )
    parser.add_argument(
        "--no-pairs", action="store_true", help="EN and LOC alone, which halves the time"
    )
    parser.add_argument("--name", default="choice_rules", help="of the table")
    parser.add_argument("--families", help="as EN,LOC; default: all that the methods are of")
    parser.add_argument(
        "--run",
        type=Path,
        help="compare on the dev cells of this run, at the methods that all its languages tried; "
        "nothing is scored",
    )
    args = arguments(__doc__, parent=parser)
    if args.run:
        scored, tried = cells_of_run(args.run)
    else:
        model, dev = load(args)
        grid = Grid.of(model.n_layers)
        if args.no_pairs:
            grid = replace(grid, paired_en_strengths=())
        tried = [*grid.alone(), *grid.paired()]
        steered = [k for k in dev.languages if k != "en"]
        scored = score_cells(model, dev, steered, grid, args.cells, args.scored)
    if args.families:
        tried = [m for m in tried if m.family in args.families.split(",")]
        if not tried:
            raise MechclaError(f"no method of {args.families} was tried in every language")
    table = compare(
        scored,
        tried,
        folds=args.folds,
        repeats=args.repeats,
        chosen_on=(args.chosen_on, None),
        resamples=max(args.resamples, 200),
    )
    write(args.out, args.name, table)
