"""BLEnD's soft match on cases checked by hand in thirteen languages, and the shares made of it."""

from __future__ import annotations

import re
import sys
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mechcla.answers import lemmas as lemma_room
from mechcla.answers.answers import Answer, Answers
from mechcla.answers.lemmas import PARTICLES, TOKENS, fold, lemmas, lemmatiser, tokens
from mechcla.answers.matching import clean_response, soft_match
from mechcla.answers.sem import disjoint, in_language, open_english_bias, sem_b, sem_w, translations
from mechcla.errors import MechclaError
from mechcla.items.open_item import AnswerGroup, OpenItem
from mechcla.metrics.estimates import POOLED

# language, response, answer, how it is found ("" where it is not), found under strict
CASES = [
    ("en", "Most people eat Sandwiches.", "sandwich", "substring", "lemmas"),
    ("en", "mice and children", "child", "substring", "lemmas"),
    ("en", "They went to the mosques", "go to the mosque", "lemmas", "lemmas"),
    ("en", "a grilled steak", "tea", "substring", ""),
    ("en", "Ice-cream", "ice cream", "substring", "substring"),
    ("en", "baseball", "football", "", ""),
    ("es", "Unas mandarinas", "mandarina", "substring", "lemmas"),
    ("es", "comen bocadillos de jamón", "bocadillo de jamones", "lemmas", "lemmas"),
    # Lemmas are compared without acute accents.
    ("es", "los niños juegan al fútbol", "jugar al futbol", "lemmas", "lemmas"),
    ("es", "TÉ VERDE", "té verde", "substring", "substring"),
    ("es", "carteles", "té", "", ""),
    ("es", "cárteles y teatros", "te", "substring", ""),
    ("es", "sopa", "ensalada", "", ""),
    ("ko", "김치찌개를 먹는다", "김치찌개", "substring", "substring"),
    ("ko", "떡볶이와 순대를", "순대 떡볶이", "lemmas", "lemmas"),
    # Strict: kiwi sees the word inside, the particle rule does not.
    ("ko", "총각김치", "김치", "substring", None),
    ("ko", "비빔밥", "된장찌개", "", ""),
    ("zh", "他们常吃饺子。", "饺子", "substring", "substring"),
    ("zh", "篮球和足球", "足球，篮球", "lemmas", "lemmas"),
    ("zh", "米饭", "面条", "", ""),
    ("id", "Makanannya nasi goreng", "nasi goreng", "substring", "substring"),
    ("id", "membaca buku-buku dan majalah", "baca majalah", "lemmas", "lemmas"),
    ("id", "sepak takraw", "bulu tangkis", "", ""),
    ("el", "ΤΟ ΨΩΜΊ", "ψωμί", "substring", "substring"),
    ("el", "Τα παιδιά τρώνε μήλα", "μήλο", "lemmas", "lemmas"),
    ("el", "ποδόσφαιρο", "καλαθοσφαίριση", "", ""),
    ("el", "ο Οδυσσέας", "οδυσσεας", "lemmas", "lemmas"),
    ("fa", "نان و پنیر", "نان", "substring", "substring"),
    # Arabic kaf; a non-joiner before the plural.
    ("fa", "كتاب‌ها", "کتاب", "substring", "substring"),
    ("fa", "سیب‌زمینی", "سیب زمینی", "substring", "substring"),
    ("fa", "چای", "قهوه", "", ""),
    ("ar", "الشَّاي الأخضر", "شاي", "substring", "lemmas"),
    ("ar", "خبز", "الخبز", "lemmas", "lemmas"),
    ("ar", "قهوة", "شاي", "", ""),
    ("am", "እንጀራ፡በወጥ", "እንጀራ", "substring", "substring"),
    ("am", "ቡና", "ሻይ", "", ""),
    ("az", "İSTANBULDA PLOV", "plov", "substring", "substring"),
    ("az", "IĞDIR", "ığdır", "substring", "substring"),
    ("az", "çay", "qəhvə", "", ""),
    ("ha", "ƙwallon ƙafa", "ƙwallon-ƙafa", "substring", "substring"),
    ("ha", "shinkafa da wake", "wake da shinkafa", "lemmas", "lemmas"),
    ("ha", "tuwo", "fura", "", ""),
    ("su", "sangu jeung lauk", "lauk", "substring", "substring"),
    ("su", "sangu", "bakso", "", ""),
    ("as", "ভাত আৰু মাছ", "মাছ", "substring", "substring"),
    ("as", "মাছ আৰু ভাত", "ভাত মাছ", "lemmas", "lemmas"),
    ("as", "চাহ", "গাখীৰ", "", ""),
]


def group(*answers: str, en: tuple[str, ...] = (), count: int = 1) -> AnswerGroup:
    return AnswerGroup(answers, en, count)


def asked(answer: str, language: str) -> list[AnswerGroup]:
    return [AnswerGroup((), (answer,), 2) if language == "en" else AnswerGroup((answer,), (), 2)]


@pytest.mark.parametrize(("language", "response", "answer", "by", "strict"), CASES)
def test_soft_match_by_hand(language, response, answer, by, strict):
    assert soft_match(response, asked(answer, language), language).by == by
    if strict is not None:
        assert soft_match(response, asked(answer, language), language, strict=True).by == strict


def test_a_decomposed_response_is_the_same_response():
    for language, response, answer, by, _ in CASES:
        assert (
            soft_match(unicodedata.normalize("NFD", response), asked(answer, language), language).by
            == by
        )


def test_groups_go_by_votes_and_local_answers_before_english_ones():
    groups = [
        group("arroz", en=("rice",), count=1),
        group("pan", en=("bread",), count=4),
        group("té", count=2),
    ]
    both = soft_match("arroz con pan", groups, "es")
    assert (both.group, both.weight, both.answer, both.language) == (1, 1.0, "pan", "es")
    assert soft_match("rice", groups, "es") == soft_match("Rice.", groups, "es")
    assert soft_match("rice", groups, "es").weight == 0.25
    assert soft_match("rice", groups, "es").language == "en"
    # Officially an English question takes English answers only.
    assert not soft_match("arroz", groups, "en").hit
    assert not soft_match("", groups, "es").hit
    assert not soft_match("agua", groups, "es").hit


def test_an_empty_answer_is_in_nothing():
    assert not soft_match("algo", [group("", " ", "?", en=("", "-"))], "es").hit


WORDS = st.lists(st.text("abcdeñéí", min_size=1, max_size=6), min_size=1, max_size=4).map(" ".join)


@given(WORDS, WORDS, st.sampled_from(["es", "id", "ha"]))
def test_strict_is_stricter_and_an_answer_is_in_itself(left, right, language):
    groups = [group(right)]
    if soft_match(left, groups, language, strict=True).hit:
        assert soft_match(left, groups, language).hit
    for strict in (False, True):
        assert soft_match(right.upper(), groups, language, strict).hit
        assert soft_match(f"{left} {right}, {left}", groups, language, strict).hit
    assert soft_match(left, groups, language).by != "substring" or any(
        form in fold(left) for form in (fold(right), fold(right).replace(" ", "-"))
    )


@given(st.text(max_size=20), st.sampled_from(["en", "az", "fa", "ar", "ko", "el"]))
def test_folding_twice_is_folding_once(text, language):
    once = fold(text, language)
    assert fold(once, language) == once or base_differs(once, language)


def base_differs(text: str, language: str) -> bool:
    """Casefolding is not idempotent on a few characters beyond any of these languages (Unicode says
    so itself).
    """
    return unicodedata.normalize("NFC", text.casefold()) != text


@pytest.mark.parametrize(
    ("response", "prompt", "clean"),
    [
        ("Answer: Rice.", "Question: what? Answer:", "Rice"),
        ("답변: 밥", "질문 답변:", "밥"),
        ("Food: rice", "What? Answer:", "Food: rice"),
        ("  面条。 ", "", "面条"),
        ("10:30", "10:30", "10:30"),
    ],
)
def test_labels_and_full_stops_come_off(response, prompt, clean):
    assert clean_response(response, prompt) == clean


def test_each_language_says_what_makes_its_lemmas():
    makers = {
        code: lemmatiser(code)
        for code in ("en", "es-MX", "id", "el", "fa", "zh", "ar", "am", "ha", "az", "su", "as")
    }
    assert set(makers.values()) == {"simplemma", "rjieba", "snowballstemmer", TOKENS}
    assert [code for code, maker in makers.items() if maker == TOKENS] == [
        "am",
        "ha",
        "az",
        "su",
        "as",
    ]
    assert lemmatiser("ko") in ("kiwipiepy", PARTICLES)


@pytest.fixture
def no_kiwi(monkeypatch):
    """As where kiwipiepy is not installed."""

    def forget() -> None:
        for cached in (lemma_room._has_kiwi, lemma_room._chosen, lemma_room.lemmas):
            cached.cache_clear()

    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "kiwipiepy", None)
        forget()
        yield
    forget()


def test_korean_particles_come_off_nouns_without_kiwi(no_kiwi):
    assert lemmatiser("ko") == PARTICLES
    assert lemmas("떡볶이와 순대를 나이", "ko") == ("떡볶", "순대", "나이")
    # 이 may be a particle: it comes off everywhere, so the two are the same.
    assert lemmas("떡볶이", "ko") == ("떡볶",)


def test_korean_lemmas_with_kiwi():
    pytest.importorskip("kiwipiepy", reason="the extra `blend-ko` is not installed")
    assert lemmas("김치를 먹었다", "ko") == ("김치", "먹")
    assert soft_match("밥을 먹습니다", [group("밥 먹다")], "ko").by == "lemmas"
    assert lemmas("PC방에 간다", "ko") == ("pc", "방", "가")


def test_a_missing_extra_is_one_message_with_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "simplemma", None)
    for cached in (lemma_room._package, lemma_room._simplemma_has, lemma_room._chosen):
        cached.cache_clear()
    with pytest.raises(MechclaError, match=re.escape("pip install 'mechcla[blend]'")):
        lemmatiser("es")


def test_tokens_keep_marks_and_apostrophes_and_split_the_rest():
    assert tokens("'yan wasa, mcdonald's (2) বাংলা buku-buku") == [
        "yan",
        "wasa",
        "mcdonald's",
        "2",
        "বাংলা",
        "buku",
        "buku",
    ]


def answer(
    id: str, text: str, language: str = "es", country: str = "ES", form: str = "implicit"
) -> Answer:
    return Answer(id, language, country, "test", "food", form, text, (), "stop")


def question(id: str, groups, us=(), language: str = "es", country: str = "ES") -> OpenItem:
    return OpenItem(
        id,
        language,
        country,
        "test",
        "food",
        "¿Qué? Respuesta:",
        "¿Qué en España?",
        tuple(groups),
        tuple(us),
    )


FOOD = [group("pan", en=("bread",), count=4), group("arroz", en=("rice",), count=1)]
GAME = [group("fútbol", en=("soccer",), count=3)]
US_GAME = [group("baseball", en=("baseball",), count=3), group("soccer", en=("soccer",), count=1)]
US_FOOD = [group("cereal", en=("cereal",), count=5)]
QUESTIONS = [
    question("food", FOOD, US_FOOD),
    question("game", GAME, US_GAME),
    question("milk", [group("cereales", en=("cereal",), count=2)], US_FOOD),
    question("food", [group("tortilla", en=("tortilla",), count=2)], US_FOOD, country="MX"),
]


def test_sem_by_hand():
    answers = Answers(
        (answer("food", "Respuesta: arroz."), answer("game", "tenis"), answer("milk", "Cereal"))
    )
    b, w = sem_b(answers, QUESTIONS), sem_w(answers, QUESTIONS)
    assert b["es"].value == pytest.approx(2 / 3)
    assert w["es"].value == pytest.approx((0.25 + 0 + 1) / 3)
    assert b["es"].n == b[POOLED].n == 3
    assert b["es"].low <= b["es"].value <= b["es"].high
    assert b["es"].measure == "SEM-B, lemmas: simplemma"
    assert sem_w(answers, QUESTIONS, strict=True)["es"].measure == "SEM-W strict, lemmas: simplemma"


def test_countries_of_one_language_are_apart_and_intervals_are_clustered_by_id():
    answers = Answers((answer("food", "pan"), answer("food", "sopa", country="MX")))
    found = sem_b(answers, QUESTIONS)
    assert {k: v.value for k, v in found.items()} == {"es-ES": 1.0, "es-MX": 0.0, POOLED: 0.5}
    # One question: resampling it changes nothing.
    assert (found[POOLED].low, found[POOLED].high) == (0.5, 0.5)


def test_intervals_cover_as_a_binomial_does():
    many = [question(str(i), FOOD) for i in range(200)]
    answers = Answers(tuple(answer(str(i), "pan" if i % 4 else "sopa") for i in range(200)))
    found = sem_b(answers, many)["es"]
    width = 1.96 * np.sqrt(0.75 * 0.25 / 200)
    assert (found.low, found.high) == (
        pytest.approx(0.75 - width, abs=0.015),
        pytest.approx(0.75 + width, abs=0.015),
    )


def test_what_does_not_pair_is_refused():
    with pytest.raises(MechclaError, match=r"'x' \(es, ES\) has no question among the 4 given"):
        sem_b(Answers((answer("x", "pan"),)), QUESTIONS)
    with pytest.raises(MechclaError, match="is answered twice"):
        sem_b(Answers((answer("food", "pan"), answer("food", "pan", form="explicit"))), QUESTIONS)
    with pytest.raises(MechclaError, match="there are no answers to average"):
        sem_b(Answers(()), QUESTIONS)


def test_disjoint_needs_neither_top_answer_among_the_others():
    assert disjoint(QUESTIONS[0])
    assert not disjoint(QUESTIONS[1])  # the local top answer, soccer, is among the US ones
    assert not disjoint(QUESTIONS[2])
    assert not disjoint(question("none", FOOD))


def test_us_answers_are_known_in_the_language_from_other_questions():
    lexicon = translations(QUESTIONS, "es")
    assert lexicon["cereal"] == ("cereales",)
    assert in_language(US_FOOD[0], lexicon) == AnswerGroup(("cereales",), ("cereal",), 5)
    assert translations(QUESTIONS, "en") == {}


def test_english_bias_by_hand():
    def bias(text: str, form: str = "implicit") -> float:
        return open_english_bias(Answers((answer("food", text, form=form),)), QUESTIONS)["es"].value

    # The US answer in Spanish, which only question "milk" tells.
    assert bias("unos cereales") == 1.0
    assert bias("Cereal") == 1.0
    assert bias("pan con cereales") == 0.0  # the local answer goes first
    assert bias("sopa") == 0.0
    with pytest.raises(
        MechclaError, match="none of the 1 answers is to a question whose US answers differ"
    ):
        open_english_bias(Answers((answer("game", "baseball"),)), QUESTIONS)


def test_pooled_bias_counts_disjoint_questions_only():
    answers = Answers(
        (answer("food", "cereal"), answer("game", "baseball"), answer("milk", "cereal"))
    )
    found = open_english_bias(answers, QUESTIONS)
    assert (found["es"].value, found["es"].n) == (1.0, 1)
