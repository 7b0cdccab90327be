"""The plane and what leads to it: the source paper's Figures 2, 4 and 5."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import matplotlib
from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor

from mechcla.metrics.estimates import POOLED, Estimate
from mechcla.metrics.plane_point import PlanePoint
from mechcla.plots.style import STYLE, colours, cross, new_figure
from mechcla.steering.families import Condition, is_steered, look, steered

LEGEND_ROWS = 12  # names below one another that the figures by layer have room for


def tradeoff(points: Sequence[PlanePoint]) -> Figure:
    """The plane as differences from the unsteered model: a small panel per method, a point per
    language.

    After the source paper's Figure 2. Below the horizontal line localization fell. A cross is an
    interval for this point alone: whether a fall is more than chance, among so many, a sweep's
    tests.csv says.
    """
    methods = [m for m in dict.fromkeys(p.method for p in points) if is_steered(m)]
    languages = [k for k in dict.fromkeys(p.language for p in points) if k != POOLED]
    colour = colours(languages)
    with matplotlib.rc_context(STYLE):
        figure, axes = new_figure(
            1.9 * len(methods) + 0.9, 2.5, len(methods), sharex=True, sharey=True
        )
        for axis, method in zip(axes, methods, strict=True):
            axis.axhline(0, color="0.6", lw=0.8)
            axis.axvline(0, color="0.6", lw=0.8)
            for p in (p for p in points if p.method == method and p.language != POOLED):
                cross(
                    axis,
                    p.d_transfer,
                    p.d_localization,
                    color=colour[p.language],
                    marker=look(method)[0],
                    ms=4,
                    alpha=0.55,
                    label=p.language,
                )
            pooled = next(p for p in points if p.method == method and p.language == POOLED)
            if len(languages) > 1:  # else it would hide the language that it is
                cross(
                    axis,
                    pooled.d_transfer,
                    pooled.d_localization,
                    color="black",
                    marker=look(method)[0],
                    ms=6,
                    label="all",
                )
            axis.set_title(method)
            axis.set_xlabel(f"change in transfer ({pooled.measure})")
        axes[0].set_ylabel("change in localization")
        handles, labels = axes[-1].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right center", title="language")
    return figure


def layers(
    cosine: Mapping[str, Float[Tensor, " layer"]],
    random_level: float,
    cells: Sequence[Mapping[str, Any]],
    measure: str = "share",
) -> Figure:
    """Left: 1 - |cos(EN, LOC)| by layer. Right: gains on dev of EN- and LOC-steering by layer.

    After the source paper's Figure 4. cells are DevPoint.describe() records; a layer shows its best
    strength on the steering's own axis. The dotted line is the value for two random directions of
    this width. Without a cosine (items of one kind alone) there is the right panel only, with the
    axis that was measured.
    """
    colour = colours(list(cosine))
    names = max(1, -(-(len(cosine) + 1) // LEGEND_ROWS))  # columns of the languages' names
    with matplotlib.rc_context(STYLE):
        wide = 7.0 + 0.7 * (names - 1) if cosine else 4.0
        figure, axes = new_figure(wide, 2.6, 2 if cosine else 1)
        left, right = axes[0], axes[-1]
        for language, values in cosine.items():
            left.plot(
                range(len(values)),
                (1 - values.abs()).tolist(),
                color=colour[language],
                lw=1.2,
                marker=".",
                ms=4,
                label=language,
            )
        if cosine:
            left.axhline(random_level, color="0.4", ls=":", lw=1, label="random")
            left.set(xlabel="layer", ylabel="perpendicularity of EN and LOC", ylim=(None, 1.02))
            left.legend(ncols=names, loc="center left", bbox_to_anchor=(1.0, 0.5))
        right.axhline(0, color="0.6", lw=0.8)
        series = (
            ("EN", "en_layer", "d_transfer", "EN on transfer", look("EN")[1], "-", "^"),
            ("EN", "en_layer", "d_localization", "EN on localization", look("EN")[1], "--", "^"),
            ("LOC", "loc_layer", "d_transfer", "LOC on transfer", look("LOC")[1], "--", "s"),
            ("LOC", "loc_layer", "d_localization", "LOC on localization", look("LOC")[1], "-", "s"),
        )
        for family, key, gain, label, tint, line, mark in series:
            own = "d_transfer" if family == "EN" else "d_localization"
            by_layer: dict[int, Mapping[str, Any]] = {}
            mine = [c for c in cells if c["family"] == family]
            if all(c[gain] != c[gain] for c in mine):
                continue  # that axis was not measured
            for c in mine:
                if c[key] not in by_layer or c[own] > by_layer[c[key]][own]:
                    by_layer[c[key]] = c
            xs = sorted(by_layer)
            right.plot(
                xs,
                [by_layer[x][gain] for x in xs],
                color=tint,
                ls=line,
                marker=mark,
                ms=3,
                lw=1.2,
                label=label,
            )
        right.set(xlabel="layer", ylabel=f"gain in {measure} on dev")
        right.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def surgical(
    points: Sequence[PlanePoint],
    bias: Mapping[str, Estimate],
    cells: Sequence[Mapping[str, Any]],
    dev_measure: str = "share",
    fronts: Sequence[Sequence[Mapping[str, Any]]] = (),
) -> Figure:
    """Left: every method on the plane, pooled over languages. Middle: gains on dev, and the Pareto
    fronts that dev chose from, a thin line for all that chose together. Right: English bias.
    Explicit prompting has no transfer of its own and stands beside the unsteered model.

    After the source paper's Figure 5. Bars and crosses are 95% intervals on test.
    """
    pooled = {p.method: p for p in points if p.language == POOLED}
    with matplotlib.rc_context(STYLE):
        figure, (plane_axis, front, bars) = new_figure(8.6, 2.7, 3, width_ratios=[1.25, 1.25, 1])
        for method, p in pooled.items():
            x = p.transfer
            if method == "explicit":
                # It leaves universal items as they are, so it has the unsteered model's transfer;
                # the shift sets its bar beside that one's.
                shift = 0.006
                x = replace(x, value=x.value + shift, low=x.value + shift, high=x.value + shift)
            cross(
                plane_axis,
                x,
                p.localization,
                color=look(method)[1],
                marker=look(method)[0],
                ms=6,
                label=method,
            )
        measure = next(iter(pooled.values())).measure
        plane_axis.set(
            xlabel=f"transfer ({measure}, test)", ylabel=f"localization ({measure}, test)"
        )
        front.axhline(0, color="0.6", lw=0.8)
        front.axvline(0, color="0.6", lw=0.8)
        for family in steered():
            mine = [
                c
                for c in cells
                if c["family"] == family.name and c["d_localization"] == c["d_localization"]
            ]
            if mine:
                front.scatter(
                    [c["d_transfer"] for c in mine],
                    [c["d_localization"] for c in mine],
                    s=14,
                    color=family.colour,
                    marker=family.mark,
                    alpha=0.6,
                    linewidths=0,
                )
        for line in fronts:
            front.plot(
                [c["d_transfer"] for c in line],
                [c["d_localization"] for c in line],
                color="0.35",
                lw=0.6,
            )
        front.set(xlabel=f"gain in transfer ({dev_measure}, dev)", ylabel="gain in localization")
        names = list(bias)
        values = [bias[n] for n in names]
        bars.barh(
            range(len(names)),
            [v.value for v in values],
            color=[look(n)[1] for n in names],
            alpha=0.8,
            xerr=[[v.value - v.low for v in values], [v.high - v.value for v in values]],
            error_kw={"elinewidth": 0.8},
        )
        bars.set_yticks(range(len(names)), names)
        bars.invert_yaxis()
        bars.set_xlabel(f"English bias ({measure}, test)")
        figure.legend(
            *plane_axis.get_legend_handles_labels(), loc="outside upper center", ncols=len(pooled)
        )
    return figure


def arms(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """A panel per family and axis: its change against the unsteered model, and that of each of its
    control arms.

    rows: records with method ("LOC", "LOC random", ...), metric, change, low, high; pooled over
    languages.
    """
    panels = list(
        dict.fromkeys(
            (r["method"], r["metric"])
            for r in rows
            if any(q["method"].startswith(f"{r['method']} ") for q in rows)
        )
    )
    with matplotlib.rc_context(STYLE):
        columns = min(3, max(1, len(panels)))
        lines = max(1, -(-len(panels) // columns))
        figure = Figure(figsize=(2.3 * columns, 1.7 * lines), layout="constrained")
        axes = figure.subplots(lines, columns, squeeze=False).flatten()
        for spare in axes[len(panels) :]:
            spare.axis("off")
        for axis, (family, metric) in zip(axes, panels, strict=False):
            mine = [
                r
                for r in rows
                if r["metric"] == metric and Condition.parse(r["method"]).family == family
            ]
            names = [r["method"].removeprefix(f"{family} ").replace("_", " ") for r in mine]
            for y, r in enumerate(mine):
                drawn: Any = (
                    {"color": look(family)[1], "fmt": look(family)[0]}
                    if y == 0
                    else {"color": "0.5", "fmt": "o"}
                )
                axis.errorbar(
                    r["change"],
                    y,
                    xerr=[[r["change"] - r["low"]], [r["high"] - r["change"]]],
                    ms=4,
                    lw=0.9,
                    **drawn,
                )
            axis.axvline(0, color="0.6", lw=0.8)
            axis.set(
                title=family,
                yticks=range(len(mine)),
                yticklabels=names,
                xlabel=f"change in {metric}",
                ylim=(len(mine) - 0.5, -0.5),
            )
            axis.locator_params(axis="x", nbins=3)
    return figure
