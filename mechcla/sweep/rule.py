"""The rule by which dev decides.

A dev point is a method's mean gain over the unsteered model, in transfer on universal items and in localization
on implicit cultural items: within each language, then over the languages that choose together.

    EN, EN+restore  the largest gain in transfer
    LOC             the largest gain in localization
    SUR             among pairs for which neither gain falls below -tolerance, the largest sum of both

A family whose best value is not above 0 is left out there: the choice is then the unsteered model, Method().
Ties go to the smaller total strength, then to the shallower layer. Since the sum is monotone in both gains, the
chosen SUR is on the Pareto front of the pairs that qualify.
"""

from __future__ import annotations

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
    """Gains of one method on dev, over languages; nan where a kind was not scored."""

    method: Method
    d_transfer: float
    d_localization: float
    by_language: dict[str, tuple[float, float]]

    def describe(self) -> dict[str, Any]:
        return {
            **self.method.describe(),
            "d_transfer": self.d_transfer,
            "d_localization": self.d_localization,
            "by_language": self.by_language,
        }


def dev_point(
    method: Method,
    scores: Mapping[tuple[str, str], Scores],
    base: Mapping[tuple[str, str], Scores],
    measure: Measure,
) -> DevPoint:
    """Gains from scores and base by (language, kind)."""
    languages = list(dict.fromkeys(language for language, _ in scores))
    by_language = {}
    for language in languages:
        gains = []
        for kind, metric in (("universal", "transfer"), ("cultural", "localization")):
            key = (language, kind)
            if key in scores:
                gains.append(
                    difference(scores[key], base[key], metric, measure, resamples=1)[language].value
                )
            else:
                gains.append(float("nan"))
        by_language[language] = (gains[0], gains[1])
    means = np.asarray(list(by_language.values())).mean(axis=0)
    return DevPoint(method, float(means[0]), float(means[1]), by_language)


def pareto_front(points: Sequence[DevPoint]) -> list[DevPoint]:
    """Points that no other one matches or beats on both gains, by transfer."""

    def dominated(p: DevPoint) -> bool:
        return any(
            q.d_transfer >= p.d_transfer
            and q.d_localization >= p.d_localization
            and (q.d_transfer > p.d_transfer or q.d_localization > p.d_localization)
            for q in points
        )

    return sorted((p for p in points if not dominated(p)), key=lambda p: -p.d_transfer)


def best(points: Sequence[DevPoint], family: str, tolerance: float) -> DevPoint:
    """The chosen point of a family, by the rule above. Raises MechclaError if the family has none."""
    mine = [p for p in points if p.method.family == family]
    if not mine:
        raise MechclaError(
            f"no {family} cell was swept, so none can be chosen; are there layers on both sides?"
        )
    kind = FAMILIES.get(family)
    if kind.guarded:
        mine = [p for p in mine if min(p.d_transfer, p.d_localization) >= -tolerance]

    def gain(p: DevPoint) -> float:
        return kind.gain(p.d_transfer, p.d_localization)

    found = min(mine, key=lambda p: (-round(gain(p), 12), p.method.size), default=None)
    return found if found is not None and gain(found) > 0 else DevPoint(Method(), 0.0, 0.0, {})


def merge(points: Sequence[DevPoint], languages: int) -> list[DevPoint]:
    """Points of the same method joined over languages, their gains averaged; methods that lack a language are left out."""
    together: dict[Method, dict[str, tuple[float, float]]] = {}
    for p in points:
        together.setdefault(p.method, {}).update(p.by_language)
    found = []
    for method, by_language in together.items():
        if len(by_language) == languages:
            means = np.asarray(list(by_language.values())).mean(axis=0)
            found.append(DevPoint(method, float(means[0]), float(means[1]), by_language))
    return found


def ranked(points: Sequence[DevPoint], family: str, k: int, by: str = "own") -> list[DevPoint]:
    """The best point of each of the k best first-edit layers of a family, best first.

    by: "own", the gain that the family is for, or "sum" of both gains, which is what a pair is chosen by.
    """
    kind = FAMILIES.get(family)

    def value(p: DevPoint) -> float:
        if by == "sum":
            return p.d_transfer + p.d_localization
        return kind.gain(p.d_transfer, p.d_localization)

    mine = sorted(
        (p for p in points if p.method.family == family), key=lambda p: (-value(p), p.method.size)
    )
    chosen: dict[int | None, DevPoint] = {}
    for p in mine:
        chosen.setdefault(p.method.first_layer, p)
    return list(chosen.values())[:k]
