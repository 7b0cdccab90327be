"""analyses.choice_rules: cross-validation by hand on cells that are known, and the script whole."""

from __future__ import annotations

import csv
import json
import runpy
import sys

import pytest

from analyses.choice_cells import Grid
from analyses.choice_rules import compare, fold
from analyses.docs.pages import table
from mechcla import MechclaError
from mechcla.steering.method import Method
from mechcla.sweep.choosing import RULES
from tests.conftest import save_tiny

pytestmark = pytest.mark.slow  # a grid of cells each

IDS = [f"q{n}" for n in range(8)]
GRID = Grid((1,), (2, 3), (0.3,), (1.0,), (0.3,))
METHODS = [*GRID.alone(), *GRID.paired()]


def cells():
    """Two languages in which different EN and LOC methods help; pairs lose transfer in one."""
    found = {}
    for k, sign in (("es", 1), ("ko", -1)):
        gains = {"EN1x0.3": 0.1 * sign, "EN1x0.3-LOC3x1": 0.02}
        found[k, "universal"] = gains
        found[k, "cultural"] = {"LOC2x1": 0.2 * sign, "LOC3x1": 0.05, "EN1x0.3-LOC3x1": 0.1}
    return {
        group: {"unsteered": dict.fromkeys(IDS, 0.5)}
        | {name: dict.fromkeys(IDS, 0.5 + gain) for name, gain in gains.items()}
        for group, gains in found.items()
    }


def one(rows, **wanted):
    (row,) = (r for r in rows if all(r[k] == v for k, v in wanted.items()))
    return row


def test_what_each_rule_gains_on_left_out_questions_by_hand():
    """No noise within a language: `language` and `shrunken` take each its best, `pooled` the best
    mean. EN: 0.1 and none against 0; LOC: 0.2 and 0.05 against 0.05 in both.
    """
    rows = compare(cells(), METHODS, folds=2, repeats=2, chosen_on=(None,), resamples=50)
    en = {r: one(rows, family="EN", rule=r)["gain"] for r in RULES}
    assert en == pytest.approx({"language": 0.05, "pooled": 0.0, "shrunken": 0.05})
    loc = {r: one(rows, family="LOC", rule=r)["gain"] for r in RULES}
    assert loc == pytest.approx({"language": 0.125, "pooled": 0.05, "shrunken": 0.125})
    assert one(rows, family="EN", rule="language")["steered"] == 0.5
    own = one(rows, family="LOC", rule="language")
    assert own["difference"] == pytest.approx(0.075)
    assert own["n"] == 16
    both = {"family": "SUR", "rule": "pooled", "constraint": "bounded"}
    assert one(rows, **both, axis="sum")["gain"] == pytest.approx(0.12)
    assert one(rows, **both, axis="transfer")["gain"] == pytest.approx(0.02)


def test_a_choice_never_sees_the_fold_it_is_measured_on():
    """A method that helps in one fold alone is chosen for it nowhere else but there."""
    found = cells()
    (own, other) = (
        [i for i in IDS if fold(i, 0, 2)[0] == 0],
        [i for i in IDS if fold(i, 0, 2)[0] == 1],
    )
    assert own
    assert other
    for k in ("es", "ko"):
        values = dict.fromkeys(own, 1.0) | dict.fromkeys(other, 0.25)
        found[k, "universal"]["EN1x0.3"] = values
    rows = compare(found, METHODS, folds=2, repeats=1, chosen_on=(None,), resamples=50)
    # chosen on `own` it loses 0.25 on each of `other`; on `other` nothing is chosen
    by_hand = -0.25 * len(other) / len(IDS)
    for rule in RULES:
        assert one(rows, family="EN", rule=rule)["gain"] == pytest.approx(by_hand)


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["choice_rules", *arguments])
    runpy.run_module("analyses.choice_rules", run_name="__main__")


def test_the_script_goes_on_where_it_was_and_refuses_cells_of_other_items(tmp_path, monkeypatch):
    model = str(save_tiny("gpt_neox", tmp_path / "m", max_position_embeddings=512))
    asked = ["--model", model, "--languages", "es,el", "--cells", str(tmp_path / "cells")]
    asked += ["--out", str(tmp_path), "--folds", "2", "--repeats", "2", "--chosen-on", "4"]
    run(monkeypatch, *asked, "--questions", "8")
    with (tmp_path / "choice_rules.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {r["rule"] for r in rows} == set(RULES)
    assert all(float(r["gain_low"]) <= float(r["gain_high"]) for r in rows)
    assert table("table choice-rules SUR", tmp_path).count("\n") == 1 + 3 * 2 * 2 * 3
    path = tmp_path / "cells" / "es-cultural.json"
    held = json.loads(path.read_text())
    # What lies there is not scored again; what does not is.
    kept = dict.fromkeys(held["values"]["unsteered"], 0.0)
    (lost, *_) = (m for m in held["values"] if m.startswith("LOC"))
    before = held["values"].pop(lost)
    path.write_text(json.dumps(held | {"values": held["values"] | {Method().name: kept}}))
    run(monkeypatch, *asked, "--questions", "8")
    again = json.loads(path.read_text())["values"]
    assert again["unsteered"] == kept
    assert again[lost] == pytest.approx(before, abs=1e-5)
    with pytest.raises(MechclaError, match="another model or of other items"):
        run(monkeypatch, *asked, "--questions", "6")
