"""Figures: every script in its own glyphs or not at all, labels inside the page, legends beside the
data.
"""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg

from mechcla import plots
from mechcla.geometry import Curve
from mechcla.plots import fonts
from mechcla.plots.style import colours


@pytest.fixture
def bare(monkeypatch):
    """A system without any font but matplotlib's own."""
    own = [font for font in font_manager.fontManager.ttflist if font.name == "DejaVu Sans"]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", own)
    for cached in (fonts.families, fonts._faces, fonts._has):
        cached.cache_clear()
    yield
    for cached in (fonts.families, fonts._faces, fonts._has):
        cached.cache_clear()


def test_what_no_font_has_is_known(bare):
    assert fonts.families() == ("DejaVu Sans",)
    assert fonts.can_draw("Λίμα, ليما‌ها, Lima, Ἀθῆναι")
    assert fonts.undrawable(["Lima", "利马", "리마"]) == ("利马", "리마")


def test_answers_without_a_font_keep_their_colour_and_no_box(bare, tmp_path):
    table = {
        "facts": {
            "capital_pe": {
                "en": ("Lima", "correct"),
                "zh": ("利马", "correct"),
                "fa": ("لیما", "wrong"),
            }
        }
    }
    figure = plots.answers(table)
    (axis,) = figure.axes
    assert [t.get_text() for t in axis.texts] == ["Lima", "لیما"]
    assert len(axis.patches) == 3
    plots.save(figure, tmp_path / "answers")  # a glyph that is missing is an error in tests


def test_long_answers_are_cut_to_two_lines():
    figure = plots.answers(
        {
            "t": {
                "q": {
                    "en": ("the Interdepartmental Committee of Agriculture and Fisheries", "other")
                }
            }
        }
    )
    (text,) = figure.axes[0].texts
    assert text.get_text().count("\n") == 1
    assert text.get_text().endswith("…")


def curve(shift: float = 0.0) -> Curve:
    value = np.linspace(0, 1, 6) + shift
    return Curve("x", value, value - 0.1, value + 0.1, 9, np.full(6, 0.2))


@pytest.mark.parametrize("panels", [1, 2, 3, 4, 5])
def test_labels_stay_on_the_page_and_legends_off_the_data(panels):
    figure = plots.curves(
        {
            f"a long title of panel {k}": {lang: curve(k) for lang in ("es", "zh", "ko")}
            for k in range(panels)
        }
    )
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    page = figure.bbox
    for axis in (a for a in figure.axes if a.axison):
        box = axis.get_tightbbox(renderer)  # with its title, labels and ticks
        assert min(box.x0 - page.x0, page.x1 - box.x1, box.y0 - page.y0, page.y1 - box.y1) >= -1
        for legend in figure.legends:
            assert not legend.get_window_extent(renderer).overlaps(axis.get_window_extent(renderer))


def test_a_language_has_one_colour_in_every_figure_and_no_two_share_one():
    some, more = colours(["es", "ko"]), colours(["ko", "fa", "ha", "es"])
    assert (some["es"], some["ko"]) == (more["es"], more["ko"])
    assert len(set(more.values())) == 4
