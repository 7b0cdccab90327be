"""Which words of an explicit prompt are the country's name: what it adds to the implicit prompt.

Needed where nobody's list knows the name. Items say it themselves: the explicit prompt minus the implicit one is
the cue, and a cue minus the cues of other countries (`prompt_us`, or other items of that language) is the name.
"""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import takewhile

from mechcla.items.country_names import fold, name_pattern, script_of, unspaced
from mechcla.items.item import Item

_CAPITAL_NOUNS = ("de", "lb")  # every noun has a capital there, so a capital tells no name


@dataclass(frozen=True)
class Cues:
    """What the cues of many items say together: per language, the words that cues of several countries share."""

    shared: Mapping[str, frozenset[str]]
    several: frozenset[str]

    @classmethod
    def of(cls, items: Iterable[Item]) -> Cues:
        """Read the cues of these items."""
        countries: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        for item in items:
            for country, explicit in ((item.country, item.prompt_explicit), ("US", item.prompt_us)):
                if country and explicit:
                    for word in added_words(explicit, item.prompt):
                        countries[item.language][_key(word)].add(country)
        shared = {
            language: frozenset(word for word, seen in words.items() if len(seen) > 1)
            for language, words in countries.items()
        }
        several = {
            language
            for language, words in countries.items()
            if len(set().union(*words.values())) > 1
        }
        return cls(shared, frozenset(several))


def added_words(explicit: str, implicit: str) -> list[str]:
    """The words of `explicit` that `implicit` lacks, in order; a cue in front, or words put in its middle.

    >>> added_words("Our country is Spain. The money of our country is", "The money of our country is")
    ['Our', 'country', 'is', 'Spain']
    """
    left = Counter(map(_key, _words(implicit)))
    kept = []
    for word in reversed(_words(explicit)):  # from the end, where the implicit prompt stands
        if left[_key(word)] > 0:
            left[_key(word)] -= 1
        else:
            kept.append(word)
    return kept[::-1]


def name_in_cue(item: Item, cues: Cues) -> str | None:
    """The name of the item's country as its explicit prompt writes it, or None where that cannot be told."""
    if item.prompt_explicit is None:
        return None
    if unspaced(item.prompt) or script_of(item.prompt) == "HANGUL":
        return _between(item)
    words = _words(item.prompt_explicit)
    added = Counter(added_words(item.prompt_explicit, item.prompt))
    known = item.prompt_us is not None or item.language in cues.several
    shared = set(cues.shared.get(item.language, ()))
    if item.prompt_us is not None and item.prompt_us != item.prompt_explicit:
        shared |= {_key(w) for w in added_words(item.prompt_us, item.prompt)}
    places = []
    for place, word in enumerate(words):
        if added[word] == 0 or _key(word) in shared or sum(map(str.isalpha, word)) < 3:
            continue
        cased = word[0].isupper() or word[0].islower()
        first = place == 0
        if cased and (
            not word[0].isupper()
            or (not known and (first or item.language.split("-")[0] in _CAPITAL_NOUNS))
        ):
            continue
        if not cased and not known:
            return None
        places.append(place)
        added[word] -= 1
    if not places or places[-1] - places[0] > 4:
        return None
    return " ".join(words[places[0] : places[-1] + 1])


def named_in(name: str, language: str, text: str) -> str | None:
    """The words of the text that are this name, with endings, or None."""
    match = name_pattern([name], language).search(fold(text))
    return match.group() if match else None


def _between(item: Item) -> str | None:
    """Scripts without spaces: the cue less what it shares with the US cue at both ends."""
    us, explicit, end = item.prompt_us, item.prompt_explicit or "", item.prompt
    if us is None or us == explicit or not (us.endswith(end) and explicit.endswith(end)):
        return None
    cue, other = explicit.removesuffix(end), us.removesuffix(end)
    start = _common(cue, other)
    stop = _common(cue[start:][::-1], other[start:][::-1])
    name = cue[start : len(cue) - stop]
    return name.strip() if sum(map(str.isalpha, name)) > 1 else None


def _common(left: str, right: str) -> int:
    """How many letters two texts share at their beginning."""
    same = takewhile(lambda pair: pair[0] == pair[1], zip(left, right, strict=False))
    return sum(1 for _ in same)


def _words(text: str) -> list[str]:
    # By spaces and not by \w, which breaks words at the vowel signs of Indic scripts.
    words = (_bare(word) for word in text.split())
    return [word for word in words if word]


def _bare(word: str) -> str:
    if word[0].isalnum() and word[-1].isalnum():
        return word
    start, stop = 0, len(word)
    while start < stop and unicodedata.category(word[start])[0] in "PS":
        start += 1
    while stop > start and unicodedata.category(word[stop - 1])[0] in "PS":
        stop -= 1
    return word[start:stop]


@lru_cache(maxsize=1 << 16)  # cues and prompts repeat their words
def _key(word: str) -> str:
    return fold(word).casefold()
