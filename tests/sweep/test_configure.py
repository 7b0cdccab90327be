"""configure: what it chose is what the full grid would have chosen from, at a part of its cost, on
dev only.
"""

from __future__ import annotations

import json

import pytest

import mechcla
from mechcla.errors import MechclaError
from mechcla.steering.method import Method
from mechcla.sweep.configure import full_grid
from mechcla.sweep.evidence import against_arms, against_unsteered, is_arm


@pytest.fixture(scope="module")
def found(tiny, small_items):
    return mechcla.configure(
        tiny, small_items, ["es"], coarse_step=2, restore=False, loc_strengths=[2.0]
    )


def test_a_choice_is_the_best_of_the_points_it_shows(found, tiny, small_items):
    choice = found.choices.by_language["es"]
    for family, axis in (("EN", "d_transfer"), ("LOC", "d_localization")):
        mine = [getattr(p, axis) for p in choice.points if p.method.family == family]
        best = max([0.0, *mine])
        assert getattr(choice.chosen[family], axis) == pytest.approx(best)
        method = found.method(family, "es")
        assert (method == Method()) == (best == 0.0)
        edits = found.interventions(family, "es")
        dev = small_items.dev.language("es")
        metric = "transfer" if family == "EN" else "localization"
        gain = mechcla.difference(
            mechcla.score(tiny, dev, edits), mechcla.score(tiny, dev), metric, "share"
        )["es"].value
        assert gain == pytest.approx(best, abs=1e-5)


def test_other_positions_were_tried_at_what_was_chosen(found):
    points = found.choices.by_language["es"].points
    chosen = {f: found.method(f, "es") for f in ("EN", "LOC")}
    if chosen["EN"] != Method():
        assert {p.method.en_positions for p in points if p.method.family == "EN"} >= {
            None,
            "last_prompt_token",
            "prompt_and_answer",
        }
    if chosen["LOC"] != Method():
        assert {p.method.loc_positions for p in points if p.method.family == "LOC"} >= {
            None,
            "last_prompt_token",
            "prompt_and_answer",
        }
    assert any(m != Method() for m in chosen.values())


def test_the_cost_is_counted_and_test_stays_shut_until_the_choice_is_frozen(found, tiny):
    assert found.full_grid == full_grid(tiny.n_layers, found.config) == (1 + 4 * 2 + 6) * 2
    assert found.cells > 0
    assert found.fraction == found.cells / found.full_grid
    assert found.record.choice == json.loads(json.dumps(found.choices.chosen()))
    assert "full grid" in str(found)


def test_bad_settings_are_named(tiny, small_items, found):
    with pytest.raises(
        MechclaError, match="unknown setting 'corse_step'; did you mean 'coarse_step'"
    ):
        mechcla.configure(tiny, small_items, corse_step=2)
    with pytest.raises(MechclaError, match="unknown positions 'promt'"):
        mechcla.configure(tiny, small_items, try_positions=["promt"])
    with pytest.raises(MechclaError, match="'fr'"):
        mechcla.configure(tiny, small_items, ["fr"])
    with pytest.raises(MechclaError, match="no family 'SURE'"):
        found.method("SURE", "es")


def test_evidence_of_a_run_pairs_families_with_their_arms(tiny, small_items):
    en = mechcla.en_vectors(tiny, small_items.universal.dev)
    test = small_items.test.language("es")
    steered = mechcla.score(
        tiny, test, mechcla.en_steering(en, language="es", layer=1, strength=1.0)
    )
    tables = {
        "unsteered": mechcla.score(tiny, test),
        "EN": steered,
        "EN random": mechcla.score(tiny, test),
        "SUR": steered,
        "SUR swapped": steered,
    }
    assert [is_arm(k) for k in tables] == [False, False, True, False, True]
    rows = against_arms(tables, "share", 100, 0)
    assert {(r.method, r.against, r.metric) for r in rows} == {
        ("EN", "EN random", "transfer"),
        ("SUR", "SUR swapped", "transfer"),
        ("SUR", "SUR swapped", "localization"),
    }
    same = [r for r in rows if r.method == "SUR"]
    assert all(r.difference.value == 0 and r.test.p_value == 1 for r in same)
    alone = [
        r
        for r in against_unsteered(tables, "share", 100, 0)
        if r.method == "EN" and r.metric == "transfer"
    ]
    arm = [r for r in rows if r.method == "EN"]
    assert [r.difference.value for r in alone] == [r.difference.value for r in arm]
    assert all(r.p_holm >= r.test.p_value for r in rows)
