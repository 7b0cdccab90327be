"""The user's copy of locqa.json, read and checked: each question's texts and answers."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mechcla.errors import MechclaError, nearest
from mechcla.items.texts import clip, parse_json, text_fault
from mechcla.sources.locqa.places import LANGUAGES
from mechcla.storage import user_path, utf8

_INVISIBLE = re.compile("[\u200b\u200e\u200f\u2060\ufeff]")


@dataclass(frozen=True)
class Question:
    """One question: its id (made of its English text), category, and per language code the text and
    the answers by country; None where the file says N/A."""

    id: str
    topic: str
    texts: Mapping[str, str]
    answers: Mapping[str, Mapping[str, str | None]]


def read_file(path: str | Path) -> tuple[Question, ...]:
    """The questions of the file, in its order.

    path: locqa.json, or the folder that holds it. Raises MechclaError that names the file, the
    question and what was expected.
    """
    file = user_path(path)
    if file.is_dir():
        file = file / "locqa.json"
    try:
        with utf8(file, "locqa.json is JSON in UTF-8"):
            text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise MechclaError(
            f"cannot read LocQA from {str(path)!r}: {error.strerror}; path= is locqa.json of "
            "google-research-datasets/locqa, or the folder that holds it"
        ) from error
    try:
        rows = parse_json(text)
    except MechclaError as error:
        raise MechclaError(f"{file} {error}") from error
    if not isinstance(rows, dict) or not rows:
        raise MechclaError(f"{file} holds {clip(rows)}; expected an object of questions")
    return tuple(
        _question(f"{file}, question {clip(name)}", name, row) for name, row in rows.items()
    )


def clean(text: str) -> str:
    """The text in normal form C, on one line, without invisible marks and doubled spaces."""
    return " ".join(unicodedata.normalize("NFC", _INVISIBLE.sub("", text)).split())


def question_id(english: str) -> str:
    """The id of a question: "locqa-" and the words of its English text, whatever its place in the
    file.

    >>> question_id("What is the legal drinking age?")
    'locqa-what-is-the-legal-drinking-age'
    """
    return "-".join(["locqa", *re.findall(r"\w+", clean(english).casefold())])[:512]


def _question(where: str, name: str, row: Any) -> Question:
    found = _get(where, row, "languages")
    if not isinstance(found, dict):
        raise MechclaError(f"{where}: 'languages' is {clip(found)}; expected an object")
    texts: dict[str, str] = {}
    answers: dict[str, dict[str, str | None]] = {}
    codes = {language.name: code for code, language in LANGUAGES.items()}
    for key, value in found.items():
        here = f"{where}, {key}"
        if key not in codes:
            raise MechclaError(f"{where}: no language is {key!r}; {nearest(key, codes, 20)}")
        texts[codes[key]] = _text(
            here, "translated_question", _get(here, value, "translated_question")
        )
        given = _get(here, value, "answers")
        if not isinstance(given, dict):
            raise MechclaError(f"{here}: 'answers' is {clip(given)}; expected an object")
        labels = LANGUAGES[codes[key]].labels
        made = answers.setdefault(codes[key], {})
        for label, answer in given.items():
            place = clean(label)
            if place not in labels:
                raise MechclaError(f"{here}: no place is {label!r}; {nearest(place, labels, 20)}")
            said = _text(here, f"the answer of {label!r}", answer)
            made[labels[place]] = None if said.casefold() in ("n/a", "na", "") else said
    if "en" not in texts:
        raise MechclaError(f"{where} has no English; it has {', '.join(found) or 'no language'}")
    topic = _text(where, "category", _get(where, row, "category"))
    return Question(question_id(name), topic, texts, answers)


def _get(where: str, row: Any, name: str) -> Any:
    if not isinstance(row, dict):
        raise MechclaError(f"{where} is {clip(row)}; expected an object with {name!r}")
    if name not in row:
        raise MechclaError(f"{where} lacks {name!r}; {nearest(name, row, 20)}")
    return row[name]


def _text(where: str, what: str, value: Any) -> str:
    if not isinstance(value, str):
        raise MechclaError(f"{where}: {what} is {clip(value)}; expected a text")
    if fault := text_fault(value):
        raise MechclaError(f"{where}: {what} is {clip(value)}, which {fault}")
    return clean(value)
