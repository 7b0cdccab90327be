"""LocQA on a small file of its layout, and on the real one if MECHCLA_LOCQA names it. No text of
LocQA stands here.
"""

from __future__ import annotations

import json
import os
import re
import runpy
import sys
from functools import cache

import pytest

import mechcla
from mechcla.errors import MechclaError
from mechcla.sources import load
from mechcla.sources.locqa import locqa_questions
from mechcla.sources.locqa.answers import alike
from mechcla.sources.locqa.places import LANGUAGES, find_places
from mechcla.sources.locqa.read import question_id
from mechcla.sources.locqa.values import MONTHS, carry, parse
from mechcla.sources.splits import half
from tests.conftest import save_tiny
from tests.sources import locqa_file

REAL = os.environ.get("MECHCLA_LOCQA", "")
real = pytest.mark.skipif(
    not REAL, reason="MECHCLA_LOCQA names no copy of locqa.json (no licence stated, not shipped)"
)
AGE = question_id("How old must a tester be?")


@pytest.fixture
def path(tmp_path):
    return locqa_file.write(tmp_path / "locqa")


def item(found, id, language):
    (one,) = [i for i in found.items if (i.id, i.language) == (id, language)]
    return one


def offered(one):
    return {c.role: (c.text, c.country) for c in one.candidates if c.role != "other"}


def test_an_item_by_hand(path):
    one = item(load("locqa", path=path), AGE, "fr")
    assert one.prompt == "À quel âge teste-t-on ?\nRéponse :"
    assert one.prompt_explicit == "Nous vivons en France. " + one.prompt
    assert one.prompt_us == "Nous vivons aux États-Unis. " + one.prompt
    assert (one.country, one.split, one.separator) == ("FR", half(AGE), " ")
    # 21 is put where the French answer has its number; Canada gives that answer in French too.
    assert offered(one) == {"local": ("18 ans", "FR"), "english": ("21 ans", "US CA")}
    # Mali's is the one other French answer with one number; the Spanish and English ones are 18, 21
    # and no single number.
    assert [c.text for c in one.candidates if c.role == "other"] == ["15 ans"]


def test_numbers_dates_and_scripts_are_carried(path):
    found = load("locqa", path=path)
    assert offered(item(found, AGE, "ja"))["english"] == ("２１歳", "US")
    assert item(found, AGE, "ja").prompt_us.startswith("私たちはアメリカ合衆国に住んでいます。")
    assert offered(item(found, AGE, "zh"))["english"] == ("21周岁", "US SG")
    assert item(found, AGE, "zh").prompt == "测试者几岁？\n答案："
    begin = question_id("When do tests begin?")
    assert offered(item(found, begin, "de")) == {
        "local": ("6. Januar", "DE"),
        "english": ("1. Oktober", "US AT"),
    }
    assert offered(item(found, begin, "ja"))["english"] == ("１０月１日", "US")
    # Where both answer alike there is no American answer beside the local one.
    assert "english" not in offered(item(found, begin, "de-AT"))


def test_spanish_and_english_have_every_kind_of_answer(path):
    found = load("locqa", path=path)
    may = question_id("May one test here?")
    assert offered(item(found, may, "es")) == {"local": ("No", "ES"), "english": ("Sí", "US MX")}
    assert "english" not in offered(item(found, may, "es-MX"))
    assert offered(item(found, may, "en-CA"))["english"] == ("Yes", "US GB")
    # The American item names its own country.
    assert item(found, may, "en").prompt_us is None
    assert item(found, may, "en").prompt_text("us").startswith("We live in the United States. ")


def test_what_is_left_out_is_counted_with_its_reason(path):
    found = load("locqa", path=path)
    why = {(one.what, one.language): one.reason for one in found.left_out}
    assert why[AGE, "en-IE"] == "the file has no answer (N/A)"
    assert why[AGE, "fr-HT"] == "the local answer has another form than the American one"
    may = question_id("May one test here?")
    assert why[may, "fr"] == "the American answer is no single number, date or code"
    forms = question_id("How many forms has a word?")
    assert why[forms, "fr"] == "all places of a language answer alike, by their language"
    assert why[forms, "en-GB"] == "no answer differs from the local one"
    seats = question_id("How many seats has the hall?")
    assert why[seats, "fr"] == "the two American answers of the file differ"
    for place in found.report.places:
        assert place.questions == place.made + len(place.left_out) == 5
    assert len(found.items) == sum(p.made for p in found.report.places)
    assert len(found.left_out) == 5 * 49 - len(found.items)
    assert "LocQA: " in str(found.report)


def test_one_place_has_the_bare_tag_and_several_keep_theirs(path):
    mexican = mechcla.load_items("locqa", ["es"], path=path, places={"es": "MX"})
    assert {i.country for i in mexican.language("es")} == {"MX"}
    assert mexican.languages == ("en", "es")
    named = mechcla.load_items("locqa", path=path, places={"es": ["MX", "ES"], "en": "US"})
    assert named.languages == ("en", "es", "es-MX")
    tagged = mechcla.load_items("locqa", ["es-MX"], path=path)
    assert tagged.languages == ("en", "es-MX")
    both = find_places(["es"], {"es": ["MX", "ES"]})
    assert {(p.country, p.tag) for p in both} == {("ES", "es"), ("MX", "es-MX")}
    # One id per question, whatever the place: no question is in both halves.
    every = load("locqa", path=path).items
    assert set(every.dev.ids).isdisjoint(every.test.ids)
    assert {i.split for i in every if i.id == AGE} == {half(AGE)}


def test_no_two_candidates_are_alike(path):
    for one in load("locqa", path=path).items:
        texts = [c.text for c in one.candidates]
        assert not [
            (a, b)
            for k, a in enumerate(texts)
            for b in texts[:k]
            if alike(a, b, one.language.split("-")[0], None) and not re.search(r"\d", a)
        ]


def test_open_questions_are_all_that_have_an_answer(path):
    asked = locqa_questions(path, ["fr"], {"fr": ["FR", "HT"]})
    assert {(q.id, q.country) for q in asked if q.id == AGE} == {(AGE, "FR"), (AGE, "HT")}
    (own,) = [q for q in asked if q.id == AGE and q.country == "FR"]
    assert own.groups[0].answers == ("18 ans", "18")
    assert own.us_groups[0].answers == ("21 ans", "21")
    (may,) = [q for q in asked if q.id == question_id("May one test here?")]
    assert (may.groups[0].answers, may.us_groups) == (("Oui",), ())


@pytest.mark.parametrize(
    ("english", "kind", "model", "language", "made"),
    [
        ("October 1", "date", "1er janvier", "fr", "1er octobre"),
        ("August 2, 1776", "date", "1er janvier 1804", "fr", "2 août 1776"),
        ("September 17, 1787", "date", "27 dicembre 1947", "it", "17 settembre 1787"),
        ("October 1", "date", "26 gennaio", "it", "1° ottobre"),
        ("October 1", "date", "ה-1 בינואר", "he", "ה-1 באוקטובר"),
        ("August 2, 1776", "date", "Ogos 31, 1957", "id", "Ogos 2, 1776"),
        ("August 2, 1776", "date", "1948년 7월 17일", "ko", "1776년 8월 2일"),
        ("October 1", "date", "1948년 7월 17일", "ko", None),  # one has a year
        ("MM/DD/YYYY", "order", "일-월-년", "ko", "월-일-년"),
        ("MM/DD/YYYY", "order", "hari - bulan - tahun", "id", "bulan - hari - tahun"),
        ("Type A and Type B", "letters", "Typ F und Typ C", "de", "Typ A und Typ B"),
        ("Type A and Type B", "letters", "Typ F", "de", None),
        ("dollar (USD)", "currency", "Franc suisse (CHF)", "fr", "USD"),
        ("1.9", "number", "1,54 filhos", "pt", "1,9 filhos"),
        ("21", "number", "１６ 或 18", "zh", None),
        ("67", "number", "66 anos", "pt", "67 anos"),
    ],
)
def test_carrying_by_hand(english, kind, model, language, made):
    assert carry(parse(english, "en", kind), model, language) == made


@pytest.mark.parametrize("text", ["I-878", "66-67", "Mid-to-high 70s", "16 to 18", "A8(M)", "six"])
def test_what_is_no_number(text):
    assert parse(text, "en", "number") is None


def test_names_and_months_are_those_of_cldr():
    babel = pytest.importorskip("babel")
    for code, language in LANGUAGES.items():
        names = babel.Locale(code).territories
        for country, phrase in language.where.items():
            if country != "CD":
                bare = names[country].removeprefix("die ")
                assert bare in phrase or (code, country) == ("de", "US"), (code, country, phrase)
            assert phrase in language.cue(country)
    for code, months in MONTHS.items():
        assert months == list(babel.Locale(code).months["format"]["wide"].values())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"places": {"es": "FR"}}, "LocQA asks nothing about 'FR' in Spanish"),
        ({"places": {"xx": "FR"}}, "LocQA has no language 'xx'"),
        ({"places": {"es": []}}, "expected one or more of ES, MX, US"),
        ({"languages": ["el"]}, "LocQA has no language 'el'"),
        ({"n_other": 0}, "n_other=0; expected a whole number of at least 1"),
    ],
)
def test_bad_options_say_what_was_expected(path, options, message):
    with pytest.raises(MechclaError, match=re.escape(message)):
        load("locqa", path=path, **options)


@pytest.mark.parametrize(
    ("break_", "message"),
    [
        (lambda rows: rows[0].pop("languages"), "lacks 'languages'"),
        (lambda rows: rows[0]["languages"].pop("English"), "has no English"),
        (lambda rows: rows[0]["languages"]["English"]["answers"].update(Mars="1"), "is 'Mars'"),
        (lambda rows: rows[0]["languages"]["English"]["answers"].update(UK=18), "is 18; exp"),
        (lambda rows: rows[0]["languages"].update(Klingon={}), "no language is 'Klingon'"),
    ],
)
def test_a_broken_file_names_file_and_question(path, break_, message):
    rows = json.loads(path.read_text(encoding="utf-8"))
    break_(list(rows.values()))
    path.write_text(json.dumps(rows), encoding="utf-8")
    with pytest.raises(MechclaError, match=re.escape(message)) as caught:
        load("locqa", path=path)
    assert "locqa.json, question 'How old" in str(caught.value)


def test_places_is_a_mapping():
    with pytest.raises(MechclaError, match=r"places=\['ES'\]; expected a mapping of languages"):
        find_places(None, ["ES"])


def test_a_missing_file_says_what_path_is(tmp_path):
    with pytest.raises(MechclaError, match=r"path= is locqa\.json of google-research"):
        load("locqa", path=tmp_path / "none.json")


def test_the_analysis_counts_and_scores(path, tmp_path, monkeypatch):
    model = save_tiny("gpt_neox", tmp_path / "tiny", max_position_embeddings=512)
    arguments = ["--path", str(path), "--out", str(tmp_path), "--model", str(model)]
    monkeypatch.setattr(sys, "argv", ["locqa", *arguments, "--resamples", "20"])
    runpy.run_module("analyses.locqa", run_name="__main__")
    record = json.loads((tmp_path / "locqa.json").read_text(encoding="utf-8"))
    counted = {row["language"]: row for row in record["counts"]}
    assert counted["fr"]["places"] == "7"
    assert sum(int(row["items"]) for row in record["counts"]) == len(load("locqa", path=path).items)
    test = load("locqa", ["de"], path=path, places={"de": "DE"}).items.test
    rows = {row["language"]: row for row in record["base"]}
    assert rows["de"]["n"] == str(len(test.language("de"))) == "1"
    assert "en" not in rows


@cache
def found():
    return load("locqa", path=REAL)


@real
def test_counts_of_the_real_file():
    report = found().report
    assert len(report.places) == 49
    assert {p.questions for p in report.places} == {44}
    assert sum(p.questions for p in report.places) == 2156  # the paper's pairs
    for place in report.places:
        assert place.questions == place.made + len(place.left_out)
    assert len(find_places(None, None)) == 49


@real
def test_real_items_are_sound():
    items = found().items
    assert mechcla.lint(items).clean
    assert not mechcla.lint(items).unchecked
    for one in items:
        texts = [c.text for c in one.candidates]
        assert len(set(texts)) == len(texts) >= 2
        base = one.language.split("-")[0]
        assert LANGUAGES[base].cue(one.country) in one.prompt_explicit
        assert one.prompt_explicit.endswith(one.prompt)
        english = [c for c in one.candidates if c.role == "english"]
        local = one.candidates[one.right]
        assert local.country.split()[0] == one.country
        if english:
            assert english[0].country.split()[0] == "US"
            assert not set(english[0].country.split()) & {one.country}
        if base not in ("en", "es"):  # a number, a date or a code: it holds digits or capitals
            assert all(re.search(r"\d|[A-Z]|\w\W+\w", text) for text in texts)


@real
def test_real_open_questions_are_all_answered_ones():
    asked = locqa_questions(REAL)
    missing = sum(one.reason == "the file has no answer (N/A)" for one in found().left_out)
    assert len(asked) == 2156 - missing
