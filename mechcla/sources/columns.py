"""Which column of a foreign table holds what, and the item that a row makes. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from mechcla.errors import MechclaError, nearest, unknown
from mechcla.items.item import KINDS, Candidate, Item
from mechcla.items.texts import clip
from mechcla.sources.splits import half
from mechcla.sources.tables import Row

ANSWERS: tuple[str, ...] = ("auto", "index", "index1", "letter", "text")
_SLOT = re.compile(r"\{([^{}]+)\}")


@dataclass(frozen=True)
class Columns:
    """Which column holds what. A field without a column is None.

    prompt, prompt_explicit, prompt_us: a column, or a text with columns in braces
    ("{question}\\nAnswer:"); a prompt ends where the answer begins. choices: a column that holds a
    list, or several columns. answer: the right one, as a place counted from 0 ("index") or from 1
    ("index1"), a letter, or its text; answer_is="auto" takes whole numbers as "index", texts as a
    text or a letter, and asks where a row can be read in two ways. id: one column or several,
    joined by "/"; the same question must have the same id in every language. choice_countries: like
    choices, whose answer each is. A dot reaches into a nested column: "choices.text". Our own
    design. Raises MechclaError for an unknown `answer_is`.

    >>> Columns(prompt="{passage}\\n{question}", choices=("mc_answer1", "mc_answer2"),
    ...         answer="correct_answer_num", answer_is="index1",
    ...         id=("link", "question_number")).kind is None
    True
    """

    prompt: str = "question"
    choices: str | Sequence[str] = "choices"
    answer: str = "answer"
    answer_is: str = "auto"
    id: str | Sequence[str] | None = None
    language: str | None = None
    kind: str | None = None
    country: str | None = None
    topic: str | None = None
    split: str | None = None
    prompt_explicit: str | None = None
    prompt_us: str | None = None
    choice_countries: str | Sequence[str] | None = None

    def __post_init__(self) -> None:
        if self.answer_is not in ANSWERS:
            raise MechclaError(
                f"answer_is is {self.answer_is!r}; {nearest(self.answer_is, ANSWERS)}"
            )

    @classmethod
    def of(cls, columns: Columns | Mapping[str, Any] | None) -> Columns:
        """Columns from a dictionary of its fields. Raises MechclaError for an unknown field.

        >>> Columns.of({"prompt": "frage"}).prompt
        'frage'
        """
        if isinstance(columns, Columns):
            return columns
        known = [f.name for f in fields(cls)]
        for name in columns or ():
            if name not in known:
                raise unknown("field", name, known, 20, where="columns")
        return cls(**(columns or {}))


@dataclass(frozen=True)
class Constants:
    """What holds for every row that has no column for it: `id` stands before the row's number."""

    language: str | None = None
    kind: str = "universal"
    country: str | None = None
    english_countries: tuple[str, ...] = ("US", "GB")
    separator: str = " "
    source: str = ""
    licence: str = ""


def item_of(row: Row, columns: Columns, constants: Constants) -> Item:
    """The item of a row. Roles: the right choice is correct (universal) or local (cultural); a
    wrong one is wrong, or english where its country is one of `english_countries` and the item's is
    not, else other.

    Raises MechclaError that names row and column.
    """
    kind = constants.kind if columns.kind is None else _text(row, columns.kind)
    if kind not in KINDS:
        where = f"column {columns.kind!r}" if columns.kind else "kind"
        raise MechclaError(f"{where} is {kind!r}; {nearest(kind, KINDS)}")
    country = constants.country if columns.country is None else _text(row, columns.country)
    language = constants.language if columns.language is None else _text(row, columns.language)
    choices = _choices(row, columns.choices)
    right = _right(row, columns, choices)
    whose = _countries(row, columns.choice_countries, choices)
    abroad = () if country in constants.english_countries else constants.english_countries
    candidates = []
    for place, text in choices.items():
        if kind == "universal":
            role = "correct" if place == right else "wrong"
        else:
            role = "local" if place == right else "english" if whose[place] in abroad else "other"
        candidates.append(Candidate(text, role, whose[place]))
    names = [columns.id] if isinstance(columns.id, str) else columns.id or ()
    id = "/".join(_text(row, name) for name in names) or f"{constants.source}/{row.number}"
    return Item(
        id=id,
        language=language or "",
        kind=kind,
        country=country,
        candidates=tuple(candidates),
        split=half(id) if columns.split is None else _text(row, columns.split),
        prompt=_fill(row, columns.prompt),
        separator=constants.separator,
        topic="" if columns.topic is None else _text(row, columns.topic),
        prompt_explicit=None
        if columns.prompt_explicit is None
        else _fill(row, columns.prompt_explicit),
        prompt_us=None if columns.prompt_us is None else _fill(row, columns.prompt_us),
        source=constants.source,
        licence=constants.licence,
    )


def _value(row: Row, column: str) -> Any:
    if column in row.values or "." not in column:
        return row.cell(column)
    first, *rest = column.split(".")
    value = row.cell(first)
    for name in rest:
        if not isinstance(value, dict) or name not in value:
            inside = value if isinstance(value, dict) else ()
            raise MechclaError(
                f"column {column!r}: {first!r} has no {name!r}; {nearest(name, inside)}"
            )
        value = value[name]
    return value


def _text(row: Row, column: str) -> str:
    value = _value(row, column)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not value.strip():
        raise MechclaError(f"column {column!r} is {clip(value)}; expected a text")
    return value


def _fill(row: Row, template: str) -> str:
    # One pass, so that braces inside a cell stay what they are.
    return (
        _SLOT.sub(lambda slot: _text(row, slot[1]), template)
        if _SLOT.search(template)
        else _text(row, template)
    )


def _choices(row: Row, columns: str | Sequence[str]) -> dict[int, str]:
    """Texts by place. An empty cell among several columns is a choice that this question does not
    have.
    """
    if not isinstance(columns, str):
        cells = {place: _value(row, column) for place, column in enumerate(columns)}
        return {
            place: _text(row, columns[place])
            for place, cell in cells.items()
            if cell not in (None, "")
        }
    found = _value(row, columns)
    if not isinstance(found, list):
        raise MechclaError(
            f"column {columns!r} is {clip(found)}; "
            "expected a list of answers (or name several columns)"
        )
    for place, text in enumerate(found):
        if not isinstance(text, str) or not text.strip():
            raise MechclaError(
                f"column {columns!r}: answer {place} is {clip(text)}; expected a text"
            )
    return dict(enumerate(found))


def _countries(
    row: Row, columns: str | Sequence[str] | None, choices: dict[int, str]
) -> dict[int, str | None]:
    if columns is None:
        return dict.fromkeys(choices)
    if isinstance(columns, str):
        found = _value(row, columns)
    else:
        found = [_value(row, column) for column in columns]
    if not isinstance(found, list) or len(found) <= max(choices, default=0):
        raise MechclaError(
            f"column {columns!r} is {clip(found)}; "
            f"expected a country for each of the {len(choices)} answers"
        )
    return {place: found[place] or None for place in choices}


def _right(row: Row, columns: Columns, choices: dict[int, str]) -> int:
    """The place of the right answer. Raises MechclaError if there is none or the answer can be read
    in two ways.
    """
    value, name, how = _value(row, columns.answer), columns.answer, columns.answer_is
    numeric = isinstance(value, int) and not isinstance(value, bool)
    digits = numeric or (isinstance(value, str) and value.strip().isdecimal())
    text = value.strip() if isinstance(value, str) else str(value)
    places: dict[str, int] = {}
    if digits and how in ("index", "index1"):
        places[how] = int(text) - (how == "index1")
    if numeric and how == "auto":
        places["index"] = int(text)
    if (
        how in ("auto", "letter")
        and not numeric
        and len(text) == 1
        and text.upper() in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    ):
        places["letter"] = ord(text.upper()) - ord("A")
    if how in ("auto", "text") and not numeric:
        same = [place for place, choice in choices.items() if choice.strip() == text]
        if len(same) > 1:
            raise MechclaError(
                f"column {name!r} is {clip(value)}, which {len(same)} of the answers are: "
                f"{clip(choices)}"
            )
        if same:
            places["text"] = same[0]
    if "text" in places and places.get("letter", 0) not in choices:
        del places["letter"]
    if len(set(places.values())) > 1:
        raise MechclaError(
            f"column {name!r} is {clip(value)}, a letter and one of the answers; "
            "say answer_is='letter' or 'text'"
        )
    if places and (place := next(iter(places.values()))) in choices:
        return place
    if digits and how == "auto":
        hint = (
            "; if answers are counted from 1, say answer_is='index1'"
            if numeric
            else "; say answer_is='index' or 'index1'"
        )
    else:
        hint = (
            f"; {nearest(text, choices.values(), 6)}"
            if how in ("auto", "text")
            else f"; answer_is is {how!r}"
        )
    raise MechclaError(
        f"column {name!r} is {clip(value)}, which is none of the {len(choices)} answers{hint}"
    )
