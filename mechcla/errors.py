"""The one exception that mechcla raises for bad input, and its words for an unknown name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class MechclaError(ValueError):
    """Bad input. The message shows what was given, what was expected and the nearest fix.

    `python -m mechcla.sweep` prints the message alone and exits with code 2.
    """


def nearest(name: object, known: Iterable[object], limit: int = 12) -> str:
    """A sentence that helps after an unknown name: the closest known ones, or all of them if few.

    >>> nearest("resid_pots", ["resid_pre", "resid_post"])
    "did you mean 'resid_post'? known: resid_pre, resid_post"
    """
    names = [str(k) for k in known]
    close = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
    listed = ", ".join(names[:limit]) + (
        f", ... ({len(names)} in all)" if len(names) > limit else ""
    )
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}known: {listed or 'none'}"


def unknown(
    kind: str, name: object, known: Iterable[object], limit: int = 12, *, where: str = ""
) -> MechclaError:
    """The exception for a name that is none of the known ones, to be raised; where: what has it.

    >>> str(unknown("unit", "raws", ["raw", "relative"]))
    "unknown unit 'raws'; did you mean 'raw'? known: raw, relative"
    """
    what = f"{where} has an unknown {kind}" if where else f"unknown {kind}"
    return MechclaError(f"{what} {name!r}; {nearest(name, known, limit)}")
