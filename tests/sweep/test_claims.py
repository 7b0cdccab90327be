"""A line that claims rests on the corrected test, not on an interval that is one of many."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import pytest

import mechcla
from mechcla.metrics.estimates import POOLED
from mechcla.runs.tables import csv_text
from mechcla.scoring.scores import ItemScore, Scores
from mechcla.sweep.evidence import against_unsteered, contrast_rows, contrast_table, erased
from mechcla.sweep.tables import pooled_table, remarks, summarise


def scores(n: int, fall: float, kind_of_fall: str = "cultural") -> Scores:
    """n questions of each kind in Spanish; the right answer loses up to `fall` nats in one."""
    rows = []
    for kind, role in (("universal", "correct"), ("cultural", "local")):
        others = ("english", "other") if kind == "cultural" else ("wrong", "wrong")
        for k in range(n):
            right = -1.0 - (fall * (1 + 0.01 * k) if kind == kind_of_fall else 0.0)
            rows.append(
                ItemScore(
                    f"{kind}{k}",
                    "es",
                    kind,
                    "test",
                    "",
                    "ES",
                    "implicit",
                    ("x", "y", "z"),
                    (role, *others),
                    ("ES", "US", None),
                    (right, -1.1, -1.3 - 0.1 * k),
                    (1, 1, 1),
                )
            )
    return Scores(tuple(rows))


def tables(n: int) -> dict[str, Scores]:
    base = scores(n, 0.0)
    return {"unsteered": base, "explicit": base, "EN": scores(n, 0.5), "LOC": base, "SUR": base}


def test_an_interval_below_0_is_no_claim_where_the_corrected_test_is_not():
    """Five of five questions fall: the interval cannot hold 0, the sign-flip test has p = 2/32."""
    made = tables(5)
    tested = against_unsteered(made, "share", 200, 0)
    (row,) = [
        r for r in tested if (r.method, r.metric, r.language) == ("EN", "localization", POOLED)
    ]
    assert row.difference.high < 0
    assert row.test.p_value == pytest.approx(2 / 2**5)
    assert row.p_holm == pytest.approx(
        min(1.0, row.test.p_value * 7)
    )  # 3 families on 2 axes, and explicit
    assert erased(tested, "share") == {}
    assert remarks(tested, made["unsteered"], "share").endswith("nowhere")


def test_six_of_six_is_no_claim_either_since_it_is_one_of_seven():
    """p = 2/64 alone, which would pass uncorrected."""
    made = tables(6)
    tested = against_unsteered(made, "share", 200, 0)
    (row,) = [r for r in tested if (r.method, r.metric, r.language) == ("EN", "localization", "es")]
    assert row.test.p_value == pytest.approx(2 / 2**6)
    assert row.difference.high < 0
    assert remarks(tested, made["unsteered"], "share").endswith("nowhere")


def test_a_fall_beyond_the_corrected_test_is_claimed_and_a_rise_is_not():
    """Twelve of twelve: p = 2/4096, times 7 is still far below 0.05."""
    made = tables(12)
    made["LOC"] = scores(12, -0.5)
    tested = against_unsteered(made, "share", 200, 0)
    assert erased(tested, "share") == {"EN": ["es", "all"]}
    said = remarks(tested, made["unsteered"], "share")
    assert "sign-flip test, p < 0.05 after Holm): EN: es all" in said
    assert "A guess would get: transfer 0.333, localization 0.333" in said


def test_the_table_of_changes_has_the_corrected_p_values():
    made = tables(6)
    english = {k: Scores(tuple(replace(r, language="en") for r in v)) for k, v in made.items()}
    rows = summarise({k: made[k] + english[k] for k in made}, ["es"], 200, 0)
    rows = [r for r in rows if r.method != "unsteered"]
    tested = against_unsteered(made, "share", 200, 0)
    lines = pooled_table(rows, "share", tested).splitlines()
    (line,) = [text for text in lines if text.startswith("EN ")]
    (loc,) = [
        r for r in tested if (r.method, r.metric, r.language) == ("EN", "localization", POOLED)
    ]
    assert f"{loc.difference.value:+.3f}" in line
    assert f"p={loc.p_holm:.4f}" in line
    assert line.count("p=") == 2  # transfer and localization; English bias is not tested
    assert "p=" not in pooled_table(rows, "share")


def test_contrasts_are_corrected_over_their_conditions():
    first, second = scores(8, -0.5), scores(8, 0.5)
    held = {"prompt": mechcla.contrast(first, second), "LOC": mechcla.contrast(first, second)}
    alone = held["prompt"][POOLED].p_value
    assert alone == pytest.approx(2 / 2**8)
    rows = {(r["condition"], r["language"]): r for r in contrast_rows(held)}
    assert rows["prompt", "all"]["p_holm"] == pytest.approx(2 * alone)
    assert f"p (Holm)={2 * alone:.4f}" in contrast_table(held)


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+1+1", "-1+cmd|' /C calc'!A0", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1"],
)
def test_no_cell_of_a_csv_is_a_formula(text):
    written = csv_text([{"language": text, "value": -0.5, "n": 3}])
    (row,) = csv.DictReader(io.StringIO(written, newline=""))
    shown = text.replace("\r", "\n")
    assert row == {"language": f"'{shown}", "value": "-0.5", "n": "3"}


@pytest.mark.parametrize(
    "text",
    ["-0.5", "+3", "-1e-05", "-0.028 [-0.047, -0.010] n=378", "es", "EN+restore", "a=b", "-inf"],
)
def test_numbers_and_plain_texts_stay_as_they_are(text):
    (row,) = csv.DictReader(io.StringIO(csv_text([{"x": text}])))
    assert row["x"] == text
    assert csv_text([]) == ""
