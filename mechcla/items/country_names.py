"""How a language names a country: patterns for the seven demo cultures, Unicode CLDR's names for all others.

The patterns of `culture_names.py` know countries, peoples and languages. Other names come from Babel (the extra
`data`), if it is installed: the country's name and that of its own language, with endings by rule. All patterns
are read on text without accents (`fold`).
"""

from __future__ import annotations

import contextlib
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from mechcla.items.culture_names import CULTURE_NAMES

# CLDR has one name per country; these are in use beside it, in English.
_ALSO: dict[str, tuple[str, ...]] = {
    "US": ("USA", "America"),
    "TR": ("Turkey", "Turkish"),
    "GB": ("UK", "Britain", "British", "England", "English"),
    "NL": ("Holland",),
    "CZ": ("Czech",),
    "AE": ("UAE",),
    "MM": ("Burma", "Burmese"),
}
# Words of everyday English when they begin with a small letter.
_CAPITAL_ONLY = {"turkey", "china", "chile", "guinea", "polish", "jordan", "uk"}
_VOWELS = set("aeiouyαειουηωаеёиоуыэюяіїєй")
_WHOLE = {"france"}  # its stem is a currency, in French
# Names change their last letters by case there: shorter stems, and k that softens to c (Polska, w Polsce).
_CASES = {
    "be", "bg", "bs", "cs", "el", "et", "fi", "hr", "hu", "is", "lt", "lv", "mk", "pl", "ru", "sk", "sl", "sr", "uk",
}  # fmt: skip
_PREFIXES = {"sw": "(?:m|wa|u|ki)?", "am": "(?:የ|በ|ከ|ለ|ስለ|ወደ)?", "ti": "(?:ናይ|ብ|ካብ|ን)?"}
_ARABIC_PREFIX, _HEBREW_PREFIX = "[وفبكل]{0,2}(?:ال)?", "[והבלמשכ]{0,3}"
_UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR")


@dataclass(frozen=True)
class Names:
    """How one language names one country. `pattern` is None where nothing is known, and `why` says why.

    hand_written: the pattern knows spellings, peoples and the language; CLDR's one name can be another than the
    one in use ("Türkiye" for "Turkey").
    """

    pattern: re.Pattern[str] | None
    why: str = ""
    hand_written: bool = False

    def find(self, text: str) -> str | None:
        """The first words of the text that name the country, without accents, or None."""
        if self.pattern is None:
            return None
        # A longer name of another country ("Nigeria" for "Niger") is matched too, outside the group.
        return next((m["name"] for m in self.pattern.finditer(fold(text)) if m["name"]), None)


@lru_cache(maxsize=1 << 14)
def fold(text: str) -> str:
    """The text without accents and in composed form, which is what the name patterns are read on."""
    if text.isascii():
        return text
    bare = "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c))
    return unicodedata.normalize("NFC", bare)


def base_code(tag: str) -> str:
    """The language or country of a tag, in lower case: "es-MX" is "es", "IN-AS" is "in"."""
    return re.split(r"[-_]", tag)[0].casefold()


@lru_cache(maxsize=4096)
def country_names(country: str, language: str) -> Names:
    """How `language` (a code or a tag such as "es-MX") names `country` (ISO 3166, "KE" or "IN-AS").

    A part of a country (ISO 3166-2) is known by the country's own name alone, which is no name of the part:
    it counts as unknown. Source: ours, over CLDR's names.

    >>> country_names("ES", "es").find("La cocina española")
    'espanola'
    """
    code = country.upper()
    own = CULTURE_NAMES.get(base_code(language), {}).get(code)
    if own is not None:
        return Names(re.compile(f"(?P<name>{own})", re.IGNORECASE), hand_written=True)
    if not re.fullmatch("[A-Z]{2}", code):
        return Names(None, f"no names are known for {country!r}; expected ISO 3166 such as 'KE'")
    locales, why = _locales(language)
    if not locales:
        return Names(None, why)
    names = [n for locale in locales for n in _alternatives(locale.territories.get(code))]
    if not names:
        return Names(None, f"Babel has no name of {country!r} in language {language!r}")
    names += [n for locale in locales for n in _own_languages(locale, code)]
    if base_code(language) == "en":
        names += _ALSO.get(code, ())
    territories = (pair for locale in locales for pair in locale.territories.items())
    others = {n for k, v in territories if k != code for n in _alternatives(v)} - set(names)
    return Names(name_pattern(names, language, others))


def name_pattern(
    names: Iterable[str], language: str, others: Iterable[str] = ()
) -> re.Pattern[str]:
    """One pattern for names in a language, with endings; `others`: longer names, which stay outside group `name`."""
    folded = [fold(name) for name in names]
    longer = {
        other
        for other in map(fold, others)
        for name in folded
        if name.casefold() in other.casefold() and len(other) > len(name)
    }
    parts = "|".join(
        sorted((_with_endings(name, base_code(language)) for name in folded), key=len, reverse=True)
    )
    hide = "|".join(re.escape(o) for o in sorted(longer, key=len, reverse=True))
    return re.compile((f"{hide}|" if hide else "") + f"(?P<name>{parts})", re.IGNORECASE)


def script_of(text: str) -> str:
    """The first word of the Unicode name of the text's first letter: LATIN, CJK, HANGUL, ..."""
    letter = next((c for c in text if c.isalpha()), "")
    return unicodedata.name(letter, "?").split(" ")[0].split("-")[0] if letter else "?"


def unspaced(text: str) -> bool:
    """Whether the text's script writes no spaces between words."""
    return script_of(text) in _UNSPACED


def _with_endings(name: str, language: str) -> str:
    script = script_of(name)
    body = r"\s+".join(map(re.escape, name.split()))
    if script in _UNSPACED:
        return body
    if script == "HANGUL":
        return rf"(?<![가-힣]){body}"
    if script == "ARABIC":
        return rf"(?<!\w){_ARABIC_PREFIX}{re.escape(name.removeprefix('ال'))}\w{{0,4}}"
    if script == "HEBREW":
        return rf"(?<!\w){_HEBREW_PREFIX}{body}\w{{0,4}}"
    start = r"(?<!\w)" + _PREFIXES.get(language, "")
    if not name[:1].isupper() and not name[:1].islower():
        return start + body  # scripts whose vowel signs are no word characters: an open end
    stem = r"\s+".join(map(re.escape, name[: len(name) - _ending(name, language)].split()))
    if len(name) <= 4 or name.casefold() in _CAPITAL_ONLY:
        first = re.escape(name[0].upper())
        return rf"{start}(?-i:{first}){stem[len(re.escape(name[0])) :]}\w{{0,4}}(?!\w)"
    return rf"{start}{stem}\w{{0,7}}(?!\w)"


def _ending(name: str, language: str) -> int:
    """How many letters at the end of a name give way to others: Kolumbi-a, русск-ий, Κύπρ-ος, Pols-ka."""
    last = name.split()[-1].casefold()
    cases = language in _CASES
    least = 4 if cases else 5
    if name.casefold() in _WHOLE:
        return 0
    if language == "el" and last[-1] in "σς" and len(last) > least + 1:
        return 2
    # A country's name has a capital and loses one vowel; languages, as adjectives, lose two.
    dropped, most = 0, 1 if name[0].isupper() else 2
    while dropped < most and len(last) - dropped > least and last[-1 - dropped] in _VOWELS:
        dropped += 1
    softens = cases and dropped and last[-1 - dropped] == "k" and len(last) - dropped > least
    return dropped + 1 if softens else dropped


def _alternatives(name: str | None) -> list[str]:
    # CLDR writes "Myanmar (Burma)" and "Congo - Kinshasa"; a name of one letter would match everywhere.
    parts = re.split(r"\s*[()（）]\s*|\s+[-–]\s+", name or "")
    return [part for part in parts if sum(c.isalpha() for c in part) > 1]


def _own_languages(locale: Any, country: str) -> list[str]:
    """The country's own language, as people are named after it; not one that it shares, as Mexico's Spanish."""
    from babel.core import get_global
    from babel.languages import get_official_languages

    likely = get_global("likely_subtags")
    return [
        name
        for code in get_official_languages(country, de_facto=True)
        if str(likely.get(code, "")).endswith("_" + country) or code == country.lower()
        # "alemão (Suíça)" is Swiss German: its first word is another country's language.
        if (name := locale.languages.get(code, "")) and "(" not in name
    ]


@lru_cache(maxsize=256)
def _locales(language: str) -> tuple[tuple[Any, ...], str]:
    """CLDR's locales of a language tag and of its language, which can use other names; or why there are none."""
    try:
        from babel import Locale, UnknownLocaleError
    except ImportError:
        return (), (
            f"no country names are known in language {language!r} without Babel: "
            "pip install 'mechcla[data]'"
        )
    found = []
    for tag in dict.fromkeys((language.replace("-", "_"), base_code(language))):
        with contextlib.suppress(UnknownLocaleError, ValueError, TypeError):
            found.append(Locale.parse(tag))
    return tuple(found), "" if found else f"Babel knows no language {language!r}"
