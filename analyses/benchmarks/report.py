"""The benchmark's table (Markdown, CSV), record (JSON) and figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt

from mechcla import plots
from mechcla.runs.tables import csv_text


def table(rows: list[dict[str, Any]]) -> str:
    """Rows as Markdown."""
    keys = list(rows[0])
    lines = ["| " + " | ".join(keys) + " |", "|" + "---|" * len(keys)]
    lines += ["| " + " | ".join(_text(row.get(k, "")) for k in keys) + " |" for row in rows]
    return "\n".join(lines)


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def save(folder: Path, record: dict[str, Any]) -> list[Path]:
    """Write record.json, a CSV and a Markdown table a section, and the figures."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "record.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    text = []
    for name in ("paths", "savings", "extraction", "scaling", "dtypes"):
        rows = record.get(name)
        if not rows:
            continue
        keys = list(dict.fromkeys(k for row in rows for k in row))
        (folder / f"{name}.csv").write_text(csv_text(rows, keys), encoding="utf-8", newline="")
        text.append(f"### {name}\n\n{table(rows)}\n")
    (folder / "tables.md").write_text("\n".join(text), encoding="utf-8")
    made = []
    if record.get("paths"):
        made.append(plots.save(_bars(record), folder / "speed"))
    if record.get("scaling"):
        made.append(plots.save(_scaling(record["scaling"]), folder / "scaling"))
    return made


def _bars(record: dict[str, Any]) -> plt.Figure:
    """Seconds a cell by path, and by mechcla with one saving after another."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    for axis, name, title in (
        (axes[0], "paths", "the same sweep, by tool"),
        (axes[1], "savings", "mechcla, one saving after another"),
    ):
        rows = record[name][::-1]
        medians = [r["median_s"] for r in rows]
        spread = [
            [r["median_s"] - r["min_s"] for r in rows],
            [r["max_s"] - r["median_s"] for r in rows],
        ]
        axis.barh(
            [r["path"] for r in rows],
            medians,
            xerr=spread,
            color="#4477AA",
            ecolor="#222222",
            capsize=2,
        )
        for k, r in enumerate(rows):
            axis.annotate(
                f"{r['times_faster']:.1f}x",
                (r["max_s"], k),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
            )
        axis.set_xlim(0, 1.35 * max(r["max_s"] for r in rows))
        axis.set_xlabel("seconds (median, min to max)")
        axis.set_title(title, fontsize=10)
        axis.spines[["top", "right"]].set_visible(False)
    return figure


def _scaling(rows: list[dict[str, Any]]) -> plt.Figure:
    """Time and peak memory against the number of cells (items x layers x strengths)."""
    figure, axes = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
    for grows, colour in (("items", "#4477AA"), ("layers", "#EE6677")):
        part = [r for r in rows if r["grows"] == grows]
        axes[0].plot(
            [r["item_cells"] for r in part],
            [r["seconds"] for r in part],
            "o-",
            color=colour,
            label=f"more {grows}",
        )
        axes[1].plot(
            [r["item_cells"] for r in part],
            [r["peak_mib"] for r in part],
            "o-",
            color=colour,
            label=f"more {grows}",
        )
    for axis, label in zip(axes, ("seconds", "peak memory beyond the model (MiB)"), strict=True):
        axis.set_xlabel("item-cells (items x layers x strengths)")
        axis.set_ylabel(label)
        axis.set_xlim(left=0)
        axis.set_ylim(bottom=0)
    axes[0].legend(frameon=False)
    return figure
