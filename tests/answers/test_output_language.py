"""In which language an answer is: scripts exactly, Latin languages on words that are plainly of one
of them.
"""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mechcla.answers import output_language as room
from mechcla.answers.answers import Answer, Answers
from mechcla.answers.output_language import (
    KINDS,
    language_of,
    output_language,
    probability_english,
    script_of,
)
from mechcla.errors import MechclaError
from mechcla.metrics.estimates import POOLED

LOCAL = {
    "ko": "김치찌개",
    "zh": "饺子和面条",
    "el": "μουσακάς με ψωμί",
    "fa": "نان و پنیر",
    "ar": "الكسكسي",
    "am": "እንጀራ",
    "as": "ভাত আৰু মাছ",
    "es": "bocadillo de jamón",
    "id": "nasi goreng dan ayam",
    "az": "yarpaq dolması və çörək",
    "ha": "tuwon shinkafa da miyan kuka",
    "su": "sangu jeung lauk pauk",
}
ENGLISH = [
    "chicken soup with bread",
    "playing football in the street",
    "they eat breakfast at school",
]


@pytest.mark.parametrize("language", LOCAL)
def test_a_local_answer_and_a_switch_to_english(language):
    assert language_of(LOCAL[language], language) == "local"
    assert [language_of(text, language) for text in ENGLISH] == ["english"] * 3


@pytest.mark.parametrize("language", LOCAL)
@pytest.mark.parametrize("text", ["", "2024", "10:30", "?", "BTS", "NBA 2", "tv", "$5"])
def test_numbers_and_abbreviations_are_undecided(language, text):
    assert language_of(text, language) == "undecided"


@pytest.mark.parametrize(
    ("text", "language", "kind"),
    [
        ("김치찌개", "zh", "other"),
        ("寿司", "ko", "other"),
        ("борщ", "es", "other"),
        ("μουσακάς", "id", "other"),
        ("김치 (kimchi)", "ko", "undecided"),
        ("BTS 노래", "ko", "local"),
        ("kimchi", "ko", "english"),
        ("すし", "zh", "other"),
        ("bread", "en", "local"),
        ("pan", "en", "local"),
        ("김치", "en", "other"),
        ("bread", "en-GB", "local"),
        ("ＢＲＥＡＤ", "ko", "undecided"),
        ("bocadillo de jamón", "es-MX", "local"),
    ],
)
def test_scripts_and_mixtures(text, language, kind):
    assert language_of(text, language) == kind


@given(st.text(max_size=12), st.sampled_from(sorted(LOCAL)))
def test_any_text_is_of_one_kind_and_case_is_no_evidence(text, language):
    assert language_of(text, language) in KINDS
    assert 0 <= probability_english("a" + text, "es") <= 1
    assert probability_english("pan con queso", "es") == probability_english("Pan Con Queso", "es")


@given(st.text("김치찌개떡볶이", min_size=1), st.text("0123456789 .,()", max_size=6))
def test_digits_and_punctuation_do_not_change_a_script(word, around):
    assert script_of(around + word + around) == script_of(word) == "HANGUL"


def answer(id: str, language: str, text: str, country: str = "KR") -> Answer:
    return Answer(id, language, country, "test", "food", "implicit", text, (), "stop")


def test_shares_by_hand():
    answers = Answers(
        (
            answer("a", "ko", "김치"),
            answer("b", "ko", "bread"),
            answer("c", "ko", "2"),
            answer("d", "ko", "寿司"),
            answer("a", "es", "el bocadillo de queso"),
            answer("b", "es", "the cheese sandwich"),
        )
    )
    found = output_language(answers)
    assert {k: v.value for k, v in found["ko"].items()} == dict.fromkeys(KINDS, 0.25)
    assert {k: v.value for k, v in found["es"].items()} == {
        "local": 0.5,
        "english": 0.5,
        "other": 0.0,
        "undecided": 0.0,
    }
    assert found[POOLED]["english"].value == pytest.approx(2 / 6)
    assert found[POOLED]["english"].n == 6
    assert found["ko"]["english"].measure == "share of answers english"
    for shares in found.values():
        assert sum(v.value for v in shares.values()) == pytest.approx(1)
    assert (
        output_language([a.text for a in answers if a.language == "ko"], "ko")["ko"]["local"].value
        == 0.25
    )


def test_countries_of_one_language_are_apart():
    found = output_language(Answers((answer("a", "es", "2", "ES"), answer("a", "es", "3", "MX"))))
    assert set(found) == {"es-ES", "es-MX", POOLED}


def test_bad_input_is_one_clear_message(monkeypatch):
    with pytest.raises(MechclaError, match="texts come without a language"):
        output_language(["pan"])
    with pytest.raises(MechclaError, match="there are no answers"):
        output_language(Answers(()))
    with pytest.raises(MechclaError, match="is answered twice"):
        output_language(Answers((answer("a", "ko", "밥"), answer("a", "ko", "떡"))))
    with pytest.raises(MechclaError, match="the script of language 'xq' is not listed"):
        language_of("pan", "xq")
    room._identifier.cache_clear()
    monkeypatch.setitem(sys.modules, "py3langid.langid", None)
    with pytest.raises(MechclaError, match=r"pip install 'mechcla\[blend\]'"):
        language_of("una palabra nunca vista", "es")
    room._identifier.cache_clear()
