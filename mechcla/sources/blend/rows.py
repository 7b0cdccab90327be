"""One question as one region answered it: what the published folder and the Hugging Face copy are
both turned into.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mechcla.errors import MechclaError, nearest
from mechcla.items.open_item import AnswerGroup
from mechcla.items.texts import clip, text_fault
from mechcla.sources.blend.regions import Region

PROMPT_ID = "inst-4"  # the authors' own neutral prompt; the pers-* prompts name the country
MAX_UNANSWERED, MAX_IDK = 3, 5  # the official filter drops an item from these counts on
QUESTION_COLUMNS = ("ID", "Topic", "Question", "Translation")
PROMPT_COLUMNS = ("id", "English", "Translation")
ANNOTATION_FIELDS = ("annotations", "idks")
_ENGLISH = re.compile(r"\b(what|which|who|where|when|how|does|people|the|usually)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Row:
    """One question in one region. `groups` are sorted by votes; blank answers are dropped."""

    id: str
    topic: str
    local: str
    english: str
    groups: tuple[AnswerGroup, ...]
    unanswered: int
    idk: int

    @property
    def invalid(self) -> str | None:
        """Why the official filter drops this item, or None if it is valid."""
        if self.unanswered >= MAX_UNANSWERED:
            return "no-answer or not-applicable three times or more"
        if self.idk >= MAX_IDK:
            return "idk five times or more"
        return None if self.groups else "no annotation"


@dataclass(frozen=True)
class RegionRows:
    """All questions of one region by id, and the prompt that they are asked in ("{q}" is the
    question's place).
    """

    region: Region
    rows: Mapping[str, Row]
    prompt: str
    prompt_english: str


def clean(text: str) -> str:
    """NFC, without byte-order marks and zero-width spaces (joiners stay), single spaces and none at
    the ends.
    """
    return " ".join(
        unicodedata.normalize("NFC", text).replace("\ufeff", "").replace("\u200b", "").split()
    )


def make_region(
    region: Region,
    questions: Sequence[Mapping[str, Any]],
    annotations: Mapping[str, Mapping[str, Any]],
    prompts: Sequence[Mapping[str, Any]],
    where: tuple[str, str, str],
) -> RegionRows:
    """The rows of one region from its three tables; `where` names them in messages.

    Raises MechclaError that names table, row and column for a missing column, a value of another
    type, an id that stands in one table only, or a table whose language columns cannot be told
    apart.
    """
    question_file, annotation_file, prompt_file = where
    _check_columns(questions, QUESTION_COLUMNS, question_file)
    local, english = language_columns(questions, region, question_file)
    rows = {}
    for number, raw in enumerate(questions, start=2):
        place = f"{question_file}, row {number}"
        id_ = clean(_text(raw, "ID", place))
        if not id_:
            raise MechclaError(f"{place}: 'ID' is empty; download the file again")
        if id_ in rows:
            raise MechclaError(
                f"{place}: ID {id_!r} stands twice; each question stands once in a region"
            )
        if id_ not in annotations:
            raise MechclaError(
                f"{place}: ID {id_!r} is not in {annotation_file}; "
                f"{nearest(id_, annotations, 3)}. Take both from one release"
            )
        rows[id_] = _row(
            id_, raw, annotations[id_], (local, english), place, f"{annotation_file}, {id_!r}"
        )
    if extra := [id_ for id_ in annotations if id_ not in rows]:
        raise MechclaError(
            f"{annotation_file}: {extra[0]!r} ({len(extra)} in all) is not in {question_file}. "
            "Take both from one release"
        )
    prompt, prompt_english = _prompts(prompts, prompt_file)
    return RegionRows(region, rows, prompt, prompt_english)


def language_columns(
    questions: Sequence[Mapping[str, Any]], region: Region, where: str
) -> tuple[str, str]:
    """Which of the columns Question and Translation is (local, English); both layouts have been
    published.

    Told from the content: the column that reads as English, or, in the US and the UK, the one that
    says "the US" where the other says "US" or "your country". Raises MechclaError where neither
    stands out.
    """
    texts = {
        name: [str(row.get(name) or "") for row in questions]
        for name in ("Question", "Translation")
    }
    if region.language == "en":
        named = re.compile(rf"\b{re.escape(region.english)}\b")
        share = {name: sum(bool(named.search(t)) for t in column) for name, column in texts.items()}
        if share["Question"] == share["Translation"] and texts["Question"] != texts["Translation"]:
            raise MechclaError(
                f"{where}: cannot tell which of Question and Translation is the local one; "
                f"both name {region.english!r} {share['Question']} times"
            )
        return (
            ("Question", "Translation")
            if share["Question"] >= share["Translation"]
            else ("Translation", "Question")
        )
    filled = {name: [t for t in column if t.strip()] or [""] for name, column in texts.items()}
    share_en = {
        name: sum(len(set(_ENGLISH.findall(t.lower()))) >= 2 for t in column) / len(column)
        for name, column in filled.items()
    }
    english = max(share_en, key=lambda name: share_en[name])
    local = "Translation" if english == "Question" else "Question"
    if share_en[english] < 0.6 or share_en[local] > 0.3:
        raise MechclaError(
            f"{where}: expected English in one of the columns Question and Translation "
            f"and {region.file}'s language in the other; "
            f"{share_en['Question']:.0%} of Question "
            f"and {share_en['Translation']:.0%} of Translation read as English"
        )
    return local, english


def _row(
    id_: str,
    raw: Mapping[str, Any],
    note: Mapping[str, Any],
    columns: tuple[str, str],
    place: str,
    note_place: str,
) -> Row:
    for name in ANNOTATION_FIELDS:
        if not isinstance(note, Mapping) or name not in note:
            known = list(note) if isinstance(note, Mapping) else []
            raise MechclaError(
                f"{note_place}: the field {name!r} is missing; {nearest(name, known)}"
            )
    groups = [
        _group(g, f"{note_place}, annotation {n}")
        for n, g in enumerate(note["annotations"] or (), start=1)
    ]
    idks = note["idks"] or {}
    counts = {name: idks.get(name) or 0 for name in ("no-answer", "not-applicable", "idk")}
    # Other keys are annotators' remarks, which the official filter ignores too.
    for name, value in counts.items():
        if not isinstance(value, int):
            raise MechclaError(
                f"{note_place}: idks[{name!r}] is {value!r}; expected a number of annotators"
            )
    return Row(
        id=id_,
        topic=clean(_text(raw, "Topic", place)),
        local=clean(_text(raw, columns[0], place)),
        english=clean(_text(raw, columns[1], place)),
        # Stable: ties keep their order.
        groups=tuple(sorted((g for g in groups if g), key=lambda g: -g.count)),
        unanswered=counts["no-answer"] + counts["not-applicable"],
        idk=counts["idk"],
    )


def _group(raw: Any, place: str) -> AnswerGroup | None:
    for name, kind in (("answers", list), ("en_answers", list), ("count", int)):
        value = raw.get(name) if isinstance(raw, Mapping) else raw
        if not isinstance(value, kind):
            raise MechclaError(
                f"{place}: {name!r} is {value!r}; "
                f"expected {'a list of texts' if kind is list else 'a number of votes'}"
            )
    texts = []
    for name in ("answers", "en_answers"):
        if bad := [a for a in raw[name] if not isinstance(a, str)]:
            raise MechclaError(f"{place}: {name!r} holds {bad[0]!r}; expected texts")
        for answer in raw[name]:
            if fault := text_fault(answer):
                raise MechclaError(f"{place}: {name!r} holds {clip(answer)}, which {fault}")
        texts.append(tuple(dict.fromkeys(c for a in raw[name] if (c := clean(a)))))
    return AnswerGroup(texts[0], texts[1], raw["count"]) if any(texts) else None


def _prompts(prompts: Sequence[Mapping[str, Any]], where: str) -> tuple[str, str]:
    _check_columns(prompts, PROMPT_COLUMNS, where)
    found = [row for row in prompts if clean(_text(row, "id", where)) == PROMPT_ID]
    if not found:
        raise MechclaError(
            f"{where} has no row with id {PROMPT_ID!r}; "
            f"{nearest(PROMPT_ID, [r['id'] for r in prompts], 20)}"
        )
    texts = []
    # The last such row counts: one published file has the prompt twice.
    for name in ("Translation", "English"):
        text = unicodedata.normalize("NFC", _text(found[-1], name, where)).strip()
        text = "\n".join(line.strip() for line in text.replace("\r\n", "\n").split("\n"))
        if text.count("{q}") != 1 or text.endswith("{q}"):
            raise MechclaError(
                f"{where}, {PROMPT_ID!r}, column {name!r} is {text!r}; "
                "expected one '{q}' and an answer cue after it"
            )
        texts.append(text)
    return texts[0], texts[1]


def _check_columns(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], where: str) -> None:
    if not rows:
        raise MechclaError(f"{where} has no rows; download it again")
    for name in columns:
        if name not in rows[0]:
            raise MechclaError(
                f"{where} has no column {name!r}; {nearest(name, [c for c in rows[0] if c])}"
            )


def _text(row: Mapping[str, Any], name: str, place: str) -> str:
    value = row.get(name)
    if not isinstance(value, str):
        raise MechclaError(
            f"{place}: column {name!r} is {value!r}; expected a text. Is the file complete?"
        )
    if fault := text_fault(value):
        raise MechclaError(
            f"{place}: column {name!r} is {clip(value)}, which {fault} Download it again"
        )
    return value
