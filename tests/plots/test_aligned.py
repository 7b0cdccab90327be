"""Aligned models as figures: arrows from the base, labels that cover nothing, every value drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mechcla import plots
from mechcla.errors import MechclaError
from mechcla.geometry import Curve, Projection
from mechcla.metrics.estimates import Estimate
from mechcla.plots.labels import label_points
from mechcla.results import Rows
from mechcla.runs.aligned_values import AlignedComparison, AlignedValue

MODELS = {
    "base": (0.592, 0.412),
    "mist-0": (0.610, 0.345),
    "midalign-0": (0.605, 0.380),
    "clo-0": (0.620, 0.385),
    "english_only-0": (0.585, 0.360),
    "broken_pairing-0": (0.603, 0.362),
    "mist-1": (0.612, 0.349),
    "mist-2": (0.607, 0.351),
}
SHIFTS = {
    "unsteered": (0, 0),
    "explicit": (0, 0.2),
    "EN": (0.02, -0.01),
    "LOC": (0, 0.05),
    "SUR": (0.015, 0.045),
}


def compared(models: int = 8, ceiling: float = 0.2) -> AlignedComparison:
    values = []
    for model, (t, loc) in list(MODELS.items())[:models]:
        for condition, (dt, dl) in (SHIFTS | {"explicit": (0, ceiling)}).items():
            found = {"transfer": t + dt, "localization": loc + dl, "english_bias": 0.3 - dl}
            for name, value in found.items():
                if (condition, name) != ("explicit", "transfer"):
                    estimate = Estimate(value, value - 0.02, value + 0.03, 378, "share")
                    values.append(AlignedValue(model, condition, None, "all", name, estimate))
    names = tuple(MODELS)[:models]
    return AlignedComparison(tuple(values), names, Rows(()), {}, {"measure": "share"})


def arrows(figure: Figure) -> set[tuple[tuple[float, float], tuple[float, float]]]:
    (axis,) = figure.axes
    found = [t for t in axis.texts if not t.get_text()]
    return {(rounded(t.xyann), rounded(t.xy)) for t in found}


def rounded(place) -> tuple[float, float]:
    return round(float(place[0]), 6), round(float(place[1]), 6)


def test_an_arrow_to_each_model_and_one_to_steering_on_it():
    figure = plots.aligned_plane(compared())
    base = rounded(MODELS["base"])
    expected = set()
    for model, start in MODELS.items():
        expected |= {(base, rounded(start))} if model != "base" else set()
        expected.add((rounded(start), rounded(np.add(start, SHIFTS["SUR"]))))
    expected.add((base, rounded(np.add(base, SHIFTS["EN"]))))
    assert arrows(figure) == expected
    (axis,) = figure.axes
    assert axis.get_xlabel() == "transfer (share, test, pooled)"
    bars = [c.get_segments() for c in axis.collections]
    t = MODELS["clo-0"]
    for ends in ((t[0] - 0.02, t[0] + 0.03), (t[1] - 0.02, t[1] + 0.03)):
        assert any(
            np.allclose(np.ptp(s, 0).max(), 0.05) and np.isclose(s, ends[0]).any()
            for segments in bars
            for s in segments
        )


@pytest.mark.parametrize("models", [2, 4, 8])
def test_labels_cover_no_label_no_mark_and_stay_on_the_page(models, tmp_path):
    figure = plots.aligned_plane(compared(models))
    plots.save(figure, tmp_path / "plane")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    (axis,) = figure.axes
    notes = [t for t in axis.texts if t.get_text()]
    assert [n.get_text() for n in notes] == [
        name for m in list(MODELS)[:models] for name in ([m, "EN on base"] if m == "base" else [m])
    ]
    boxes = [n.get_bbox_patch().get_window_extent(renderer) for n in notes]
    for k, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[k + 1 :])
        assert axis.get_window_extent(renderer).containsx(box.x0)
        assert axis.get_window_extent(renderer).containsx(box.x1)
        for model in list(MODELS)[:models]:
            for condition in ("unsteered", "SUR"):
                mark = np.add(MODELS[model], SHIFTS[condition])
                assert not box.contains(*axis.transData.transform(mark))
    legend = figure.legends[0].get_window_extent(renderer)
    assert not legend.overlaps(axis.get_tightbbox(renderer))


def test_the_ceiling_is_a_line_on_the_page_or_a_note_off_it():
    on = plots.aligned_plane(compared(2, ceiling=0.03)).axes[0]
    dotted = [
        line.get_ydata()[0]
        for line in on.lines
        if line.get_linestyle() == ":" and len(line.get_xdata())
    ]
    assert dotted == pytest.approx([0.442, 0.375])
    assert on.get_title(loc="right") == ""
    off = plots.aligned_plane(compared(2, ceiling=0.5)).axes[0]
    assert not any(line.get_linestyle() == ":" for line in off.lines)
    assert off.get_title(loc="right") == "off the page: country named, localization 0.84 to 0.91"


def test_english_bias_has_a_mark_per_model_and_condition():
    figure = plots.aligned_bias(compared(3))
    (axis,) = figure.axes
    assert [t.get_text() for t in axis.get_yticklabels()] == list(MODELS)[:3]
    drawn = sorted(
        (float(line.get_xdata()[0]), float(line.get_ydata()[0]))
        for line in axis.lines
        if line.get_marker() not in ("None", None, "")
    )
    assert len(drawn) == 15
    assert len({y for _, y in drawn}) == 15
    assert sorted(x for x, _ in drawn) == pytest.approx(
        sorted(0.3 - dl for _, dl in SHIFTS.values() for _ in range(3))
    )
    names = [t.get_text() for t in figure.legends[0].get_texts()]
    assert names == list(SHIFTS)
    none = AlignedComparison((), ("base",), Rows(()), {}, {"measure": "share"})
    with pytest.raises(MechclaError, match="an American answer"):
        plots.aligned_bias(none)


@dataclass
class _Spread:
    seed: int

    def projection(self, layer: int) -> Projection:
        rng = np.random.default_rng(self.seed + layer)
        places = {k: rng.normal(size=(20, 2)) for k in ("en", "es", "ko")}
        return Projection(layer, places, (0.4, 0.2), {})


def test_before_and_after_says_the_numbers_of_each_block(tmp_path):
    shown = {m: [_Spread(k).projection(b) for b in (1, 4)] for k, m in enumerate(("base", "clo"))}

    def curve(shift: float) -> Curve:
        value = np.arange(6) / 10 + shift
        return Curve("x", value, value, value, 20)

    curves = {
        "CKA": {"base": curve(0), "clo": curve(0.2)},
        "retrieval": {"base": curve(0.1), "clo": curve(0.4)},
    }
    figure = plots.before_after(shown, curves)
    said = [a.get_xlabel() for a in figure.axes]
    assert said == [
        "CKA 0.10  retrieval 0.20",
        "CKA 0.40  retrieval 0.50",
        "CKA 0.30  retrieval 0.50",
        "CKA 0.60  retrieval 0.80",
    ]
    assert [a.get_title() for a in figure.axes] == ["block 1", "block 4", "", ""]
    assert [a.get_ylabel() for a in figure.axes] == ["base", "", "clo", ""]
    assert plots.save(figure, tmp_path / "before_after").exists()


def test_a_crowd_of_points_is_labelled_the_same_way_each_time():
    def places() -> list[tuple[float, float]]:
        figure = Figure(figsize=(4, 3), layout="constrained")
        axis = figure.subplots()
        rng = np.random.default_rng(0)
        points = {f"model {k}": (tuple(map(float, rng.random(2))), "black") for k in range(6)}
        marks = [p for p, _ in points.values()]
        axis.scatter(*zip(*marks, strict=True))
        return [n.get_position() for n in label_points(axis, points, marks)]

    assert places() == places()
