"""Items from questions: joined across languages by sample_id, filtered, and put into words. Pure
functions.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from mechcla.errors import MechclaError
from mechcla.items.item import Candidate, Item
from mechcla.items.item_set import ItemSet
from mechcla.sources.global_mmlu.cues import LANGUAGES
from mechcla.sources.global_mmlu.questions import DATASET, LETTERS, Question
from mechcla.sources.loaded import LeftOut
from mechcla.sources.splits import half, sample

FORMS: tuple[str, ...] = ("cloze", "letters")
LICENCE = "Apache-2.0"
Questions: TypeAlias = Mapping[str, Mapping[str, Question]]  # [language][sample_id]
# sample_ids by language; a language without any is left out
Ids: TypeAlias = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class GlobalMMLUReport:
    """What became of the questions. Each mapping is sample_ids by language.

    Left out, in every language: `missing` (not in that language), `empty` (its question or one of
    its options has no text), `equal` (two of its options are the same text; cloze only). Not asked
    for: `not_english` (in that language and not in English). Kept all the same, and worth a look:
    `other_answer` (another letter is right than in English), `other_label` (labelled otherwise than
    in English, whose label decides), `equal` in the letters form. `other_subject` are kept too:
    their shots had to be filled from other subjects.
    """

    subset: str
    form: str
    languages: tuple[str, ...]
    asked: int
    kept: int
    items: int
    missing: Ids
    empty: Ids
    equal: Ids
    not_english: Ids
    other_answer: Ids
    other_label: Ids
    other_subject: tuple[str, ...]

    @property
    def dropped(self) -> int:
        """How many English questions of the subset are left out (before `limit`)."""
        return self.asked - self.kept

    @property
    def remarks(self) -> tuple[tuple[str, Ids, bool], ...]:
        """What there is to say, without what does not occur: in words, of which questions, and
        whether they are left out.
        """
        kept = self.form == "letters"
        said = (
            ("not in this language", self.missing, True),
            ("an empty question or option", self.empty, True),
            ("two options are equal" + (" (kept)" if kept else ""), self.equal, not kept),
            ("not in English (never asked for)", self.not_english, True),
            ("another right letter than in English (kept)", self.other_answer, False),
            ("another label than in English (kept)", self.other_label, False),
            ("with shots of other subjects", {"": self.other_subject}, False),
        )
        return tuple(one for one in said if any(one[1].values()))

    @property
    def left_out(self) -> tuple[LeftOut, ...]:
        """Every question that is no item, once per language with the fault."""
        return tuple(
            LeftOut(id, what, language)
            for what, found, out in self.remarks
            if out
            for language, ids in found.items()
            for id in ids
        )

    def __str__(self) -> str:
        lines = [
            f"Global-MMLU {self.subset}, {self.form}: {self.kept} of {self.asked} questions kept, "
            f"{self.items} items in {' '.join(self.languages)}"
        ]
        for what, found, _ in self.remarks:
            lines += [
                f"{language}{': ' if language else ''}{len(ids)} {what}: {_first(ids)}"
                for language, ids in found.items()
            ]
        return "; ".join(lines)


def _first(ids: tuple[str, ...], n: int = 3) -> str:
    return ", ".join(ids[:n]) + (", ..." if len(ids) > n else "")


def same_option(question: Question) -> bool:
    """Whether two options are one text after NFC, case folding and stripping, so that no likelihood
    can tell them apart.
    """
    plain = [unicodedata.normalize("NFC", option).casefold().strip() for option in question.options]
    return len(set(plain)) < len(plain)


def build(
    questions: Questions, shots: Questions, subset: str, form: str, n_shots: int, limit: int | None
) -> tuple[ItemSet, GlobalMMLUReport]:
    """The items of every language, English first, and the report. `questions` and `shots` hold
    "en".

    Raises MechclaError if no question is left, if a question is its own shot, or if there are too
    few shots.
    """
    english = questions["en"]
    others = [language for language in questions if language != "en"]
    asked = [id for id, q in english.items() if subset in ("all", q.label)]
    missing = _by_language(questions, asked, lambda q, _: q is None)
    present = [id for id in asked if all(id in questions[language] for language in others)]
    empty = _by_language(questions, present, lambda q, _: q is not None and q.empty)
    full = _without(present, empty)
    equal = _by_language(questions, full, lambda q, _: q is not None and same_option(q))
    kept = _without(full, equal) if form == "cloze" else full
    outside = {
        language: tuple(
            id
            for id, q in questions[language].items()
            if id not in english and subset in ("all", q.label)
        )
        for language in others
    }
    chosen = kept if limit is None else sample(kept, limit)
    examples = _Examples(shots, form, n_shots)
    report = GlobalMMLUReport(
        subset,
        form,
        tuple(questions),
        len(asked),
        len(kept),
        len(chosen) * len(questions),
        missing,
        empty,
        equal,
        {language: ids for language, ids in outside.items() if ids},
        _by_language(questions, full, lambda q, en: q is not None and q.answer != en.answer),
        _by_language(questions, full, lambda q, en: q is not None and q.label != en.label),
        tuple(id for id in chosen if examples.from_elsewhere(english[id].subject)),
    )
    if not chosen:
        raise MechclaError(f"no question is left: {report}")
    if leaked := examples.ids & set(chosen):
        raise MechclaError(
            f"{len(leaked)} questions are in dev and in test, "
            f"so a shot would give its own answer away: {min(leaked)!r}"
        )
    items = [
        _item(questions[language][id], language, form, examples.text(language, english[id].subject))
        for language in questions
        for id in chosen
    ]
    return ItemSet(tuple(items)), report


def _by_language(
    questions: Questions, ids: Iterable[str], fault: Callable[[Question | None, Question], bool]
) -> Ids:
    """The ids whose row in a language (None if it has none) has the fault, beside English."""
    english, ids = questions["en"], list(ids)
    found = {
        language: tuple(id for id in ids if fault(rows.get(id), english[id]))
        for language, rows in questions.items()
    }
    return {language: bad for language, bad in found.items() if bad}


def _without(ids: Iterable[str], faults: Ids) -> list[str]:
    bad = {id for found in faults.values() for id in found}
    return [id for id in ids if id not in bad]


def block(question: Question, language: str, form: str) -> str:
    """A question up to and including its answer cue. "letters" is MMLU's layout (Hendrycks et al.
    2021) without its English heading; the cue is ours.

    >>> print(block(Question("x", "s", "1 + 1?", ("1", "2", "3", "4"), 1, ""), "es", "letters"))
    1 + 1?
    A. 1
    B. 2
    C. 3
    D. 4
    Respuesta:
    """
    lines = [question.text.strip()]
    if form == "letters":
        lines += [
            f"{letter}. {option.strip()}"
            for letter, option in zip(LETTERS, question.options, strict=True)
        ]
    return "\n".join([*lines, LANGUAGES[language].cue])


def _answers(question: Question, form: str) -> tuple[str, ...]:
    return (
        tuple(LETTERS)
        if form == "letters"
        else tuple(option.strip() for option in question.options)
    )


def _item(question: Question, language: str, form: str, shots: str) -> Item:
    candidates = tuple(
        Candidate(text, "correct" if place == question.answer else "wrong")
        for place, text in enumerate(_answers(question, form))
    )
    return Item(
        id=question.id,
        language=language,
        kind="universal",
        split=half(question.id),
        prompt=shots + block(question, language, form),
        candidates=candidates,
        topic=question.subject,
        separator=LANGUAGES[language].separator,
        source=DATASET,
        licence=LICENCE,
    )


class _Examples:
    """Answered questions to stand in front: the same ones in every language, of the question's
    subject where there are enough.
    """

    def __init__(self, shots: Questions, form: str, n: int) -> None:
        self.shots, self.form, self.n = shots, form, n
        self.texts: dict[tuple[str, str], str] = {}
        self.usable = [
            q
            for id, q in (shots.get("en", {}).items() if n else ())
            if all(id in rows and not rows[id].empty for rows in shots.values())
            and (form == "letters" or not any(same_option(rows[id]) for rows in shots.values()))
        ]
        self.ids = {q.id for q in self.usable}
        if len(self.usable) < n:
            raise MechclaError(
                f"shots={n}, but the dev questions hold {len(self.usable)} usable ones "
                f"that are in each of {', '.join(shots)}"
            )

    def from_elsewhere(self, subject: str) -> bool:
        """Whether a question of this subject needs shots of another one."""
        return sum(q.subject == subject for q in self.usable) < self.n

    def text(self, language: str, subject: str) -> str:
        """What stands before a question of this subject, in this language."""
        key = (language, subject)
        if key not in self.texts:
            # Stable: the data's order within each.
            near = sorted(self.usable, key=lambda q: q.subject != subject)[: self.n]
            rows, gap = [self.shots[language][q.id] for q in near], LANGUAGES[language].separator
            self.texts[key] = "".join(
                f"{block(q, language, self.form)}{gap}{_answers(q, self.form)[q.answer]}\n\n"
                for q in rows
            )
        return self.texts[key]
