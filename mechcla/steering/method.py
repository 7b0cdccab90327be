"""Method: a point of the search space as data, and the interventions that it stands for.

What a sweep searches over and what `en_steering`, `loc_steering` and `surgical_steering` make is
the same object:

    Method(en_layer=9, en_strength=0.3, loc_layer=13, loc_strength=2.0)
        .interventions({"EN": en, "LOC": loc}, "es")

A method names its family and its control arm, and both are written in terms of methods, so `Family`
and `Arm` stand here beside it with their registries, which are still empty: `families.py` and the
files of the families, and `controls.py`, fill them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

from mechcla.engine.intervention import Intervention, Operator, Positions, Unit, chat_of
from mechcla.engine.operators import OPERATORS
from mechcla.errors import MechclaError, nearest
from mechcla.metrics.metrics import METRICS
from mechcla.registry import Registry
from mechcla.steering.linear_map import map_of, map_steering
from mechcla.vectors.steering_vectors import SteeringVectors

Vectors = Mapping[str, SteeringVectors]  # "EN" and "LOC", and the controls that were made of them


@dataclass(frozen=True)
class Manner:
    """How vectors are added: what all methods of a sweep have in common.

    seed: of the control arms that draw. en_operator: how EN's part acts; None is as `operator`
    says, "map" a linear map (`mechcla.steering.linear_map`), fitted on the rows of the EN vectors.
    """

    operator: Operator = "add"
    unit: Unit = "raw"
    en_positions: Positions = "prompt"
    loc_positions: Positions = "prompt"
    restore_strength: float | None = None
    seed: int = 0
    en_operator: Operator | None = None


@dataclass(frozen=True)
class Method:
    """EN and LOC settings; None where a part is absent. The unsteered model is Method().

    en_layer, loc_layer: blocks, counted from 0. strengths: in the manner's unit. restore_layer:
    where v_EN is subtracted again. arm: a control arm that stands in for it
    (`mechcla.steering.controls.ARMS`). en_positions, loc_positions: None is the manner's. named:
    the family, where it cannot be told from the parts. gate_layer: the block that a gate reads, so
    that EN acts on universal prompts and LOC on cultural ones. gate_scale: a soft gate's.
    gate_constant: "EN" or "LOC", the part that did better alone on dev, for the arm gate_language.
    """

    en_layer: int | None = None
    en_strength: float = 0.0
    restore_layer: int | None = None
    loc_layer: int | None = None
    loc_strength: float = 0.0
    arm: str = ""
    en_positions: str | None = None
    loc_positions: str | None = None
    named: str = ""
    gate_layer: int | None = None
    gate_scale: float | None = None
    gate_constant: str = ""

    @property
    def family(self) -> str:
        """unsteered, EN, EN+restore, LOC, SUR, GATED, or the one that it is named after."""
        if self.named:
            return self.named
        if self.gate_layer is not None:
            return "GATED"
        if self.en_layer is None:
            return "unsteered" if self.loc_layer is None else "LOC"
        if self.loc_layer is not None:
            return "SUR"
        return "EN" if self.restore_layer is None else "EN+restore"

    @property
    def name(self) -> str:
        """Short and unique, e.g. 'EN5x1-R14-LOC14x2'; file names use it."""
        parts = [self.named] if self.named else []
        if self.en_layer is not None:
            parts.append(f"EN{self.en_layer}x{self.en_strength:g}")
        if self.restore_layer is not None:
            parts.append(f"R{self.restore_layer}")
        if self.loc_layer is not None:
            parts.append(f"LOC{self.loc_layer}x{self.loc_strength:g}")
        if self.gate_layer is not None:
            soft = "" if self.gate_scale is None else f"s{self.gate_scale:g}"
            parts.append(f"G{self.gate_layer}{soft}")
        for label, positions in (("EN", self.en_positions), ("LOC", self.loc_positions)):
            if positions is not None:
                parts.append(f"{label}@{positions}")
        if self.arm:
            parts.append(self.arm)
        return "-".join(parts) or "unsteered"

    @property
    def first_layer(self) -> int | None:
        """The layer by which a family's methods are ranked: EN's, else LOC's."""
        return self.en_layer if self.en_layer is not None else self.loc_layer

    @property
    def size(self) -> tuple[Any, ...]:
        """For ties: total strength, then depth of the first edit; smaller and shallower wins.

        After these two come all other settings, so that of two methods one always comes first, in
        whatever order they were tried: the deeper edits' layers, positive strengths before negative
        ones, positions by name. Of gates the hard one comes first.
        """
        layers = [layer for layer in (self.en_layer, self.loc_layer) if layer is not None]
        deeper = (self.restore_layer, self.loc_layer, self.gate_layer, self.gate_scale)
        rest = tuple(-1 if k is None else k for k in deeper)
        positions = (self.en_positions or "", self.loc_positions or "")
        words = (*positions, self.arm, self.named, self.gate_constant)
        total = abs(self.en_strength) + abs(self.loc_strength)
        return (total, min(layers, default=0), *rest, -self.en_strength, -self.loc_strength, *words)

    def with_arm(self, name: str) -> Method:
        """The control arm of this method. The unsteered model is its own."""
        if self == Method():
            return self
        return replace(self, arm=name, **ARMS.get(name).without)

    def named_as(self, family: str) -> Method:
        """The same settings as a method of a family that cannot be told from them."""
        return replace(self, named=family)

    def at_positions(self, positions: Mapping[str, str]) -> Method:
        """The same method at other positions, by vector: {"EN": ..., "LOC": ...}."""
        return replace(
            self,
            en_positions=positions.get("EN", self.en_positions),
            loc_positions=positions.get("LOC", self.loc_positions),
        )

    def interventions(
        self, vectors: Vectors, language: str, manner: Manner = Manner()
    ) -> tuple[Intervention, ...]:
        """What `mechcla.score` takes: this method in one language; () for the unsteered model.

        An arm exchanges the vectors, or moves the method, first. Raises MechclaError for a vector,
        layer or language that the vectors lack.

        >>> steps = Method(loc_layer=13, loc_strength=2.0).interventions({"LOC": loc}, "es")
        """
        method = self
        if self.arm:
            arm = ARMS.get(self.arm)
            vectors = arm.vectors(vectors, manner.seed)
            method = arm.moved(self, vectors, language, manner)
        build = FAMILIES.get(self.family).build
        if build is None:
            return method.parts(vectors, language, manner)
        return build(method, vectors, language, manner)

    def parts(self, vectors: Vectors, language: str, manner: Manner) -> tuple[Intervention, ...]:
        """EN's part, its restoration, then LOC's, from these vectors as they are.

        Raises MechclaError for a restoration that is not deeper than EN, or that would take a
        projection back.
        """
        steps: tuple[Intervention, ...] = ()
        if self.en_layer is not None:
            positions = self.en_positions or manner.en_positions
            operator = manner.en_operator or manner.operator
            how = {"operator": operator, "unit": manner.unit, "positions": positions}
            steps += (_step(vectors["EN"], language, self.en_layer, self.en_strength, **how),)
            if self.restore_layer is not None:
                if not (operation := OPERATORS.get(operator)).taken_back:
                    raise MechclaError(
                        "restoration adds back what was added; operator "
                        f"{operator!r} {operation.does}, which cannot be taken back"
                    )
                if self.restore_layer <= self.en_layer:
                    raise MechclaError(
                        f"restore_layer {self.restore_layer} must be deeper than the EN layer "
                        f"{self.en_layer}"
                    )
                back = manner.restore_strength
                back = self.en_strength if back is None else back
                deep = _step(vectors["EN"], language, self.restore_layer, -back, **how)
                steps += (replace(deep, label=f"{deep.label} restoration"),)
        if self.loc_layer is not None:
            positions = self.loc_positions or manner.loc_positions
            how = {"operator": manner.operator, "unit": manner.unit, "positions": positions}
            steps += (_step(vectors["LOC"], language, self.loc_layer, self.loc_strength, **how),)
        return steps

    def describe(self) -> dict[str, Any]:
        """What a record says of it: the family, the name and the settings that are not empty."""
        settings = {k: v for k, v in asdict(self).items() if v not in (None, "") and k != "named"}
        return {"family": self.family, "name": self.name} | settings


def _step(
    vectors: SteeringVectors, language: str, layer: int, strength: float, **how: Any
) -> Intervention:
    if OPERATORS.get(how["operator"]).takes_matrix:
        learnt, label = map_of(vectors, language, layer), f"{vectors.name} map"
        return map_steering(learnt, strength, how["positions"], label)[0]
    vector, norm = vectors.at(language, layer)
    return Intervention(
        vector,
        layer,
        strength,
        site=vectors.site,
        norm=norm,
        label=vectors.name,
        made_with=vectors.record.get("model", {}).get("digest"),
        made_in=chat_of(vectors.record),
        language=language,
        **how,
    )


def _stays(method: Method, vectors: Vectors, language: str, manner: Manner) -> Method:
    return method


def _always(vectors: Vectors, languages: Sequence[str]) -> bool:
    return True


@dataclass(frozen=True)
class Arm:
    """One control arm.

    vectors: from the run's vectors and a seed, those that stand in for them. moved: the method that
    is run instead, where it is not the same one. without: settings that an arm's method does not
    have. possible: whether the run's vectors and steered languages allow it.
    """

    name: str
    vectors: Callable[[Vectors, int], Vectors]
    moved: Callable[[Method, Vectors, str, Manner], Method] = _stays
    without: Mapping[str, Any] = field(default_factory=dict)
    possible: Callable[[Vectors, Sequence[str]], bool] = _always


ARMS: Registry[Arm] = Registry("control arm")


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

    @property
    def gate_scale(self) -> float | None:
        """A soft gate's scale; None for a hard one."""

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


FAMILIES: Registry[Family] = Registry("family", one_word=True)
