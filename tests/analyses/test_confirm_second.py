"""The second confirmation's choices come from finished runs, and are those that were frozen."""

from __future__ import annotations

import csv
import shutil
from dataclasses import replace

import pytest

import mechcla
from analyses import confirm, confirm_second
from analyses.confirm_plan import FROZEN, Cell
from analyses.confirm_second import CHOICES, CONDITIONS, SECOND
from mechcla import MechclaError, load_items
from mechcla.items.study import LOOK
from mechcla.scoring.scores import Scores
from mechcla.steering.recorded import method_of
from mechcla.storage import read_sealed
from tests.analyses.test_confirm import table


@pytest.fixture(scope="module")
def runs(tmp_path_factory, gated_run):
    """A run, and copies of it in the aligned models' places."""
    folder = tmp_path_factory.mktemp("runs")
    for name in CONDITIONS:
        shutil.copytree(gated_run, folder / name, copy_function=shutil.copy2)
    return [folder / name for name in CONDITIONS]


def test_choices_are_what_dev_froze_in_the_runs(runs, tmp_path, monkeypatch) -> None:
    """`python -m analyses.confirm choices`, then `freeze --set 2`, whose plan holds them whole."""
    monkeypatch.setattr(confirm_second, "FOLDER", tmp_path)
    monkeypatch.setitem(confirm.SETS, "2", replace(SECOND, folder=tmp_path))
    with pytest.raises(MechclaError, match=r"expected base, mist, midalign, in this order"):
        confirm.main(["choices", *map(str, runs[::-1])])
    with pytest.raises(MechclaError, match=r"analyses\.confirm choices"):
        confirm.main(["freeze", "--set", "2", "--date", "2026-11-27"])
    confirm.main(["choices", *map(str, runs)])
    confirm.main(["freeze", "--set", "2", "--date", "2026-11-27"])
    planned = read_sealed(tmp_path / FROZEN)["plan"]
    chosen = mechcla.read_run(runs[0]).choice
    for model in CONDITIONS:
        for family, by in planned["methods"][model].items():
            for language, described in by.items():
                assert method_of(described) == method_of(chosen[family][language])
    assert planned["choices"] == read_sealed(tmp_path / CHOICES)["digest"]


def test_what_was_frozen_is_what_the_committed_choices_say() -> None:
    planned = SECOND.frozen()
    record = read_sealed(SECOND.folder / FROZEN)
    assert record["confirm"]["digest"] == load_items("confirm-2").digest
    assert planned["methods"] == SECOND.settings()["methods"]
    if (SECOND.folder / LOOK).exists():
        look = read_sealed(SECOND.folder / LOOK)
        assert (look["frozen"], look["confirm"]) == (record["record"], record["confirm"])


def with_made_up_scores(cells, tmp_path, monkeypatch):
    """Scores of these cells in a folder, and the frozen plan in another one, which is returned."""
    place = tmp_path / "reference"
    place.mkdir()
    shutil.copyfile(SECOND.folder / FROZEN, place / FROZEN)
    monkeypatch.setitem(confirm.SETS, "2", replace(SECOND, folder=place))
    (tmp_path / "cells").mkdir()
    for k, cell in enumerate(cells):
        part = table(cell.kind, 0.5, seed=k).where(language=cell.language)
        part.to_parquet(tmp_path / "cells" / cell.file)
    return place


def test_the_tables_of_the_second_set_are_written_from_cells(tmp_path, monkeypatch) -> None:
    """`python -m analyses.confirm table --set 2`, on made-up scores: contrasts beside the rest."""
    every = SECOND.cells(True) + SECOND.cells(False)
    place = with_made_up_scores(every, tmp_path, monkeypatch)
    monkeypatch.setattr(confirm, "FRONT_DRAWS", 100)
    confirm.main(["table", "--set", "2", "--out", str(tmp_path)])
    rows = list(csv.DictReader((place / "contrasts.csv").open(encoding="utf-8")))
    pooled = {(r["model"], r["condition"], r["than"], r["metric"]) for r in rows}
    assert len(pooled) == len(CONDITIONS) * len(SECOND.contrasts) * len(confirm.METRICS)
    front = list(csv.DictReader((place / "front.csv").open(encoding="utf-8")))
    values = list(csv.DictReader((place / "values.csv").open(encoding="utf-8")))
    key = ("model", "condition", "metric", "language", "against")
    changes = {tuple(r[k] for k in key): r["difference"] for r in values if r["against"]}
    own = [r for r in front if r["against"] == r["model"]]
    assert {r["condition"] for r in own} == set(CONDITIONS["base"]) - {"unsteered"}
    for row in own:  # the same change by two ways
        there = float(changes[tuple(row[k] for k in key)])
        assert float(row["difference"]) == pytest.approx(there, abs=1e-9)
    assert (tmp_path / "front.png").stat().st_size > 10_000
    record = read_sealed(place / "record.json")
    assert record["cells"] == record["of"] == len(every)


def test_without_a_cell_there_is_no_front_and_the_rest_stands(tmp_path, monkeypatch, capsys):
    """Cells as of `score --cells hypotheses`."""
    place = with_made_up_scores(SECOND.cells(True), tmp_path, monkeypatch)
    monkeypatch.setattr(confirm, "RESAMPLES", 200)
    confirm.main(["table", "--set", "2", "--out", str(tmp_path)])
    assert "No front: not all models" in capsys.readouterr().out
    assert not (place / "front.csv").exists()
    assert read_sealed(place / "record.json")["cells"] == len(SECOND.cells(True))
    assert len(list(csv.DictReader((place / "hypotheses.csv").open(encoding="utf-8")))) == 12


@pytest.mark.demo
@pytest.mark.slow
def test_a_gated_cell_and_its_arm_are_what_gated_steering_makes(tmp_path, monkeypatch) -> None:
    """`python -m analyses.confirm score --set 2 --models base`, against the public functions."""
    place = tmp_path / "reference"
    place.mkdir()
    shutil.copyfile(SECOND.folder / FROZEN, place / FROZEN)
    cells = [Cell("base", c, "cultural", "zh") for c in ("GATED", "GATED gate_always")]
    monkeypatch.setitem(confirm.SETS, "2", replace(SECOND, folder=place))
    only = "analyses.confirm_plan.Confirmation.cells"
    monkeypatch.setattr(only, lambda self, primary: cells if primary else [])
    confirm.main(["score", "--set", "2", "--models", "base", "--out", str(tmp_path)])
    model, dev = mechcla.load_model("demo"), load_items("demo").dev
    m = method_of(SECOND.frozen()["methods"]["base"]["GATED"]["zh"])
    en = mechcla.en_vectors(model, dev.universal.language("en", "zh"))
    loc = mechcla.loc_vectors(model, dev.cultural.language("zh"))
    gate = mechcla.gate_vectors(model, dev.language("zh"))
    edits = {"en_layer": m.en_layer, "en_strength": m.en_strength}
    edits |= {"loc_layer": m.loc_layer, "loc_strength": m.loc_strength}
    gated = mechcla.gated_steering(en, loc, gate, language="zh", gate_layer=m.gate_layer, **edits)
    always = mechcla.en_steering(en, language="zh", layer=m.en_layer, strength=m.en_strength)
    always += mechcla.loc_steering(loc, language="zh", layer=m.loc_layer, strength=m.loc_strength)
    items = load_items("confirm-2").language("zh").cultural[:3]
    for cell, steps in zip(cells, (gated, always), strict=True):
        found = Scores.from_parquet(tmp_path / "cells" / cell.file)[:3]
        alone = mechcla.score(model, items, steps, prior=False)
        assert [r.id for r in found] == [i.id for i in items]
        for ours, theirs in zip(found, alone, strict=True):
            assert ours.log_likelihood == pytest.approx(theirs.log_likelihood, abs=1e-4)


def test_a_model_that_the_plan_has_not_is_named() -> None:
    with pytest.raises(MechclaError, match="--models 'clo'"):
        confirm.main(["score", "--set", "2", "--models", "clo"])
