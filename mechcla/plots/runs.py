"""Runs beside each other on the plane: arrows from the first run to the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mechcla.errors import MechclaError
from mechcla.metrics.estimates import POOLED, Estimate
from mechcla.plots.style import STYLE, colours, cross, new_figure

MARKS = "oDs^vPX*<>"  # a run each, in order; then again from the first


@runtime_checkable
class OnPlane(Protocol):
    """A condition in one language with both axes."""

    @property
    def condition(self) -> str: ...
    @property
    def language(self) -> str: ...
    @property
    def transfer(self) -> Estimate: ...
    @property
    def localization(self) -> Estimate: ...


@runtime_checkable
class Point(OnPlane, Protocol):
    """A run under one condition in one language."""

    @property
    def run(self) -> str: ...


@runtime_checkable
class Compared(Protocol):
    """What `mechcla.compare_runs` returns."""

    @property
    def runs(self) -> tuple[str, ...]: ...
    def plane(self) -> Sequence[Point]: ...


def compared(comparison: Compared, measure: str | None = None) -> Figure:
    """The plane of `mechcla.compare_runs`: a panel per condition, an arrow per language and run.

    Arrows begin at the first run. Black marks are pooled over languages, with 95% intervals;
    whether a change is more than chance, the comparison's p-values say. measure: the comparison's
    own, which is the default. Raises MechclaError where no condition has both axes, and for another
    measure.

    >>> mechcla.plots.save(compared(comparison), "runs")
    PosixPath('runs.png')
    """
    points = comparison.plane()
    if not points:
        raise MechclaError(
            "the plane needs transfer and localization of one condition; these runs share no "
            "condition that has both"
        )
    own = points[0].transfer.measure
    if measure not in (None, own):
        raise MechclaError(
            f"measure={measure!r}, but the comparison is in {own!r}; expected "
            f"mechcla.compare_runs(..., measure={measure!r}), or no measure here"
        )
    mark = {run: MARKS[k % len(MARKS)] for k, run in enumerate(comparison.runs)}
    colour = colours(list(dict.fromkeys(p.language for p in points if p.language != POOLED)))
    colour |= {POOLED: "black"}
    conditions = list(dict.fromkeys(p.condition for p in points))
    with matplotlib.rc_context(STYLE):
        figure, axes = new_figure(
            2.1 * len(conditions) + 1.2, 2.6, len(conditions), sharex=True, sharey=True
        )
        for axis, condition in zip(axes, conditions, strict=True):
            mine = [p for p in points if p.condition == condition]
            start = {p.language: p for p in mine if p.run == comparison.runs[0]}
            for p in mine:
                _point(axis, p, colour[p.language], mark[p.run])
                if p.run != comparison.runs[0] and p.language in start:
                    _arrow(axis, start[p.language], p, colour[p.language])
            axis.set(title=condition, xlabel=f"transfer ({own}, test)")
        axes[0].set_ylabel(f"localization ({own}, test)")
        for run, shape in mark.items():
            axes[0].plot([], [], color="0.3", marker=shape, ls="", ms=4, label=run)
        for language, tint in colour.items():
            axes[0].plot([], [], color=tint, lw=1.5, label=language)
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right center")
    return figure


def _point(axis: Axes, p: Point, colour: str, mark: str) -> None:
    if p.language == POOLED:
        cross(axis, p.transfer, p.localization, color=colour, marker=mark, ms=6)
    else:
        axis.plot(
            p.transfer.value, p.localization.value, color=colour, marker=mark, ms=3.5, alpha=0.6
        )


def _arrow(axis: Axes, start: Point, end: Point, colour: str) -> None:
    pooled = end.language == POOLED
    axis.annotate(
        "",
        (end.transfer.value, end.localization.value),
        (start.transfer.value, start.localization.value),
        arrowprops={
            "arrowstyle": "->",
            "color": colour,
            "lw": 1.1 if pooled else 0.7,
            "alpha": 1.0 if pooled else 0.5,
            "shrinkA": 0,
            "shrinkB": 0,
        },
    )
