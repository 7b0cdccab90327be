"""The package's types and shapes are checked at every call: jaxtyping's import hook over beartype.

The hook binds each call's arguments to the signature, to tell the axes of all of them together.
That took a third of the suite's time, nearly all of it in functions that have no shape. Those are
given to beartype alone here: the same types are checked, without the binding.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from typing import Any

import jaxtyping
from beartype import beartype
from jaxtyping import AbstractArray, install_import_hook

_jaxtyped = jaxtyping.jaxtyped


def check(package: str) -> None:
    """Check every function and dataclass of a package that is imported from now on."""
    jaxtyping.jaxtyped = _checked  # what the hook's decorators name
    install_import_hook(package, "beartype.beartype")


def has_shape(function: Callable[..., Any]) -> bool:
    """Whether an annotation holds an array type of jaxtyping, or cannot be read (then it may)."""
    try:
        hints = typing.get_type_hints(function)
    except Exception:  # a name that only type checkers see
        return True
    return any(isinstance(part, type) and issubclass(part, AbstractArray) for part in _parts(hints))


def _parts(hints: Any) -> Iterator[Any]:
    """An annotation and all that it is made of."""
    if isinstance(hints, dict):
        hints = tuple(hints.values())
    for part in hints if isinstance(hints, tuple | list) else (hints,):
        yield part
        if inner := typing.get_args(part):
            yield from _parts(inner)


def _checked(function: Any = None, *, typechecker: Any) -> Any:
    """In place of jaxtyping.jaxtyped, as the hook calls it."""
    if function is None:
        return lambda given: _checked(given, typechecker=typechecker)
    # beartype keeps what it decorates: an inner function, and all that it closes over, too.
    lasting = inspect.isfunction(function) and "<locals>" not in function.__qualname__
    if lasting and not has_shape(function):
        return beartype(function)
    if is_dataclass(function) and not has_shape(function.__init__):
        function.__init__ = beartype(function.__init__)
        return function
    return _jaxtyped(function, typechecker=typechecker)
