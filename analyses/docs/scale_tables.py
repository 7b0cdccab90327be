"""The tables of docs/scaling.md, made of docs/reference/price.json and memory.json."""

from __future__ import annotations

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
def memory(folder: Path) -> str:
    """Peaks of own memory in MiB: the least size, and each axis by itself from there."""
    rows: list[dict[str, Any]] = read("memory", folder)["rows"]
    least = {axis: min(r[axis] for r in rows) for axis in AXES}
    sizes = [(axis, n) for axis in AXES for n in sorted({r[axis] for r in rows} - {least[axis]})]
    lines = []
    for work in dict.fromkeys(r["work"] for r in rows):
        cells = [_mib(rows, work, least)]
        for axis, n in sizes:
            blank = axis == "cells" and work in WITHOUT_CELLS
            cells.append("" if blank else _mib(rows, work, least | {axis: n}))
        lines.append([work, *cells])
    first = ", ".join(_named(axis, n) for axis, n in least.items())
    return markdown(["peak, MiB", first, *(_named(axis, n) for axis, n in sizes)], lines)


@named("memory-growth")
def memory_growth(folder: Path) -> str:
    """By how much a sweep's peak grows with one more item, strength or language: before and now."""
    record = read("memory", folder)
    sets = {record["before"]["commit"]: record["before"]["rows"], record["commit"]: record["rows"]}
    named = {"items": "item (all kinds, splits and languages)", "cells": "strength"}
    lines = []
    for axis in AXES:
        kib = [_growth([r for r in rows if r["work"] == "sweep"], axis) for rows in sets.values()]
        lines.append([named.get(axis, "language"), *(number(k, 1) for k in kib)])
    return markdown(["KiB more per", *(f"commit {name}" for name in sets)], lines)


def _growth(rows: list[dict[str, Any]], axis: str) -> float:
    """KiB per one more from the least size of an axis to its largest, the others at their least."""
    least = {a: min(r[a] for r in rows) for a in AXES}
    few, many = (
        next(r for r in rows if all(r[a] == n for a, n in (least | {axis: size}).items()))
        for size in (least[axis], max(r[axis] for r in rows))
    )
    more = many[axis] - few[axis]
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
