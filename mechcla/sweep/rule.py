"""The rule by which dev decides.

A dev point is a method's mean gain over the unsteered model, in transfer on universal items and in
localization on implicit cultural items: within each language, then over the languages that choose
together.

    EN, EN+restore  the largest gain in transfer
    LOC             the largest gain in localization
    SUR             among pairs for which neither gain falls below -tolerance, the largest sum

A family whose best value is not above 0 is left out there: the choice is then the unsteered model,
Method(). Ties go to the smaller total strength, then to the shallower layer. Since the sum is
monotone in both gains, the chosen SUR is on the Pareto front of the pairs that qualify.

A method with a cell that is not finite is never chosen, ranked or averaged: its point says which
cells they are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mechcla.errors import MechclaError
from mechcla.metrics.metrics import Measure, difference
from mechcla.scoring.scores import Scores
from mechcla.steering.families import FAMILIES
from mechcla.steering.method import Method


@dataclass(frozen=True)
class DevPoint:
    """Gains of one method on dev, over languages; nan where a kind was not scored.

    not_finite: its cells (language and kind) that are not finite; such a point has gains of nan and
    is never chosen.
    """

    method: Method
    d_transfer: float
    d_localization: float
    by_language: dict[str, tuple[float, float]]
    not_finite: tuple[tuple[str, str], ...] = ()

    def describe(self) -> dict[str, Any]:
        return {
            **self.method.describe(),
            "d_transfer": self.d_transfer,
            "d_localization": self.d_localization,
            "by_language": self.by_language,
            **({"not_finite": self.not_finite} if self.not_finite else {}),
        }


METRIC = {"universal": "transfer", "cultural": "localization"}


def gain(scores: Scores, base: Scores, kind: str, measure: Measure) -> float:
    """A cell's gain over the unsteered cell of its language and kind; nan if it is not finite."""
    if scores.not_finite:
        return math.nan
    (value, *_) = difference(scores, base, METRIC[kind], measure, resamples=1).values()
    return value.value


def dev_point(method: Method, gains: Mapping[tuple[str, str], float]) -> DevPoint:
    """The point of a method from its gains by (language, kind); a gain of nan is a cell that is not
    finite.
    """
    languages = list(dict.fromkeys(language for language, _ in gains))
    by_language = {
        k: (gains.get((k, "universal"), math.nan), gains.get((k, "cultural"), math.nan))
        for k in languages
    }
    table = np.asarray(list(by_language.values()))
    if len(gains) < table.size:  # a kind that a language has not, or that was not scored
        scored = np.asarray([[(k, n) in gains for n in METRIC] for k in languages])
        columns = [table[there, n] for n, there in enumerate(scored.T)]
        means = np.asarray([c.mean() if len(c) else math.nan for c in columns])
    else:
        means = table.mean(axis=0)
    lost = tuple(key for key, value in gains.items() if math.isnan(value))
    return DevPoint(method, float(means[0]), float(means[1]), by_language, lost)


def pareto_front(points: Sequence[DevPoint]) -> list[DevPoint]:
    """Points that no other one matches or beats on both gains, by transfer."""

    def dominated(p: DevPoint) -> bool:
        return any(
            q.d_transfer >= p.d_transfer
            and q.d_localization >= p.d_localization
            and (q.d_transfer > p.d_transfer or q.d_localization > p.d_localization)
            for q in points
        )

    front = (p for p in points if not p.not_finite and not dominated(p))
    return sorted(front, key=lambda p: (-p.d_transfer, p.method.size))


def best(points: Sequence[DevPoint], family: str, tolerance: float) -> DevPoint:
    """The chosen point of a family, by the rule above. Raises MechclaError if it has none."""
    mine = [p for p in points if p.method.family == family]
    if not mine:
        raise MechclaError(
            f"no {family} cell was swept, so none can be chosen; are there layers on both sides?"
        )
    mine = [p for p in mine if not p.not_finite]
    kind = FAMILIES.get(family)
    if kind.guarded:
        mine = [p for p in mine if min(p.d_transfer, p.d_localization) >= -tolerance]

    def value(p: DevPoint) -> float:
        return kind.gain(p.d_transfer, p.d_localization)

    found = min(mine, key=lambda p: (-round(value(p), 12), p.method.size), default=None)
    return found if found is not None and value(found) > 0 else DevPoint(Method(), 0.0, 0.0, {})


def merge(points: Sequence[DevPoint], languages: int | Mapping[str, int]) -> list[DevPoint]:
    """Points of the same method joined over languages, their gains averaged.

    languages: how many there are, or how many each family has. Methods that lack one are left out.
    """
    together: dict[Method, dict[str, tuple[float, float]]] = {}
    for p in points:
        if not p.not_finite:
            together.setdefault(p.method, {}).update(p.by_language)
    found = []
    for method, by_language in together.items():
        wanted = languages if isinstance(languages, int) else languages[method.family]
        if len(by_language) == wanted:
            means = np.asarray(list(by_language.values())).mean(axis=0)
            found.append(DevPoint(method, float(means[0]), float(means[1]), by_language))
    return found


def ranked(points: Sequence[DevPoint], family: str, k: int, by: str = "own") -> list[DevPoint]:
    """The best point of each of the k best first-edit layers of a family, best first.

    by: "own", the gain that the family is for, or "sum" of both gains, which is what a pair is
    chosen by. Points that are not finite have no rank. Ties are broken as in `best`.
    """
    own = FAMILIES.get(family)

    def value(p: DevPoint) -> float:
        if by == "sum":
            return p.d_transfer + p.d_localization
        return own.gain(p.d_transfer, p.d_localization)

    usable = (p for p in points if p.method.family == family and not p.not_finite)
    mine = sorted(usable, key=lambda p: (-round(value(p), 12), p.method.size))
    chosen: dict[int | None, DevPoint] = {}
    for p in mine:
        chosen.setdefault(p.method.first_layer, p)
    return list(chosen.values())[:k]
