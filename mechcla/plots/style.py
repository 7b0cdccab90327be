"""One look for all: a colour per language (Okabe and Ito's, safe for colour-blind readers)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from mechcla.metrics.estimates import Estimate
from mechcla.plots.fonts import families
from mechcla.storage import user_path, write_whole

COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F", "#882255"]
STYLE: Any = {
    "font.family": list(families()),
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9,
    "legend.frameon": False,
    "legend.fontsize": 7,
    "savefig.dpi": 200,
    "svg.hashsalt": "mechcla",
    "svg.fonttype": "none",
    "axes.axisbelow": True,
    "figure.autolayout": False,
    "figure.constrained_layout.use": False,  # figures name their own layout
}
OWN = ("es", "zh", "id", "ko", "el", "fa", "en")


def save(figure: Figure, stem: str | Path) -> Path:
    """Write stem.png (200 dots per inch) and stem.svg (text as text) and return the PNG's path.

    Runs without a display. The same figure gives the same bytes at every run. Raises MechclaError
    where the system refuses to write.
    """
    stem = user_path(stem)
    # Resolution, ids and text are decided here, not on drawing.
    with matplotlib.rc_context(STYLE), _laid_out(figure) as box:
        for kind, metadata in (("svg", {"Date": None}), ("png", {"Software": None})):
            target = stem.with_name(f"{stem.name}.{kind}")
            options: dict[str, Any] = {"bbox_inches": box, "metadata": metadata, "format": kind}
            write_whole(target, partial(figure.savefig, **options))
    return target


@contextmanager
def _laid_out(figure: Figure) -> Iterator[Bbox]:
    """One layout for every format, in the PNG's resolution; savefig would make one for each.

    Yields what the figure fills, in inches, with the margin that bbox_inches="tight" leaves.
    """
    engine, dpi = figure.get_layout_engine(), figure.dpi
    figure.set_dpi(matplotlib.rcParams["savefig.dpi"])
    try:
        if engine is not None:
            engine.execute(figure)  # all of a first drawing that what follows needs
        box = figure.get_tightbbox().padded(matplotlib.rcParams["savefig.pad_inches"])
        figure.set_layout_engine(None)  # by STYLE: no engine at all
        yield box
    finally:
        figure.set_dpi(dpi)
        figure.set_layout_engine(engine)


def new_figure(
    width: float, height: float, columns: int = 1, **options: Any
) -> tuple[Figure, list[Axes]]:
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.subplots(1, columns, squeeze=False, **options)[0]
    return figure, list(axes)


def colours(languages: Sequence[str]) -> dict[str, str]:
    """A language of the demo has its own colour in every figure; others take what is left, in
    order.
    """
    rest = iter(
        [c for k, c in enumerate(COLOURS) if k >= len(OWN) or OWN[k] not in languages]
        * len(languages)
    )
    return {
        language: COLOURS[OWN.index(language)] if language in OWN else next(rest)
        for language in languages
    }


def cross(axis: Axes, x: Estimate, y: Estimate, **look: Any) -> None:
    axis.errorbar(
        x.value,
        y.value,
        xerr=[[x.value - x.low], [x.high - x.value]],
        yerr=[[y.value - y.low], [y.high - y.value]],
        elinewidth=0.7,
        capsize=0,
        **look,
    )
