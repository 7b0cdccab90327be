"""Ctrl-C ends a command with one message, also while libraries load and inside their compiled code.

`guard` covers the seconds in which a command imports; importing this module guards, so it comes
first. From then on `main` of the command catches the interrupt, which `kept` keeps one. Nothing is
changed in a process that only imports mechcla.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from types import FrameType, TracebackType
from typing import Any

INTERRUPTED = 130  # a shell's exit code for a process that Ctrl-C ended
MESSAGE = "interrupted; the same command goes on from here"


def guard() -> None:
    """Say MESSAGE and exit with INTERRUPTED if `python -m mechcla...`, or the script `mechcla`, was
    interrupted."""
    arguments = getattr(sys, "orig_argv", [])
    modules = [b for a, b in pairwise(arguments) if a == "-m"]
    scripts = [os.path.basename(part) for part in arguments[1:2]]
    name = (modules or scripts or [""])[0]
    if name.split(".")[0] != "mechcla":
        return
    before = sys.excepthook

    def hook(
        kind: type[BaseException], error: BaseException, traceback: TracebackType | None
    ) -> None:
        seen: BaseException | None = error
        while seen is not None:  # an import that is interrupted may end in an error of its own
            if isinstance(seen, KeyboardInterrupt):
                print(f"\n{name}: {MESSAGE}", file=sys.stderr, flush=True)
                os._exit(INTERRUPTED)
            seen = seen.__cause__ or seen.__context__
        before(kind, error, traceback)

    sys.excepthook = hook


class _Noting:
    """A handler of Ctrl-C which notes it and then does as the handler before it: it raises."""

    def __init__(self, before: Any) -> None:
        self.before = before
        self.interrupted = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.interrupted = True
        self.before(number, frame)


@contextmanager
def kept() -> Iterator[None]:
    """Ctrl-C inside stays a KeyboardInterrupt, also where a library answers it with another error.

    Compiled code may drop the interrupt that Python raised under it: torch, reading a safetensors
    file, then says "could not determine the shape of object type", as if the file were damaged.
    Who catches such an error and goes on calls `again` first; what nobody stopped at is raised at
    the end. Works where Python's own handler is in place, in the main thread; elsewhere, and where
    others put a handler of their own in its place meanwhile, nothing is changed.
    """
    before = signal.getsignal(signal.SIGINT)
    raises = before is signal.default_int_handler or isinstance(before, _Noting)
    if not raises or threading.current_thread() is not threading.main_thread():
        yield
        return
    noting = _Noting(before)
    signal.signal(signal.SIGINT, noting)
    try:
        yield
    except Exception as error:
        if noting.interrupted:
            raise KeyboardInterrupt from error
        raise
    else:
        if noting.interrupted:
            raise KeyboardInterrupt
    finally:
        if signal.getsignal(signal.SIGINT) is noting:
            signal.signal(signal.SIGINT, before)


def again() -> None:
    """Raise KeyboardInterrupt if Ctrl-C came since `kept` began: it may be the error in hand."""
    noting = signal.getsignal(signal.SIGINT)
    if isinstance(noting, _Noting) and noting.interrupted:
        raise KeyboardInterrupt


guard()
