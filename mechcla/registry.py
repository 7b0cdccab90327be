"""Registry[T]: the one place for things that a user can add by name, such as sources, recipes and
lint rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar, overload

from mechcla.errors import MechclaError, unknown

T = TypeVar("T")


class _Missing:
    """No value: None is one that can be registered."""


_MISSING = _Missing()


class Registry(Generic[T]):
    """Values of one type by name, in the order in which they were registered.

    kind: what messages call one of them, such as "source". one_word: refuse names with spaces. A
    name is given once: a second
    registration is refused, so that nobody's recipe is silently replaced. Raises MechclaError.
    Source: ours.

    >>> colours = Registry[str]("colour")
    >>> colours.register("red", "#c00")
    '#c00'
    >>> colours.get("red"), "blue" in colours, colours.names()
    ('#c00', False, ('red',))
    >>> rules = Registry[Callable[[int], bool]]("rule")
    >>> @rules.register("even")
    ... def even(n: int) -> bool:
    ...     return n % 2 == 0
    >>> rules.get("even")(4)
    True
    """

    def __init__(self, kind: str, *, one_word: bool = False) -> None:
        self.kind = kind
        self.one_word = one_word
        self._values: dict[str, T] = {}

    @overload
    def register(self, name: str, value: T) -> T: ...
    @overload
    def register(self, name: str) -> Callable[[T], T]: ...

    def register(self, name: str, value: T | _Missing = _MISSING) -> T | Callable[[T], T]:
        """Add `value` under `name` and return it; without a value, a decorator that does so.

        Raises MechclaError if the name is not a non-empty text without spaces at its ends (none at
        all where `one_word`), or is taken.
        """
        self._check(name)
        if not isinstance(value, _Missing):
            self._values[name] = value
            return value

        def decorate(decorated: T) -> T:
            return self.register(name, decorated)

        return decorate

    def get(self, name: str) -> T:
        """The value of this name. Raises MechclaError that shows the nearest names."""
        if name not in self:
            raise unknown(self.kind, name, self._values, 40)
        return self._values[name]

    def names(self) -> tuple[str, ...]:
        """All names, in the order in which they were registered."""
        return tuple(self._values)

    def values(self) -> tuple[T, ...]:
        """All values, in the order of their registration."""
        return tuple(self._values.values())

    def items(self) -> tuple[tuple[str, T], ...]:
        """All (name, value), in the order of their registration."""
        return tuple(self._values.items())

    def remove(self, name: str) -> None:
        """Take an entry out again. Raises MechclaError for an unknown name."""
        self.get(name)
        del self._values[name]

    def __getitem__(self, name: str) -> T:
        return self.get(name)

    def _check(self, name: str) -> None:
        if not isinstance(name, str) or not name or name != name.strip():
            raise MechclaError(
                f"the name of a {self.kind} is {name!r}; expected a text without spaces at its ends"
            )
        if self.one_word and len(name.split()) > 1:
            raise MechclaError(
                f"the name of a {self.kind} is {name!r}; expected one word without spaces, e.g. "
                f"{'_'.join(name.split())!r}"
            )
        if name in self._values:
            raise MechclaError(
                f"a {self.kind} named {name!r} is registered already; choose another name. "
                f"Known: {', '.join(self._values)}"
            )

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self._values

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Registry({self.kind!r}: {', '.join(self._values) or 'empty'})"
