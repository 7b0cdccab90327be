"""What a run keeps of its scores gives the numbers that the scores themselves give, to the last
bit.
"""

from __future__ import annotations

import math
import random

import pytest

import mechcla
from mechcla.errors import MechclaError
from mechcla.metrics.estimates import bootstrap_means
from mechcla.metrics.item_values import ItemValues, cells_of, of_languages
from mechcla.metrics.metrics import METRICS, chance
from mechcla.metrics.plane_point import plane
from mechcla.runs.run import on_plane
from mechcla.scoring.scores import ItemScore, Scores
from mechcla.statistics import contrast, minimum_detectable_effect, permutation_test
from mechcla.statistics.cell_values import cell_values
from mechcla.sweep.evidence import against_arms, against_unsteered, contrasts
from mechcla.sweep.tables import summarise

NAMES = frozenset((name, of) for name in METRICS for of in ("share", "accuracy"))
KINDS = {"universal": ("correct", "wrong"), "cultural": ("local", "english", "other")}


def scores(seed: int, languages=("en", "es", "ko"), kinds=tuple(KINDS)) -> Scores:
    """Rows of a made-up condition: languages that lack some questions, ties, an answer of
    probability 0, items without an American answer and with two.
    """
    draw = random.Random(seed)
    rows = []
    for language in languages:
        for kind in kinds:
            order = [k for k in range(40) if (k + len(language) + ord(language[0])) % 7]
            for k in reversed(order):
                roles = [KINDS[kind][0], *(KINDS[kind][1:] * 2)[: 2 + k % 3]]
                if k % 5 == 0:
                    roles = [r for r in roles if r != "english"] + ["other", "wrong"][:1]
                if kind == "universal":
                    roles = ["correct"] + ["wrong"] * (len(roles) - 1)
                values = [round(draw.uniform(-5, -1), 1) for _ in roles]
                values[-1] = -math.inf if k == 11 else values[-1]
                texts = tuple(f"{language} {kind} {k} {n}" for n in range(len(roles)))
                rows.append(
                    ItemScore(
                        f"{kind}{k}",
                        language,
                        kind,
                        "test",
                        "",
                        None,
                        "implicit",
                        texts,
                        tuple(roles),
                        ("US CA",) * len(roles),
                        tuple(values),
                        (1,) * len(roles),
                    )
                )
    return Scores(tuple(rows))


def kept(table: Scores) -> ItemValues:
    """The values of every cell, one cell at a time, as a run takes them."""
    known: dict = {}
    cells = {}
    for row in table:
        key = (row.language, row.kind)
        if key not in cells:
            part = table.where(language=row.language, kind=row.kind)
            cells[key] = cell_values(part, NAMES, known)
    return ItemValues(cells, NAMES)


TABLES = {
    "unsteered": scores(0),
    "explicit": scores(1),
    "explicit us_country": scores(2, ("es", "ko"), ("cultural",)),
    "EN": scores(3, ("es", "ko")),
    "EN random": scores(4, ("es", "ko"), ("universal",)),
    "LOC": scores(5, ("es", "ko")),
    "LOC us_country": scores(6, ("ko", "es"), ("cultural",)),
    "SUR": scores(7, ("ko", "es")),
}
VALUES = {name: kept(table) for name, table in TABLES.items()}


def same(one: object, other: object) -> None:
    assert repr(one) == repr(other)  # repr tells every float from its neighbours, and nan is nan
    assert len(repr(one)) > 100


def test_every_table_of_a_run_is_the_same_to_the_last_bit() -> None:
    one, two = (
        {name: of_languages(table, ["es", "ko"]) for name, table in tables.items()}
        for tables in (TABLES, VALUES)
    )
    for measure in ("share", "accuracy"):
        same(against_unsteered(one, measure, 100, 0), against_unsteered(two, measure, 100, 0))
        same(against_arms(one, measure, 100, 0), against_arms(two, measure, 100, 0))
        points = [
            plane(on_plane({k: v for k, v in t.items() if " " not in k}), measure, resamples=100)
            for t in (TABLES, VALUES)
        ]
        same(*points)
    same(summarise(TABLES, ["es", "ko"], 100, 0), summarise(VALUES, ["es", "ko"], 100, 0))
    same(contrasts(one, 100, 0), contrasts(two, 100, 0))
    assert set(contrasts(two, 100, 0)) == {"prompt", "LOC"}
    for kind in KINDS:
        assert chance(TABLES["unsteered"].where(kind=kind)) == chance(
            VALUES["unsteered"].where(kind=kind)
        )


@pytest.mark.parametrize("metric", list(METRICS))
def test_every_metric_and_test_is_the_same_to_the_last_bit(metric: str) -> None:
    one, two = ((t["SUR"], t["unsteered"]) for t in (TABLES, VALUES))
    same(mechcla.metrics.metric(one[0], metric), mechcla.metrics.metric(two[0], metric))
    for compare in (mechcla.difference, permutation_test, minimum_detectable_effect):
        same(compare(*one, metric), compare(*two, metric))
        same(compare(*one, metric), compare(one[0], two[1], metric))  # one of either


def test_a_selection_has_the_rows_that_the_scores_have() -> None:
    for name, table in TABLES.items():
        for fields in ({}, {"language": "es"}, {"kind": "cultural"}):
            assert len(table.where(**fields)) == len(VALUES[name].where(**fields))
        assert cells_of(table) == cells_of(VALUES[name])
    with pytest.raises(MechclaError, match="know language and kind, not topic"):
        VALUES["EN"].where(topic="food")


def test_what_was_not_taken_is_refused_by_name() -> None:
    few = ItemValues(VALUES["EN"].cells, frozenset({("transfer", "share")}))
    assert mechcla.transfer(few) == mechcla.transfer(TABLES["EN"])
    with pytest.raises(MechclaError, match=r"localization \(share, sum\) was not taken"):
        mechcla.localization(few)
    with pytest.raises(MechclaError, match=r"transfer \(share, char\) was not taken"):
        mechcla.transfer(few, normalisation="char")
    with pytest.raises(MechclaError, match="cultural items; these 0 scores have none"):
        mechcla.localization(VALUES["EN"].where(language="fa"))
    with pytest.raises(MechclaError, match="the answers of local and english were kept"):
        contrast(VALUES["LOC"], VALUES["LOC us_country"], ("ES", "US"))


def test_parts_in_bytes_leave_every_bit_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    table = mechcla.statistics.differences.paired_differences(
        TABLES["SUR"], TABLES["unsteered"], "localization"
    )
    whole = bootstrap_means(table, 500, 3)
    tested = permutation_test(TABLES["SUR"], TABLES["unsteered"], "localization")
    assert not tested["all"].exact
    monkeypatch.setattr("mechcla.metrics.estimates.PART_BYTES", 1)
    monkeypatch.setattr("mechcla.statistics.permutation.PART_BYTES", 1)
    parts = bootstrap_means(table, 500, 3)
    assert {k: v.tobytes() for k, v in whole.items()} == {k: v.tobytes() for k, v in parts.items()}
    same(tested, permutation_test(TABLES["SUR"], TABLES["unsteered"], "localization"))
