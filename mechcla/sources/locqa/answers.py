"""Which answers of one question are alike, what the American one is in each language, and how many
places share an answer.

Source: ours, over the answers of LocQA's file.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from mechcla.items.lint_rules import same_text
from mechcla.sources.locqa.places import US
from mechcla.sources.locqa.read import Question
from mechcla.sources.locqa.values import KINDS, Kind, Value, carry, parse

OWN = ("en", "es")  # the languages in which the file itself has American answers
NO_SPACES = ("zh", "ja")


@dataclass(frozen=True)
class American:
    """The American answer of one question.

    kind, value: what it is besides words, if it is; why: why it cannot be carried into other
    languages, "" where it can.
    """

    kind: Kind | None
    value: Value | None
    why: str = ""


def american(question: Question) -> American:
    """The American answer as a value, from the English and the Spanish one.

    It can be carried where both say the same, or the Spanish one names that number among others
    ("67" and "66-67 años"), and where the answer is the place's and not the language's: some
    language has two places that answer differently.
    """
    text = question.answers["en"].get(US)
    if text is None:
        return American(None, None, "no American answer in the file")
    kind, value = _kind(text)
    if kind is None or value is None:
        return American(None, None, "the American answer is no single number, date or code")
    spanish = question.answers.get("es", {}).get(US)
    if spanish is not None:
        other = parse(spanish, "es", kind)
        near = kind == "number" and value.parts[0] in numbers(spanish)
        if not near and (other is None or not value.same(other)):
            return American(kind, value, "the two American answers of the file differ")
    if not _varies(question, kind):
        return American(kind, value, "all places of a language answer alike, by their language")
    return American(kind, value)


def _kind(text: str) -> tuple[Kind | None, Value | None]:
    for kind in KINDS:
        if value := parse(text, "en", kind):
            return kind, value
    return None, None


def _varies(question: Question, kind: Kind) -> bool:
    for language, answers in question.answers.items():
        said = [a for a in answers.values() if a is not None]
        if any(not alike(said[0], other, language, kind) for other in said[1:]):
            return True
    return False


def alike(left: str, right: str, language: str, kind: Kind | None) -> bool:
    """Whether two answers are one, or one holds the other: then one is no wrong answer beside the
    other.

    Answers of the question's kind are compared by what they say. Others are alike where they share
    a number ("110 o 911", "911"), or the words of one are all in the other ("Yes", "Yes, except in
    Montréal").

    >>> alike("110 o 911", "911", "es", "number"), alike("1 de enero", "1 de mayo", "es", "date")
    (True, False)
    """
    if same_text(left) == same_text(right):
        return True
    if kind is not None:
        values = parse(left, language, kind), parse(right, language, kind)
        if values[0] and values[1]:
            return values[0].same(values[1])
    here, there = numbers(left), numbers(right)
    if here and there and kind != "date":
        return bool(here & there)
    if language in NO_SPACES:
        return same_text(left) in same_text(right) or same_text(right) in same_text(left)
    words = [_words(text) for text in (left, right)]
    return words[0] <= words[1] or words[1] <= words[0]


def numbers(text: str) -> set[str]:
    """The numbers of a text, with points for decimal commas.

    >>> sorted(numbers("66-67 años, 1,5"))
    ['1.5', '66', '67']
    """
    plain = unicodedata.normalize("NFKC", text)
    return {n.replace(",", ".") for n in re.findall(r"\d+(?:[.,]\d+)?", plain)}


def _words(text: str) -> set[str]:
    bare = unicodedata.normalize("NFD", same_text(text))
    return set(re.findall(r"\w+", "".join(c for c in bare if not unicodedata.combining(c))))


def american_text(question: Question, found: American, language: str, model: str) -> str | None:
    """The American answer in the language: the file's own in English and Spanish, elsewhere the
    value as the answer `model` writes it; None where there is none.
    """
    if language in OWN:
        return question.answers.get(language, {}).get(US)
    return None if found.why or found.value is None else carry(found.value, model, language)
