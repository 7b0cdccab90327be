"""What a confirmation freezes, and whether it still stands (docs/confirmation.md).

It scores nothing; `analyses.confirm` is the script. What the first and the second one tested is in
`analyses.confirm_first` and `analyses.confirm_second`.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scipy.special import ndtri

import mechcla
from mechcla.items.study import LOOK, Study
from mechcla.models.adapters import shipped_adapters
from mechcla.steering.recorded import read_choice
from mechcla.storage import digest, read_sealed, write_sealed

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "docs" / "reference"
FROZEN = "frozen.json"
BASE = "base"
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


@dataclass(frozen=True)
class Cell:
    """One language of one kind, of one model under one condition."""

    model: str
    condition: str
    kind: str
    language: str

    @property
    def file(self) -> str:
        condition = self.condition.replace(" ", "_")
        return f"{self.model}-{condition}-{self.kind}-{self.language}.parquet"


Vectors = dict[tuple[str, str], Any]  # what was made for one model, by name and language


@dataclass(frozen=True)
class Confirmation:
    """One set of confirmation items and what is tested on it.

    folder: where its tables lie, of docs/reference. items: the name by which `load_items` knows the
    set. conditions: what each model is scored under, the base first. settings: all that decides the
    numbers, as `Study.freeze` gets it, from the choices as they lie there now. edits: what a cell's
    condition does to the model, by the frozen settings; () for none. first: table and row of the
    first test set that has a hypothesis's difference. contrasts: further pairs of conditions that
    are described and not tested. on_plane: whether all models are scored under all their conditions
    on both axes, and so have a front. doubted: items that a later reading doubted.
    """

    folder: Path
    items: str
    hypotheses: tuple[Hypothesis, ...]
    conditions: Mapping[str, tuple[str, ...]]
    settings: Callable[[], dict[str, Any]]
    edits: Callable[
        [mechcla.HookedModel, Cell, Mapping[str, Any], Vectors], tuple[mechcla.Intervention, ...]
    ]
    first: Callable[[Hypothesis], tuple[str, dict[str, str]]]
    contrasts: tuple[tuple[str, str], ...] = ()
    on_plane: bool = False
    doubted: Path | None = None

    @property
    def models(self) -> tuple[str, ...]:
        return tuple(self.conditions)

    @property
    def adapters(self) -> tuple[str, ...]:
        return tuple(name for name in self.models if name != BASE)

    def cells(self, primary: bool) -> list[Cell]:
        """What the hypotheses need; or all else that is frozen."""
        needed = dict.fromkeys(
            Cell(model, condition, h.kind, language)
            for h in self.hypotheses
            for model, condition in ((h.model, h.condition), (h.than_model, h.than_condition))
            for language in LANGUAGES
        )
        every = [
            Cell(model, condition, kind, language)
            for model, conditions in self.conditions.items()
            for condition in conditions
            for kind in ("universal", "cultural")
            if (condition, kind) != ("explicit", "universal")
            for language in LANGUAGES
        ]
        return [c for c in every if (c in needed) == primary]

    def study(self, planned: Mapping[str, Any]) -> Study:
        """A study of the demo's dev and test and of the new items, its choice this plan."""
        study = Study(mechcla.load_items("demo") + mechcla.load_items(self.items))
        study.freeze(planned)
        return study

    def freeze(self, date: str) -> None:
        """Write the plan, with what the first test set says that these items can show. Once."""
        if (self.folder / LOOK).exists():
            raise mechcla.MechclaError(
                f"{str(self.folder / LOOK)!r} says that the items were looked at; a new plan needs "
                "new items"
            )
        items, planned = mechcla.load_items(self.items), self.settings()
        record = {
            "date": date,
            "plan": planned,
            "record": self.study(planned).record.digest,
            "confirm": {"digest": items.digest, "items": len(items)},
            "power": [{"id": h.id, **self.expected(h, items)} for h in self.hypotheses],
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        write_sealed(self.folder / FROZEN, record)
        print(self.folder / FROZEN)

    def frozen(self) -> dict[str, Any]:
        """The plan that was frozen.

        Raises MechclaError where it is missing or damaged, and where this code's hypotheses, its
        items or an adapter are others than those that were frozen.
        """
        path = self.folder / FROZEN
        found = read_sealed(path, "plan", "record", "confirm") if path.exists() else None
        if found is None:
            raise mechcla.MechclaError(f"{str(path)!r} is missing or damaged; nothing is frozen")
        planned: dict[str, Any] = found["plan"]
        now = {
            "record": (found["record"], self.study(planned).record.digest),
            "items": (found["confirm"]["digest"], mechcla.load_items(self.items).digest),
            "hypotheses": (planned["hypotheses"], [asdict(h) for h in self.hypotheses]),
            "adapters": (planned["adapters"], adapter_digests(self.adapters)),
        }
        if others := [name for name, (then, here) in now.items() if then != here]:
            raise mechcla.MechclaError(
                f"{', '.join(others)}: not what {str(path)!r} froze; take the files of that commit"
            )
        return planned

    def expected(self, h: Hypothesis, items: mechcla.ItemSet) -> dict[str, Any]:
        """The difference on the first test set, and the smallest that this set would detect.

        The spread by question is the first test set's. It is given at alpha and at alpha over the
        number of hypotheses, which the first of Holm's steps asks for.
        """
        name, wanted = self.first(h)
        with (REFERENCE / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            rows = [r for r in csv.DictReader(file) if all(r[k] == v for k, v in wanted.items())]
        (row,) = rows
        part = getattr(items, h.kind).language(*LANGUAGES)
        sd = float(row["detectable"]) * float(row["questions"]) ** 0.5 / _reach(ALPHA)
        small, strict = (
            sd * _reach(a) / len(part.ids) ** 0.5 for a in (ALPHA, ALPHA / len(self.hypotheses))
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


def testing(hypotheses: tuple[Hypothesis, ...]) -> dict[str, Any]:
    """How hypotheses are tested: the part of every plan that is the same."""
    return {
        "languages": list(LANGUAGES),
        "measure": "share",
        "test": "paired sign-flip by question, two-sided, pooled over languages",
        "correction": "holm",
        "alpha": ALPHA,
        "resamples": RESAMPLES,
        "seed": SEED,
        "hypotheses": [asdict(h) for h in hypotheses],
    }


def adapter_digests(names: tuple[str, ...]) -> dict[str, str]:
    return {name: digest(read_choice(shipped_adapters()[name]).record) for name in names}


def _reach(alpha: float) -> float:
    return float(ndtri(1 - alpha / 2) + ndtri(POWER))
