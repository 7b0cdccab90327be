"""Which layers are tried, and which point dev chooses: by hand."""

from __future__ import annotations

import math

import pytest

from mechcla.errors import MechclaError
from mechcla.steering.families import AXIS_OF
from mechcla.steering.grid import around, coarse_layers, pairs, restorations
from mechcla.steering.method import Method
from mechcla.sweep.dev_point import DevPoint, dev_point, merge, within
from mechcla.sweep.rule import best, pareto_front, ranked


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
    assert best(points, "SUR") is points[1]  # the larger sum loses more localization than allowed
    assert best(points[:1], "SUR").method == Method()  # none qualifies, so nothing is steered
    assert best([point(-0.1, 0.2, en_layer=1, en_strength=1.0)], "EN").method == Method()
    assert best(points, "EN") is points[4]  # a tie goes to the smaller strength
    assert ranked(points, "EN", 2) == [points[4], points[5]]
    assert pareto_front(points[:3]) == [points[0], points[1]]
    with pytest.raises(MechclaError, match="no LOC cell was swept"):
        best(points, "LOC")


def on_plane(method, gains):
    """A dev point of gains on the plane's axes, by (language, kind)."""
    return dev_point(method, {key: {AXIS_OF[key[1]]: gain} for key, gain in gains.items()})


def test_a_gain_over_languages_is_over_those_that_have_the_kind():
    en, kept = Method(en_layer=1, en_strength=1.0), Method(en_layer=2, en_strength=1.0)
    spanish = {("es", "universal"): 0.25, ("es", "cultural"): -0.5}
    pt = {("pt", "universal"): 0.75}
    apart = [on_plane(en, spanish), on_plane(en, pt)]
    (joined,), together = merge(apart, {"EN": 2}), on_plane(en, spanish | pt)
    for p in (joined, together):
        assert (p.d_transfer, p.d_localization) == (0.5, -0.5)
    # nothing is known of one language that has cultural items, so nothing of the mean
    apart += [on_plane(kept, {("es", "universal"): 0.5}), on_plane(kept, pt)]
    half = next(p for p in merge(apart, 2) if p.method == kept)
    assert half.d_transfer == 0.625
    assert math.isnan(half.d_localization)
    # what is not finite is no language without the kind
    lost = on_plane(en, spanish | {("pt", "universal"): math.nan})
    assert math.isnan(lost.d_transfer)
    assert merge([lost, on_plane(en, spanish)], 2) == []


def test_a_point_within_fewer_languages_is_of_their_gains():
    p = on_plane(
        Method(en_layer=1, en_strength=1.0),
        {("es", "universal"): 0.25, ("es", "cultural"): -0.5, ("pt", "universal"): 0.75},
    )
    found = within(p, ["es", "ca"])
    assert found is not None
    assert (found.d_transfer, found.d_localization) == (0.25, -0.5)
    assert found.by_language == {"es": (0.25, -0.5)}
    assert within(p, ["es", "pt"]) is p
    assert within(p, ["ca"]) is None
    lost = on_plane(p.method, {("es", "universal"): 0.25, ("pt", "universal"): math.nan})
    kept = within(lost, ["es"])
    assert kept is not None
    assert kept.not_finite == (("pt", "universal"),)  # never chosen, wherever it is not finite
