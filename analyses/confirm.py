"""The confirmation: frozen hypotheses, tested once on new items (docs/confirmation.md).

    python -m analyses.confirm freeze     # writes docs/reference/confirm/frozen.json, and no score
    python -m analyses.confirm score      # scores what is frozen; goes on where it was stopped
    python -m analyses.confirm table      # docs/reference/confirm/hypotheses.csv, values.csv

`score` opens the items through `Study.confirm`, whose record lies beside the tables
(docs/reference/confirm/look.json): under anything else than what is frozen it is refused.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scipy.special import ndtri

import mechcla
from analyses.common import one_message
from mechcla.items.study import Study
from mechcla.metrics.estimates import POOLED
from mechcla.metrics.metrics import difference, metric
from mechcla.models.adapters import shipped_adapters
from mechcla.runs.tables import csv_text
from mechcla.scoring.scores import Scores
from mechcla.statistics import correct, minimum_detectable_effect, sign_flip
from mechcla.statistics.differences import clustered, paired_differences
from mechcla.steering.method import Manner, Method
from mechcla.steering.recorded import method_of, read_choice
from mechcla.storage import digest, read_sealed, write_sealed, write_text

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "docs" / "reference"
FOLDER = REFERENCE / "confirm"
FROZEN = "frozen.json"
BASE = "base"
ADAPTERS = ("mist", "midalign", "clo")
LANGUAGES = ("es", "zh", "id", "ko", "el", "fa")
ALPHA, POWER, MARGIN = 0.05, 0.8, 0.02
RESAMPLES, SEED = 10_000, 0
METRICS = ("transfer", "localization", "english_bias")


@dataclass(frozen=True)
class Hypothesis:
    """What is expected of a pooled paired difference: above `-margin`, or below 0.

    model and condition against model and condition; direction: "up" or "down"; margin: what a
    non-inferiority hypothesis allows to be lost, else 0.
    """

    id: str
    says: str
    metric: str
    model: str
    condition: str
    than_model: str
    than_condition: str
    direction: str
    margin: float = 0.0

    @property
    def kind(self) -> str:
        return "universal" if self.metric == "transfer" else "cultural"


HYPOTHESES = tuple(
    Hypothesis(f"H{number}", *rest)
    for number, rest in enumerate(
        [
            ("LOC raises it", "localization", BASE, "LOC", BASE, "unsteered", "up"),
            ("SUR raises it", "localization", BASE, "SUR", BASE, "unsteered", "up"),
            ("SUR does not lower it", "transfer", BASE, "SUR", BASE, "unsteered", "up", MARGIN),
            ("it is lower", "localization", "mist", "unsteered", BASE, "unsteered", "down"),
            (
                "MidAlign lowers it",
                "localization",
                "midalign",
                "unsteered",
                BASE,
                "unsteered",
                "down",
            ),
            ("SUR raises it", "localization", "midalign", "SUR", "midalign", "unsteered", "up"),
            ("SUR raises it", "localization", "mist", "SUR", "mist", "unsteered", "up"),
            ("it is higher", "transfer", "clo", "unsteered", BASE, "unsteered", "up"),
        ],
        start=1,
    )
)


@dataclass(frozen=True)
class Cell:
    """One language of one kind, of one model under one condition."""

    model: str
    condition: str
    kind: str
    language: str

    @property
    def file(self) -> str:
        return f"{self.model}-{self.condition}-{self.kind}-{self.language}.parquet"


def cells(primary: bool) -> list[Cell]:
    """What the hypotheses need; or all else that is frozen: EN, explicit, the other kind."""
    needed = dict.fromkeys(
        Cell(model, condition, h.kind, language)
        for h in HYPOTHESES
        for model, condition in ((h.model, h.condition), (h.than_model, h.than_condition))
        for language in LANGUAGES
    )
    every = [
        Cell(model, condition, kind, language)
        for model in (BASE, *ADAPTERS)
        for condition in conditions(model)
        for kind in ("universal", "cultural")
        if (condition, kind) != ("explicit", "universal")
        for language in LANGUAGES
    ]
    wanted = [c for c in every if (c in needed) == primary]
    return sorted(wanted, key=lambda c: (BASE, *ADAPTERS).index(c.model))


def conditions(model: str) -> tuple[str, ...]:
    """What a model is scored under: those for which a choice is recorded, and the controls."""
    chosen = ("EN", "LOC", "SUR") if model == BASE else ("SUR",)
    return ("unsteered", *chosen, "explicit")


def methods(model: str) -> dict[str, dict[str, Method]]:
    """The methods by family and language, as they were recorded on dev before this set was made."""
    if model != BASE:
        return {"SUR": dict(read_choice(shipped_adapters()[model]).methods)}
    chosen = json.loads((REFERENCE / "demo" / "selection.json").read_text("utf-8"))["chosen"]
    return {f: {k: method_of(m) for k, m in chosen[f].items()} for f in ("EN", "LOC", "SUR")}


def plan() -> dict[str, Any]:
    """All that decides the numbers of the confirmation: what `Study.freeze` gets."""
    return {
        "model": "demo",
        "adapters": {
            name: digest(read_choice(shipped_adapters()[name]).record) for name in ADAPTERS
        },
        "methods": {
            model: {f: {k: m.name for k, m in by.items()} for f, by in methods(model).items()}
            for model in (BASE, *ADAPTERS)
        },
        "conditions": {model: list(conditions(model)) for model in (BASE, *ADAPTERS)},
        "manner": asdict(Manner()),
        "vectors": "base: mean_difference on all dev items of demo; adapters: the recorded files",
        "languages": list(LANGUAGES),
        "measure": "share",
        "test": "paired sign-flip by question, two-sided, pooled over languages",
        "correction": "holm",
        "alpha": ALPHA,
        "resamples": RESAMPLES,
        "seed": SEED,
        "hypotheses": [asdict(h) for h in HYPOTHESES],
    }


def frozen_study() -> Study:
    """A study of the demo's dev and test and of the confirmation items, its choice this plan."""
    study = Study(mechcla.load_items("demo") + mechcla.load_items("confirm"))
    study.freeze(plan())
    return study


def freeze(date: str) -> None:
    """Write the plan, with what the first test set says that these items can show."""
    items = mechcla.load_items("confirm")
    record = {
        "date": date,
        "plan": plan(),
        "record": frozen_study().record.digest,
        "confirm": {"digest": items.digest, "items": len(items)},
        "power": [{"id": h.id, **expected(h, items)} for h in HYPOTHESES],
    }
    write_sealed(FOLDER / FROZEN, record)
    print(FOLDER / FROZEN)


def expected(h: Hypothesis, items: mechcla.ItemSet) -> dict[str, Any]:
    """The difference on the first test set, and the smallest that this set would detect.

    The spread by question is the first test set's. It is given at alpha and at alpha over the
    number of hypotheses, which the first of Holm's steps asks for.
    """
    if (h.model, h.than_model) == (BASE, BASE):
        name, where = "demo/tests", {"method": h.condition, "against": "unsteered"}
    else:
        name, where = "align/aligned", {"model": h.model, "condition": h.condition}
        where |= {"against": h.than_model}
    with (REFERENCE / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        wanted = where | {"metric": h.metric, "language": POOLED, "measure": "share"}
        (row,) = [r for r in csv.DictReader(file) if all(r[k] == v for k, v in wanted.items())]
    part = getattr(items, h.kind).language(*LANGUAGES)
    sd = float(row["detectable"]) * float(row["questions"]) ** 0.5 / _reach(ALPHA)
    small, strict = (
        sd * _reach(a) / len(part.ids) ** 0.5 for a in (ALPHA, ALPHA / len(HYPOTHESES))
    )
    return {
        "first": float(row["difference"]),
        "first_n": int(row["n"]),
        "sd": sd,
        "n": len(part),
        "questions": len(part.ids),
        "detectable": small,
        "detectable_holm": strict,
    }


def _reach(alpha: float) -> float:
    return float(ndtri(1 - alpha / 2) + ndtri(POWER))


def checked_frozen() -> dict[str, Any]:
    """What is frozen; a MechclaError where the code would now do something else."""
    path = FOLDER / FROZEN
    found = read_sealed(path, "plan", "record", "confirm") if path.exists() else None
    if found is None:
        raise mechcla.MechclaError(f"{str(path)!r} is missing or damaged; nothing is frozen")
    items = mechcla.load_items("confirm").digest
    if (found["record"], found["confirm"]["digest"]) != (frozen_study().record.digest, items):
        raise mechcla.MechclaError(
            f"what this code would do is not what {str(path)!r} froze; take the code and the "
            "items of that commit"
        )
    return found


def score(out: Path, most: str) -> None:
    """Score every cell that is not there yet, what the hypotheses need first."""
    checked_frozen()
    items = frozen_study().confirm(FOLDER)
    folder = out / "cells"
    folder.mkdir(parents=True, exist_ok=True)
    for primary in (True, False) if most == "all" else (True,):
        wanted = [c for c in cells(primary) if not (folder / c.file).exists()]
        for name in dict.fromkeys(c.model for c in wanted):
            model = mechcla.load_model("demo", adapter=None if name == BASE else name)
            vectors: dict[str, Any] = {}
            for cell in (c for c in wanted if c.model == name):
                part = getattr(items.language(cell.language), cell.kind)
                _scored(model, part, cell, folder, vectors).to_parquet(folder / cell.file)
                print(cell.file, flush=True)
            del model


def _scored(
    model: mechcla.HookedModel,
    part: mechcla.ItemSet,
    cell: Cell,
    folder: Path,
    vectors: dict[str, Any],
) -> Scores:
    if cell.condition == "explicit":
        return mechcla.score(model, part, prompt="explicit", prior=False)
    if cell.condition == "unsteered":
        return mechcla.score(model, part, prior=False)
    method = methods(cell.model)[cell.condition][cell.language]
    if method == Method():  # dev left this language unsteered
        there = folder / Cell(cell.model, "unsteered", cell.kind, cell.language).file
        if there.exists():
            return Scores.from_parquet(there)
        return mechcla.score(model, part, prior=False)
    if cell.model != BASE:
        choice = read_choice(shipped_adapters()[cell.model]).on(model)
        edits = choice.interventions(cell.language)
    else:
        edits = method.interventions(_base_vectors(model, method, cell.language, vectors))
    return mechcla.score(model, part, edits, prior=False)


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


def table(out: Path) -> None:
    """Write the committed tables."""
    checked_frozen()
    tables = scored(out)
    for name, rows in (("hypotheses", tested(tables)), ("values", list(values(tables)))):
        keys = list(dict.fromkeys(k for row in rows for k in row))
        write_text(FOLDER / f"{name}.csv", csv_text(rows, keys))
        print(FOLDER / f"{name}.csv")


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
