"""The rule by which dev decides.

A dev point is a method's mean gain over the unsteered model, in transfer on universal items and in
localization on implicit cultural items: within each language, then over the languages that choose
together.

    EN, EN+restore  the largest gain in transfer
    LOC             the largest gain in localization
    SUR             among pairs that the constraint admits, the largest sum, or what the constraint
                    maximises (`mechcla.sweep.choosing.constraint`)
    a user's own    the largest sum of the gains on its axes, of any registered metric

Whose gains these are, a language's own or those of all, is the choice rule's
(`mechcla.sweep.choosing.choice_rule`).

A family whose best value is not above 0 is left out there: the choice is then the unsteered model,
Method(). Ties go to the smaller total strength, then to the shallower layer. Where the sum
decides, which is monotone in both gains, the chosen SUR is on the Pareto front of the pairs that
qualify.

A method with a cell that is not finite is never chosen, ranked or averaged: its point says which
cells they are.
"""

from __future__ import annotations

from collections.abc import Sequence

from mechcla.errors import MechclaError
from mechcla.steering.families import FAMILIES
from mechcla.steering.method import Method
from mechcla.sweep.choosing.constraint import CONSTRAINTS, LIMITS, Limits
from mechcla.sweep.dev_point import DevPoint


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


def best(points: Sequence[DevPoint], family: str, limits: Limits = LIMITS) -> DevPoint:
    """The chosen point of a family, by the rule above. Raises MechclaError if it has none."""
    mine = [p for p in points if p.method.family == family]
    if not mine:
        raise MechclaError(
            f"no {family} cell was swept, so none can be chosen; are there layers on both sides?"
        )
    mine = [p for p in mine if not p.not_finite]
    kind = FAMILIES.get(family)
    guard = CONSTRAINTS.get(limits.constraint) if kind.guarded else CONSTRAINTS["none"]
    mine = [p for p in mine if guard.admits(p, limits)]

    def value(p: DevPoint) -> float:
        return kind.gain(p.gains) if guard.value is None else guard.value(p, kind)

    found = min(mine, key=lambda p: (-round(value(p), 12), p.method.size), default=None)
    return found if found is not None and value(found) > 0 else DevPoint(Method(), 0.0, 0.0, {})


def ranked(points: Sequence[DevPoint], family: str, k: int, by: str = "own") -> list[DevPoint]:
    """The best point of each of the k best first-edit layers of a family, best first.

    by: "own", the gain that the family is for, or "sum" of both gains, which is what a pair is
    chosen by. Points that are not finite have no rank. Ties are broken as in `best`.
    """
    own = FAMILIES.get(family)

    def value(p: DevPoint) -> float:
        if by == "sum":
            return p.d_transfer + p.d_localization
        return own.gain(p.gains)

    usable = (p for p in points if p.method.family == family and not p.not_finite)
    mine = sorted(usable, key=lambda p: (-round(value(p), 12), p.method.size))
    chosen: dict[int | None, DevPoint] = {}
    for p in mine:
        chosen.setdefault(p.method.first_layer, p)
    return list(chosen.values())[:k]
