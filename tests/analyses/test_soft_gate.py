"""analyses.soft_gate: a soft gate's limits, its rows by hand, and where choices come from."""

from __future__ import annotations

import csv
import shutil
import sys
from pathlib import Path

import pytest

import mechcla
from analyses import soft_gate
from analyses.gated_choices import chosen
from mechcla.errors import MechclaError
from mechcla.metrics.metrics import difference
from mechcla.steering.method import Method
from mechcla.storage import write_sealed
from mechcla.sweep.config import make

METHOD = Method(2, 4.0, loc_layer=3, loc_strength=8.0, gate_layer=1, gate_constant="LOC")
CHOICES = Path("docs/reference/confirm-2/choices.json")


@pytest.fixture(scope="module")
def tables(tiny_models, small_items):
    model = tiny_models["llama"]
    methods = {"es": METHOD}
    return soft_gate.scored(model, small_items, methods, [1e-6, 1.0], make({}))


def found(scores) -> list[float]:
    return [value for row in scores for value in row.log_likelihood]


def test_a_very_steep_soft_gate_is_the_hard_one_and_a_flat_one_is_not(tables):
    for by_gate in tables.values():
        hard, steep, flat = (found(by_gate[k]) for k in ("hard", "soft 1e-06", "soft 1"))
        assert steep == pytest.approx(hard, abs=1e-4)
        assert max(abs(a - b) for a, b in zip(flat, hard, strict=True)) > 1e-2


def test_rows_are_the_paired_differences_and_dev_alone_chooses(tables):
    made = soft_gate.rows(tables, 100)
    for row in made:
        base, moved = (tables[row["split"]][row[k]] for k in ("against", "gate"))
        wanted = difference(moved, base, row["metric"])["all"].value
        assert row["difference"] == pytest.approx(wanted, abs=1e-12)
    sums = {
        gate: sum(
            difference(tables["dev"][gate], tables["dev"]["unsteered"], metric)["all"].value
            for metric in ("transfer", "localization")
        )
        for gate in ("soft 1e-06", "soft 1")
    }
    best = max(sums, key=lambda gate: sums[gate])
    assert {row["gate"] for row in made if row["chosen"]} == {best}
    assert all(row["p_holm"] == "" for row in made if row["split"] == "dev")


def test_choices_come_from_a_confirmation_s_file_or_a_run(gated_run):
    taken = chosen(CHOICES)
    assert "es" not in taken
    assert all(m.family == "GATED" for m in taken.values())
    run = mechcla.read_run(gated_run).choice["GATED"]
    steered = {language for language, method in run.items() if method["family"] == "GATED"}
    if steered:
        assert set(chosen(gated_run)) == steered
    else:
        with pytest.raises(MechclaError, match="in no language"):
            chosen(gated_run)


def test_a_file_that_is_none_is_named(tmp_path):
    with pytest.raises(MechclaError, match=r"nothing\.json.*missing or damaged"):
        chosen(tmp_path / "nothing.json")
    broken = shutil.copy(CHOICES, tmp_path / "choices.json")
    broken.write_text(broken.read_text().replace("GATED", "gated"))
    with pytest.raises(MechclaError, match="missing or damaged"):
        chosen(broken)


def test_the_script_writes_its_table(tiny_folders, small_items, tmp_path, monkeypatch, capsys):
    choices, items = tmp_path / "choices.json", tmp_path / "items.jsonl"
    write_sealed(choices, {"chosen": {"base": {"GATED": {"es": METHOD.describe()}}}})
    small_items.to_jsonl(items)
    given = ["--model", str(tiny_folders["llama"]), "--items", str(items), "--scales", "1"]
    given += ["--resamples", "100", "--out", str(tmp_path)]
    monkeypatch.setattr("sys.argv", ["soft_gate", str(choices), *given])
    monkeypatch.setattr("sys.excepthook", sys.excepthook)
    soft_gate.main()
    written = list(csv.DictReader((tmp_path / "soft_gate.csv").open()))
    assert {row["gate"] for row in written} == {"hard", "soft 1"}
    assert "soft 1 less hard, transfer: " in capsys.readouterr().out
