"""The answers themselves: a row per question, a column per language, the text in its own script on
the colour of its role.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

import matplotlib
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from mechcla.plots.fonts import can_draw
from mechcla.plots.style import STYLE

ROLE_COLOURS = {
    "local": "#9BD3BE",
    "correct": "#9BD3BE",
    "english": "#F2A874",
    "other": "#DDDDDD",
    "wrong": "#DDDDDD",
}
KEY = {
    "#9BD3BE": "right, or the language's own",
    "#F2A874": "American",
    "#DDDDDD": "wrong, or another culture's",
}
CELL, TALL = 0.82, 0.25  # inches
LETTERS = 15


def answers(panels: Mapping[str, Mapping[str, Mapping[str, tuple[str, str]]]]) -> Figure:
    """What the model answered: {panel: {question: {language: (text, role)}}}, a panel below the
    other.

    A text that no installed font can draw is left out, and its cell has the colour alone; see
    mechcla.plots.fonts.
    """
    languages = list(
        dict.fromkeys(k for rows in panels.values() for row in rows.values() for k in row)
    )
    shown = {
        ROLE_COLOURS[role]
        for rows in panels.values()
        for row in rows.values()
        for _, role in row.values()
    }
    heights = [len(rows) for rows in panels.values()]
    with matplotlib.rc_context(STYLE):
        figure = Figure(
            figsize=(CELL * len(languages) + 1.6, TALL * sum(heights) + 0.35 * len(panels) + 0.4),
            layout="constrained",
        )
        axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
        for axis, (title, rows) in zip(axes, panels.items(), strict=True):
            for y, row in enumerate(rows.values()):
                for x, language in enumerate(languages):
                    if language in row:
                        _cell(axis, x, y, *row[language])
            axis.set(
                xlim=(-0.5, len(languages) - 0.5),
                ylim=(len(rows) - 0.5, -0.5),
                xticks=range(len(languages)),
                xticklabels=languages,
                yticks=range(len(rows)),
                yticklabels=list(rows),
            )
            axis.set_title(title, loc="left")
            axis.tick_params(length=0, labelsize=6)
            axis.xaxis.tick_top()
            axis.spines[:].set_visible(False)
        figure.legend(
            handles=[Patch(color=c, label=name) for c, name in KEY.items() if c in shown],
            loc="outside lower center",
            ncols=len(KEY),
        )
    return figure


def _cell(axis: matplotlib.axes.Axes, x: int, y: int, text: str, role: str) -> None:
    axis.add_patch(Rectangle((x - 0.48, y - 0.46), 0.96, 0.92, color=ROLE_COLOURS[role], lw=0))
    if can_draw(text):
        wide = any(ord(c) > 0x2E7F for c in text)  # an East Asian letter is as wide as two others
        lines = textwrap.wrap(
            text, LETTERS // 2 + 1 if wide else LETTERS, max_lines=2, placeholder="…"
        )
        axis.text(
            x,
            y,
            "\n".join(lines),
            ha="center",
            va="center",
            fontsize=5.2 if len(lines) < 2 else 4.4,
            linespacing=0.95,
        )
