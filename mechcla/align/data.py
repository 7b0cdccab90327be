"""What alignment methods train on: parallel facts and preference pairs, each with its place."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mechcla.errors import MechclaError, nearest
from mechcla.items.item import PIVOT
from mechcla.items.texts import check_language, text_fault
from mechcla.sources.tables import Row, read_rows
from mechcla.storage import sha256

Texts = Mapping[str, str]


@dataclass(frozen=True)
class ParallelFact:
    """One fact in several languages: as a question with its answer, as a sentence, or both.

    Each maps a language to a text; `questions` and `answers` have the same languages. where: the
    file and row, for messages. Raises MechclaError that names it for a text that is empty or
    cannot be tokenized, or a question without an answer.

    >>> ParallelFact("water", "chemistry", {}, {}, {"en": "Ice is frozen water."}).languages
    ('en',)
    """

    id: str
    topic: str
    questions: Texts = field(default_factory=dict, repr=False)
    answers: Texts = field(default_factory=dict, repr=False)
    sentences: Texts = field(default_factory=dict, repr=False)
    source: str = field(default="", repr=False)
    licence: str = field(default="", repr=False)
    where: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        where = self.where or f"fact {self.id!r}"
        for name in ("questions", "answers", "sentences"):
            for language, text in getattr(self, name).items():
                check_language(language, where)
                if not isinstance(text, str) or not text.strip():
                    raise MechclaError(
                        f"{where} has no text in {language!r} under {name!r} (it is {text!r}); "
                        "expected the same in every language, or leave the row out"
                    )
                if fault := text_fault(text):
                    raise MechclaError(f"{where}: the text in {language!r} {fault}")
        if odd := sorted(set(self.questions) ^ set(self.answers)):
            raise MechclaError(
                f"{where} has a question or an answer alone in {', '.join(odd)}; expected both"
            )

    @property
    def languages(self) -> tuple[str, ...]:
        """Every language that has any text, in order of first appearance."""
        return tuple(dict.fromkeys([*self.questions, *self.sentences]))

    def record(self) -> dict[str, Any]:
        """The fact as one JSON object, as `read_facts` reads it."""
        return {
            "id": self.id,
            "topic": self.topic,
            "questions": dict(self.questions),
            "answers": dict(self.answers),
            "sentences": dict(self.sentences),
            "source": self.source,
            "licence": self.licence,
        }


@dataclass(frozen=True)
class Preference:
    """A prompt with the answer to prefer and the one not to, in the prompt's language or another.

    fit: whether CLO also fine-tunes on the chosen answer, which it does in target languages.
    """

    id: str
    language: str
    prompt: str = field(repr=False)
    chosen: str = field(repr=False)
    rejected: str = field(repr=False)
    fit: bool = True
    where: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        where = self.where or f"preference {self.id!r}"
        for name in ("prompt", "chosen", "rejected"):
            text = getattr(self, name)
            if not isinstance(text, str) or not text.strip():
                raise MechclaError(f"{where} has no {name!r} (it is {text!r}); expected a text")
            if fault := text_fault(text):
                raise MechclaError(f"{where}: {name!r} {fault}")
        if self.chosen == self.rejected:
            raise MechclaError(
                f"{where}: 'chosen' and 'rejected' are both {self.chosen!r:.60}; a preference "
                "needs two answers that differ"
            )


@dataclass(frozen=True)
class TrainingData:
    """Facts, or preference pairs, or both, in the languages that training uses; English first.

    name: what the data are called in messages and records.
    """

    name: str
    languages: tuple[str, ...]
    facts: tuple[ParallelFact, ...] = field(default=(), repr=False)
    preferences: tuple[Preference, ...] = field(default=(), repr=False)

    @property
    def digest(self) -> str:
        """SHA-256 over every text that training may see, with its language and id."""
        parts = [",".join(self.languages)]
        parts += [json.dumps(f.record(), sort_keys=True, ensure_ascii=False) for f in self.facts]
        for p in self.preferences:
            parts += [p.id, p.language, p.prompt, p.chosen, p.rejected, str(p.fit)]
        return sha256(*parts)

    @property
    def others(self) -> tuple[str, ...]:
        """The languages beside English."""
        return tuple(language for language in self.languages if language != PIVOT)

    def texts(self) -> Iterable[tuple[str, str, str]]:
        """Every text: where it stands, its language, the text."""
        for fact in self.facts:
            for texts in (fact.questions, fact.answers, fact.sentences):
                yield from ((fact.where or fact.id, lang, text) for lang, text in texts.items())
        for p in self.preferences:
            yield from ((p.where or p.id, p.language, t) for t in (p.prompt, p.chosen, p.rejected))


def training_data(
    name: str,
    facts: Sequence[ParallelFact] = (),
    preferences: Sequence[Preference] = (),
    languages: Sequence[str] | None = None,
) -> TrainingData:
    """The data in these languages beside English; default: in all that they have.

    Raises MechclaError where there are none, or a language has no text.
    """
    if not facts and not preferences:
        raise MechclaError(f"{name} holds nothing to train on; expected at least one row")
    there = dict.fromkeys(lang for fact in facts for lang in fact.languages)
    there |= dict.fromkeys(p.language for p in preferences)
    wanted = list(languages or there)
    if PIVOT not in wanted and (facts or PIVOT in there):  # pairs of one language need no English
        wanted = [PIVOT, *wanted]
    for language in wanted:
        if language not in there:
            raise MechclaError(
                f"{name} has no text in language {language!r}; {nearest(language, there, 40)}"
            )
    kept = tuple(sorted(wanted, key=lambda lang: (lang != PIVOT, wanted.index(lang))))
    return TrainingData(
        name,
        kept,
        tuple(_only(fact, kept) for fact in facts if set(fact.languages) & set(kept)),
        tuple(p for p in preferences if p.language in kept),
    )


def _only(fact: ParallelFact, languages: tuple[str, ...]) -> ParallelFact:
    def kept(texts: Texts) -> Texts:
        return {lang: texts[lang] for lang in languages if lang in texts}

    return ParallelFact(
        fact.id,
        fact.topic,
        kept(fact.questions),
        kept(fact.answers),
        kept(fact.sentences),
        fact.source,
        fact.licence,
        fact.where,
    )


def align_data_folder() -> Path:
    """Where the shipped facts lie: inside an installed wheel, or in data/align of a checkout."""
    here = Path(__file__).resolve().parent
    for folder in (here / "demo_facts", here.parent.parent / "data" / "align"):
        if folder.is_dir():
            return folder
    raise MechclaError(
        "the alignment facts "
        f"are missing from this installation (looked in {here / 'demo_facts'}); reinstall mechcla"
    )


def demo_facts() -> tuple[ParallelFact, ...]:
    """The shipped parallel facts, in seven languages (data/align/README.md)."""
    return read_facts(align_data_folder() / "facts.jsonl")


def read_facts(path: Path) -> tuple[ParallelFact, ...]:
    """Facts from JSON Lines, as `ParallelFact.record` writes them.

    Raises MechclaError that names the line.
    """
    return tuple(fact_of(row) for row in read_rows(path))


def fact_of(row: Row) -> ParallelFact:
    """The fact that a row holds. Raises MechclaError that names the row."""
    id_ = str(row.cell("id"))
    maps: dict[str, Any] = {
        name: row.values.get(name) or {} for name in ("questions", "answers", "sentences")
    }
    for name, value in maps.items():
        if not isinstance(value, Mapping):
            raise MechclaError(
                f"{row.where}: {name!r} is {value!r:.60}; expected an object from language to text"
            )
    about: dict[str, Any] = {
        name: str(row.values.get(name) or "") for name in ("topic", "source", "licence")
    }
    return ParallelFact(id_, **maps, **about, where=row.where)
