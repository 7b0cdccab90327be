"""analyses.shuffled_gates: scores under each gate against gated_steering by hand, its rows against
public functions, and the cost of a pass by a clock that is known.
"""

from __future__ import annotations

import csv
import json
import statistics
import sys

import pytest
import torch

import mechcla
from analyses import shuffled_gates
from analyses.gate import rows_of
from analyses.gated_choices import asked_of
from mechcla.errors import MechclaError
from mechcla.metrics.estimates import bootstrap_means
from mechcla.metrics.metrics import difference, paired_differences
from mechcla.statistics import correct, permutation_test, sign_flip
from mechcla.statistics.differences import clustered
from mechcla.steering.method import Method
from mechcla.storage import write_sealed
from mechcla.sweep.config import make
from mechcla.vectors.gates import GATE, SHUFFLED, gates

METHOD = Method(2, 4.0, loc_layer=3, loc_strength=8.0, gate_layer=1, gate_constant="LOC")
METHODS = {"es": METHOD}
SEEDS = 3


@pytest.fixture(scope="module")
def asked(small_items):
    return asked_of(small_items, METHODS, make({}), "test")


@pytest.fixture(scope="module")
def found(tiny_models, small_items, asked):
    return shuffled_gates.scored(tiny_models["llama"], small_items.dev, asked, METHODS, SEEDS)


@pytest.fixture(scope="module")
def rows(found):
    return shuffled_gates.rows(found[0], 100)


def of(rows, seed, metric):
    (row,) = (r for r in rows if (r["seed"], r["metric"]) == (seed, metric))
    return row


def likelihoods(scores) -> list[float]:
    return [value for row in scores for value in row.log_likelihood]


def test_each_gate_s_scores_are_those_of_gated_steering_with_it(
    found, asked, tiny_models, small_items
):
    tables = found[0]
    model, dev = tiny_models["llama"], small_items.dev
    en, loc = mechcla.en_vectors(model, dev), mechcla.loc_vectors(model, dev)
    assert len({tuple(likelihoods(scores)) for scores in tables.values()}) > 2
    for seed in range(SEEDS):
        made = gates(model, dev, shuffled=True, seed=seed)
        for name, gate in (("real", made[GATE]), (str(seed), made[SHUFFLED])):
            steps = {
                language: mechcla.gated_steering(
                    en,
                    loc,
                    gate,
                    language=language,
                    gate_layer=m.gate_layer,
                    en_layer=m.en_layer,
                    en_strength=m.en_strength,
                    loc_layer=m.loc_layer,
                    loc_strength=m.loc_strength,
                )
                for language, m in METHODS.items()
            }
            wanted = likelihoods(mechcla.score(model, asked, steps))
            assert likelihoods(tables[name]) == pytest.approx(wanted, abs=1e-4)
    assert likelihoods(tables["unsteered"]) == pytest.approx(
        likelihoods(mechcla.score(model, asked)), abs=1e-4
    )


def test_gates_decide_alike_where_their_margins_have_one_sign(
    found, rows, asked, tiny_models, small_items
):
    model = tiny_models["llama"]
    residuals = rows_of(model, asked)
    for metric, kind in (("transfer", "universal"), ("localization", "cultural")):
        for seed in range(SEEDS):
            made = gates(model, small_items.dev, shuffled=True, seed=seed)
            same = []
            for k, item in enumerate(asked):
                if item.kind == kind:
                    real, drawn = (
                        made[name].margins(item.language, residuals[k : k + 1])
                        for name in (GATE, SHUFFLED)
                    )
                    layer = METHODS[item.language].gate_layer
                    same.append(bool((real[0, layer] > 0) == (drawn[0, layer] > 0)))
            assert of(rows, str(seed), metric)["as_the_real_one"] == sum(same) / len(same)


def test_a_seed_s_rows_are_its_paired_differences(found, rows):
    tables = found[0]
    assert {row["seed"] for row in rows} == {"real", "mean", *map(str, range(SEEDS))}
    for metric in ("transfer", "localization"):
        for name in ("real", *map(str, range(SEEDS))):
            row = of(rows, name, metric)
            moved = difference(tables[name], tables["unsteered"], metric, resamples=100)["all"]
            shown = [row[k] for k in ("change", "change_low", "change_high", "n")]
            wanted = [moved.value, moved.low, moved.high, moved.n]
            assert shown == pytest.approx(wanted, abs=1e-12)
            assert row["p_holm"] == ""
            if name == "real":
                assert "difference" not in row
                continue
            less = difference(tables["real"], tables[name], metric, resamples=100)["all"]
            test = permutation_test(tables["real"], tables[name], metric)["all"]
            shown = [row[k] for k in ("difference", "difference_low", "difference_high")]
            assert shown == pytest.approx([less.value, less.low, less.high], abs=1e-12)
            assert (row["p_value"], row["questions"]) == (test.p_value, test.clusters)


def test_the_mean_s_rows_are_each_question_s_mean_over_seeds(found, rows):
    tables = found[0]
    seeds = [str(seed) for seed in range(SEEDS)]
    p_values = {}
    for metric in ("transfer", "localization"):
        row = of(rows, "mean", metric)
        by_seed = [paired_differences(tables["real"], tables[seed], metric) for seed in seeds]
        mean = {
            language: {id: sum(t[language][id] for t in by_seed) / SEEDS for id in column}
            for language, column in by_seed[0].items()
        }
        draws = bootstrap_means(mean, 100)["all"]
        low, high = torch.tensor(draws[1:]).quantile(torch.tensor([0.025, 0.975]).double()).tolist()
        assert row["difference"] == pytest.approx(draws[0], abs=1e-12)
        assert (row["difference_low"], row["difference_high"]) == pytest.approx((low, high))
        p_values[metric] = sign_flip(clustered(mean)["all"].sums)[0]
        assert row["p_value"] == pytest.approx(p_values[metric])
        changes = [of(rows, seed, metric)["change"] for seed in seeds]
        assert row["change"] == pytest.approx(statistics.mean(changes))
        assert row["sd"] == pytest.approx(statistics.stdev(changes))
        assert (row["least"], row["most"]) == pytest.approx((min(changes), max(changes)))
        above = sum(change >= of(rows, "real", metric)["change"] for change in changes)
        assert row["as_much"] == above
        shares = [of(rows, seed, metric)["as_the_real_one"] for seed in seeds]
        assert row["as_the_real_one"] == pytest.approx(statistics.mean(shares))
    holm = correct(p_values)
    assert {m: of(rows, "mean", m)["p_holm"] for m in holm} == pytest.approx(holm)


def test_no_seed_is_refused(tiny_models, small_items, asked):
    with pytest.raises(MechclaError, match="--seeds 0"):
        shuffled_gates.scored(tiny_models["llama"], small_items.dev, asked, METHODS, 0)


def test_the_cost_is_the_median_of_ratios_of_passes_in_turns(
    tiny_models, asked, found, monkeypatch
):
    took = {True: iter([9.0, 2.0, 6.0, 3.0]), False: iter([1.0, 1.0, 2.0, 2.0])}  # by "gated"
    now, turns = [0.0], []

    def passed(model, items, methods, vectors):
        gated = all(m.gate_layer is not None for m in methods.values())
        assert gated or all(m.arm == "gate_always" for m in methods.values())
        assert items is asked
        turns.append(gated)
        now[0] += next(took[gated])

    monkeypatch.setattr(shuffled_gates, "clock_of", lambda device: (lambda: now[0], "cpu"))
    monkeypatch.setattr(shuffled_gates, "scores_of", passed)
    record = shuffled_gates.cost(tiny_models["llama"], asked, METHODS, found[1], 3)
    assert (record["ratio"], record["least"], record["most"]) == (2.0, 1.5, 3.0)
    assert record["seconds"] == {"gated": 3.0, "always": 2.0}
    assert (record["items"], record["repeats"], record["clock"]) == (len(asked), 3, "cpu")
    assert turns == [False, True, True, False, False, True, True, False]


def test_the_script_writes_its_tables(tiny_folders, small_items, tmp_path, monkeypatch, capsys):
    choices, items = tmp_path / "choices.json", tmp_path / "items.jsonl"
    write_sealed(choices, {"chosen": {"base": {"GATED": {"es": METHOD.describe()}}}})
    small_items.to_jsonl(items)
    given = ["--model", str(tiny_folders["llama"]), "--items", str(items), "--seeds", "2"]
    given += ["--resamples", "100", "--repeats", "1", "--out", str(tmp_path)]
    monkeypatch.setattr("sys.argv", ["shuffled_gates", str(choices), *given])
    monkeypatch.setattr("sys.excepthook", sys.excepthook)
    shuffled_gates.main()
    written = list(csv.DictReader((tmp_path / "shuffled_gates.csv").open()))
    assert [row["seed"] for row in written[-2:]] == ["mean", "mean"]
    assert {row["seed"] for row in written} == {"real", "0", "1", "mean"}
    record = json.loads((tmp_path / "gate_cost.json").read_text())
    assert record["least"] <= record["ratio"] <= record["most"]
    assert record["items"] == len(small_items.of("es", "universal", "test")) * 2
    assert "real less mean of 2 seeds, transfer: " in capsys.readouterr().out
