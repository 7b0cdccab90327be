"""analyses.cultural_items and analyses.cultural_steering: which questions are kept, and what a run
on them shows; the rules compared on its dev cells.
"""

from __future__ import annotations

import csv
import runpy
import sys

import pytest
import torch

import mechcla
from analyses.choice_rules import fold, left_out
from analyses.cultural_items import cultural_items, joined, most_asked
from analyses.docs.pages import table
from mechcla.errors import MechclaError
from mechcla.items.item_set import ItemSet
from mechcla.metrics.metrics import difference, metric
from mechcla.scoring.scores import Scores
from mechcla.steering.method import Method
from mechcla.sweep.choosing import RULES, Limits
from tests.analyses.gated import GATED
from tests.conftest import save_tiny
from tests.sources import blend_folder, locqa_file

SETTINGS = GATED | {"controls": False}
ASKED = {
    "universal": ("transfer",),
    "cultural": ("localization", "english_bias", "collision_aware_bias"),
}


def run(monkeypatch, script, *arguments):
    monkeypatch.setattr(sys, "argv", [script, *map(str, arguments)])
    runpy.run_module(f"analyses.{script}", run_name="__main__")


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def demo(*languages):
    return mechcla.load_items("demo", languages=list(languages))


def test_the_dev_questions_that_most_languages_have_are_kept():
    found = demo("es", "ko").cultural.dev
    a, b, c = found.ids[:3]
    some = found.where(lambda i: (i.id, i.language) in {(a, "es"), (b, "es"), (b, "ko")})
    assert most_asked(some, 1) == [b]
    assert most_asked(some, 5) == [b, a]
    assert c not in most_asked(some, 5)


def test_a_joined_set_has_both_kinds_in_shared_languages_and_all_test_questions():
    universal, cultural = demo("es"), demo("es", "ko").cultural
    made = joined(universal, cultural, questions=3)
    assert set(made.languages) == {"en", "es"}
    assert {i.kind for i in made.language("en")} == {"universal"}
    assert len(made.cultural.dev) == 3
    assert made.cultural.test == cultural.language("es").test
    assert made.universal == universal.universal


def test_what_cannot_be_joined_is_said():
    with pytest.raises(MechclaError, match="no language is in both"):
        joined(demo("es"), demo("ko").cultural.language("ko"), 3)
    with pytest.raises(MechclaError, match="es has no cultural test items"):
        joined(demo("es"), demo("es").cultural.dev, 3)


def test_locqa_is_asked_about_main_places_and_blend_about_all_regions(tmp_path, monkeypatch):
    path = locqa_file.write(tmp_path / "locqa")
    places = {(i.language, i.country) for i in cultural_items("locqa", path)}
    assert {("es", "ES"), ("fr", "FR"), ("zh", "CN")} <= places
    assert len({language for language, _ in places}) == len(places)
    folder = blend_folder.write(tmp_path / "blend")
    assert {"es", "ko"} <= set(cultural_items("blend", folder).languages)
    asked = ["locqa", "--path", path, "--languages", "es", "--out", tmp_path]
    run(monkeypatch, "cultural_items", *asked)
    written = mechcla.load_items(tmp_path / "locqa.jsonl")
    assert written.cultural == cultural_items("locqa", path).language("es")
    assert written.universal == demo("es").universal
    run(monkeypatch, "cultural_items", *asked, "--cultural-only")
    assert mechcla.load_items(tmp_path / "locqa.jsonl") == written.cultural
    asked = ["blend", "--path", folder, "--cultural-only", "--out", tmp_path]
    with pytest.raises(MechclaError, match="ko has no cultural dev items"):  # all of them are test
        run(monkeypatch, "cultural_items", *asked)


def few(items: ItemSet, n: int) -> ItemSet:
    """The first n questions of either split."""
    kept = {i for part in (items.dev, items.test) for i in part.ids[:n]}
    return items.where(lambda i: i.id in kept)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cultural")
    torch.set_num_threads(1)
    asked = demo("es", "ko")
    items = joined(few(asked.universal, 4), few(asked.cultural, 8), questions=6)
    model = str(save_tiny("gpt_neox", folder / "m", max_position_embeddings=512))
    return mechcla.run_sweep(model, items, out=folder / "real", **SETTINGS)


def test_the_table_has_every_condition_as_the_metrics_say(finished, tmp_path, monkeypatch):
    arguments = [finished.folder, "--out", tmp_path, "--resamples", 50]
    run(monkeypatch, "cultural_steering", *arguments)
    rows = rows_of(tmp_path / "cultural_steering.csv")
    assert {r["condition"] for r in rows} == set(finished.conditions)
    assert {r["language"] for r in rows} == {"all", "es", "ko"}
    (base, steered) = (
        Scores(tuple(row for row in finished.scores(c) if row.language != "en"))
        for c in ("unsteered", "LOC")
    )
    for name in ("transfer", "localization", "english_bias", "collision_aware_bias"):
        wanted = {"condition": "LOC", "metric": name, "language": "all"}
        (row,) = (r for r in rows if all(r[k] == v for k, v in wanted.items()))
        value = metric(steered, name, resamples=50)["all"]
        apart = difference(steered, base, name, resamples=50)["all"]
        assert float(row["value"]) == pytest.approx(value.value)
        assert float(row["difference_low"]) == pytest.approx(apart.low)
        assert int(row["n"]) == value.n
        assert int(row["questions"]) == len({r.id for r in base if name in ASKED[r.kind]})
        tested = [r for r in finished.tests if (r["method"], r["metric"]) == ("LOC", name)]
        assert bool(row["p_holm"]) == bool(tested)
    unsteered = [r for r in rows if r["condition"] == "unsteered"]
    assert unsteered
    assert not any(r["difference"] for r in unsteered)
    own = {r["language"]: r["chosen"] for r in rows if r["condition"] == "LOC"}
    assert own["es"] == finished.choice["LOC"]["es"]["name"]
    shown = table("table cultural-steering real localization", tmp_path)
    there = {r["condition"] for r in rows if r["metric"] == "localization"}
    assert shown.count("\n") == 1 + len(there)
    assert f"| {len(base.where(kind='cultural'))} (" in shown
    assert table("table cultural-languages real explicit LOC", tmp_path).count("\n") == 3


def test_choices_are_carried_over_as_they_are(finished, tmp_path, monkeypatch):
    """Carried from a run to itself they give what it scored."""
    arguments = [finished.folder, "--choice", finished.folder, "--resamples", 50]
    run(monkeypatch, "cultural_steering", *arguments, "--out", tmp_path)
    rows = rows_of(tmp_path / "cultural_steering.csv")
    found = {(r["condition"], r["language"], r["metric"]): r for r in rows}
    steered = 0
    for (condition, language, what), row in found.items():
        family, _, arm = condition.partition(" ")
        if arm == "carried" and what != "transfer":
            own = found[family, language, what]
            for column in ("value", "value_low", "difference", "difference_high"):
                assert float(row[column]) == pytest.approx(float(own[column]), abs=1e-5)
            assert row["n"] == own["n"]
            assert not row["p_holm"]
            steered += float(row["difference"]) != 0
    assert steered
    with pytest.raises(MechclaError, match="chose no 'LOK'; did you mean 'LOC'"):
        run(monkeypatch, "cultural_steering", *arguments, "--families", "LOK", "--out", tmp_path)
    assert "LOC-steering: chosen on the demo's items" in table(
        "table cultural-steering real localization", tmp_path
    )


def test_the_rules_are_compared_on_the_dev_cells_of_one_family(finished, tmp_path, monkeypatch):
    arguments = ["--run", finished.folder, "--out", tmp_path, "--name", "real", "--folds", 3]
    arguments += ["--repeats", 2, "--chosen-on", 2]
    run(monkeypatch, "choice_rules", *arguments, "--families", "LOC")
    rows = rows_of(tmp_path / "real.csv")
    assert {(r["family"], r["axis"]) for r in rows} == {("LOC", "localization")}
    assert {r["rule"] for r in rows} == set(RULES)
    assert {(r["n"], r["questions"]) for r in rows} == {("12", "6")}
    with pytest.raises(MechclaError, match="no method of LOK was tried"):
        run(monkeypatch, "choice_rules", *arguments, "--families", "LOK")


def test_a_language_without_dev_questions_left_is_not_steered_by_its_own_rule():
    """Of ko's two questions both lie in the fold that is left out: `language` sees none, `pooled`
    takes what is best in es."""
    method = Method(loc_layer=1, loc_strength=2.0)
    ids = [f"q{n}" for n in range(12)]
    last = [i for i in ids if fold(i, 0, 2)[0] == 0][:2]
    cells = {
        (k, "cultural"): {
            "unsteered": dict.fromkeys(asked, 0.25),
            method.name: dict.fromkeys(asked, 0.5),
        }
        for k, asked in (("es", ids), ("ko", last))
    }
    found = {}
    left_out(cells, [method], [(r, Limits()) for r in RULES], 2, 0, None, found)
    gains = {rule: left.gains["localization"]["ko"] for (rule, _), left in found.items()}
    assert gains["language"] == {i: [0.0] for i in last}
    assert gains["pooled"] == {i: [0.25] for i in last}
    assert gains["shrunken"] == {i: [0.0] for i in last}
    es = {rule: left.gains["localization"]["es"] for (rule, _), left in found.items()}
    assert all(v == {i: [0.25] for i in ids} for v in es.values())
