"""analyses.front: the front and its share by hand, its draws, and the script on finished runs."""

from __future__ import annotations

import csv
import shutil

import numpy as np
import pytest

import mechcla
from analyses import front
from analyses.docs.pages import table
from mechcla.errors import MechclaError
from mechcla.metrics.metrics import difference
from mechcla.scoring.scores import Scores


@pytest.fixture(scope="module")
def runs(tmp_path_factory, gated_run):
    """A run, and a copy of it in an aligned model's place."""
    other = tmp_path_factory.mktemp("runs") / "other"
    shutil.copytree(gated_run, other, copy_function=shutil.copy2)
    return [gated_run, other]


@pytest.fixture(scope="module")
def out(runs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("out")
    front.main(folder, runs, resamples=100, seed=0)
    return folder


@pytest.fixture(scope="module")
def written(out):
    assert (out / "front.png").stat().st_size > 5000
    return {p.stem: list(csv.DictReader(p.open())) for p in out.glob("*.csv")}


def one(rows, **wanted):
    (row,) = (r for r in rows if all(r[k] == v for k, v in wanted.items()))
    return row


def test_who_is_on_the_front_by_hand():
    """The sample, then three draws: c ties with a once, is beaten twice; b is never beaten."""
    draws = {
        "a": (np.array([0.2, 0.2, 0.2, 0.0]), np.array([0.0, 0.0, 0.1, 0.0])),
        "b": (np.array([0.0, 0.3, 0.0, 0.1]), np.array([0.1, 0.2, 0.2, 0.1])),
        "c": (np.array([0.1, 0.2, 0.2, 0.0]), np.array([0.0, 0.0, 0.1, 0.05])),
    }
    found = front.fronts(draws)
    assert found["a"] == (True, pytest.approx(1 / 3))
    assert found["b"] == (True, pytest.approx(1.0))
    assert found["c"] == (False, pytest.approx(1 / 3))


def test_draws_are_the_differences_of_the_same_questions(runs):
    scores = mechcla.read_run(runs[0]).scores
    cut = {
        c: Scores(tuple(r for r in scores(c) if r.language != "en")) for c in ("unsteered", "EN")
    }
    turned = Scores(tuple(reversed(cut["EN"].rows)))  # in whatever order the rows stand
    base = cut["unsteered"]
    found = front.draws_of({**cut, "EN again": turned}, base, 50, 3)
    assert not found["unsteered"][0].any()
    for axis, name in enumerate(("transfer", "localization")):
        expected = difference(cut["EN"], base, name, resamples=50, seed=3)["all"]
        assert found["EN"][axis][0] == pytest.approx(expected.value)
        np.testing.assert_array_equal(found["EN"][axis], found["EN again"][axis])
    fewer = Scores(tuple(cut["EN"].rows[1:]))
    alone = cut["EN"].where(kind="universal")
    assert not front.draws_of({"fewer": fewer, "one axis": alone}, base, 50, 3)


def test_every_condition_is_a_row_with_interval_n_and_both_references(written, runs):
    rows, read = written["front"], mechcla.read_run(runs[0])
    for condition in read.conditions:
        for metric in ("transfer", "localization"):
            mine = [r for r in rows if (r["condition"], r["metric"]) == (condition, metric)]
            held = [(r["model"], r["against"]) for r in mine]
            if condition == "unsteered":
                assert held == [("base", ""), ("other", "base")]
            elif mine:
                assert held == [("base", "base"), ("other", "base"), ("other", "other")]
            else:  # an arm of one axis, and explicit prompting on universal items
                assert condition.split()[0] in ("EN", "LOC", "explicit")
    own = one(rows, model="base", condition="SUR", metric="localization", against="base")
    cut = [
        Scores(tuple(r for r in read.scores(c) if r.language != "en")) for c in ("SUR", "unsteered")
    ]
    expected = difference(*cut, "localization", resamples=100)["all"]
    assert float(own["difference"]) == pytest.approx(expected.value)
    assert (float(own["difference_low"]), float(own["difference_high"])) == pytest.approx(
        (expected.low, expected.high)
    )
    assert int(own["n"]) == expected.n
    # The copy is where the base is: each is on the front of all where the other is.
    same = [
        one(rows, model=m, condition="SUR", metric="transfer", against=m) for m in ("base", "other")
    ]
    assert same[0]["front_of_all_share"] == same[1]["front_of_all_share"] == same[0]["front_share"]
    assert one(rows, model="base", condition="EN random", metric="transfer")["front"] == ""
    assert any(r["front"] == "yes" for r in rows)


def test_claims_are_one_family_over_all_runs(written):
    rows = [r for r in written["front_tests"] if r["family"] == "claim" and r["language"] == "all"]
    assert {(r["run"], r["method"], r["against"], r["metric"]) for r in rows} == {
        (run, method, against, metric)
        for run in ("base", "other")
        for method in ("SUR", "GATED")
        for against, metric in (("EN", "localization"), ("LOC", "transfer"))
    }
    assert {r["tests"] for r in rows} == {"8"}
    values = sorted(float(r["p_value"]) for r in rows)
    smallest = min(rows, key=lambda r: float(r["p_value"]))
    assert float(smallest["p_holm"]) == pytest.approx(min(1.0, 8 * values[0]))
    arms = {r["against"] for r in written["front_tests"] if r["family"] == "arms"}
    assert {"SUR random", "SUR swapped", "SUR same_layer", "GATED gate_always"} <= arms


def test_costs_are_the_cells_of_the_folder(written, runs):
    rows = [r for r in written["front_cost"] if r["run"] == "base"]
    count = {r["stage"]: int(r["cells"]) for r in rows}
    files = list((runs[0] / "cells").rglob("*.parquet"))
    assert sum(count.values()) == len(files)
    assert count["test"] == len([p for p in files if "test" in p.parts])
    assert (count["EN"], count["LOC"], count["SUR"]) == (4, 4, 2)  # layers, kinds, one language
    assert count["GATED"] > 0
    assert all(float(r["seconds"]) >= 0 for r in rows)
    assert sum(float(r["seconds"]) for r in rows) > 0


def test_pages_show_what_the_tables_say(out, written):
    own = one(written["front"], model="base", condition="GATED", metric="transfer", against="base")
    lines = table("table front-points", out).splitlines()
    (shown,) = [x for x in lines if x.startswith("| base | gated Surgical Steering |")]
    assert f"{float(own['difference']):+.3f} [" in shown
    assert f"| {own['front']}, {float(own['front_share']):.2f} |" in shown
    assert not any("EN-steering: random" in x for x in lines)  # one axis alone
    claims = table("table front-claims", out).splitlines()
    assert len(claims) == 2 + 8
    count = {r["stage"]: r["cells"] for r in written["front_cost"] if r["run"] == "base"}
    (cost,) = [x for x in table("table front-cost", out).splitlines() if x.startswith("| LOC |")]
    assert cost.startswith(f"| LOC | {count['LOC']}, ")
    assert table("table front-arms", out).count("| base |") == 12


def test_one_run_has_a_plane_of_its_own(runs, tmp_path):
    front.main(tmp_path, runs[:1], resamples=100, seed=0)
    rows = list(csv.DictReader((tmp_path / "front.csv").open()))
    assert {r["against"] for r in rows} == {"", "base"}
    assert "front_of_all" not in rows[0]


def test_what_is_no_run_is_said(tmp_path, runs):
    with pytest.raises(MechclaError, match="holds no run"):
        front.main(tmp_path, [tmp_path], 100, 0)
    with pytest.raises(MechclaError, match="is given twice"):
        front.main(tmp_path, [runs[0], runs[0]], 100, 0)
