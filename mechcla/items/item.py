"""Item and Candidate: the one schema every data source is turned into.

The fields are in docs/items.md.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any

from mechcla.errors import MechclaError, nearest, unknown
from mechcla.items.texts import check_language, clip, id_fault, text_fault

Kind = str  # one of KINDS; these names are checked when an Item is made
Split = str  # one of SPLITS
Role = str  # one of ROLES of the kind
PromptForm = str  # one of FORMS

PIVOT = "en"  # the language that others are paired with; it is not steered
KINDS: tuple[str, ...] = ("universal", "cultural")
HALVES: tuple[str, ...] = ("dev", "test")  # what a set of questions is divided into
CONFIRM = "confirm"  # new items, for one look at a choice that was frozen before them
SPLITS: tuple[str, ...] = (*HALVES, CONFIRM)
# No cue, the item's own country named, the United States named.
FORMS: tuple[str, ...] = ("implicit", "explicit", "us")
_TEXTS = {"implicit": "prompt", "explicit": "prompt_explicit", "us": "prompt_us"}
ROLES = {"universal": ("correct", "wrong"), "cultural": ("local", "english", "other")}
RIGHT = {"universal": "correct", "cultural": "local"}


@dataclass(frozen=True, slots=True)
class Candidate:
    """One answer that an item offers: its role and, if cultural, whose answer it is."""

    text: str
    role: Role
    country: str | None = None


@dataclass(frozen=True)
class Item:
    """One question in one language, with its candidates.

    `prompt` ends where the answer begins; a candidate is scored as `separator + text` after it.
    `language` is a code of 1 to 35 letters, digits, "-" and "_", and not "all"; `id` any text of at
    most 512 characters without control characters. No text holds half a character or NUL. Raises
    MechclaError if a field is missing, empty, of another type, or contradicts another one.

    >>> Item(id="cap", language="en", kind="universal", split="dev",
    ...      prompt="The capital of Japan is",
    ...      candidates=(Candidate("Tokyo", "correct"), Candidate("Lima", "wrong"))).right
    0
    """

    id: str
    language: str
    kind: Kind
    split: Split
    prompt: str
    candidates: tuple[Candidate, ...]
    country: str | None = None
    topic: str = ""
    prompt_explicit: str | None = None
    prompt_us: str | None = None
    separator: str = " "
    source: str = ""
    licence: str = ""

    def __post_init__(self) -> None:
        check_language(self.language, f"item {clip(self.id)}")
        for name in ("id", "prompt"):
            value = getattr(self, name)
            if not isinstance(value, str) or not value.strip():
                raise MechclaError(
                    f"{self.label}: {name!r} is {clip(value)}; expected a non-empty text"
                )
        for name, default in OPTIONAL.items():
            value, nothing = getattr(self, name), default is None
            if not (isinstance(value, str) or (nothing and value is None)) or (
                name in ("prompt_explicit", "prompt_us") and value == ""
            ):
                raise MechclaError(
                    f"{self.label}: {name!r} is {clip(value)}; expected a text"
                    + (" or nothing" if nothing else "")
                )
        for name, known in (("kind", KINDS), ("split", SPLITS)):
            if getattr(self, name) not in known:
                value = getattr(self, name)
                raise MechclaError(
                    f"{self.label}: {name!r} is {clip(value)}; "
                    f"{nearest(value if isinstance(value, str) else '', known)}"
                )
        for name, value in self._texts():
            if fault := id_fault(value) if name == "'id'" else text_fault(value):
                raise MechclaError(f"{self.label}: {name} is {clip(value)}, which {fault}")
        roles = ROLES[self.kind]
        for candidate in self.candidates:
            if not isinstance(candidate.text, str) or not candidate.text.strip():
                raise MechclaError(
                    f"{self.label}: a candidate's text is {clip(candidate.text)}; expected a text"
                )
            if not (candidate.country is None or isinstance(candidate.country, str)):
                raise MechclaError(
                    f"{self.label}: the country of candidate {candidate.text!r} is "
                    f"{clip(candidate.country)}; expected a text or nothing"
                )
            if candidate.role not in roles:
                raise MechclaError(
                    f"{self.label}: candidate {candidate.text!r} has role {candidate.role!r}; "
                    f"a {self.kind} item's roles are {', '.join(roles)}"
                )
        right = [c.text for c in self.candidates if c.role == RIGHT[self.kind]]
        if len(right) != 1 or len(self.candidates) < 2:
            raise MechclaError(
                f"{self.label}: {len(self.candidates)} candidates "
                f"of which {len(right)} have role {RIGHT[self.kind]!r} {right}; "
                "expected at least 2 candidates and exactly 1 of them"
            )

    @property
    def label(self) -> str:
        """How messages name this item."""
        return f"item {clip(self.id)} ({self.language})"

    def _texts(self) -> Iterator[tuple[str, str]]:
        """Every text of the item and its candidates, with the field's name as messages say it."""
        for field in fields(self):
            if isinstance(value := getattr(self, field.name), str):
                yield repr(field.name), value
        for place, candidate in enumerate(self.candidates):
            for field in fields(candidate):
                if isinstance(value := getattr(candidate, field.name), str):
                    yield f"{field.name!r} of candidate {place}", value

    @property
    def right(self) -> int:
        """Index of the candidate that counts: `correct` (universal) or `local` (cultural)."""
        return next(i for i, c in enumerate(self.candidates) if c.role == RIGHT[self.kind])

    def prompt_text(self, form: PromptForm = "implicit") -> str:
        """The prompt in the form asked for. Universal items have one form only.

        Raises MechclaError for an unknown form, and for a cultural item without a text for it.
        """
        if form not in FORMS:
            raise unknown("prompt form", form, FORMS)
        text = self.prompt if self.kind == "universal" else getattr(self, _TEXTS[form])
        # An American item names its own country.
        if form == "us" and text is None and self.country == "US":
            text = self.prompt_explicit
        if text is None:
            raise MechclaError(
                f"{self.label} has no {_TEXTS[form]!r}, which prompt={form!r} scores"
            )
        return text

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of docs/items.md; empty optional fields are left out."""
        row = asdict(self)
        row["candidates"] = [
            {k: v for k, v in c.items() if v is not None} for c in row["candidates"]
        ]
        return {k: v for k, v in row.items() if v not in (None, "")} | {"separator": self.separator}

    @classmethod
    def from_dict(cls, row: Any) -> Item:
        """The inverse of `to_dict`. Raises MechclaError for unknown or missing fields."""
        if not isinstance(row, dict):
            raise MechclaError(f"an item is a JSON object, not {type(row).__name__}: {clip(row)}")
        named = f"item {clip(row.get('id', '?'))}"
        _check_fields(row, cls, named)
        if not isinstance(row["candidates"], list | tuple):
            raise MechclaError(
                f"{named}: 'candidates' is {clip(row['candidates'])}; expected a list of objects"
            )
        candidates = []
        for raw in row["candidates"]:
            if not isinstance(raw, dict):
                raise MechclaError(f"{named}: a candidate is a JSON object, not {clip(raw)}")
            _check_fields(raw, Candidate, f"a candidate of {named}")
            candidates.append(Candidate(**_shared(raw)))
        return cls(**{**_shared(row), "candidates": tuple(candidates)})


# The fields of an item that a file may leave out, with what they then are.
OPTIONAL = {f.name: f.default for f in fields(Item) if f.default is not MISSING}


# What many items have alike: held once for all of them, since every item of a run is in memory.
_ALIKE = frozenset(
    (
        "id",
        "language",
        "kind",
        "split",
        "country",
        "topic",
        "role",
        "separator",
        "source",
        "licence",
    )
)


def _shared(row: dict[str, Any]) -> dict[str, Any]:
    return {k: sys.intern(v) if k in _ALIKE and type(v) is str else v for k, v in row.items()}


def _check_fields(row: dict[str, Any], cls: type, where: str) -> None:
    known = [f.name for f in fields(cls)]
    for name in row:
        if name not in known:
            raise unknown("field", name, known, 20, where=str(where))
    missing = [name for name in known if name not in OPTIONAL and name not in row]
    if missing:
        raise MechclaError(
            f"{where} lacks the field {missing[0]!r}; it has {', '.join(row) or 'none'}"
        )
