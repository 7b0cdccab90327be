"""In which language a model answered: its prompt's, English, another, or one that cannot be told.

Steering towards English can look like transfer while it merely switches the answer's language; this
shows the switch. The script decides first. Only between English and another language in Latin
letters does an identifier decide, py3langid, restricted to those two, and only where it is at least
SURE; the rest is undecided. Source: ours. docs/generation.md has the identifier's errors on BLEnD's
own short answers.
"""

from __future__ import annotations

import functools
import math
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from mechcla.answers.answers import Answers
from mechcla.answers.lemmas import base
from mechcla.answers.sem import estimates, labels
from mechcla.errors import MechclaError, nearest
from mechcla.metrics.estimates import POOLED, Estimate

LOCAL, ENGLISH, OTHER, UNDECIDED = KINDS = ("local", "english", "other", "undecided")
SURE = 0.7
SCRIPTS = {
    "ko": ("HANGUL",),
    "zh": ("CJK",),
    "ja": ("HIRAGANA", "KATAKANA", "CJK"),
    "el": ("GREEK",),
    "ar": ("ARABIC",),
    "fa": ("ARABIC",),
    "ur": ("ARABIC",),
    "am": ("ETHIOPIC",),
    "as": ("BENGALI",),
    "bn": ("BENGALI",),
    "hi": ("DEVANAGARI",),
    "ru": ("CYRILLIC",),
    "uk": ("CYRILLIC",),
    "bg": ("CYRILLIC",),
    "he": ("HEBREW",),
    "th": ("THAI",),
    "ta": ("TAMIL",),
    "te": ("TELUGU",),
    "ka": ("GEORGIAN",),
    "hy": ("ARMENIAN",),
}
IN_LATIN = """
    en es id az ha su af ca cs cy da de et eu fi fr ga gl hr hu ig is it jv lt lv ms mt nb nl nn no
    pl pt ro sk sl so sq sv sw tl tr vi xh yo zu"""
LATIN = frozenset(IN_LATIN.split())
# Letters that one of their signs is worth.
SYLLABLES = {"HANGUL": 3, "CJK": 3, "HIRAGANA": 2, "KATAKANA": 2, "ETHIOPIC": 2}
MOST = 2 / 3
# Sundanese is unknown to py3langid; its nearest relatives speak for it.
STANDS_FOR = {"su": ("id", "jv")}


def script_of(text: str) -> str | None:
    """The script of at least two thirds of a text's letters, as the first word of their Unicode
    names, or None.

    A sign that is a syllable counts as the letters it takes elsewhere, so "김치 (kimchi)" is of
    neither script.

    >>> [script_of(text) for text in ("김치 2", "BTS", "2024", "漢字", "김치 (kimchi)")]
    ['HANGUL', 'LATIN', None, 'CJK', None]
    """
    letters = (
        c
        for c in unicodedata.normalize("NFKC", text)
        if unicodedata.category(c) in ("Lu", "Ll", "Lt", "Lo")
    )
    counts: Counter[str] = Counter()
    for name in (unicodedata.name(c, "?").split()[0] for c in letters):
        counts[name] += SYLLABLES.get(name, 1)
    if not counts:
        return None
    name, most = counts.most_common(1)[0]
    return name if most >= MOST * counts.total() else None


def language_of(text: str, language: str) -> str:
    """ "local", "english", "other" or "undecided" for one answer to a prompt in `language`.

    local: in the language's script or, if that is Latin, told from English by the identifier.
    english: in Latin letters where the language has others, or told by the identifier. other: in a
    third script. undecided: no letters, mixed scripts, Latin words of one or two letters or all
    capitals ("BTS"), or an identifier that is not sure. For prompts in English the script is all
    that is asked: Latin is local.

    The limit: names, numbers and loanwords are in no language, so they are undecided, or fall to
    either side; languages that share a script with the prompt's (Arabic and Persian; Spanish for an
    Indonesian prompt) are not told apart. Raises MechclaError where the extra `blend` is needed and
    not installed, or where py3langid does not know the language.

    >>> language_of("김치찌개", "ko"), language_of("bread", "ko"), language_of("2024", "ko")
    ('local', 'english', 'undecided')
    """
    wanted = scripts(language)
    script = script_of(text)
    if script is None:
        return UNDECIDED
    if script in wanted and (script != "LATIN" or base(language) == "en"):
        return LOCAL
    if script != "LATIN":
        return OTHER
    words = "".join(c if unicodedata.category(c)[0] in "LM" else " " for c in text).split()
    if not any(len(w) > 2 and not w.isupper() for w in words):
        return UNDECIDED
    if "LATIN" not in wanted:
        return ENGLISH
    likely = probability_english(text, base(language))
    return ENGLISH if likely >= SURE else LOCAL if 1 - likely >= SURE else UNDECIDED


def scripts(language: str) -> tuple[str, ...]:
    """The scripts that a language is written in. Raises MechclaError for one that this file does
    not list.
    """
    code = base(language)
    if code not in SCRIPTS and code not in LATIN:
        raise MechclaError(
            f"the script of language {language!r} is not listed; "
            f"{nearest(code, sorted([*SCRIPTS, *LATIN]), 80)}"
        )
    return SCRIPTS.get(code, ("LATIN",))


@functools.lru_cache(maxsize=65_536)
def probability_english(text: str, language: str) -> float:
    """py3langid's probability of English against the language, the text lowercased, so that a
    capital is no evidence.
    """
    ranked = dict(_identifier((*_codes(language), "en")).rank(text.lower()))
    other = max(ranked[code] for code in _codes(language))
    total = ranked["en"] + other
    return ranked["en"] / total if math.isfinite(total) and total > 0 else 0.5


def most_likely(text: str, languages: Sequence[str]) -> str | None:
    """Which of these languages a text is in, or None where that cannot be told.

    The script decides; between languages of one script the identifier, where it is at least SURE.
    Raises MechclaError as `language_of` does.

    >>> most_likely("우리나라의 수도는", ["es", "ko"])
    'ko'
    """
    script = script_of(text)
    left = [k for k in languages if script in scripts(k)]
    if len(left) < 2:
        return left[0] if left else None
    codes = {code: k for k in left for code in _codes(base(k))}
    ranked = dict(_identifier(tuple(codes)).rank(text.lower()))
    code = max(codes, key=lambda c: ranked[c])
    return codes[code] if ranked[code] >= SURE else None


def _codes(language: str) -> tuple[str, ...]:
    return STANDS_FOR.get(language, (language,))


@functools.cache
def _identifier(codes: tuple[str, ...]) -> Any:
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ImportError as error:
        raise MechclaError(
            "telling languages apart needs the package 'py3langid': pip install 'mechcla[blend]'"
        ) from error
    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    unknown = [code for code in codes if code not in identifier.labels]
    if unknown:
        raise MechclaError(
            f"py3langid does not know the language {unknown[0]!r}; "
            f"it knows {', '.join(sorted(identifier.labels))}"
        )
    identifier.set_languages(list(codes))
    return identifier


def output_language(
    answers: Answers | Sequence[str], language: str | None = None, *, seed: int = 0
) -> dict[str, dict[str, Estimate]]:
    """Shares of answers in the prompt's language, English, another and undecided, by language and
    pooled.

    Takes Answers, or texts and the `language` of their prompts. The four shares of a language sum
    to 1; an empty answer is undecided. Intervals are bootstraps over question ids. Read it against
    the unsteered model's, whose own undecided share shows how much names and numbers account for.
    Raises MechclaError for no answers, or texts without a language.

    >>> output_language(["김치", "bread", "떡", "2"], "ko")["ko"]["local"].value
    0.5
    """
    if isinstance(answers, Answers):
        rows = [
            (label, a.language, a.id, a.text)
            for label, a in zip(labels(answers), answers, strict=True)
        ]
    elif language is None:
        raise MechclaError(
            "texts come without a language; say output_language(texts, language='ko')"
        )
    else:
        rows = [(language, language, str(i), text) for i, text in enumerate(answers)]
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for label, code, id_, text in rows:
        if id_ in found[label]:
            raise MechclaError(
                f"{id_!r} ({label}) is answered twice; "
                "give the answers of one run, in one prompt form, one per question: "
                "answers.where(number=0)"
            )
        found[label][id_] = language_of(text, code)
    result: dict[str, dict[str, Estimate]] = defaultdict(dict)
    for kind in KINDS:
        table = {
            label: {i: float(k == kind) for i, k in column.items()}
            for label, column in found.items()
        }
        measures = dict.fromkeys([*table, POOLED], f"share of answers {kind}")
        for label, value in estimates(table, measures, seed=seed).items():
            result[label][kind] = value
    return dict(result)
