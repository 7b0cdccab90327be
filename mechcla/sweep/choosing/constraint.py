"""Constraint: what a family that uses both vectors may lose, and what is then maximised.

    from mechcla.sweep.choosing import CONSTRAINTS, Constraint
    CONSTRAINTS.register("mine", Constraint("what it does", admits, value))

A choice rule says whose gains count; a constraint, which of the methods qualify by these gains. Any
rule goes with any constraint.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mechcla.registry import Registry
from mechcla.steering.families import Family
from mechcla.sweep.dev_point import DevPoint


@dataclass(frozen=True)
class Limits:
    """The constraint's name, and the settings that it may read.

    tolerance: what either gain may lose, as a point. max_loss: what transfer may lose, by its lower
    bound. confidence: of that one-sided bound.
    """

    tolerance: float = 0.01
    constraint: str = "tolerance"
    max_loss: float = 0.01
    confidence: float = 0.9


@dataclass(frozen=True)
class Constraint:
    """Which points of a guarded family qualify, and what the best of them has most of.

    admits: of a point under the limits. value: of a point that qualifies, given its family; None
    the family's own gain.
    """

    does: str
    admits: Callable[[DevPoint, Limits], bool]
    value: Callable[[DevPoint, Family], float] | None = None


LIMITS = Limits()  # the defaults
CONSTRAINTS: Registry[Constraint] = Registry("constraint", one_word=True)
CONSTRAINTS.register("none", Constraint("nothing is asked", lambda point, limits: True))
