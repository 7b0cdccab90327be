"""Which axes the items allow: transfer needs universal items, localization cultural ones.

A set may have both kinds in every language, one kind alone, or both in some languages. A family is
searched and tested in the languages that have every kind that it needs; the other ones are said.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from mechcla.items.item import KINDS, PIVOT
from mechcla.items.item_set import ItemSet
from mechcla.steering.families import AXIS_OF, FAMILIES, Family

MADE_OF = {"EN": "universal", "LOC": "cultural"}  # the kind that a vector is made of


@dataclass(frozen=True)
class Axes:
    """The kinds of items that each language has, English too: {language: kinds}."""

    kinds: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, items: ItemSet) -> Axes:
        """The kinds of these items by language, in the order of the languages.

        >>> Axes.of(items).kinds["ko"]
        ('universal', 'cultural')
        """
        found = {(language, kind) for language, kind, _ in items.groups}
        return cls({k: tuple(n for n in KINDS if (k, n) in found) for k in items.languages})

    @property
    def steered(self) -> list[str]:
        """The languages but English."""
        return [language for language in self.kinds if language != PIVOT]

    @property
    def vectors(self) -> list[str]:
        """Which of EN and LOC the items can make."""
        return [name for name, kind in MADE_OF.items() if self.having(kind)]

    def having(self, *kinds: str) -> list[str]:
        """The steered languages that have all these kinds."""
        return [k for k in self.steered if set(kinds) <= set(self.kinds[k])]

    def languages(self, family: str) -> list[str]:
        """The steered languages in which a family can be made and measured."""
        return self.having(*_needs(FAMILIES.get(family)))

    def lacking(self, families: Iterable[Family]) -> Iterator[str]:
        """A message per kind that languages lack: what is not measured, and which of the run's
        families are left out.
        """
        families = list(families)
        for kind in KINDS:
            without = [k for k in self.steered if kind not in self.kinds[k]]
            if without:
                out = [f.name for f in families if kind in _needs(f)]
                left = f", and {', '.join(out)} are left out there" if out else ""
                yield (
                    f"no {kind} items in {', '.join(without)}: {AXIS_OF[kind]} is not measured "
                    f"there{left}"
                )
        if not self.having(*KINDS):
            yield (
                "no language has both kinds of items, so there is no plane, and no figure of it "
                "(figures 2 and 5)"
            )
        elif len(self.having(*KINDS)) < len(self.steered):
            yield (
                f"the plane shows {', '.join(self.having(*KINDS))}, which have both kinds; a "
                "pooled number is over the languages that have it, so compare changes, which are "
                "paired"
            )


def _needs(family: Family) -> set[str]:
    return {*family.kinds, *(MADE_OF[name] for name in family.vectors if name in MADE_OF)}
