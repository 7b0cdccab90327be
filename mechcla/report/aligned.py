"""The aligned models beside a run: what the sweep wrote of them, as the page holds it."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

from mechcla.report.numbers import table
from mechcla.runs.folder import ALIGNED, BESIDE_ALIGNED
from mechcla.runs.run import Run

WHY_NOT = "beside this run is damaged or of another run"
TEXTS = ("model", "condition", "against", "language", "metric", "measure")
NUMBERS = (
    *("value", "low", "high", "n", "p_holm"),
    *("difference", "difference_low", "difference_high"),
    *("recovered", "recovered_low", "recovered_high"),
)


def aligned_models(run: Run) -> dict[str, Any] | None:
    """The values of RUN-aligned/aligned.csv (`--with-adapters`) or, for the base of `--adapters`,
    of the aligned.csv above its folder; None where there is none.

    The table has no digest, so it is held against the run: where its base's values are not those
    of the run's summary, it is of another run, and the page says so instead ("why_not").
    """
    beside = run.folder.parent / f"{run.folder.name}{BESIDE_ALIGNED}" / ALIGNED
    if beside.is_file():
        rows = _rows(beside, run)
        return {"values": table(rows)} if rows else {"why_not": f"{beside.name} {WHY_NOT}"}
    above = run.folder.parent / ALIGNED
    rows = _rows(above, run) if above.is_file() else []
    return {"values": table(rows)} if rows else None


def _rows(path: Path, run: Run) -> list[dict[str, Any]]:
    """The table's records; none where it is no such table, or of another run."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = [_read(row) for row in csv.DictReader(file)]
    except (KeyError, AttributeError, ValueError, OSError, csv.Error):
        return []
    return rows if _is_of(rows, run) else []


def _read(row: dict[str, str]) -> dict[str, Any]:
    texts = {name: row[name].removeprefix("'") for name in TEXTS}
    return texts | {k: float(row[k]) if row[k] not in ("", "nan") else None for k in NUMBERS}


def _is_of(rows: list[dict[str, Any]], run: Run) -> bool:
    """Whether the unsteered base of the table is the run's unsteered model."""
    base = [r for r in rows if r["condition"] == "unsteered" and not r["against"]]
    own = {
        (r["language"], r["metric"], r["measure"]): r for r in run.summary.where(method="unsteered")
    }
    found = [(r, own.get((r["language"], r["metric"], r["measure"]))) for r in base]
    return bool(found) and all(
        mine is not None and mine["n"] == row["n"] and math.isclose(mine["value"], row["value"])
        for row, mine in found
    )
