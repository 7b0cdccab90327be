"""The confirmation's plan is whole, and its hypotheses are tested as it says, by hand."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace

import numpy as np
import pytest

import mechcla
from analyses import confirm
from analyses.confirm_first import FIRST, named_method
from analyses.confirm_plan import ALPHA, FROZEN, LANGUAGES, MARGIN, POWER, Cell
from analyses.confirm_second import CONDITIONS, SECOND
from mechcla import MechclaError, load_items
from mechcla.items.study import LOOK
from mechcla.models.adapters import shipped_adapters
from mechcla.scoring.scores import Scores
from mechcla.statistics import items_needed
from mechcla.steering.recorded import read_choice
from mechcla.storage import read_sealed, write_sealed
from tests.statistics.tables import row

QUESTIONS = 12


def table(kind: str, share: float, seed: int | None = None) -> Scores:
    """Every question's right answer at a share, in all languages; with a seed, spread around it."""
    rng = np.random.default_rng(seed)
    made = []
    for language in LANGUAGES:
        for q in range(QUESTIONS):
            p = share if seed is None else float(np.clip(share + rng.normal(0, 0.2), 0.05, 0.95))
            roles = ("correct", "wrong") if kind == "universal" else ("local", "english")
            pairs = ((roles[0], math.log(p)), (roles[1], math.log(1 - p)))
            made.append(row(f"q{q:02d}", language, kind, *pairs))
    return Scores(tuple(made))


@pytest.fixture
def tables() -> dict[tuple[str, str, str], Scores]:
    """Every contrast as it was expected, each a constant difference."""
    found: dict[tuple[str, str, str], Scores] = {}
    for h in FIRST.hypotheses:
        found.setdefault((h.than_model, h.than_condition, h.kind), table(h.kind, 0.5))
    for h in FIRST.hypotheses:
        share = 0.6 if h.direction == "up" else 0.4
        if h.than_model != "base":  # which is itself expected at 0.4
            share = 0.5
        found[h.model, h.condition, h.kind] = table(h.kind, share)
    return found


def test_the_frozen_file_is_whole_and_no_item_needs_another_plan() -> None:
    planned = FIRST.frozen()
    record = read_sealed(FIRST.folder / FROZEN)
    assert record["confirm"]["digest"] == load_items("confirm").digest
    names = {n for by in planned["methods"].values() for k in by.values() for n in k.values()}
    assert {named_method(name).name for name in names} == names
    if (FIRST.folder / LOOK).exists():  # once it was looked at, the record is of this plan
        look = read_sealed(FIRST.folder / LOOK)
        assert (look["frozen"], look["confirm"]) == (record["record"], record["confirm"])


def test_another_plan_is_refused_before_anything_is_scored(tmp_path) -> None:
    here = replace(FIRST, folder=tmp_path)
    with pytest.raises(MechclaError, match="nothing is frozen"):
        here.frozen()
    record = read_sealed(FIRST.folder / FROZEN)
    record.pop("digest")
    record["plan"]["methods"]["base"]["LOC"]["es"] = "LOC13x2"
    write_sealed(tmp_path / FROZEN, record)
    with pytest.raises(MechclaError, match=r"^record: not what .* froze"):
        here.frozen()
    study = here.study(read_sealed(FIRST.folder / FROZEN)["plan"])
    study.confirm(tmp_path)
    with pytest.raises(MechclaError, match="under another choice"):
        here.study(record["plan"]).confirm(tmp_path)
    with pytest.raises(MechclaError, match="needs new items"):
        here.freeze("2026-11-26")


def test_the_cells_are_each_once_and_the_first_are_what_the_hypotheses_need() -> None:
    primary, other = FIRST.cells(True), FIRST.cells(False)
    assert len({*primary, *other}) == len(primary) + len(other)
    needed = {
        (model, condition, h.kind)
        for h in FIRST.hypotheses
        for model, condition in ((h.model, h.condition), (h.than_model, h.than_condition))
    }
    assert {(c.model, c.condition, c.kind) for c in primary} == needed
    assert ("explicit", "universal") not in {(c.condition, c.kind) for c in other}


def test_what_is_detectable_needs_as_many_questions_as_there_are() -> None:
    items = load_items("confirm")
    for h in FIRST.hypotheses:
        found = FIRST.expected(h, items)
        for name, alpha in (
            ("detectable", ALPHA),
            ("detectable_holm", ALPHA / len(FIRST.hypotheses)),
        ):
            needed = items_needed(found[name], found["sd"], POWER, alpha)
            assert needed == found["questions"], h.id
    assert {FIRST.expected(h, items)["questions"] for h in FIRST.hypotheses} == {76, 133}


def test_constant_differences_have_the_exact_p_and_holm_is_by_hand(tables) -> None:
    rows = confirm.tested(FIRST, tables)
    assert [r["id"] for r in rows] == [f"H{k}" for k in range(1, 9)]
    exact = 2 / 2**QUESTIONS  # all signs alike, two sides
    for r in rows:
        assert r["difference"] == pytest.approx(0.1 if r["direction"] == "up" else -0.1)
        assert r["p_value"] == pytest.approx(exact)
        assert r["p_holm"] == pytest.approx(len(rows) * exact)
        assert (r["n"], r["questions"]) == (QUESTIONS * len(LANGUAGES), QUESTIONS)
        assert r["confirmed"] == "yes"


def test_the_wrong_direction_and_a_loss_beyond_the_margin_are_not_confirmed(tables) -> None:
    by_id = {h.id: h for h in FIRST.hypotheses}
    wrong = by_id["H4"]
    tables[wrong.model, wrong.condition, wrong.kind] = table(wrong.kind, 0.6)
    bound = by_id["H3"]
    assert bound.margin == MARGIN
    for share, said in ((0.49, "yes"), (0.47, "no")):
        tables[bound.model, bound.condition, bound.kind] = table(bound.kind, share)
        rows = {r["id"]: r for r in confirm.tested(FIRST, tables)}
        assert rows["H3"]["confirmed"] == said
        assert rows["H4"]["confirmed"] == "no"
        assert rows["H4"]["p_holm"] < ALPHA  # it is the direction that fails


def test_noise_is_not_confirmed(tables) -> None:
    h = FIRST.hypotheses[0]
    tables[h.than_model, h.than_condition, h.kind] = table(h.kind, 0.5, seed=1)
    tables[h.model, h.condition, h.kind] = table(h.kind, 0.5, seed=2)
    assert confirm.tested(FIRST, tables)[0]["confirmed"] == "no"


def test_no_part_of_the_family_is_tested_alone(tables, tmp_path) -> None:
    h = FIRST.hypotheses[-1]
    del tables[h.model, h.condition, h.kind]
    with pytest.raises(MechclaError, match=f"{h.id} needs {h.model} {h.condition} {h.kind}"):
        confirm.tested(FIRST, tables)
    (tmp_path / "cells").mkdir()
    cell = FIRST.cells(True)[0]
    part = table(cell.kind, 0.5).where(language=cell.language)
    part.to_parquet(tmp_path / "cells" / cell.file)
    assert confirm.scored(FIRST, tmp_path) == {}  # one language of six


def test_values_are_against_the_base_or_the_model_itself(tables) -> None:
    rows = list(confirm.values(tables))
    held = {(r["model"], r["condition"]): r["against"] for r in rows}
    assert held["base", "LOC"] == "base"
    assert held["mist", "unsteered"] == "base"
    assert held["mist", "SUR"] == "mist"
    assert held["base", "unsteered"] == ""
    pooled = [r for r in rows if (r["model"], r["condition"]) == ("base", "LOC")]
    found = {(r["metric"], r["language"]): r for r in pooled}
    assert found["localization", "all"]["difference"] == pytest.approx(0.1)
    assert found["english_bias", "es"]["difference"] == pytest.approx(-0.1)


def test_the_tables_are_written_from_cells_and_refused_without(tmp_path, monkeypatch) -> None:
    """`python -m analyses.confirm table`, on made-up scores, into another folder."""
    place = tmp_path / "reference"
    place.mkdir()
    shutil.copyfile(FIRST.folder / FROZEN, place / FROZEN)
    monkeypatch.setitem(confirm.SETS, "1", replace(FIRST, folder=place))
    (tmp_path / "cells").mkdir()
    with pytest.raises(MechclaError, match=r"go on with python -m analyses\.confirm score"):
        confirm.main(["table", "--out", str(tmp_path)])
    for cell in FIRST.cells(True):
        seed = LANGUAGES.index(cell.language) + 10 * len(cell.condition)
        part = table(cell.kind, 0.5, seed).where(language=cell.language)
        part.to_parquet(tmp_path / "cells" / cell.file)
    confirm.main(["table", "--out", str(tmp_path)])
    for name, wanted in (("hypotheses", len(FIRST.hypotheses)), ("values", None)):
        lines = (tmp_path / "reference" / f"{name}.csv").read_text("utf-8").splitlines()
        assert wanted in (None, len(lines) - 1)
    models = {line.split(",")[0] for line in lines[1:]}
    assert models == {"base", "mist", "midalign", "clo"}


@pytest.mark.demo
@pytest.mark.slow
def test_a_scored_cell_is_the_recorded_choice_on_the_frozen_items(tmp_path, monkeypatch) -> None:
    """`python -m analyses.confirm score`: the adapter's own vectors, as `score` has them."""
    place = tmp_path / "reference"
    place.mkdir()
    shutil.copyfile(FIRST.folder / FROZEN, place / FROZEN)
    cell = Cell("clo", "SUR", "cultural", "zh")
    monkeypatch.setitem(confirm.SETS, "1", replace(FIRST, folder=place))
    only = "analyses.confirm_plan.Confirmation.cells"
    monkeypatch.setattr(only, lambda self, primary: [cell] if primary else [])
    confirm.main(["score", "--out", str(tmp_path)])
    assert (place / LOOK).exists()
    found = Scores.from_parquet(tmp_path / "cells" / cell.file)
    items = mechcla.load_items("confirm").language("zh").cultural
    assert [r.id for r in found] == [i.id for i in items]
    model = mechcla.load_model("demo", adapter="clo")
    edits = read_choice(shipped_adapters()["clo"]).on(model).interventions("zh")
    assert [e.layer for e in edits] == [12, 14]
    alone = mechcla.score(model, items[:3], edits, prior=False)
    for ours, theirs in zip(found[:3], alone, strict=True):
        assert ours.log_likelihood == pytest.approx(theirs.log_likelihood, abs=1e-4)


@pytest.mark.parametrize("name", ["EN9", "LOC4", "SUR", "EN9x0.3-R4", ""])
def test_a_method_that_is_none_is_named(name: str) -> None:
    if not name:
        assert named_method("unsteered") == named_method("")
        return
    with pytest.raises(MechclaError, match="no method is named"):
        named_method(name)
    assert replace(named_method("EN9x0.3-LOC10x4"), loc_layer=3).name == "EN9x0.3-LOC3x4"


def test_the_second_family_is_the_front_s_claims_on_every_model() -> None:
    made = {(h.model, h.condition, h.than_condition, h.metric) for h in SECOND.hypotheses}
    sides = {("EN", "localization"), ("LOC", "transfer")}
    assert made == {(m, c, *s) for m in CONDITIONS for c in ("SUR", "GATED") for s in sides}
    assert all(h.direction == "up" and not h.margin for h in SECOND.hypotheses)
    assert len(SECOND.hypotheses) == len(made) == 12
    both = SECOND.cells(True) + SECOND.cells(False)
    assert len({c.file for c in both}) == len(both)
    assert not any(" " in c.file for c in both)


def test_pairs_that_are_described_have_every_model_and_axis(tables) -> None:
    made = dict(tables)
    for condition, share in (("EN", 0.5), ("GATED", 0.6)):
        for kind in ("universal", "cultural"):
            made["base", condition, kind] = table(kind, share)
    rows = [r for r in confirm.contrasts(SECOND, made) if r["language"] == "all"]
    found = {(r["condition"], r["than"], r["metric"]): r["difference"] for r in rows}
    assert found["GATED", "EN", "transfer"] == pytest.approx(0.1)
    assert found["GATED", "EN", "english_bias"] == pytest.approx(-0.1)
    assert {r["model"] for r in rows} == {"base"}
