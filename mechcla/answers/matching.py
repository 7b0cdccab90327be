"""BLEnD's soft match of a short answer with what people answered, and a strict form of it.

Source: `evaluation/exact_match.py` of the BLEnD repository, `soft_exact_match`, written anew from
its rule; docs/generation.md says where lemmatisers and spelling differ.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mechcla.answers.lemmas import ZWNJ, base, fold, is_word, lemmas
from mechcla.items.open_item import AnswerGroup

NO_SPACES = ("zh", "ja", "th", "my", "km", "lo")


@dataclass(frozen=True)
class Match:
    """Which group of answers a response is of. `hit` is False, and the rest empty, where it is of
    none.

    group: its index. weight: its count over the largest count. answer: the answer that was found,
    in `language`, `by` "substring" or "lemmas".
    """

    hit: bool
    group: int | None = None
    weight: float = 0.0
    answer: str = ""
    language: str = ""
    by: str = ""


MISS = Match(False)


def soft_match(
    response: str, groups: Sequence[AnswerGroup], language: str, strict: bool = False
) -> Match:
    """The first group, most votes first, of which the response has an answer.

    The official rule: an answer is found where it is a substring of the lowercased response, its
    hyphens or spaces exchanged or not, or where all its lemmas are among the response's. A group's
    answers in `language` are tried before its English ones, which count for every language. A short
    answer is thus also found inside a longer word ("té" in "carteles", "tea" in "steak"), and
    negations are not seen ("not tea"). strict: ours; a substring must begin and end at a word's
    boundary. It changes nothing where words are not spaced (Chinese), and for Korean, whose
    particles follow the noun, asks for the left boundary only. An empty answer, which officially is
    in every response, is never found, and neither is one without lemmas.

    Raises MechclaError where the extra `blend` is not installed.

    >>> from mechcla.items.open_item import AnswerGroup
    >>> fruit = AnswerGroup(("fruta",), ("fruit",), 3)
    >>> sandwich = AnswerGroup(("bocadillo",), ("sandwich",), 1)
    >>> soft_match("Un bocadillo.", [fruit, sandwich], "es").group
    1
    """
    ordered = sorted(enumerate(groups), key=lambda pair: -pair[1].count)
    if not response.strip() or not ordered:
        return MISS
    most = ordered[0][1].count
    for index, group in ordered:
        local = [(a, language) for a in group.answers] if base(language) != "en" else []
        english = [
            (a, "en")
            for a in (
                group.en_answers or group.answers if base(language) == "en" else group.en_answers
            )
        ]
        for answer, of in local + english:
            if by := _found(answer, response, of, strict):
                return Match(True, index, group.count / most if most else 0.0, answer, of, by)
    return MISS


def clean_response(response: str, prompt: str = "") -> str:
    """A response without a leading label that the prompt has too ("Answer: ..."), and without full
    stops at its ends.

    As in BLEnD's `delete_prompt_from_answer` and `get_llm_response_by_id`.
    """
    text = response.strip()
    label = re.match(r"(\w+)\s*[:：]\s", text)
    if label and label[1].lower() in prompt.lower():
        text = text[label.end() :].strip()
    return text.strip(".。").strip()


def _spaced(text: str, language: str) -> str:
    return fold(text, language).replace(ZWNJ, " ").strip()


def _found(answer: str, response: str, language: str, strict: bool) -> str:
    """How the answer is in the response: "substring", "lemmas", or "" where it is not."""
    needle, hay = _spaced(answer, language), _spaced(response, language)
    if not needle:
        return ""
    forms = dict.fromkeys((needle, needle.replace("-", " "), needle.replace(" ", "-")))
    if any(_bounded(form, hay, language) if strict else form in hay for form in forms):
        return "substring"
    wanted = lemmas(answer, language)
    return "lemmas" if wanted and set(wanted) <= set(lemmas(response, language)) else ""


def _bounded(needle: str, hay: str, language: str) -> bool:
    """Whether the needle stands in the text between word boundaries."""
    if base(language) in NO_SPACES:
        return needle in hay
    at = hay.find(needle)
    while at >= 0:
        end = at + len(needle)
        left = at == 0 or not (is_word(hay[at - 1]) and is_word(needle[0]))
        right = (
            end == len(hay)
            or not (is_word(hay[end]) and is_word(needle[-1]))
            or base(language) == "ko"
        )
        if left and right:
            return True
        at = hay.find(needle, at + 1)
    return False
