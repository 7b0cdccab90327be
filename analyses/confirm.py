"""The confirmation: frozen hypotheses, tested once on new items (docs/confirmation.md).

    python -m analyses.confirm freeze     # writes docs/reference/confirm/frozen.json, and no score
    python -m analyses.confirm score      # scores what is frozen; goes on where it was stopped
    python -m analyses.confirm table      # hypotheses.csv, values.csv and doubted.csv beside it

`score` opens the items through `Study.confirm`, whose record lies beside the tables
(docs/reference/confirm/look.json): under anything else than what is frozen it is refused.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import mechcla
from analyses.common import one_message, read_json
from analyses.confirm_plan import (
    ALPHA,
    BASE,
    FOLDER,
    HYPOTHESES,
    LANGUAGES,
    RESAMPLES,
    SEED,
    Cell,
    cells,
    freeze,
    frozen_plan,
    frozen_study,
    named_method,
)
from mechcla.metrics.estimates import POOLED
from mechcla.metrics.metrics import difference, metric
from mechcla.models.adapters import shipped_adapters
from mechcla.runs.identity import versions
from mechcla.runs.tables import csv_text
from mechcla.scoring.prepared import prepare
from mechcla.scoring.scorer import score_many
from mechcla.scoring.scores import Scores
from mechcla.statistics import correct, minimum_detectable_effect, sign_flip
from mechcla.statistics.differences import clustered, paired_differences
from mechcla.steering.method import Method
from mechcla.steering.recorded import read_choice
from mechcla.storage import digest, write_sealed, write_text

METRICS = ("transfer", "localization", "english_bias")
DOUBTED = Path(__file__).parents[1] / "data" / "confirm" / "doubted.json"


def score(out: Path, most: str) -> None:
    """Score every cell that is not there yet, what the hypotheses need first.

    The conditions of one model, kind and language are scored together: blocks below a steered one
    run once for all (`mechcla.scoring.score_many`).
    """
    planned = frozen_plan()
    items = frozen_study(planned).confirm(FOLDER)
    folder = out / "cells"
    folder.mkdir(parents=True, exist_ok=True)
    for primary in (True, False) if most == "all" else (True,):
        wanted = [c for c in cells(primary) if not (folder / c.file).exists()]
        for name in dict.fromkeys(c.model for c in wanted):
            model = mechcla.load_model("demo", adapter=None if name == BASE else name)
            vectors: dict[str, Any] = {}
            for together in _groups(c for c in wanted if c.model == name):
                kind, language = together[0].kind, together[0].language
                part = getattr(items.language(language), kind)
                form = "explicit" if together[0].condition == "explicit" else "implicit"
                chosen = {
                    c: named_method(planned["methods"][name].get(c.condition, {}).get(language, ""))
                    for c in together
                }
                edits = {c: _edits(model, c, m, vectors) for c, m in chosen.items()}
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


def _edits(
    model: mechcla.HookedModel, cell: Cell, method: Method, vectors: dict[str, Any]
) -> tuple[mechcla.Intervention, ...]:
    """What a cell's condition does to the model; () for none."""
    if method == Method():
        return ()
    if cell.model != BASE:
        choice = read_choice(shipped_adapters()[cell.model]).on(model)
        return choice.interventions(cell.language)
    made = _base_vectors(model, method, cell.language, vectors)
    return method.interventions(made, cell.language)


def _base_vectors(
    model: mechcla.HookedModel, method: Method, language: str, kept: dict[str, Any]
) -> dict[str, Any]:
    """EN and LOC of one language from all dev items of the demo, as its reference run made them."""
    dev = mechcla.load_items("demo").dev
    for name, layer in (("EN", method.en_layer), ("LOC", method.loc_layer)):
        if layer is not None and (name, language) not in kept:
            kept[name, language] = (
                mechcla.en_vectors(model, dev.universal.language("en", language))
                if name == "EN"
                else mechcla.loc_vectors(model, dev.cultural.language(language))
            )
    return {name: v for (name, k), v in kept.items() if k == language}


def scored(out: Path) -> dict[tuple[str, str, str], Scores]:
    """Scores by model, condition and kind, of those whose languages are all there."""
    found: dict[tuple[str, str, str], list[Scores]] = {}
    for cell in [*cells(True), *cells(False)]:
        if (path := out / "cells" / cell.file).exists():
            key = (cell.model, cell.condition, cell.kind)
            found.setdefault(key, []).append(Scores.from_parquet(path))
    return {
        k: Scores(tuple(row for part in v for row in part))
        for k, v in found.items()
        if len(v) == len(LANGUAGES)
    }


def tested(tables: Mapping[tuple[str, str, str], Scores]) -> list[dict[str, Any]]:
    """Every hypothesis with its difference, interval, n, p-value after Holm, and whether it held.

    Raises MechclaError if a cell that one needs is missing: no part of the family is tested alone.
    """
    rows: list[dict[str, Any]] = []
    for h in HYPOTHESES:
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
        least = minimum_detectable_effect(new, old, h.metric, alpha=ALPHA / len(HYPOTHESES))
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


def values(tables: Mapping[tuple[str, str, str], Scores]) -> Iterator[dict[str, Any]]:
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


def without_doubted(tables: Mapping[tuple[str, str, str], Scores]) -> list[dict[str, Any]]:
    """The hypotheses' numbers without the items that a reading after the scores doubted.

    They are beside the test, and not in its place: which items to leave out was decided when scores
    were known, if not by them.
    """
    doubted = read_json(DOUBTED)["items"]
    rows = []
    for left_out in (("wrong",), ("wrong", "doubtful")):
        gone = {(d["language"], d["id"]) for d in doubted if d["severity"] in left_out}
        kept = {
            key: Scores(tuple(r for r in t if (r.language, r.id) not in gone))
            for key, t in tables.items()
        }
        rows += [{"left_out": " and ".join(left_out), **row} for row in tested(kept)]
    return rows


def table(out: Path) -> None:
    """Write the committed tables, and a record of which cells they hold and with what they were
    made."""
    planned = frozen_plan()
    tables = scored(out)
    made = {"hypotheses": tested(tables), "values": list(values(tables))}
    made["doubted"] = without_doubted(tables)
    for name, rows in made.items():
        keys = list(dict.fromkeys(k for row in rows for k in row))
        write_text(FOLDER / f"{name}.csv", csv_text(rows, keys))
        print(FOLDER / f"{name}.csv")
    every = [*cells(True), *cells(False)]
    there = [c for c in every if (out / "cells" / c.file).exists()]
    record = {"plan": digest(planned), "cells": len(there), "of": len(every)}
    write_sealed(FOLDER / "record.json", record | {"versions": versions()})


def main(arguments: list[str] | None = None) -> None:
    sys.excepthook = one_message
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    first = commands.add_parser("freeze", help="write down what will be done; scores nothing")
    first.add_argument("--date", required=True, help="the day, such as 2026-11-26")
    for name in ("score", "table"):
        one = commands.add_parser(name)
        one.add_argument("--out", type=Path, default=Path("runs/confirm"))
        if name == "score":
            one.add_argument("--cells", choices=("hypotheses", "all"), default="all")
    args = parser.parse_args(arguments)
    if args.command == "freeze":
        freeze(args.date)
    elif args.command == "score":
        score(args.out, args.cells)
    else:
        table(args.out)


if __name__ == "__main__":
    main()
