"""One registry for everything that is pluggable: sources, recipes, operators, metrics, families, control arms."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

from mechcla.errors import MechclaError, nearest

T = TypeVar("T")


class Registry(Generic[T]):
    """Names and what they stand for, in the order of their registration.

    what: how messages name one entry ("recipe").

    >>> recipes = Registry[str]("recipe")
    >>> recipes.register("mean", "the mean")
    'the mean'
    >>> recipes.get("maen")
    Traceback (most recent call last):
    mechcla.errors.MechclaError: unknown recipe 'maen'; did you mean 'mean'? known: mean
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self._entries: dict[str, T] = {}

    def register(self, name: str, entry: T) -> T:
        """Add an entry and return it. Raises MechclaError for a name that is taken or is no text."""
        if not isinstance(name, str) or not name.strip():
            raise MechclaError(f"a {self.what}'s name is {name!r}; expected a non-empty text")
        if name in self._entries:
            raise MechclaError(
                f"a {self.what} named {name!r} is registered already; "
                f"known: {', '.join(self._entries)}"
            )
        self._entries[name] = entry
        return entry

    def get(self, name: str) -> T:
        """The entry of a name. Raises MechclaError with the nearest names for an unknown one."""
        if name not in self._entries:
            raise MechclaError(f"unknown {self.what} {name!r}; {nearest(name, self._entries)}")
        return self._entries[name]

    def remove(self, name: str) -> None:
        """Take an entry out again, which a test that registered one does."""
        self.get(name)
        del self._entries[name]

    def names(self) -> tuple[str, ...]:
        """All names, in the order of their registration."""
        return tuple(self._entries)

    def values(self) -> tuple[T, ...]:
        """All entries, in the order of their registration."""
        return tuple(self._entries.values())

    def items(self) -> tuple[tuple[str, T], ...]:
        """All (name, entry), in the order of their registration."""
        return tuple(self._entries.items())

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, name: str) -> T:
        return self.get(name)

    def __repr__(self) -> str:
        return f"Registry({self.what}: {', '.join(self._entries) or 'none'})"
