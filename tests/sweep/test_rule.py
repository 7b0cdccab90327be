"""Which layers are tried, and which point dev chooses: by hand."""

from __future__ import annotations

import pytest

from mechcla.errors import MechclaError
from mechcla.steering.grid import around, coarse_layers, pairs, restorations
from mechcla.steering.method import Method
from mechcla.sweep.rule import DevPoint, best, pareto_front, ranked


def test_layers_coarse_and_fine():
    assert coarse_layers(18, 3) == [2, 5, 8, 11, 14, 17]
    assert coarse_layers(4, 1) == [0, 1, 2, 3]
    assert around([2, 5, 8], [5], 1, 9) == [4, 6]
    assert around([0, 3], [0, 3], 1, 4) == [1, 2]
    assert {(m.en_layer, m.restore_layer) for m in restorations([1, 3, 5], 1.0, 6)} == {
        (1, 5),
        (3, 5),
    }
    made = pairs(
        [Method(en_layer=2, en_strength=1.0)],
        [Method(loc_layer=1, loc_strength=1.0), Method(loc_layer=4, loc_strength=2.0)],
    )
    assert [m.name for m in made] == ["EN2x1-LOC4x2"]
    en = [Method(en_layer=a, en_strength=1.0) for a in (5, 1)]
    loc = [Method(loc_layer=b, loc_strength=1.0) for b in (3, 6)]
    assert [m.name for m in pairs(en, loc, 2)] == [
        "EN5x1-LOC6x1",
        "EN1x1-LOC3x1",
    ]  # the best pair itself is no pair


def point(t, loc, **settings):
    return DevPoint(Method(**settings), t, loc, {})


def test_selection_rules():
    sur = {"en_layer": 1, "en_strength": 1.0, "loc_layer": 3}
    points = [
        point(0.3, -0.1, **sur, loc_strength=1.0),
        point(0.1, 0.1, **sur, loc_strength=2.0),
        point(0.05, 0.05, **sur, loc_strength=3.0),
        point(0.2, 0.0, en_layer=2, en_strength=2.0),
        point(0.2, 0.0, en_layer=2, en_strength=1.0),
        point(0.1, 0.0, en_layer=0, en_strength=1.0),
    ]
    assert (
        best(points, "SUR", 0.01) is points[1]
    )  # the larger sum loses more localization than allowed
    assert best(points[:1], "SUR", 0.01).method == Method()  # none qualifies, so nothing is steered
    assert best([point(-0.1, 0.2, en_layer=1, en_strength=1.0)], "EN", 0.01).method == Method()
    assert best(points, "EN", 0.01) is points[4]  # a tie goes to the smaller strength
    assert ranked(points, "EN", 2) == [points[4], points[5]]
    assert pareto_front(points[:3]) == [points[0], points[1]]
    with pytest.raises(MechclaError, match="no LOC cell was swept"):
        best(points, "LOC", 0.01)
