"""Ctrl-C while a command's libraries load, which takes seconds: one message, not a traceback.

`main` of the command catches the interrupt from then on. Nothing is changed in a process that only
imports mechcla. Importing this module guards, so it comes first.
"""

from __future__ import annotations

import os
import sys
from itertools import pairwise
from types import TracebackType

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


guard()
