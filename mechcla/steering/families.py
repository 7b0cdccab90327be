"""Families of methods: what each is for, which vectors it needs, what it is held against, how it is
drawn.

A family is one entry of `FAMILIES`; tables, plots, tests and the dev search read everything about
it there. "unsteered" and "explicit" (the country named in the prompt) are conditions without
vectors, registered beside them. `Family` itself is defined beside `Method`, in `method.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from mechcla.steering.method import FAMILIES, DevSearch, Family

BOTH = ("transfer", "localization")
AXIS_OF = {"universal": "transfer", "cultural": "localization"}  # the plane's, by kind of items


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

__all__ = [
    "AXIS_OF",
    "BOTH",
    "FAMILIES",
    "Condition",
    "DevSearch",
    "Family",
    "axes_of",
    "is_steered",
    "look",
    "steered",
]
