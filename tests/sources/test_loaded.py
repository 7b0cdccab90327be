"""One result for all sources: the items, and what was left out of them and why; `~` is a home."""

from __future__ import annotations

import json
import re
import warnings
from dataclasses import replace

import pytest

import mechcla
from mechcla import plots
from mechcla.errors import MechclaError
from mechcla.items.item_set import ItemSet
from mechcla.sources import LeftOut, Loaded, load, register_source
from mechcla.sources.blend import blend_report
from tests.plots.test_style import plane
from tests.sources import blend_folder
from tests.sources.global_mmlu_folder import parallel, save
from tests.sources.test_hub_source import COLUMNS, ROWS, lines


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home folder that is not the working folder."""
    (tmp_path / "home").mkdir()
    (tmp_path / "work").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.chdir(tmp_path / "work")
    yield tmp_path / "home"
    assert not list((tmp_path / "work").iterdir())  # no folder of the name `~`


def rows_of(items: ItemSet, *bad: object) -> str:
    return "\n".join(json.dumps(row) for row in [*(item.to_dict() for item in items), *bad])


def test_a_files_rows_left_out_are_listed_with_place_and_reason(tmp_path, small_items):
    path = tmp_path / "i.jsonl"
    path.write_text(rows_of(small_items[:2], [1], [2], {"id": "x"}), encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = load(path, bad_rows="skip")
    assert found.items == small_items[:2]
    assert [one.what for one in found.left_out] == [f"{path}, line {n}" for n in (3, 4, 5)]
    assert found.left_out[0] == LeftOut(f"{path}, line 3", "is a JSON list and no object: [1]")
    assert found.rows()[1] == {
        "what": f"{path}, line 4",
        "reason": "is a JSON list and no object: [2]",
        "language": "",
    }
    assert str(found).startswith(f"{small_items[:2]!r}; 3 left out: 1 is a JSON list")
    with pytest.warns(UserWarning, match="3 rows skipped"):
        assert mechcla.load_items(path, bad_rows="skip") == found.items


def test_equal_reasons_are_counted_and_the_rarest_named_as_a_number(small_items):
    left_out = [LeftOut(f"q{n}", f"reason {n % 7}") for n in range(13)]
    found = Loaded(small_items, tuple(left_out))
    assert str(found) == (
        f"{small_items!r}; 13 left out: 2 reason 0; 2 reason 1; 2 reason 2; 2 reason 3; "
        "2 reason 4; and for 2 more reasons"
    )
    assert str(Loaded(small_items)) == f"{small_items!r}; nothing left out"


def test_global_mmlus_questions_left_out_are_those_that_make_no_item(tmp_path):
    data = parallel("en", "es", "ko")
    del data["es"][0], data["ko"][1]
    data["es"][3]["option_a"] = data["es"][3]["option_b"]
    gone = data["es"][3]["sample_id"]
    folder = save(tmp_path, data)
    found = load("global_mmlu", ["es", "ko"], path=folder, subset="all")
    every = {row["sample_id"] for row in data["en"]}
    assert {one.what for one in found.left_out} == every - set(found.items.ids)
    assert LeftOut(gone, "two options are equal", "es") in found.left_out
    assert {(one.language, one.reason) for one in found.left_out} == {
        ("es", "not in this language"),
        ("ko", "not in this language"),
        ("es", "two options are equal"),
    }
    letters = load("global_mmlu", ["es", "ko"], path=folder, subset="all", form="letters")
    assert gone in letters.items.ids  # equal options are kept where letters are scored
    assert gone not in {one.what for one in letters.left_out}
    with pytest.warns(UserWarning, match=re.escape(str(found.report))):
        mechcla.load_items("global_mmlu", ["es", "ko"], path=folder, subset="all")


def test_blends_questions_are_items_or_left_out(tmp_path):
    folder = blend_folder.write(tmp_path)
    found = load("blend", regions=["ES", "KR"], path=folder)
    report = blend_report(folder, ["ES", "KR"])
    assert found.report == report
    assert found.items == mechcla.load_items("blend", regions=["ES", "KR"], path=folder)
    for region in report.regions:
        left_out = [one for one in found.left_out if one.language == region.language]
        assert len(left_out) == region.questions - region.made > 0
        assert not {one.what for one in left_out} & set(found.items.language(region.language).ids)
    spanish = load("blend", ["es"], regions=["ES", "KR"], path=folder)
    assert {one.language for one in spanish.left_out} == {"es"}


def test_a_registered_source_may_say_what_it_left_out(small_items):
    left_out = (LeftOut("q1", "no answer", "es"),)
    register_source("telling", lambda: Loaded(small_items, left_out, warning="one is missing"))
    register_source("silent", lambda: small_items)
    assert load("telling").left_out == left_out
    with pytest.warns(UserWarning, match="one is missing"):
        assert mechcla.load_items("telling") == small_items
    assert load("silent") == Loaded(small_items)


def test_a_tilde_is_the_home_folder_for_every_source(home, small_items):
    (home / "items.jsonl").write_text(rows_of(small_items), encoding="utf-8")
    assert mechcla.load_items("~/items.jsonl") == small_items
    assert mechcla.load_items("~") == small_items  # a folder of files
    lines(home / "quiz.jsonl", ROWS)
    quiz = load("hub", dataset="~/quiz.jsonl", columns=COLUMNS)
    whole = load("hub", dataset=home / "quiz.jsonl", columns=COLUMNS)
    assert {item.source for item in quiz.items} == {"~/quiz.jsonl"}
    assert quiz.items.items == tuple(replace(i, source="~/quiz.jsonl") for i in whole.items)
    facts = save(home / "mmlu", parallel("en", "es"))
    assert mechcla.load_items("global_mmlu", path="~/mmlu", subset="all") == mechcla.load_items(
        "global_mmlu", path=facts, subset="all"
    )
    cultures = blend_folder.write(home / "blend")
    assert mechcla.load_items("blend", path="~/blend") == mechcla.load_items("blend", path=cultures)


@pytest.mark.parametrize(
    ("source", "options"),
    [
        ("~/none.jsonl", {}),
        ("global_mmlu", {"path": "~/none.jsonl", "languages": ["es"]}),
        ("blend", {"path": "~/none.jsonl"}),
        ("hub", {"dataset": "~/none.jsonl", "language": "es"}),
    ],
)
def test_a_message_shows_the_path_as_it_was_given(home, source, options):
    with pytest.raises(MechclaError, match=r"'~/none\.jsonl'"):
        mechcla.load_items(source, **options)


def test_figures_are_saved_below_the_home_folder(home):
    written = plots.save(plane(), "~/figures/a")
    assert written == home / "figures" / "a.png"
    assert sorted(p.name for p in written.parent.iterdir()) == ["a.png", "a.svg"]


def test_a_figure_that_cannot_be_written_is_one_message(tmp_path):
    (tmp_path / "file").write_text("kept")
    with pytest.raises(MechclaError, match=r"cannot write .*a\.svg"):
        plots.save(plane(), tmp_path / "file" / "a")  # its folder is a file, for root too
    assert (tmp_path / "file").read_text() == "kept"
