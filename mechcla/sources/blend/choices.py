"""Multiple choice made again from the annotations: a region's top answer against other regions' top
answers.

The published multiple-choice file is English only. Here another region's answer is carried into the
local language through the region's own pairs of local and English answers (docs/blend.md). Source:
ours, over BLEnD's annotations.
"""

from __future__ import annotations

import hashlib
import random
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from mechcla.items.item import Candidate
from mechcla.items.open_item import AnswerGroup
from mechcla.sources.blend.regions import BY_CODE, Region
from mechcla.sources.blend.rows import RegionRows, Row

_WORD = re.compile(r"[^\s.,;:!?/()\"'«»“”‘’·،؛؟。，、-]+")
_PLURAL = re.compile(r"(?<=[sc]h)es$|(?<=x)es$|(?<!s)s$")
_NUMERAL = re.compile(r"[\d\s.,:/~-]+")


def same(text: str) -> str:
    """The form in which two answers count as one: NFC and case-folded."""
    return unicodedata.normalize("NFC", text).casefold().strip()


@lru_cache(maxsize=1 << 17)
def loose(text: str) -> tuple[str, ...]:
    """The words of an answer without accents, articles, marks and a final s: "The White Houses" is
    "white house".
    """
    bare = "".join(
        c for c in unicodedata.normalize("NFD", text.casefold()) if not "\u0300" <= c <= "\u036f"
    )
    words = [
        _PLURAL.sub("", w) if len(w) > 3 else w
        for w in _WORD.findall(unicodedata.normalize("NFC", bare))
    ]
    return tuple(w for w in words if w not in ("the", "a", "an")) or tuple(words)


def says(text: str, accepted: Iterable[tuple[str, ...]]) -> bool:
    """Whether the text contains an accepted answer (of `loose`) word for word, which BLEnD's own
    scoring takes as right.
    """
    words = loose(text)
    return any(
        a and words[i : i + len(a)] == a for a in accepted for i in range(len(words) - len(a) + 1)
    )


def texts(groups: Iterable[AnswerGroup]) -> set[str]:
    """Every spelling in these groups, in both languages."""
    return {same(t) for g in groups for t in (*g.answers, *g.en_answers)}


def english_texts(groups: Iterable[AnswerGroup]) -> set[str]:
    """Every English spelling in these groups."""
    return {same(t) for g in groups for t in g.en_answers}


def disjoint(left: Row, right: Row) -> bool:
    """Whether neither region's top answer is any answer of the other one, read in English."""
    tops = english_texts(left.groups[:1]), english_texts(right.groups[:1])
    return not (tops[0] & english_texts(right.groups) or tops[1] & english_texts(left.groups))


@dataclass(frozen=True)
class Lexicon:
    """A region's own words for English answers, over all its annotations, by topic."""

    words: Mapping[tuple[str, str], str]

    @classmethod
    def of(cls, region: RegionRows) -> Lexicon:
        """For each topic and English answer the local one with most votes behind it.

        The topic keeps Turkey from becoming a bird. The two lists of a group are not aligned by
        index, so a group with one English answer outweighs all others.
        """
        votes: dict[tuple[str, str], dict[str, int]] = defaultdict(lambda: defaultdict(int))
        for row in region.rows.values():
            for group in row.groups:
                for en in group.en_answers if group.answers else ():
                    votes[row.topic, same(en)][group.answers[0]] += group.count + (
                        1000 if len(group.en_answers) == 1 else 0
                    )
        return cls({key: max(local, key=lambda t: local[t]) for key, local in votes.items()})


def carried(
    group: AnswerGroup, source: Region, target: Row, region: Region, form: str, lexicon: Lexicon
) -> str | None:
    """One region's answer in the words of another one, or None where these are not known.

    In English it is the group's first English answer. In the local language it is the answer itself
    if the two regions share the language, else the target region's own word, in a question of the
    same topic, for any of the group's English answers; a bare number stays as it is where the
    target's own answer is one.
    """
    if form == "english" or region.language == "en":
        return next(iter(group.en_answers), None)
    if source.language == region.language:
        return next(iter(group.answers), None)
    for en in group.en_answers:
        if word := lexicon.words.get((target.topic, same(en))):
            return word
    own = local_text(target, region, form)
    numerals = own is not None and _NUMERAL.fullmatch(own)
    return next((en for en in group.en_answers if numerals and _NUMERAL.fullmatch(en)), None)


def local_text(row: Row, region: Region, form: str) -> str | None:
    """The region's own top answer, in its language or in English."""
    top = row.groups[0]
    return next(
        iter(top.en_answers if form == "english" or region.language == "en" else top.answers), None
    )


@dataclass(frozen=True)
class Choice:
    """The candidates of one question in one region, or why there are none."""

    candidates: tuple[Candidate, ...]
    why: str = ""
    us_differs: bool = False  # the local and the US answers are disjoint
    us_uncarried: bool = False  # and yet the US answer has no word in the local language


def make_choice(
    id_: str,
    region: Region,
    data: Mapping[str, RegionRows],
    lexicon: Lexicon,
    form: str,
    min_votes: int,
    n_other: int,
    seed: int,
) -> Choice:
    """Candidates of a valid question: the local answer, the US one where it differs, and other
    regions' answers.

    n_other others stand beside a US answer, one more where there is none. No distractor is an
    accepted answer of the region, contains one or is part of the top one, in either language, and
    no two say the same. The UK's answers are not used as `other` outside the US, for English bias
    is towards both. The order is shuffled by seed, id, region and form.
    """
    row = data[region.code].rows[id_]
    us = data["US"].rows.get(id_)
    differs = us is not None and us.invalid is None and region.code != "US" and disjoint(row, us)
    if row.groups[0].count < min_votes:
        return Choice((), f"the top answer has fewer than {min_votes} votes", differs)
    local = local_text(row, region, form)
    if local is None:
        return Choice((), "the top answer has no text in this form", differs)
    accepted, right = {loose(t) for t in texts(row.groups)}, texts(row.groups[:1])
    chosen = [Candidate(local, "local", region.country)]
    uncarried = False
    if us is not None and differs:
        text = carried(us.groups[0], BY_CODE["US"], row, region, form, lexicon)
        uncarried = text is None
        if text is not None and not _clashes(text, accepted, right):
            chosen.append(Candidate(text, "english", "US"))
            accepted |= {loose(t) for t in (*texts(us.groups[:1]), text)}
    wanted = n_other + 2  # the local answer, and n_other + 1 distractors in all
    for code in _order(id_, seed, (c for c in data if c != region.code)):
        if len(chosen) >= wanted:
            break
        source = BY_CODE[code]
        other = data[code].rows.get(id_)
        if (
            (source.language == "en" and region.code != "US")
            or other is None
            or other.invalid
            or other.groups[0].count < min_votes
        ):
            continue
        text = carried(other.groups[0], source, row, region, form, lexicon)
        said = {*texts(other.groups[:1]), text or ""}
        if text is None or any(_clashes(t, accepted, right) for t in said):
            continue
        chosen.append(Candidate(text, "other", source.country))
        accepted |= {loose(t) for t in said}
    if len(chosen) < 3:
        return Choice((), "fewer than two distractors", differs, uncarried)
    random.Random(_number(seed, id_, region.code, form)).shuffle(chosen)
    return Choice(tuple(chosen), "", differs, uncarried)


def _clashes(text: str, accepted: Iterable[tuple[str, ...]], right: Iterable[str]) -> bool:
    """Whether a distractor would be right: it says an accepted answer, or is part of the top one
    ("tea", "black tea").
    """
    return says(text, accepted) or any(says(r, [loose(text)]) for r in right)


def _number(*parts: object) -> int:
    return int.from_bytes(hashlib.sha256("|".join(map(str, parts)).encode()).digest()[:8], "big")


def _order(id_: str, seed: int, codes: Iterable[str]) -> list[str]:
    """The regions in an order drawn for the question, the same whichever region asks."""
    return sorted(codes, key=lambda code: _number(seed, id_, code))
