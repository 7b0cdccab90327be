"""Aligned models and their base: arrows on the plane, English bias, before and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mechcla.errors import MechclaError
from mechcla.geometry import Curve, Projection
from mechcla.metrics.estimates import POOLED, Estimate
from mechcla.plots.labels import Place, label_points
from mechcla.plots.runs import OnPlane
from mechcla.plots.style import COLOURS, STYLE, colours, cross, new_figure
from mechcla.steering.families import look

UNSTEERED, EXPLICIT = "unsteered", "explicit"


@runtime_checkable
class Point(OnPlane, Protocol):
    """A model under one condition in one language."""

    @property
    def model(self) -> str: ...


@runtime_checkable
class Aligned(Protocol):
    """What `mechcla.compare_aligned` returns."""

    @property
    def models(self) -> tuple[str, ...]: ...
    @property
    def conditions(self) -> tuple[str, ...]: ...
    @property
    def settings(self) -> Mapping[str, Any]: ...
    def plane(self) -> Sequence[Point]: ...
    def value(self, model: str, condition: str, language: str, name: str) -> Estimate | None: ...


def aligned_plane(comparison: Aligned, on_top: str = "SUR", training_free: str = "EN") -> Figure:
    """The plane, pooled: an arrow from the base to each aligned model, and on to steering on it.

    A mark per condition and a colour per model, with 95% intervals as crosses: the unsteered
    models, `on_top` added to each, and `training_free`, the alignment without training, on the
    base. Localization with the country named, each model's ceiling, is a dotted line; a note says
    where it is if that is off the page. Whether a change is more than chance, the comparison's
    p-values say. After the source paper's Figures 2 and 5. Raises MechclaError where the base has
    not both axes.

    >>> mechcla.plots.save(aligned_plane(aligned), "aligned_plane")
    PosixPath('aligned_plane.png')
    """
    points = {(p.model, p.condition): p for p in comparison.plane() if p.language == POOLED}
    base = points.get((comparison.models[0], UNSTEERED))
    if base is None:
        raise MechclaError(
            "the plane needs transfer and localization in the same languages; the base "
            f"{comparison.models[0]!r} has not both"
        )
    colour = _colours(comparison.models)
    labels: dict[str, tuple[Place, str]] = {}
    marks: list[Place] = []
    lines: list[tuple[Place, Place]] = []
    with matplotlib.rc_context(STYLE):
        figure, (axis,) = new_figure(5.6, 4.2)
        axis.axhline(base.localization.value, color="0.85", lw=0.8)
        axis.axvline(base.transfer.value, color="0.85", lw=0.8)
        for model in comparison.models:
            start = points.get((model, UNSTEERED))
            if start is None:
                continue
            tint = colour[model]
            chain = [(base, start)] if model != base.model else []
            steered = points.get((model, on_top))
            chain += [(start, steered)] if steered is not None else []
            free = points.get((model, training_free)) if model == base.model else None
            chain += [(start, free)] if free is not None else []
            for p in (start, *(end for a, end in chain if a is start)):
                cross(
                    axis,
                    p.transfer,
                    p.localization,
                    color=tint,
                    ecolor=matplotlib.colors.to_rgba(tint, 0.35),
                    marker=look(p.condition)[0],
                    ms=5.5,
                )
                marks.append(_place(p))
                lines += _bars(p)
            for a, b in chain:
                _arrow(axis, a, b, tint, "-" if b.condition == UNSTEERED else "--")
                lines.append((_place(a), _place(b)))
            labels[model] = (_place(start), tint)
            if free is not None:
                labels[f"{training_free} on {model}"] = (_place(free), tint)
        measure = comparison.settings["measure"]
        axis.set(
            xlabel=f"transfer ({measure}, test, pooled)",
            ylabel=f"localization ({measure}, test, pooled)",
        )
        axis.margins(0.12)
        _ceilings(axis, points, colour)
        shown = dict.fromkeys(p.condition for p in points.values())
        for condition in (c for c in (UNSTEERED, on_top, training_free) if c in shown):
            name = condition if condition == UNSTEERED else f"{condition} on top"
            axis.plot([], [], color="0.3", marker=look(condition)[0], ls="", ms=5, label=name)
        handles, names = axis.get_legend_handles_labels()
        figure.legend(handles, names, loc="outside upper center", ncols=len(names))
        label_points(axis, labels, marks, lines)
    return figure


def aligned_bias(comparison: Aligned) -> Figure:
    """English bias, pooled: a group per model, a mark per condition, with 95% intervals.

    The dashed line is the unsteered base's. After the source paper's Figure 5, right. Raises
    MechclaError where no model has an English answer to be biased to.
    """
    bars = [
        (model, condition, found)
        for model in comparison.models
        for condition in comparison.conditions
        if (found := comparison.value(model, condition, POOLED, "english_bias")) is not None
    ]
    if not bars:
        raise MechclaError("no model was scored on items that offer an American answer")
    models = list(dict.fromkeys(model for model, _, _ in bars))
    with matplotlib.rc_context(STYLE):
        figure, (axis,) = new_figure(4.6, 0.11 * len(bars) + 0.11 * len(models) + 0.8)
        y, ticks, shown = 0.0, [], dict[str, Any]()
        for k, model in enumerate(models):
            mine = [(condition, found) for name, condition, found in bars if name == model]
            ticks.append(y + (len(mine) - 1) / 2)
            if k % 2:
                axis.axhspan(y - 1, y + len(mine), color="0.95", lw=0)
            for condition, found in mine:
                mark, colour = look(condition)
                shown[condition] = axis.errorbar(
                    found.value,
                    y,
                    xerr=[[found.value - found.low], [found.high - found.value]],
                    fmt=mark,
                    color=colour,
                    ms=4,
                    elinewidth=0.8,
                )
                y += 1
            y += 1
        held = comparison.value(comparison.models[0], UNSTEERED, POOLED, "english_bias")
        if held is not None:
            axis.axvline(held.value, color="0.4", ls="--", lw=0.8)
        axis.set_yticks(ticks, models)
        axis.tick_params(axis="y", length=0)
        axis.set_ylim(y - 1, -1)
        axis.set_xlabel(f"English bias ({comparison.settings['measure']}, test, pooled)")
        names = [c for c in comparison.conditions if c in shown]
        figure.legend([shown[c] for c in names], names, loc="outside right center")
    return figure


def before_after(
    shown: Mapping[str, Sequence[Projection]],
    curves: Mapping[str, Mapping[str, Curve]],
) -> Figure:
    """A row per model, a PCA panel per block, and below each what the curves are at that block.

    shown: `mechcla.geometry.project` of each model at the same blocks, each in a basis of its own.
    curves: what is written below, {"CKA": {model: curve}, ...}. After the source paper's Figure 3.
    """
    first = next(iter(shown.values()))
    colour = colours(list(first[0].coordinates))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(2.0 * len(first) + 1.1, 1.9 * len(shown)), layout="constrained")
        axes = figure.subplots(len(shown), len(first), squeeze=False)
        for row, (model, projections) in enumerate(shown.items()):
            line = axes[row]
            for axis, p in zip(line, projections, strict=True):
                for language, xy in p.coordinates.items():
                    axis.scatter(
                        *xy.T, s=5, alpha=0.6, lw=0, color=colour[language], label=language
                    )
                said = [
                    f"{name} {by_model[model].value[p.layer]:.2f}"
                    for name, by_model in curves.items()
                ]
                axis.set(title="" if row else f"block {p.layer}", xticks=[], yticks=[])
                axis.set_xlabel("  ".join(said), fontsize=7)
            line[0].set_ylabel(model)
        handles, names = axes[0][0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside right center", markerscale=2)
    return figure


def _colours(models: Sequence[str]) -> dict[str, str]:
    """Black for the base, the palette for the others, again from the first where it ends."""
    rest = {model: COLOURS[k % len(COLOURS)] for k, model in enumerate(models[1:])}
    return {models[0]: "black", **rest}


def _place(p: Point) -> Place:
    return p.transfer.value, p.localization.value


def _bars(p: Point) -> list[tuple[Place, Place]]:
    (x, y), t, loc = _place(p), p.transfer, p.localization
    return [((t.low, y), (t.high, y)), ((x, loc.low), (x, loc.high))]


def _arrow(axis: Axes, start: Point, end: Point, colour: str, style: str) -> None:
    axis.annotate(
        "",
        _place(end),
        _place(start),
        arrowprops={
            "arrowstyle": "->",
            "color": colour,
            "lw": 1.2,
            "ls": style,
            "shrinkA": 2.5,
            "shrinkB": 2.5,
        },
    )


def _ceilings(
    axis: Axes, points: Mapping[tuple[str, str], Point], colour: Mapping[str, str]
) -> None:
    """The explicit prompt's localization of each model, on a page that is not stretched for it."""
    axis.set_xlim(axis.get_xlim())
    axis.set_ylim(axis.get_ylim())
    found = {
        model: p.localization.value
        for (model, condition), p in points.items()
        if condition == EXPLICIT and model in colour
    }
    low, high = axis.get_ylim()
    inside = {model: y for model, y in found.items() if low <= y <= high}
    for model, y in inside.items():
        axis.axhline(y, color=colour[model], ls=":", lw=0.9)
    if inside:
        axis.plot([], [], color="0.3", ls=":", lw=1, label="country named")
    off = [y for model, y in found.items() if model not in inside]
    if off:
        span = f"{min(off):.2f}" if len(off) == 1 else f"{min(off):.2f} to {max(off):.2f}"
        axis.set_title(f"off the page: country named, localization {span}", fontsize=7, loc="right")
