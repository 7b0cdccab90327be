"""A user's own functions as a digest: the part of a result's identity that is their code."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import partial
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from torch import Tensor

PLAIN = (str, bytes, int, float, complex, bool, type(None))


def user_code(value: Any) -> str | None:
    """SHA-256 of the functions of a user's own in `value`; None where all of them are mechcla's.

    value: a function, a `functools.partial`, a callable object, or a dataclass that holds them.
    What counts is the code as it was compiled (not the file, which may be edited while it runs),
    defaults, what it closes over, and the functions and plain values of its own module that it
    names. Not seen: code of other modules that it calls. A value that cannot be told from another
    (an open file, say) gives another digest each time. Source: ours.

    >>> def halved(plus, minus):
    ...     return (plus - minus).mean(0) / 2
    >>> user_code(halved) == user_code(halved), user_code(mechcla.localization)
    (True, None)
    """
    parts = list(_parts(value, set()))
    if not any(mine for _, mine in parts):
        return None
    return hashlib.sha256(repr([part for part, _ in parts]).encode()).hexdigest()


def _parts(value: Any, seen: set[int]) -> Iterator[tuple[str, bool]]:
    """Each part as a text, and whether it is a user's own code."""
    if isinstance(value, PLAIN):
        yield repr(value), False
        return
    if id(value) in seen:  # a function that calls itself
        return
    seen = seen | {id(value)}
    if isinstance(value, Tensor):
        plain = value.detach().to("cpu").contiguous()
        yield f"{plain.dtype} {tuple(plain.shape)} {plain.flatten().tolist()}", False
    elif isinstance(value, FunctionType):
        yield from _function(value, seen)
    elif isinstance(value, MethodType):
        yield from _all((value.__func__, value.__self__), seen)
    elif isinstance(value, partial):
        yield "partial", True
        yield from _all((value.func, value.args, value.keywords), seen)
    elif isinstance(value, CodeType):
        names = (value.co_names, value.co_varnames, value.co_freevars, value.co_argcount)
        yield f"{value.co_code.hex()} {names}", False
        yield from _all(value.co_consts, seen)
    elif isinstance(value, Mapping):
        yield from _all((part for pair in value.items() for part in pair), seen)
    elif isinstance(value, tuple | list):
        yield from _all(value, seen)
    elif isinstance(value, set | frozenset):
        yield repr(sorted(map(repr, value))), False
    elif isinstance(value, ModuleType | type):
        yield f"{getattr(value, '__module__', '')} {value.__name__}", False
    elif is_dataclass(value):
        yield from _all((getattr(value, field.name) for field in fields(value)), seen)
    elif ours(type(value)) or type(value).__module__ == "builtins":
        yield f"{type(value).__module__}.{type(value).__qualname__}", False
    elif callable(value) and hasattr(value, "__dict__"):
        yield type(value).__qualname__, True
        yield from _all((type(value).__call__, vars(value)), seen)
    else:
        yield uuid.uuid4().hex, False


def _function(value: FunctionType, seen: set[int]) -> Iterator[tuple[str, bool]]:
    if hasattr(value, "__wrapped__"):  # a decorator's outside is of no interest
        yield from _parts(value.__wrapped__, seen)
        return
    if ours(value):
        yield f"{value.__module__}.{value.__qualname__}", False
        return
    yield value.__qualname__, True
    cells = [cell.cell_contents for cell in value.__closure__ or ()]
    yield from _all((value.__code__, value.__defaults__, value.__kwdefaults__, cells), seen)
    for name in value.__code__.co_names:
        named = value.__globals__.get(name)
        beside = isinstance(named, FunctionType) and named.__module__ == value.__module__
        if beside or isinstance(named, (*PLAIN, Tensor)):
            yield from _parts(named, seen)


def _all(values: Any, seen: set[int]) -> Iterator[tuple[str, bool]]:
    for value in values:
        yield from _parts(value, seen)


def ours(value: Any) -> bool:
    """Whether a function or class is mechcla's own."""
    return str(getattr(value, "__module__", "")).split(".")[0] == "mechcla"
