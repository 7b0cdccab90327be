"""Lemmas of a short text, by language, for the second half of BLEnD's soft match.

What BLEnD's own script uses needs Java, Spark, models fetched at use, or code under the GPL; these
are the small offline packages of the extra `blend` instead. A result names the one that made it:

    language            package           officially, and what differs
    en es id el fa ...  simplemma         spaCy (en), spark-nlp (es), nlp-id (id), CLTK's ancient
                                          Greek (el), hazm (fa)
    zh                  rjieba            jieba; the same dictionary and algorithm, in Rust
    ar                  snowballstemmer   qalsadi; a light stemmer, after the article is taken off
                                          (ours)
    ko                  kiwipiepy         KoNLPy's Okt; without the extra `blend-ko`: particles
                                          taken off (ours)
    am as az ha su ...  tokens            spark-nlp (am), word tokens (as), stemmers (az, ha, su)
"""

from __future__ import annotations

import functools
import importlib
import re
import unicodedata
from collections.abc import Callable
from typing import Any

from mechcla.errors import MechclaError

TOKENS, PARTICLES = "tokens", "tokens without particles"
ACUTE = "\N{COMBINING ACUTE ACCENT}"
# Korean particles that attach to nouns, longest first: a closed class, so it can be listed.
JOSA = sorted(
    [
        "은",
        "는",
        "이",
        "가",
        "을",
        "를",
        "의",
        "에",
        "에서",
        "에게",
        "께",
        "께서",
        "로",
        "으로",
        "와",
        "과",
        "랑",
        "이랑",
        "하고",
        "도",
        "만",
        "까지",
        "부터",
        "마다",
        "보다",
        "처럼",
        "밖에",
        "조차",
        "라도",
        "이라도",
        "나",
        "이나",
        "입니다",
        "이다",
        "요",
        "이요",
    ],
    key=len,
    reverse=True,
)
LEFT_OUT = ("J", "E", "S", "VCP")  # kiwi's tags: particles, endings, symbols, the copula
SYMBOLS_KEPT = ("SL", "SN", "SH")  # foreign letters, numbers, Chinese characters
APOSTROPHES = "'’"
ARABIC_ARTICLE = re.compile(r"^(?:[وف]?(?:[بك]?ال|لل))(?=\w{2})")


def fold(text: str, language: str = "en") -> str:
    """NFC and casefold, with what a language writes in two ways written in one.

    BLEnD's script lowercases the response and makes full-width punctuation ASCII's. Ours, and done
    to answers too: NFC; casefold; Azerbaijani and Turkish I is ı and İ is i; Arabic and Persian
    lose tatweel and vowel marks, and Persian has its own yeh and kaf.

    >>> fold("İSTANBUL", "az"), fold("ΨΩΜΊ", "el"), fold("Milk", "en")
    ('istanbul', 'ψωμί', 'milk')
    """
    text = _one_spelling(text, language)
    return unicodedata.normalize("NFC", text.casefold().replace("i\N{COMBINING DOT ABOVE}", "i"))


def _one_spelling(text: str, language: str) -> str:
    text = unicodedata.normalize("NFC", text).translate(_PUNCTUATION)
    if base(language) in ("az", "tr"):
        text = text.replace("İ", "i").replace("I", "ı")
    if base(language) in ("ar", "fa"):
        text = _MARKS.sub("", text)
    return text.translate(_PERSIAN) if base(language) == "fa" else text


_PUNCTUATION = str.maketrans({"：": ":", "、": ",", "，": ",", "。": "."})
_PERSIAN = str.maketrans({"ي": "ی", "ى": "ی", "ك": "ک"})
_MARKS = re.compile("[\u0640\u064b-\u0652\u0670]")
ZWNJ = "\u200c"


def base(language: str) -> str:
    """The language of a code: "es-MX" is "es"."""
    return re.split("[-_]", language)[0].lower()


def is_word(char: str) -> bool:
    """Letter, mark or digit: what a word consists of in any script."""
    return unicodedata.category(char)[0] in "LMN" or char == ZWNJ


def tokens(text: str) -> list[str]:
    """Maximal runs of letters, marks and digits, with apostrophes inside them."""
    marked = "".join(c if is_word(c) or c in APOSTROPHES else " " for c in text)
    return [t for t in (t.strip(APOSTROPHES) for t in marked.split()) if t]


@functools.cache
def _package(name: str, extra: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MechclaError(
            f"matching lemmas needs the package {name!r}: pip install 'mechcla[{extra}]'"
        ) from error


@functools.cache
def _has_kiwi() -> bool:
    try:
        importlib.import_module("kiwipiepy")
    except ImportError:
        return False
    return True


@functools.cache
def _kiwi() -> Any:
    return _package("kiwipiepy", "blend-ko").Kiwi()


@functools.cache
def _arabic() -> Any:
    return _package("snowballstemmer", "blend").stemmer("arabic")


@functools.cache
def _simplemma_has(language: str) -> bool:
    simplemma = _package("simplemma", "blend")
    try:
        simplemma.lemmatize("a", lang=language)
    except ValueError:
        return False
    return True


def _by_simplemma(text: str, language: str) -> list[str]:
    lemmatize = _package("simplemma", "blend").lemmatize
    return [lemmatize(t, lang=language) for t in tokens(text)]


def _by_jieba(text: str, language: str) -> list[str]:
    return [t for t in _package("rjieba", "blend").cut(text) if any(map(is_word, t))]


def _by_snowball(text: str, language: str) -> list[str]:
    return [_arabic().stemWord(ARABIC_ARTICLE.sub("", t)) for t in tokens(text)]


def _by_kiwi(text: str, language: str) -> list[str]:
    return [
        t.form
        for t in _kiwi().tokenize(text)
        if not t.tag.startswith(LEFT_OUT) or t.tag in SYMBOLS_KEPT
    ]


def _without_particles(text: str, language: str) -> list[str]:
    """Each word without its particles, again and again, so that a noun that ends like one is the
    same bare and inflected.

    One syllable besides the particle stays whole, for 나이 is not 나 + 이.
    """
    return [_bare(word) for word in tokens(text)]


def _bare(word: str) -> str:
    particle = next((j for j in JOSA if word.endswith(j) and len(word) > len(j) + 1), None)
    return _bare(word.removesuffix(particle)) if particle else word


def lemmatiser(language: str) -> str:
    """The name of what makes this language's lemmas; "tokens" where there is nothing.

    Raises MechclaError where the extra `blend` is not installed.
    """
    return _chosen(base(language))[0]


@functools.cache
def _chosen(language: str) -> tuple[str, Callable[[str, str], list[str]]]:
    if language == "zh":
        _package("rjieba", "blend")
        return "rjieba", _by_jieba
    if language == "ar":
        _arabic()
        return "snowballstemmer", _by_snowball
    if language == "ko":
        return ("kiwipiepy", _by_kiwi) if _has_kiwi() else (PARTICLES, _without_particles)
    if _simplemma_has(language):
        return "simplemma", _by_simplemma
    return TOKENS, lambda text, _: tokens(text)


@functools.lru_cache(maxsize=65_536)
def lemmas(text: str, language: str) -> tuple[str, ...]:
    """Lemmas of a text, folded and without the acute accent, as BLEnD's script compares them.

    The limit: lemmatisers see a few words without a sentence, and are right about most of them, not
    all. Raises MechclaError where the extra `blend` is not installed.

    >>> lemmas("las mandarinas", "es")
    ('el', 'mandarina')
    """
    code = base(language)
    found = _chosen(code)[1](_one_spelling(text, code).lower(), code)
    return tuple(
        unicodedata.normalize("NFC", unicodedata.normalize("NFD", fold(t, code)).replace(ACUTE, ""))
        for t in found
    )
