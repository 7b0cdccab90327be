"""Losses by step: as a table, and as a figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.ticker import MaxNLocator

from mechcla.plots.style import COLOURS, new_figure, save
from mechcla.runs.tables import csv_text
from mechcla.storage import write_text


def write_losses(path: Path, losses: Sequence[Mapping[str, Any]]) -> None:
    """One row per step: its task, loss, learning rate, gradient norm, and the loss's parts."""
    write_text(path, csv_text(losses, list(dict.fromkeys(name for row in losses for name in row))))


def loss_curve(stem: Path, losses: Sequence[Mapping[str, Any]], title: str) -> Path:
    """A line per task, loss against step, as stem.png and stem.svg."""
    tasks = list(dict.fromkeys(row["task"] for row in losses))
    figure, axes = new_figure(3.2 * len(tasks), 2.4, len(tasks))
    for axis, task, colour in zip(axes, tasks, COLOURS, strict=False):
        rows = [row for row in losses if row["task"] == task]
        axis.plot([r["step"] for r in rows], [r["loss"] for r in rows], color=colour, marker=".")
        axis.set_title(f"{title}: {task}")
        axis.set_xlabel("step")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.set_ylabel("loss (nats)")
        axis.set_ylim(bottom=0)
    return save(figure, stem)
