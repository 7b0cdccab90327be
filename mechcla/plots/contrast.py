"""The matched-pair contrast by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from mechcla.metrics.estimates import POOLED
from mechcla.plots.style import OWN, STYLE, colours, new_figure
from mechcla.steering.families import look


def contrasts(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Left: share of positive contrasts by layer for LOC vectors, pooled, with intervals. Right:
    LOC by language.

    rows: records with condition ("prompt", "LOC", "random"), layer, language, share, low, high. The
    dashed line is what two prompts that name the countries reach, with its interval as a band; the
    dotted one is chance, and the grey area about it where pairs of random directions fall.
    """
    named = [r for r in rows if r["condition"] == "prompt"]
    languages = sorted(
        {r["language"] for r in rows} - {POOLED},
        key=lambda k: (OWN.index(k) if k in OWN else len(OWN), k),
    )
    colour = colours(languages)
    with matplotlib.rc_context(STYLE):
        figure, (left, right) = new_figure(6.6, 2.6, 2, sharey=True)
        for axis in (left, right):
            axis.axhline(0.5, color="0.4", ls=":", lw=1)
            axis.set(xlabel="layer")
        for r in (r for r in named if r["language"] == POOLED):
            left.axhline(r["share"], color="0.3", ls="--", lw=1, label="countries named")
            left.axhspan(r["low"], r["high"], color="0.3", alpha=0.12, lw=0)
        null, mine = (
            [r for r in rows if (r["condition"], r["language"]) == (name, POOLED)]
            for name in ("random", "LOC")
        )
        left.fill_between(
            [r["layer"] for r in null],
            [r["low"] for r in null],
            [r["high"] for r in null],
            color="0.5",
            alpha=0.3,
            lw=0,
            label="random pairs, 95%",
        )
        spread = [[r["share"] - r["low"] for r in mine], [r["high"] - r["share"] for r in mine]]
        left.errorbar(
            [r["layer"] for r in mine],
            [r["share"] for r in mine],
            yerr=spread,
            color=look("LOC")[1],
            marker="s",
            ms=4,
            lw=1,
            label="LOC vectors",
        )
        for language in languages:
            mine = [r for r in rows if (r["condition"], r["language"]) == ("LOC", language)]
            right.plot(
                [r["layer"] for r in mine],
                [r["share"] for r in mine],
                color=colour[language],
                marker=".",
                lw=1.2,
                label=language,
            )
        left.set(ylabel="share of contrasts that favour\nthe own country's answer", title="pooled")
        right.set(title="LOC vectors, by language")
        handles, labels = (
            a + b
            for a, b in zip(
                left.get_legend_handles_labels(), right.get_legend_handles_labels(), strict=True
            )
        )
        figure.legend(handles, labels, loc="outside right center")
    return figure
