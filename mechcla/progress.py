"""Bars for long work: what is being done and the time left, on the terminal alone.

A bar appears after a second, only where standard error is a terminal, and never in a `quiet` block,
so logs, pipes and tests stay as they are.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")
FLAG = "--quiet"
WAIT = 1.0  # seconds: shorter work shows no bar
_quiet: ContextVar[bool] = ContextVar("quiet", default=False)


@contextmanager
def quiet(hushed: bool = True) -> Iterator[None]:
    """No bar within this block. hushed: False leaves things as they are.

    >>> with quiet():
    ...     bar("nothing to see", 3).disable
    True
    """
    token = _quiet.set(hushed or _quiet.get())
    try:
        yield
    finally:
        _quiet.reset(token)


def hushed() -> bool:
    """Whether this is a `quiet` block."""
    return _quiet.get()


def without_flag(arguments: list[str]) -> tuple[list[str], bool]:
    """A command's arguments without `--quiet`, and whether it was among them.

    >>> without_flag(["sweep", "--quiet", "--preset", "quick"])
    (['sweep', '--preset', 'quick'], True)
    """
    return [a for a in arguments if a != FLAG], FLAG in arguments


def shown() -> bool:
    """Whether a bar would be seen: standard error is a terminal, and nobody asked for quiet."""
    return not _quiet.get() and sys.stderr is not None and sys.stderr.isatty()


def bar(what: str, total: int | None, unit: str = "it", *, kept: bool = False) -> tqdm[None]:
    """A bar to be updated by hand and closed, or used as a context.

    what: what is being done, in front of it. kept: leave it on the screen, at once and after the
    end; else it comes after a second and is wiped.
    """
    return tqdm(
        total=total,
        desc=what,
        unit=unit,
        file=sys.stderr,
        disable=not shown(),
        leave=kept,
        delay=0.0 if kept else WAIT,
        dynamic_ncols=True,
        smoothing=0.1,
    )


def track(parts: Iterable[T], what: str, total: int | None = None, unit: str = "it") -> Iterator[T]:
    """The parts as they are, with a bar that counts them.

    >>> list(track([3, 4], "adding"))
    [3, 4]
    """
    if total is None and isinstance(parts, Sized):
        total = len(parts)
    with bar(what, total, unit) as shown_bar:
        for part in parts:
            yield part
            shown_bar.update()
