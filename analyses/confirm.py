"""The confirmations: frozen hypotheses, each set tested once on new items (docs/confirmation.md).

    python -m analyses.confirm freeze     # writes docs/reference/confirm/frozen.json, and no score
    python -m analyses.confirm score      # scores what is frozen; goes on where it was stopped
    python -m analyses.confirm table      # hypotheses.csv, values.csv and more beside it; of set 2
                                          # also the front, whose figure goes into --out

`--set 2` is the second confirmation (docs/reference/confirm-2), before which

    python -m analyses.confirm choices runs/front/base runs/front/mist runs/front/midalign

takes what dev chose in finished sweeps. `score` opens the items through `Study.confirm`, whose
record lies beside the tables (look.json): under anything else than what is frozen it is refused.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import mechcla
from analyses.common import one_message, read_json
from analyses.confirm_first import FIRST
from analyses.confirm_plan import (
    ALPHA,
    BASE,
    LANGUAGES,
    RESAMPLES,
    SEED,
    Cell,
    Confirmation,
    Vectors,
)
from analyses.confirm_second import SECOND, take_choices
from analyses.front import figure_of, front_columns, point_rows
from mechcla import plots
from mechcla.errors import nearest
from mechcla.items.item import KINDS
from mechcla.metrics.estimates import POOLED
from mechcla.metrics.metrics import difference, metric
from mechcla.runs.aligned import aligned_tables
from mechcla.runs.identity import versions
from mechcla.runs.tables import csv_text
from mechcla.scoring.prepared import prepare
from mechcla.scoring.scorer import score_many
from mechcla.scoring.scores import Scores
from mechcla.statistics import correct, minimum_detectable_effect, sign_flip
from mechcla.statistics.differences import clustered, paired_differences
from mechcla.steering.families import BOTH
from mechcla.storage import digest, write_sealed, write_text

METRICS = ("transfer", "localization", "english_bias")
FRONT_DRAWS = 2000
SETS = {"1": FIRST, "2": SECOND}
Tables = Mapping[tuple[str, str, str], Scores]  # by model, condition and kind


def score(plan: Confirmation, out: Path, most: str, models: Sequence[str]) -> None:
    """Score every cell that is not there yet, what the hypotheses need first.

    The conditions of one model, kind and language are scored together: blocks below a steered one
    run once for all (`mechcla.scoring.score_many`). models: one process may score some, another
    the others, into the same folder.
    """
    planned = plan.frozen()
    items = plan.study(planned).confirm(plan.folder)
    folder = out / "cells"
    folder.mkdir(parents=True, exist_ok=True)
    for primary in (True, False) if most == "all" else (True,):
        wanted = [
            c for c in plan.cells(primary) if c.model in models and not (folder / c.file).exists()
        ]
        for name in dict.fromkeys(c.model for c in wanted):
            model = mechcla.load_model("demo", adapter=None if name == BASE else name)
            vectors: Vectors = {}
            for together in _groups(c for c in wanted if c.model == name):
                kind, language = together[0].kind, together[0].language
                part = getattr(items.language(language), kind)
                form = "explicit" if together[0].condition == "explicit" else "implicit"
                edits = {c: plan.edits(model, c, planned, vectors) for c in together}
                # Where dev left a language unsteered, its unsteered scores stand.
                distinct = list(dict.fromkeys(edits.values()))
                prepared = prepare(model, part, form, prior=False)
                for index, made in score_many(prepared, distinct):
                    for cell in (c for c in together if edits[c] == distinct[index]):
                        made.to_parquet(folder / cell.file)
                        print(cell.file, flush=True)
            del model


def _groups(wanted: Iterable[Cell]) -> Iterator[list[Cell]]:
    """Cells that are asked with the same prompts."""
    found: dict[tuple[str, str, bool], list[Cell]] = {}
    for c in wanted:
        found.setdefault((c.kind, c.language, c.condition == "explicit"), []).append(c)
    yield from found.values()


def scored(plan: Confirmation, out: Path) -> dict[tuple[str, str, str], Scores]:
    """Scores by model, condition and kind, of those whose languages are all there."""
    found: dict[tuple[str, str, str], list[Scores]] = {}
    for cell in [*plan.cells(True), *plan.cells(False)]:
        if (path := out / "cells" / cell.file).exists():
            key = (cell.model, cell.condition, cell.kind)
            found.setdefault(key, []).append(Scores.from_parquet(path))
    return {
        k: Scores(tuple(row for part in v for row in part))
        for k, v in found.items()
        if len(v) == len(LANGUAGES)
    }


def tested(plan: Confirmation, tables: Tables) -> list[dict[str, Any]]:
    """Every hypothesis with its difference, interval, n, p-value after Holm, and whether it held.

    Raises MechclaError if a cell that one needs is missing: no part of the family is tested alone.
    """
    rows: list[dict[str, Any]] = []
    for h in plan.hypotheses:
        pair = [(h.model, h.condition, h.kind), (h.than_model, h.than_condition, h.kind)]
        if missing := [" ".join(key) for key in pair if key not in tables]:
            raise mechcla.MechclaError(
                f"{h.id} needs {', '.join(missing)}, not scored in all languages yet; go on with "
                "python -m analyses.confirm score"
            )
        new, old = (tables[key] for key in pair)
        found = difference(new, old, h.metric, seed=SEED)[POOLED]
        groups = clustered(paired_differences(new, old, h.metric))[POOLED]
        p, exact = sign_flip(groups.sums + h.margin * groups.sizes, RESAMPLES, SEED)
        least = minimum_detectable_effect(new, old, h.metric, alpha=ALPHA / len(plan.hypotheses))
        rows.append(
            {
                **asdict(h),
                "difference": found.value,
                "difference_low": found.low,
                "difference_high": found.high,
                "n": found.n,
                "questions": len(groups.sums),
                "p_value": p,
                "exact": exact,
                "detectable": least[POOLED].value,
            }
        )
    holm = correct({r["id"]: r["p_value"] for r in rows})
    for r in rows:
        beyond = r["difference"] + r["margin"]
        right = beyond > 0 if r["direction"] == "up" else beyond < 0
        r["p_holm"] = holm[r["id"]]
        r["confirmed"] = "yes" if right and holm[r["id"]] < ALPHA else "no"
    return rows


def values(tables: Tables) -> Iterator[dict[str, Any]]:
    """Each metric of everything scored, by language and pooled; against the base or the model."""
    for (model, condition, kind), own in tables.items():
        against = model if condition != "unsteered" else BASE
        old = tables.get((against, "unsteered", kind))
        for name in METRICS:
            if (name == "transfer") != (kind == "universal"):
                continue
            changes = difference(own, old, name, seed=SEED) if old and old != own else {}
            for language, value in metric(own, name, seed=SEED).items():
                row = {"model": model, "condition": condition, "language": language}
                row |= {"metric": name, "value": value.value, "low": value.low}
                row |= {"high": value.high, "n": value.n, "against": against if changes else ""}
                if change := changes.get(language):
                    row |= {"difference": change.value}
                    row |= {"difference_low": change.low, "difference_high": change.high}
                yield row


def without_doubted(plan: Confirmation, tables: Tables) -> list[dict[str, Any]]:
    """The hypotheses' numbers without the items that a reading after the scores doubted.

    They are beside the test, and not in its place: which items to leave out was decided when scores
    were known, if not by them.
    """
    doubted = [] if plan.doubted is None else read_json(plan.doubted)["items"]
    rows = []
    for left_out in (("wrong",), ("wrong", "doubtful")):
        gone = {(d["language"], d["id"]) for d in doubted if d["severity"] in left_out}
        kept = {
            key: Scores(tuple(r for r in t if (r.language, r.id) not in gone))
            for key, t in tables.items()
        }
        rows += [{"left_out": " and ".join(left_out), **row} for row in tested(plan, kept)]
    return rows


def contrasts(plan: Confirmation, tables: Tables) -> Iterator[dict[str, Any]]:
    """Pairs of conditions that are described, with interval and n, and not tested."""
    for model in plan.models:
        for new, old in plan.contrasts:
            for name in METRICS:
                kind = "universal" if name == "transfer" else "cultural"
                own, other = tables.get((model, new, kind)), tables.get((model, old, kind))
                if own is None or other is None:
                    continue
                least = minimum_detectable_effect(own, other, name)
                for language, found in difference(own, other, name, seed=SEED).items():
                    row = {"model": model, "condition": new, "than": old, "metric": name}
                    row |= {"language": language, "difference": found.value}
                    row |= {"difference_low": found.low, "difference_high": found.high}
                    yield row | {"n": found.n, "detectable": least[language].value}


def front(plan: Confirmation, tables: Tables, out: Path) -> list[dict[str, Any]]:
    """What was scored on one plane, as analyses.front lays finished runs: changes on both axes, the
    share of the explicit prompt's gain, the Pareto front. The figure goes into `out`.
    """
    by_model: dict[str, dict[str, Scores]] = {
        model: {
            c: Scores(tuple(row for kind in KINDS for row in tables.get((model, c, kind), ())))
            for c in conditions
        }
        for model, conditions in plan.conditions.items()
    }
    compared = aligned_tables(by_model, metrics=BOTH, resamples=FRONT_DRAWS, seed=SEED)
    on = front_columns(by_model, FRONT_DRAWS, SEED)
    print(plots.save(figure_of(compared, on), out / "front"))
    return list(point_rows(compared, on))


def table(plan: Confirmation, out: Path) -> None:
    """Write the committed tables, and a record of which cells they hold and with what they were
    made."""
    planned = plan.frozen()
    tables = scored(plan, out)
    made = {"hypotheses": tested(plan, tables), "values": list(values(tables))}
    if plan.doubted is not None:
        made["doubted"] = without_doubted(plan, tables)
    if plan.contrasts:
        made["contrasts"] = list(contrasts(plan, tables))
    every = [*plan.cells(True), *plan.cells(False)]
    whole = all((c.model, c.condition, c.kind) in tables for c in every)
    if plan.on_plane and whole:
        made["front"] = front(plan, tables, out)
    elif plan.on_plane:
        print("No front: not all models are scored under all conditions; score makes the rest")
    for name, rows in made.items():
        keys = list(dict.fromkeys(k for row in rows for k in row))
        write_text(plan.folder / f"{name}.csv", csv_text(rows, keys))
        print(plan.folder / f"{name}.csv")
    there = [c for c in every if (out / "cells" / c.file).exists()]
    record = {"plan": digest(planned), "cells": len(there), "of": len(every)}
    write_sealed(plan.folder / "record.json", record | {"versions": versions()})


def main(arguments: list[str] | None = None) -> None:
    sys.excepthook = one_message
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    taken = commands.add_parser("choices", help="what dev chose in finished runs, for --set 2")
    taken.add_argument("runs", nargs="+", type=Path, help="of the base, MIST and MidAlign")
    for name, does in (
        ("freeze", "write down what will be done; scores nothing"),
        ("score", "score what is frozen"),
        ("table", "test the hypotheses, and write all tables"),
    ):
        one = commands.add_parser(name, help=does)
        one.add_argument("--set", choices=SETS, default="1", help="which confirmation")
        if name == "freeze":
            one.add_argument("--date", required=True, help="the day, such as 2026-11-26")
            continue
        one.add_argument("--out", type=Path, help="default: runs/confirm, or runs/confirm-2")
        if name == "score":
            one.add_argument("--cells", choices=("hypotheses", "all"), default="all")
            one.add_argument("--models", nargs="+", help="these alone; default: all of the plan")
    args = parser.parse_args(arguments)
    if args.command == "choices":
        take_choices(args.runs)
        return
    plan = SETS[args.set]
    if args.command == "freeze":
        plan.freeze(args.date)
        return
    out = args.out or Path("runs") / plan.items
    if args.command == "score":
        for name in args.models or ():
            if name not in plan.models:
                raise mechcla.MechclaError(f"--models {name!r}; {nearest(name, plan.models)}")
        score(plan, out, args.cells, args.models or plan.models)
    else:
        table(plan, out)


if __name__ == "__main__":
    main()
