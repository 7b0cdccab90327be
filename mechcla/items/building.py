"""What a builder of items must not write: rules beside those of `lint_rules.py`, for the seven demo
languages.

They are too strict for items of others: no culture is named at all, every candidate is in its
language's script, the right answers stand in all places alike, every universal item is there in all
languages. `building_faults` names every item that breaks one, so that a builder can refuse to write
it (data/build.py).
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable

from mechcla.items.country_names import fold
from mechcla.items.culture_names import CULTURE_NAMES
from mechcla.items.item import Item
from mechcla.items.lint_rules import Finding, same_text

SCRIPTS = {"en": "LATIN", "es": "LATIN", "id": "LATIN", "zh": "CJK", "ko": "HANGUL"} | {
    "el": "GREEK",
    "fa": "ARABIC",
}
POSITION_P = 0.001
MIN_POSITIONS = 20
# Within it; at its end letters only.
_CANDIDATE_MARKS = set(" \u200c-'\u2019\u00b7&.,\u060c\u3001\uff0c")
_ARABIC_ONLY = {
    "\u064a": "Arabic yeh; Persian writes \u06cc",
    "\u0643": "Arabic kaf; Persian writes \u06a9",
}
_PATTERNS = {
    language: {country: re.compile(pattern, re.IGNORECASE) for country, pattern in table.items()}
    for language, table in CULTURE_NAMES.items()
}


def building_faults(items: Iterable[Item]) -> list[Finding]:
    """Every fault of these items, in their order; an empty list means that they may be written."""
    items = list(items)
    found = []
    for item in items:
        found += (
            _names(item) + _duplicates(item) + _explicit(item) + _scripts(item) + _spacing(item)
        )
    return found + _missing_translations(items) + _two_splits(items) + _right_positions(items)


def culture_named(text: str, language: str) -> tuple[str, str] | None:
    """The first (country, words) of the seven demo cultures that the text names in that language,
    or None."""
    folded = fold(text)
    for country, pattern in _PATTERNS.get(language, {}).items():
        if match := pattern.search(folded):
            return country, match.group()
    return None


def script_fault(text: str, language: str, candidate: bool = False) -> str | None:
    """Why the text is not in its language's script, or None; a candidate may hold letters and marks
    only.

    Languages without an entry in SCRIPTS are not judged.
    """
    if language not in SCRIPTS:
        return None
    for char in text:
        if language == "fa" and char in _ARABIC_ONLY:
            return f"{char!r} is an {_ARABIC_ONLY[char]}"
        name, category = unicodedata.name(char, "?"), unicodedata.category(char)
        if category[0] == "L":
            if not name.startswith(SCRIPTS[language]):
                return f"{char!r} is {name}; expected {SCRIPTS[language]}"
        elif candidate and category[0] != "M" and char not in _CANDIDATE_MARKS:
            return f"{char!r} ({name}) has no place in a candidate"
    if candidate and text and unicodedata.category(text[-1])[0] not in "LMZ":
        return f"{text[-1]!r} at the end; a candidate ends in a letter"
    return None


def _names(item: Item) -> list[Finding]:
    if item.kind != "cultural":
        return []
    texts = [("prompt", item.prompt), *(("candidate", c.text) for c in item.candidates)]
    found = []
    for what, text in texts:
        for language in dict.fromkeys((item.language, "en")):
            if named := culture_named(text, language):
                message = f"{what} {text!r} names {named[0]} ({named[1]!r})"
                found.append(Finding(item.id, item.language, f"{what}-names-culture", message))
                break
    return found


def _duplicates(item: Item) -> list[Finding]:
    counts = Counter(same_text(c.text) for c in item.candidates)
    twice = [text for text, n in counts.items() if n > 1]
    message = f"candidates stand twice: {twice}"
    return [Finding(item.id, item.language, "duplicate-candidate", message)] if twice else []


def _explicit(item: Item) -> list[Finding]:
    if item.kind != "cultural":
        return []
    explicit = item.prompt_explicit
    if explicit is None:
        return [
            Finding(
                item.id,
                item.language,
                "explicit-missing",
                "a cultural item needs 'prompt_explicit'",
            )
        ]
    found = []
    for text in (explicit, item.prompt_us):
        if text is not None and (not text.endswith(item.prompt) or text == item.prompt):
            message = f"{text!r} is not a cue followed by the implicit prompt {item.prompt!r}"
            found.append(Finding(item.id, item.language, "explicit-differs", message))
    if item.prompt_us == explicit:
        found.append(
            Finding(
                item.id,
                item.language,
                "us-is-own",
                f"'prompt_us' and 'prompt_explicit' are both {explicit!r}",
            )
        )
    return found


def _texts(item: Item) -> list[tuple[str, bool]]:
    prompts = [
        (text, False) for text in (item.prompt, item.prompt_explicit, item.prompt_us) if text
    ]
    return prompts + [(c.text, True) for c in item.candidates]


def _scripts(item: Item) -> list[Finding]:
    faults = (
        (text, script_fault(text, item.language, candidate)) for text, candidate in _texts(item)
    )
    return [
        Finding(item.id, item.language, "script", f"{text!r}: {why}") for text, why in faults if why
    ]


def _spacing(item: Item) -> list[Finding]:
    found = []
    for text, candidate in _texts(item):
        if text != (text.strip() if candidate else text.rstrip()):
            found.append(
                Finding(
                    item.id, item.language, "white-space", f"{text!r} has white space at an end"
                )
            )
        if text != unicodedata.normalize("NFC", text):
            found.append(
                Finding(item.id, item.language, "not-nfc", f"{text!r} is not in normal form C")
            )
    return found


def _missing_translations(items: list[Item]) -> list[Finding]:
    universal = [item for item in items if item.kind == "universal"]
    languages = list(dict.fromkeys(item.language for item in universal))
    have: dict[str, set[str]] = defaultdict(set)
    for item in universal:
        have[item.id].add(item.language)
    return [
        Finding(id_, language, "missing-translation", f"asked in {', '.join(sorted(there))} only")
        for id_, there in have.items()
        for language in languages
        if language not in there
    ]


def _two_splits(items: list[Item]) -> list[Finding]:
    splits: dict[str, set[str]] = defaultdict(set)
    for item in items:
        splits[item.id].add(item.split)
    return [
        Finding(id_, "", "two-splits", "stands in dev and in test")
        for id_, s in splits.items()
        if len(s) > 1
    ]


def _right_positions(items: list[Item]) -> list[Finding]:
    """Chi-square of the right answers' places against equal chances, per language and kind."""
    from scipy.stats import chisquare

    groups: dict[tuple[str, str], list[Item]] = defaultdict(list)
    for item in items:
        groups[item.language, item.kind].append(item)
    found = []
    for (language, kind), group in groups.items():
        if len(group) < MIN_POSITIONS:
            continue
        places = range(max(len(item.candidates) for item in group))
        seen = [sum(item.right == place for item in group) for place in places]
        expected = [
            sum(1 / len(i.candidates) for i in group if len(i.candidates) > place)
            for place in places
        ]
        p = float(chisquare(seen, expected).pvalue)
        if p < POSITION_P:
            message = f"right answers per place {seen}, p = {p:.1e}; shuffle the candidates"
            found.append(Finding(f"[{kind}]", language, "right-position", message))
    return found
