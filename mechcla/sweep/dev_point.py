"""DevPoint: what a method gains on dev over the unsteered model, and how sure that is.

Gains are means within a language, then over languages; a cell that is not finite makes its point
one that is never chosen, ranked or averaged. The choice among points is the rule's
(`mechcla.sweep.rule`).
"""

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mechcla.metrics.estimates import bootstrap_means
from mechcla.metrics.item_values import Ids, ItemTable, ItemValues, cells_of
from mechcla.metrics.metrics import METRICS, Measure, paired_differences
from mechcla.scoring.scores import Scores
from mechcla.statistics.cell_values import cell_values
from mechcla.steering.families import AXIS_OF, FAMILIES, axes_of
from mechcla.steering.method import Method

Changes = Mapping[str, Mapping[str, float]]  # {axis: {id: change}} of one language


@dataclass(frozen=True)
class DevPoint:
    """Gains of one method on dev, over languages; nan where a kind was not scored.

    not_finite: its cells (language and kind) that are not finite; such a point has gains of nan and
    is never chosen. others: gains on its family's further axes, {axis: {language: gain}}.
    covariances: sampling covariances of two languages' gains by axis, {(l, m): value}; at (l, l)
    the squared standard error. Empty where the items are not known.
    """

    method: Method
    d_transfer: float
    d_localization: float
    by_language: dict[str, tuple[float, float]]
    not_finite: tuple[tuple[str, str], ...] = ()
    others: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    covariances: Mapping[str, Mapping[tuple[str, str], float]] = field(default_factory=dict)

    @property
    def gains(self) -> dict[str, float]:
        """The gain on each axis, over languages."""
        others = {axis: float(np.mean(list(by.values()))) for axis, by in self.others.items()}
        return {"transfer": self.d_transfer, "localization": self.d_localization, **others}

    @property
    def gains_by_axis(self) -> dict[str, dict[str, float]]:
        """{axis: {language: gain}}, where it was measured."""
        plane = {
            axis: {k: v[n] for k, v in self.by_language.items() if not math.isnan(v[n])}
            for n, axis in enumerate(AXIS_OF.values())
        }
        return plane | {axis: dict(by) for axis, by in self.others.items()}

    @property
    def errors(self) -> dict[str, dict[str, float]]:
        """Standard errors of the gains, {axis: {language: error}}."""
        return {
            axis: {a: math.sqrt(v) for (a, b), v in found.items() if a == b}
            for axis, found in self.covariances.items()
        }

    def error(self, axis: str) -> float:
        """The standard error of the gain over languages, questions as clusters; nan if unknown."""
        found = self.covariances.get(axis, {})
        n = sum(a == b for a, b in found)
        total = math.fsum(found.values())
        return math.sqrt(max(0.0, total)) / n if n and not math.isnan(total) else math.nan

    def describe(self) -> dict[str, Any]:
        return {
            **self.method.describe(),
            "d_transfer": self.d_transfer,
            "d_localization": self.d_localization,
            "by_language": self.by_language,
            **({"not_finite": self.not_finite} if self.not_finite else {}),
            **({"others": self.others} if self.others else {}),
            **({"errors": self.errors} if self.covariances else {}),
        }


def base_values(scores: Scores, measure: Measure, known: dict[Ids, Ids]) -> ItemValues:
    """What `changes` of any family needs of an unsteered cell. known: as `Column.of` has it."""
    axes = dict.fromkeys((*AXIS_OF.values(), *(a for f in FAMILIES.values() for a in f.axes)))
    names = frozenset((axis, measure) for axis in axes)
    cells = {key: cell_values(scores, names, known) for key in cells_of(scores)}
    return ItemValues(cells, names)


def changes(
    family: str, scores: Scores, base: ItemTable, kind: str, measure: Measure
) -> dict[str, dict[str, float]]:
    """What each item of a cell gains over the unsteered cell of its language and kind, {axis: {id:
    gain}}: on the plane's axis of this kind, and on the family's own ones. nan for all if the cell
    is not finite.
    """
    own = (axis for axis in axes_of(family) if METRICS.get(axis).kind == kind)
    axes = dict.fromkeys((AXIS_OF[kind], *own))
    if scores.not_finite:
        return {axis: {row.id: math.nan for row in scores} for axis in axes}
    found = {}
    for axis in axes:
        (found[axis],) = paired_differences(scores, base, axis, measure).values()
    return found


def gains(items: Changes) -> dict[str, float]:
    """A cell's gain on each axis, of its items' `changes`.

    >>> gains({"transfer": {"a": 0.25, "b": 0.75}})
    {'transfer': 0.5}
    """
    return {
        axis: float(bootstrap_means({"": column}, resamples=1)[""][0])
        for axis, column in items.items()
    }


def covariances(by_language: Mapping[str, Mapping[str, float]]) -> dict[tuple[str, str], float]:
    """Sampling covariances of languages' mean changes, {language: {id: change}}: a question that
    two languages share varies in both at once. nan where a language has one item.

    >>> covariances({"es": {"a": 0.0, "b": 0.5}, "ko": {"a": 0.5, "b": 0.0}})[("es", "ko")]
    -0.0625
    """
    ids = list(dict.fromkeys(i for column in by_language.values() for i in column))
    there = np.asarray([[i in c for i in ids] for c in by_language.values()], float)
    values = np.asarray([[c.get(i, 0.0) for i in ids] for c in by_language.values()])
    n = there.sum(axis=1)
    centred = (values - (values.sum(axis=1) / n)[:, None]) * there
    shared = there @ there.T
    with np.errstate(invalid="ignore", divide="ignore"):
        found = centred @ centred.T * shared / (shared - 1) / np.outer(n, n)
    found = np.where(shared > 1, found, np.where(np.eye(len(n)) > 0, np.nan, 0.0))
    names = list(by_language)
    return {(a, b): float(found[i, j]) for i, a in enumerate(names) for j, b in enumerate(names)}


def point_of(method: Method, cells: Mapping[tuple[str, str], Changes]) -> DevPoint:
    """The point of a method from the `changes` of its cells, by (language, kind)."""
    columns: dict[str, dict[str, Mapping[str, float]]] = {}
    for (language, _), items in cells.items():
        for axis, column in items.items():
            columns.setdefault(axis, {})[language] = column
    found = dev_point(method, {key: gains(items) for key, items in cells.items()})
    if found.not_finite:
        return found
    return replace(found, covariances={axis: covariances(by) for axis, by in columns.items()})


def dev_point(method: Method, cells: Mapping[tuple[str, str], Mapping[str, float]]) -> DevPoint:
    """The point of a method from the `gains` of its cells, by (language, kind); a gain of nan is a
    cell that is not finite.
    """
    gains = {(k, kind): cell[AXIS_OF[kind]] for (k, kind), cell in cells.items()}
    others: dict[str, dict[str, float]] = {}
    for (language, kind), cell in cells.items():
        for axis in (a for a in cell if a != AXIS_OF[kind]):
            others.setdefault(axis, {})[language] = cell[axis]
    languages = list(dict.fromkeys(language for language, _ in gains))
    by_language = {
        k: (gains.get((k, "universal"), math.nan), gains.get((k, "cultural"), math.nan))
        for k in languages
    }
    lost = tuple(key for key, value in gains.items() if math.isnan(value))
    return DevPoint(method, *_means(by_language, set(gains)), by_language, lost, others)


def _means(
    by_language: Mapping[str, tuple[float, float]], measured: Set[tuple[str, str]]
) -> tuple[float, float]:
    """The mean gain of each kind over the languages that have it: nan where none has, or where one
    that has it was not scored or is not finite. measured: (language, kind) of what they have.
    """
    there = np.asarray([[(k, kind) in measured for kind in AXIS_OF] for k in by_language], bool)
    sums = np.where(there, np.asarray(list(by_language.values())), 0.0).sum(axis=0)
    counts = there.sum(axis=0)
    first, second = (float(s / n) if n else math.nan for s, n in zip(sums, counts, strict=True))
    return first, second


def within(point: DevPoint, languages: Container[str]) -> DevPoint | None:
    """The same point over these of its languages alone; None where it has none of them.

    Points that are compared must be means over the same languages. A point with a cell that is not
    finite stays one, wherever the cell is.
    """
    kept = {k: v for k, v in point.by_language.items() if k in languages}
    if len(kept) == len(point.by_language):
        return point
    cells = {
        (k, kind): {axis: value}
        for k, values in kept.items()
        for (kind, axis), value in zip(AXIS_OF.items(), values, strict=True)
        if not math.isnan(value) or (k, kind) in point.not_finite
    }
    if not cells:
        return None
    for axis, by_language in point.others.items():
        for k in kept:
            if k in by_language:
                cells[k, METRICS.get(axis).kind][axis] = by_language[k]
    return replace(
        dev_point(point.method, cells),
        not_finite=point.not_finite,
        covariances={
            axis: {(a, b): v for (a, b), v in found.items() if a in kept and b in kept}
            for axis, found in point.covariances.items()
        },
    )


def merge(points: Sequence[DevPoint], languages: int | Mapping[str, int]) -> list[DevPoint]:
    """Points of the same method joined over languages, each gain averaged over those that have the
    kind; nan where one that has it was not scored.

    languages: how many there are, or how many each family has. Methods that lack one are left out.
    """
    measured = {
        (k, kind)
        for p in points
        for k, values in p.by_language.items()
        for kind, value in zip(AXIS_OF, values, strict=True)
        if not math.isnan(value)
    }
    together: dict[Method, list[DevPoint]] = {}
    for p in points:
        if not p.not_finite:
            together.setdefault(p.method, []).append(p)
    found = []
    for method, parts in together.items():
        by_language = {k: both for p in parts for k, both in p.by_language.items()}
        wanted = languages if isinstance(languages, int) else languages[method.family]
        if len(by_language) == wanted:
            others = {
                axis: {k: v for p in parts for k, v in p.others.get(axis, {}).items()}
                for axis in parts[0].others
            }
            found.append(
                DevPoint(method, *_means(by_language, measured), by_language, others=others)
            )
    return found
