"""A method of the plane as data (which vector at which layer and strength), and a cell: one on some items."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from mechcla.engine.intervention import Intervention
from mechcla.items.item import PromptForm
from mechcla.items.item_set import ItemSet
from mechcla.steering.controls import control
from mechcla.steering.methods import en_steering, loc_steering
from mechcla.sweep.config import SweepConfig
from mechcla.vectors.steering_vectors import SteeringVectors

PIVOT = "en"
KINDS = ("universal", "cultural")


@dataclass(frozen=True, order=True)
class Method:
    """EN and LOC settings; None where a part is absent. The unsteered model is Method().

    control: an arm of mechcla.steering.controls. en_positions, loc_positions: None is the config's.
    """

    en_layer: int | None = None
    en_strength: float = 0.0
    restore_layer: int | None = None
    loc_layer: int | None = None
    loc_strength: float = 0.0
    control: str = ""
    en_positions: str | None = None
    loc_positions: str | None = None

    @property
    def family(self) -> str:
        """unsteered, EN, EN+restore, LOC, or SUR."""
        if self.en_layer is None:
            return "unsteered" if self.loc_layer is None else "LOC"
        if self.loc_layer is not None:
            return "SUR"
        return "EN" if self.restore_layer is None else "EN+restore"

    @property
    def name(self) -> str:
        """Short and unique, e.g. 'EN5x1-R14-LOC14x2'; file names use it."""
        parts = []
        if self.en_layer is not None:
            parts.append(f"EN{self.en_layer}x{self.en_strength:g}")
        if self.restore_layer is not None:
            parts.append(f"R{self.restore_layer}")
        if self.loc_layer is not None:
            parts.append(f"LOC{self.loc_layer}x{self.loc_strength:g}")
        for label, positions in (("EN", self.en_positions), ("LOC", self.loc_positions)):
            if positions is not None:
                parts.append(f"{label}@{positions}")
        if self.control:
            parts.append(self.control)
        return "-".join(parts) or "unsteered"

    @property
    def size(self) -> tuple[Any, ...]:
        """For ties: total strength, then depth of the first edit; smaller and shallower is preferred.

        After these two come all other settings, so that of two methods one always comes first, in whatever order
        they were tried: the deeper edits' layers, positive strengths before negative ones, positions by name.
        """
        layers = [layer for layer in (self.en_layer, self.loc_layer) if layer is not None]
        rest = tuple(-1 if k is None else k for k in (self.restore_layer, self.loc_layer))
        words = (self.en_positions or "", self.loc_positions or "", self.control)
        total = abs(self.en_strength) + abs(self.loc_strength)
        return (total, min(layers, default=0), *rest, -self.en_strength, -self.loc_strength, *words)

    def arm(self, name: str) -> Method:
        """The control arm of this method: other vectors, or both at LOC's layer. The unsteered model is its own."""
        if self == Method():
            return self
        if name == "same_layer":
            return replace(self, control=name, restore_layer=None)
        return replace(self, control=name)

    def edits(
        self, language: str, vectors: dict[str, SteeringVectors], config: SweepConfig
    ) -> tuple[Intervention, ...]:
        """The interventions of this method in one language."""
        if self.control:
            vectors = control(self.control, vectors, config.seed)
        steps: tuple[Intervention, ...] = ()
        how: dict[str, Any] = {"operator": config.operator, "unit": config.unit}
        if self.en_layer is not None:
            layer, strength = self.en_layer, self.en_strength
            if self.control == "same_layer" and self.loc_layer is not None:
                layer = self.loc_layer
                if config.unit == "raw":  # the push keeps its size, though norms grow with depth
                    strength *= float(
                        vectors["EN"][language][self.en_layer].norm()
                        / vectors["EN"][language][layer].norm()
                    )
            steps += en_steering(
                vectors["EN"],
                language=language,
                layer=layer,
                strength=strength,
                restore_layer=self.restore_layer,
                positions=self.en_positions or config.en_positions,
                **how,
            )
        if self.loc_layer is not None:
            steps += loc_steering(
                vectors["LOC"],
                language=language,
                layer=self.loc_layer,
                strength=self.loc_strength,
                positions=self.loc_positions or config.loc_positions,
                **how,
            )
        return steps

    def describe(self) -> dict[str, Any]:
        return {"family": self.family, "name": self.name} | {
            k: v for k, v in asdict(self).items() if v not in (None, "")
        }


UNSTEERED = Method()


@dataclass(frozen=True)
class Job:
    """One method on one language's items of one kind and prompt form: a cell."""

    method: Method
    language: str
    kind: str
    split: str
    prompt: PromptForm = "implicit"

    def describe(self) -> dict[str, Any]:
        """A row of the list of cells that are not finite."""
        where = {"split": self.split, "language": self.language, "kind": self.kind}
        return where | {"prompt": self.prompt} | self.method.describe()

    def __str__(self) -> str:
        form = "" if self.prompt == "implicit" else f" {self.prompt}"
        return f"the cell {self.split} {self.language} {self.kind}{form} {self.method.name}"


def sample(items: ItemSet, config: SweepConfig, language: str, kind: str, split: str) -> ItemSet:
    """The items of a cell: an even sample in file order, which spreads it over the topics.

    dev counts from the first item on, test from the last one back.
    """
    chosen = items.where(lambda i: i.language == language and i.kind == kind and i.split == split)
    limit = config.dev_items if split == "dev" else config.test_items
    if limit is None or len(chosen) <= limit:
        return chosen
    places = [int(k * len(chosen) / limit) for k in range(limit)]
    if split == "test":
        places = [len(chosen) - 1 - k for k in reversed(places)]
    return ItemSet(tuple(chosen.items[k] for k in places))
