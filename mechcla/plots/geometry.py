"""Curves by layer, PCA panels, reliability, matrices over languages, gains of recipes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from mechcla.geometry import Curve, Projection, SharedDirections
from mechcla.geometry.directions import Reliability
from mechcla.plots.style import COLOURS, STYLE, colours, new_figure


def curves(panels: Mapping[str, Mapping[str, Curve]], level: float | None = None) -> Figure:
    """A panel per title, a line per label with its 95% band; a thin dotted line of the same colour
    is the curve's null.

    Panels stand in rows of two or three, so that a page's width holds them.

    level: a dashed line through all panels, e.g. what two random directions would have.
    """
    labels = list(dict.fromkeys(label for lines in panels.values() for label in lines))
    colour = colours(labels)
    with matplotlib.rc_context(STYLE):
        columns = {1: 1, 2: 2, 4: 2}.get(len(panels), 3)
        rows = -(-len(panels) // columns)
        figure = Figure(figsize=(2.3 * columns + 1.0, 2.1 * rows), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False).flatten()
        for spare in axes[len(panels) :]:
            spare.axis("off")
        for axis, (title, lines) in zip(axes, panels.items(), strict=False):
            if level is not None:
                axis.axhline(level, color="0.4", ls="--", lw=0.8)
            for label, c in lines.items():
                x = range(len(c.value))
                axis.fill_between(x, c.low, c.high, color=colour[label], alpha=0.18, lw=0)
                axis.plot(x, c.value, color=colour[label], lw=1.3, marker=".", ms=3, label=label)
                if c.null is not None:
                    axis.plot(x, c.null, color=colour[label], lw=0.7, ls=":")
            axis.set(title=title, xlabel="layer")
        handles, names = axes[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside right center")
    return figure


def projections(rows: Mapping[str, Sequence[Projection]]) -> Figure:
    """A row per kind of items, a column per layer, a colour per language; axes say how much
    variance they explain.
    """
    first = next(iter(rows.values()))
    colour = colours(list(first[0].coordinates))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(2.1 * len(first) + 0.9, 2.0 * len(rows)), layout="constrained")
        axes = figure.subplots(len(rows), len(first), squeeze=False)
        for line, (kind, shown) in zip(axes, rows.items(), strict=True):
            for axis, p in zip(line, shown, strict=True):
                for language, xy in p.coordinates.items():
                    axis.scatter(
                        xy[:, 0],
                        xy[:, 1],
                        s=5,
                        alpha=0.6,
                        lw=0,
                        color=colour[language],
                        label=language,
                    )
                axis.set(
                    title=f"{kind}, layer {p.layer}",
                    xlabel=f"PC1 ({p.explained[0]:.0%})",
                    ylabel=f"PC2 ({p.explained[1]:.0%})",
                    xticks=[],
                    yticks=[],
                )
        handles, names = axes[0][0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside right center", markerscale=2)
    return figure


def reliabilities(found: Mapping[str, Mapping[str, Reliability]]) -> Figure:
    """A panel per kind of vector: mean split-half cosine over layers and languages by number of
    items, and each language's.
    """
    labels = list(dict.fromkeys(k for lines in found.values() for k in lines))
    colour = colours(labels)
    with matplotlib.rc_context(STYLE):
        figure, axes = new_figure(2.5 * len(found) + 0.9, 2.5, len(found), sharey=True)
        for axis, (name, lines) in zip(axes, found.items(), strict=True):
            for language, r in lines.items():
                axis.plot(
                    r.sizes,
                    r.cosine.mean(1),
                    color=colour[language],
                    lw=1.2,
                    marker=".",
                    ms=4,
                    label=language,
                )
                axis.fill_between(
                    r.sizes,
                    r.cosine.min(1),
                    r.cosine.max(1),
                    color=colour[language],
                    alpha=0.08,
                    lw=0,
                )
            axis.axhline(0.9, color="0.5", ls="--", lw=0.8)
            axis.set(
                title=name,
                xlabel="items in each half",
                xscale="log",
                xticks=list(r.sizes),
                xticklabels=list(r.sizes),
                ylim=(None, 1.02),
            )
            axis.minorticks_off()
        axes[0].set_ylabel("cosine of the two halves (mean, range of layers)")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center")
    return figure


def gains(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """A panel per vector, a line per recipe: pooled gain with its interval at each layer that was
    tried.

    rows: records with vector, recipe, layer, gain, low, high.
    """
    recipes = list(dict.fromkeys(r["recipe"] for r in rows))
    kinds = list(dict.fromkeys(r["vector"] for r in rows))
    colour = dict(zip(recipes, COLOURS * len(recipes), strict=False)) | {"random": "0.5"}
    axis_of = {"EN": "change in transfer (share)", "LOC": "change in localization (share)"}
    with matplotlib.rc_context(STYLE):
        figure, axes = new_figure(2.9 * len(kinds) + 1.2, 2.7, len(kinds))
        for axis, kind in zip(axes, kinds, strict=True):
            layers = list(dict.fromkeys(r["layer"] for r in rows if r["vector"] == kind))
            mine = [
                name
                for name in recipes
                if any((r["vector"], r["recipe"]) == (kind, name) for r in rows)
            ]
            for k, name in enumerate(mine):
                part = [r for r in rows if (r["vector"], r["recipe"]) == (kind, name)]
                x = [layers.index(r["layer"]) + 0.11 * (k - (len(mine) - 1) / 2) for r in part]
                value = [r["gain"] for r in part]
                spread = [
                    [r["gain"] - r["low"] for r in part],
                    [r["high"] - r["gain"] for r in part],
                ]
                axis.errorbar(
                    x,
                    value,
                    yerr=spread,
                    fmt="x" if name == "random" else "o",
                    ms=3.5,
                    lw=0.9,
                    color=colour[name],
                    label=name,
                )
            axis.axhline(0, color="0.6", lw=0.8)
            axis.set(
                title=f"{kind} vectors",
                xlabel="layer",
                ylabel=axis_of[kind],
                xticks=range(len(layers)),
                xticklabels=layers,
            )
        entries = {
            label: handle
            for axis in axes
            for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)
        }
        figure.legend(list(entries.values()), list(entries), loc="outside right center")
    return figure


def matrices(found: Mapping[str, SharedDirections], layer: int) -> Figure:
    """Corrected cosines between languages' directions at one layer, a panel per kind of vector,
    with the numbers written in.

    In brackets: the cosine as it is does not exceed its null. A dash: too unreliable to correct.
    """
    with matplotlib.rc_context(STYLE):
        figure, axes = new_figure(2.5 * len(found) + 0.6, 2.4, len(found))
        for axis, (name, shared) in zip(axes, found.items(), strict=True):
            values, languages = shared.corrected[layer], shared.languages
            image = axis.imshow(values, vmin=-1, vmax=1, cmap="PuOr")
            axis.set(
                title=f"{name}, layer {layer}",
                xticks=range(len(languages)),
                yticks=range(len(languages)),
                xticklabels=languages,
                yticklabels=languages,
            )
            for i in range(len(languages)):
                for j in range(len(languages)):
                    number = "–" if values[i, j] != values[i, j] else f"{values[i, j]:.2f}"
                    number = (
                        f"({number})"
                        if i != j and abs(shared.cosine[layer, i, j]) <= shared.null[layer, i, j]
                        else number
                    )
                    axis.text(
                        j,
                        i,
                        number,
                        ha="center",
                        va="center",
                        fontsize=5.5,
                        color="white" if abs(values[i, j]) > 0.7 else "black",
                    )
        figure.colorbar(image, ax=axes, label="cosine, corrected for attenuation", shrink=0.8)
    return figure


__all__ = ["COLOURS", "curves", "gains", "matrices", "projections", "reliabilities"]
