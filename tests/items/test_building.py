"""Each rule of the builder refuses a bad item and lets a near miss pass."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mechcla.items.building import building_faults, culture_named, script_fault
from mechcla.items.item import Candidate, Item
from mechcla.items.lint_rules import Finding

CULTURAL = Item(
    id="money",
    language="es",
    kind="cultural",
    split="dev",
    country="ES",
    prompt="La moneda de nuestro país es",
    prompt_explicit="Vivo en España. La moneda de nuestro país es",
    candidates=(
        Candidate("el euro", "local", "ES"),
        Candidate("el dólar", "english", "US"),
        Candidate("el yuan", "other", "CN"),
    ),
)
UNIVERSAL = Item(
    id="capital_jp",
    language="en",
    kind="universal",
    split="dev",
    prompt="The capital of Japan is",
    candidates=(
        Candidate("Tokyo", "correct"),
        Candidate("Lima", "wrong"),
        Candidate("Oslo", "wrong"),
    ),
)


def rules(*items: Item) -> list[str]:
    return [finding.rule for finding in building_faults(items)]


def with_text(item: Item, text: str) -> Item:
    """The item with its first candidate's text changed."""
    return replace(item, candidates=(replace(item.candidates[0], text=text), *item.candidates[1:]))


def implicit(language: str, prompt: str) -> Item:
    """A cultural item with this prompt and candidates that no rule minds."""
    texts = {"zh": "甲乙丙", "ko": "가나다", "el": "αβγ", "fa": "آبپ"}.get(language, "abc")
    roles = ("local", "english", "other")
    return Item(
        id="x",
        language=language,
        kind="cultural",
        split="dev",
        prompt=prompt,
        prompt_explicit="+" + prompt,
        candidates=tuple(Candidate(t, r) for t, r in zip(texts, roles, strict=True)),
    )


def test_good_items_pass() -> None:
    assert building_faults([CULTURAL, UNIVERSAL]) == []


@pytest.mark.parametrize(
    ("language", "prompt"),
    [
        ("en", "The money of the U.S. is called"),
        ("en", "The American national bird is"),
        ("es", "La moneda española es"),
        ("es", "La moneda de ESPANA es"),
        ("es", "La moneda de Spain es"),
        ("zh", "中国的货币是"),
        ("zh", "中华民族最重要的节日是"),
        ("zh", "在波斯，货币叫做"),
        ("id", "Mata uang Indonesia adalah"),
        ("ko", "한국의 화폐는"),
        ("ko", "조선 시대의 화폐는"),
        ("el", "Το νόμισμα της Ελλάδας είναι"),
        ("el", "Το ελληνικό νόμισμα είναι"),
        ("el", "Όλοι οι Έλληνες πληρώνουν με"),
        ("fa", "واحد پول ایران"),
        ("fa", "در زبان فارسی نام این پول"),
        ("fa", "ایرانی‌ها می‌گویند"),
    ],
)
def test_a_prompt_that_names_its_culture_is_refused(language: str, prompt: str) -> None:
    assert rules(implicit(language, prompt)) == ["prompt-names-culture"]


@pytest.mark.parametrize(
    ("language", "prompt"),
    [
        ("en", "Let us say that the fine china of our country is"),
        ("es", "En nuestro país, la chincheta y la chinchilla se llaman"),
        ("zh", "在我国，其中国家公园最多的省是"),
        ("zh", "我国风景优美国人最爱的山是"),
        ("zh", "人们常去圣地亚哥德孔波斯特拉，那里"),
        ("id", "Di negara kita, mata uangnya adalah"),
        ("ko", "우리나라의 조선소와 그리스도교 사랑이란 말은"),
        ("el", "Στη χώρα μας πέρσι το νόμισμα ήταν"),
        ("fa", "در کشور ما صبحانه با نان و کره و"),
        ("fa", "در کشور ما خانه‌های ویران را"),
        ("fa", "در کشور ما ته‌چین را"),
    ],
)
def test_a_look_alike_of_a_culture_passes(language: str, prompt: str) -> None:
    assert rules(implicit(language, prompt)) == []


def test_a_candidate_that_names_a_culture_is_refused() -> None:
    assert rules(with_text(CULTURAL, "la tortilla española")) == ["candidate-names-culture"]
    assert rules(with_text(CULTURAL, "la corona griega")) == ["candidate-names-culture"]
    assert rules(with_text(CULTURAL, "la tortilla de patatas")) == []


def test_a_universal_item_may_name_countries() -> None:
    item = replace(UNIVERSAL, prompt="The capital of China is", candidates=UNIVERSAL.candidates)
    assert rules(item) == []


def test_duplicate_candidates_are_refused_whatever_their_case() -> None:
    assert rules(with_text(UNIVERSAL, "LIMA")) == ["duplicate-candidate"]
    assert rules(with_text(UNIVERSAL, "Limas")) == []


def test_a_missing_translation_is_refused() -> None:
    spanish = replace(UNIVERSAL, language="es")
    other = replace(UNIVERSAL, id="capital_pe")
    findings = building_faults([UNIVERSAL, spanish, other])
    assert [(f.id, f.language, f.rule) for f in findings] == [
        ("capital_pe", "es", "missing-translation")
    ]
    assert rules(UNIVERSAL, spanish, other, replace(other, language="es")) == []
    assert rules(CULTURAL, UNIVERSAL) == []


def test_the_explicit_prompt_must_be_there_and_end_with_the_implicit_one() -> None:
    assert rules(replace(CULTURAL, prompt_explicit=None)) == ["explicit-missing"]
    assert rules(replace(CULTURAL, prompt_explicit="Vivo en España. La moneda es")) == [
        "explicit-differs"
    ]
    assert rules(replace(CULTURAL, prompt_explicit=CULTURAL.prompt)) == ["explicit-differs"]
    assert rules(replace(CULTURAL, prompt_us="Vivo en Estados Unidos. " + CULTURAL.prompt)) == []
    assert rules(replace(CULTURAL, prompt_us="Vivo en Estados Unidos.")) == ["explicit-differs"]
    assert rules(replace(CULTURAL, prompt_us=CULTURAL.prompt_explicit)) == ["us-is-own"]
    assert rules(replace(CULTURAL, prompt_explicit="Estoy en Madrid. " + CULTURAL.prompt)) == []


@pytest.mark.parametrize(
    ("text", "language", "bad"),
    [
        ("Tokyo", "ko", True),
        ("도쿄", "ko", False),
        ("Αθήνα", "el", False),
        ("Aθήνα", "el", True),  # a Latin A before Greek letters
        ("911", "en", True),
        ("Hershey's", "en", False),
        ("Port-au-Prince", "en", False),
        ("Seúl (ciudad)", "es", True),
        ("Seúl.", "es", True),
        ("مونته‌ویدئو", "fa", False),
        ("كابل", "fa", True),  # Arabic kaf
        ("تهراني", "fa", True),  # Arabic yeh
        ("拉法埃尔·纳达尔", "zh", False),
        ("東京ト", "zh", True),
        ("Москва", "ru", False),  # a language the linter does not judge
    ],
)
def test_script_of_a_candidate(text: str, language: str, bad: bool) -> None:
    assert bool(script_fault(text, language, candidate=True)) is bad


def test_script_is_checked_in_prompts_and_candidates() -> None:
    assert rules(with_text(UNIVERSAL, "Токио")) == ["script"]
    assert rules(replace(UNIVERSAL, prompt="The capital of Япония is")) == ["script"]
    assert rules(replace(UNIVERSAL, prompt="In 1990, the capital of Japan was:")) == []


def test_an_id_in_both_splits_is_refused() -> None:
    spanish = replace(UNIVERSAL, language="es", split="test")
    assert rules(UNIVERSAL, spanish) == ["two-splits"]
    assert rules(UNIVERSAL, replace(spanish, split="dev")) == []


def placed(places: list[int]) -> list[Item]:
    """One item for each number, whose right answer stands at that place among five."""
    items = []
    for n, place in enumerate(places):
        texts = [Candidate(t, "wrong") for t in ("Lima", "Oslo", "Rome", "Bern")]
        texts.insert(place, Candidate("Tokyo", "correct"))
        items.append(replace(UNIVERSAL, id=f"i{n}", candidates=tuple(texts)))
    return items


def test_right_answers_that_stand_in_one_place_are_refused() -> None:
    assert rules(*placed([4] * 40)) == ["right-position"]
    assert rules(*placed([0] * 20 + [1, 2, 3, 4] * 5)) == ["right-position"]
    assert rules(*placed([0, 1, 2, 3, 4] * 8)) == []
    assert rules(*placed([0] * 16 + [1, 2, 3, 4] * 6)) == []  # p = 0.04: chance does this
    assert rules(*placed([4] * 5)) == []  # too few to tell


def test_white_space_and_normal_form() -> None:
    assert rules(replace(UNIVERSAL, prompt="The capital of Japan is ")) == ["white-space"]
    assert rules(with_text(UNIVERSAL, " Tokyo")) == ["white-space"]
    assert rules(with_text(UNIVERSAL, "Bogota\u0301")) == ["not-nfc"]
    assert rules(with_text(UNIVERSAL, "Bogot\u00e1")) == []


def test_a_finding_says_where_and_why() -> None:
    assert culture_named("Vivo en España.", "es") == ("ES", "Espana")
    assert str(Finding("a", "es", "script", "why")) == "a (es) script: why"
