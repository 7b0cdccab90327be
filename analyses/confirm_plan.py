"""What the confirmation froze: hypotheses, choices, cells (docs/confirmation.md).

It scores nothing; `analyses.confirm` is the script.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scipy.special import ndtri

import mechcla
from mechcla.items.study import LOOK, Study
from mechcla.metrics.estimates import POOLED
from mechcla.models.adapters import shipped_adapters
from mechcla.sources.demo import confirm_items, demo_items
from mechcla.steering.method import Manner, Method
from mechcla.steering.recorded import method_of, read_choice
from mechcla.storage import digest, read_sealed, write_sealed

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "docs" / "reference"
FOLDER = REFERENCE / "confirm"
FROZEN = "frozen.json"
BASE = "base"
ADAPTERS = ("mist", "midalign", "clo")
LANGUAGES = ("es", "zh", "id", "ko", "el", "fa")
ALPHA, POWER, MARGIN = 0.05, 0.8, 0.02
RESAMPLES, SEED = 10_000, 0


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
        "adapters": adapter_digests(),
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


def frozen_study(planned: Mapping[str, Any]) -> Study:
    """A study of the demo's dev and test and of the confirmation items, its choice this plan."""
    study = Study(demo_items() + confirm_items())
    study.freeze(planned)
    return study


def named_method(name: str) -> Method:
    """The method that a plan names.

    >>> named_method("EN9x0.3-LOC10x4").loc_layer
    10
    """
    parts = re.fullmatch(r"unsteered|(?:EN(\d+)x([\d.]+))?-?(?:LOC(\d+)x([\d.]+))?", name)
    if parts is None:
        raise mechcla.MechclaError(f"no method is named {name!r}; expected e.g. 'EN9x0.3-LOC10x4'")
    en, en_strength, loc, loc_strength = parts.groups()
    return Method(
        int(en) if en else None,
        float(en_strength or 0),
        loc_layer=int(loc) if loc else None,
        loc_strength=float(loc_strength or 0),
    )


def freeze(date: str) -> None:
    """Write the plan, with what the first test set says that these items can show. Once."""
    if (FOLDER / LOOK).exists():
        raise mechcla.MechclaError(
            f"{str(FOLDER / LOOK)!r} says that the items were looked at; a new plan needs new items"
        )
    items, planned = confirm_items(), plan()
    record = {
        "date": date,
        "plan": planned,
        "record": frozen_study(planned).record.digest,
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


def frozen_plan() -> dict[str, Any]:
    """The plan that was frozen.

    Raises MechclaError where it is missing or damaged, and where this code's hypotheses, its items
    or an adapter are others than those that were frozen.
    """
    path = FOLDER / FROZEN
    found = read_sealed(path, "plan", "record", "confirm") if path.exists() else None
    if found is None:
        raise mechcla.MechclaError(f"{str(path)!r} is missing or damaged; nothing is frozen")
    planned: dict[str, Any] = found["plan"]
    now = {
        "record": (found["record"], frozen_study(planned).record.digest),
        "items": (found["confirm"]["digest"], confirm_items().digest),
        "hypotheses": (planned["hypotheses"], [asdict(h) for h in HYPOTHESES]),
        "adapters": (planned["adapters"], adapter_digests()),
    }
    if others := [name for name, (then, here) in now.items() if then != here]:
        raise mechcla.MechclaError(
            f"{', '.join(others)}: not what {str(path)!r} froze; take the files of that commit"
        )
    return planned


def adapter_digests() -> dict[str, str]:
    return {name: digest(read_choice(shipped_adapters()[name]).record) for name in ADAPTERS}
