"""Every figure. Plots take results, never models; `save` writes PNG and SVG.

plane.py      tradeoff, layers, surgical, arms
geometry.py   curves, projections, reliabilities, gains, matrices
contrast.py   contrasts
answers.py    answers
runs.py       compared
aligned.py    aligned_plane, aligned_bias, before_after
labels.py     labels that cover nothing
style.py      one look for all
fonts.py      a glyph for every script
"""

from mechcla.plots.aligned import aligned_bias, aligned_plane, before_after
from mechcla.plots.answers import answers
from mechcla.plots.contrast import contrasts
from mechcla.plots.geometry import curves, gains, matrices, projections, reliabilities
from mechcla.plots.plane import arms, layers, surgical, tradeoff
from mechcla.plots.runs import compared
from mechcla.plots.style import save

__all__ = [
    "aligned_bias",
    "aligned_plane",
    "answers",
    "arms",
    "before_after",
    "compared",
    "contrasts",
    "curves",
    "gains",
    "layers",
    "matrices",
    "projections",
    "reliabilities",
    "save",
    "surgical",
    "tradeoff",
]
