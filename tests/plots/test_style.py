"""Saved figures have the style's resolution, ids and text, and the same bytes at every run."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import matplotlib
import pytest
from PIL import Image

from mechcla import plots
from mechcla.metrics.estimates import Estimate
from mechcla.metrics.plane_point import PlanePoint
from mechcla.plots.fonts import can_draw
from mechcla.plots.style import STYLE, new_figure

ROOT = Path(__file__).parents[2]
SVG = "{http://www.w3.org/2000/svg}"


def plane(*languages):
    def e(value):
        return Estimate(value, value - 0.1, value + 0.1, 9, "share")

    points = tuple(
        PlanePoint(name, language, e(x), e(y), e(x - 0.4), e(y - 0.4), "share")
        for name, x, y in (("unsteered", 0.4, 0.5), ("EN", 0.5, 0.45))
        for language in languages or ("es", "ko", "all")
    )
    return plots.tradeoff(points)


def test_one_language_is_drawn_as_itself_and_not_hidden_by_the_pooled_point():
    for languages, shown in ((("es", "all"), ["es"]), ((), ["es", "ko", "all"])):
        (legend,) = plane(*languages).legends
        assert [text.get_text() for text in legend.get_texts()] == shown


def test_the_resolution_is_the_styles(tmp_path):
    figure, _ = new_figure(3.0, 2.0)
    with Image.open(plots.save(figure, tmp_path / "f")) as image:
        assert image.info["dpi"] == pytest.approx((200, 200), abs=0.01)
        assert image.size[0] == pytest.approx(3.0 * 200, rel=0.15)  # bbox_inches trims the margin
    assert STYLE["savefig.dpi"] == 200


def test_saving_leaves_the_users_settings_alone_and_is_not_led_by_them(tmp_path):
    plots.save(plane(), tmp_path / "a")
    with matplotlib.rc_context({"savefig.dpi": 50, "svg.hashsalt": "mine", "svg.fonttype": "path"}):
        plots.save(plane(), tmp_path / "b")
        assert matplotlib.rcParams["savefig.dpi"] == 50
    for kind in ("svg", "png"):
        assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()


def test_both_files_have_one_layout_and_the_figure_keeps_its_own(tmp_path):
    figure = plane()
    engine, dpi = figure.get_layout_engine(), figure.dpi
    png = plots.save(figure, tmp_path / "f")
    assert (figure.get_layout_engine(), figure.dpi) == (engine, dpi)
    svg = ElementTree.parse(png.with_suffix(".svg")).getroot()
    _, _, width, height = (float(x) for x in svg.attrib["viewBox"].split())
    with Image.open(png) as image:
        inches = [pixels / 200 for pixels in image.size]
    assert (width / 72, height / 72) == pytest.approx(inches, abs=1 / 200)  # a pixel


def test_every_run_writes_the_same_bytes(tmp_path):
    """Another process with another hash seed, so that an order of a set or an id of an object would
    show.
    """
    code = (
        "import sys; "
        "from tests.plots.test_style import plane, plots; plots.save(plane(), sys.argv[1])"
    )
    seed = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "there")],
        cwd=ROOT,
        env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
        check=True,
    )
    plots.save(plane(), tmp_path / "here")
    for kind in ("svg", "png"):
        assert (tmp_path / f"there.{kind}").read_bytes() == (tmp_path / f"here.{kind}").read_bytes()


def test_text_is_text_in_every_script_with_the_families_to_draw_it(tmp_path):
    words = ["transfer & <share>", "Ἀθῆναι", "قهوه", "París"]
    words += [w for w in ("北京", "서울") if can_draw(w)]
    figure, (axis,) = new_figure(4.0, 3.0)
    for y, word in enumerate(words):
        axis.text(0.1, y / len(words), word)
    svg = plots.save(figure, tmp_path / "f").with_suffix(".svg")
    texts = [t for t in ElementTree.parse(svg).iter(f"{SVG}text") if t.text in words]
    assert [t.text for t in texts] == words
    assert all("DejaVu Sans" in t.get("style", "") for t in texts)
