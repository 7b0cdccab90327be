"""The tables of docs/scaling.md, made of docs/reference/price.json and memory.json."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

from analyses.docs.tables import markdown, named
from analyses.docs.values import number, read

AXES = ("items", "cells", "languages")
WITHOUT_CELLS = ("vectors", "residuals", "residuals in a folder", "separation", "silhouette")


@named("price")
def price(folder: Path) -> str:
    """What --dry-run said, and what the run took, by stage."""
    rows = [
        [
            r["stage"],
            f"{r['cells']:,}" if r["cells"] else "",
            number(r["said"], 1),
            number(r["measured"], 1),
            f"{100 * (r['said'] / r['measured'] - 1):+.0f}%",
        ]
        for r in read("price", folder)["rows"]
    ]
    return markdown(["stage", "cells", "said, s", "measured, s", "off"], rows)


@named("memory")
def memory(folder: Path, axis: str) -> str:
    """Peaks of own memory in MiB along one axis, the others at their least."""
    rows: list[dict[str, Any]] = read("memory", folder)["rows"]
    least = {a: min(r[a] for r in rows) for a in AXES}
    sizes = sorted({r[axis] for r in rows})
    lines = [
        [work, *(_mib(rows, work, least | {axis: n}) for n in sizes)]
        for work in dict.fromkeys(r["work"] for r in rows)
        if axis != "cells" or work not in WITHOUT_CELLS
    ]
    return markdown(["peak, MiB", *(_named(axis, n) for n in sizes)], lines)


@named("memory-growth")
def memory_growth(folder: Path) -> str:
    """By how much a sweep's peak grows with one more item, strength or language, from the least
    size to the middle one and from there to the largest.
    """
    rows = [r for r in read("memory", folder)["rows"] if r["work"] == "sweep"]
    named = {"items": "item (all kinds, splits and languages)", "cells": "strength"}
    lines = []
    for axis in AXES:
        sizes = sorted({r[axis] for r in rows})
        steps = [sizes[0], sizes[len(sizes) // 2], sizes[-1]]
        kib = [_growth(rows, axis, *ends) for ends in pairwise(steps)]
        of = [
            f"{number(k, 1)} ({a} to {b})" for k, (a, b) in zip(kib, pairwise(steps), strict=True)
        ]
        lines.append([named.get(axis, "language"), *of])
    return markdown(["KiB more per", "to the middle size", "from there on"], lines)


def _growth(rows: list[dict[str, Any]], axis: str, first: int, last: int) -> float:
    """KiB per one more from one size of an axis to another, the others at their least."""
    least = {a: min(r[a] for r in rows) for a in AXES}
    few, many = (
        next(r for r in rows if all(r[a] == n for a, n in (least | {axis: size}).items()))
        for size in (first, last)
    )
    more = last - first
    if axis == "items":
        more *= 4 * (least["languages"] + 1)  # of two kinds and two splits, in English too
    grown: int = many["anonymous"] - few["anonymous"]
    return grown / 1024 / more


def _named(axis: str, n: int) -> str:
    what = "strengths" if axis == "cells" else axis
    return f"{n} {what if n > 1 else what.removesuffix('s')}"


def _mib(rows: list[dict[str, Any]], work: str, size: dict[str, int]) -> str:
    found = [r for r in rows if r["work"] == work and all(r[k] == n for k, n in size.items())]
    return number(found[0]["anonymous"] / 2**20, 0)
