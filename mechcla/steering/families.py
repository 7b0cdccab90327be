"""Families of methods: what each is for, which vectors it needs, what it is held against, how it is
drawn.

A family is one entry of `FAMILIES`; tables, plots, tests and the dev search read everything about
it there. "unsteered" and "explicit" (the country named in the prompt) are conditions without
vectors, registered beside them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from mechcla.errors import MechclaError, nearest
from mechcla.metrics.metrics import METRICS
from mechcla.registry import Registry

if TYPE_CHECKING:
    from mechcla.engine.intervention import Intervention
    from mechcla.steering.method import Manner, Method, Vectors

BOTH = ("transfer", "localization")
AXIS_OF = {"universal": "transfer", "cultural": "localization"}  # the plane's, by kind of items


@runtime_checkable
class DevSearch(Protocol):
    """What a family's search is given: the coarse layers, the settings, and a way to score methods
    on dev.
    """

    @property
    def n_layers(self) -> int:
        """Blocks of the model."""

    @property
    def layers(self) -> list[int]:
        """The coarse pass."""

    @property
    def pair_layers(self) -> int:
        """How many of the best layers of either vector are paired."""

    def strengths(self, vector: str) -> list[float]:
        """The strengths to try of a vector, "EN" or "LOC"."""

    def fine(self, best: int) -> list[int]:
        """Layers around the best coarse one that were not tried yet; none where every layer was
        named.
        """

    def gate_layers(self) -> list[int]:
        """Blocks by how well a gate there tells dev's prompts, best first; none without a gate."""

    def restored(self) -> list[Method]:
        """EN with restoration, where it is asked for."""

    def score(self, methods: Sequence[Method], kinds: Sequence[str] = ...) -> Any:
        """Score methods on dev and keep their points."""

    def ranked(self, family: str, k: int, by: str = ...) -> list[Method]:
        """The best method of each of the k best layers of a family, best first."""


@dataclass(frozen=True)
class Family:
    """One family of methods.

    name: one word, since `Condition` writes an arm behind it. axes: the metrics that it is for, of
    `mechcla.metrics.metrics.METRICS`; its dev gain is their sum, and its arms are scored on them.
    vectors: which it needs ("EN", "LOC", "GATE"). arms: names of
    `mechcla.steering.controls.ARMS`. search: what dev tries, given a DevSearch, after the families
    registered before it. build: its interventions; None: EN's part, then LOC's. guarded: on dev
    neither gain may fall below -tolerance. mark, colour: how figures draw it.
    """

    name: str
    axes: tuple[str, ...]
    vectors: tuple[str, ...] = ()
    arms: tuple[str, ...] = ()
    search: Callable[[DevSearch], None] | None = None
    build: Callable[[Method, Vectors, str, Manner], tuple[Intervention, ...]] | None = None
    guarded: bool = False
    mark: str = "o"
    colour: str = "#7F7F7F"

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of items that its axes are measured on. Raises MechclaError for an axis that is
        no registered metric.
        """
        for axis in self.axes:
            if axis not in METRICS:
                raise MechclaError(
                    f"the family {self.name!r} is for the axis {axis!r}, which is no registered "
                    f"metric; {nearest(axis, METRICS, 40)}"
                )
        return tuple(dict.fromkeys(METRICS[axis].kind for axis in self.axes))

    def gain(self, gains: Mapping[str, float]) -> float:
        """What dev maximises: the sum of the gains on the family's own axes; nan where one of them
        was not scored.

        >>> FAMILIES["LOC"].gain({"transfer": -0.5, "localization": 0.25})
        0.25
        """
        return sum(gains.get(axis, math.nan) for axis in self.axes)


@dataclass(frozen=True)
class Condition:
    """The key of every table of scores: a family, and the control arm that stands in for it, if
    any.

    >>> Condition.parse("LOC us_country")
    Condition(family='LOC', arm='us_country')
    """

    family: str
    arm: str = ""

    @classmethod
    def parse(cls, name: str) -> Condition:
        """The condition that a table's name says: "EN", or "EN random" for an arm."""
        family, _, arm = name.partition(" ")
        return cls(family, arm)

    @property
    def is_arm(self) -> bool:
        return bool(self.arm)

    def __str__(self) -> str:
        return f"{self.family} {self.arm}" if self.arm else self.family


FAMILIES: Registry[Family] = Registry("family", one_word=True)


def steered() -> tuple[Family, ...]:
    """The families that add vectors, in the order in which dev tries them."""
    return tuple(f for f in FAMILIES.values() if f.vectors)


def is_steered(name: str) -> bool:
    """Whether a family adds vectors; a name that is not registered is taken for one that does."""
    return name not in FAMILIES or bool(FAMILIES[name].vectors)


def axes_of(name: str) -> tuple[str, ...]:
    """A family's own axes; none for a name that is not registered."""
    return FAMILIES[name].axes if name in FAMILIES else ()


def look(name: str) -> tuple[str, str]:
    """Mark and colour of a family or condition; a plain one for what is not registered."""
    family = Condition.parse(name).family
    return (
        (FAMILIES[family].mark, FAMILIES[family].colour) if family in FAMILIES else ("o", "#4D4D4D")
    )


FAMILIES.register("unsteered", Family("unsteered", (), colour="black"))
FAMILIES.register("explicit", Family("explicit", ("localization",), arms=("us_country",), mark="*"))
