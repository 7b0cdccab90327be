"""From LocQA's questions to items and open questions, with what was left out and why."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mechcla.items.item import Candidate, Item
from mechcla.items.item_set import ItemSet
from mechcla.items.open_item import AnswerGroup, OpenItem
from mechcla.sources.global_mmlu.cues import LANGUAGES as CUES
from mechcla.sources.loaded import LeftOut
from mechcla.sources.locqa.answers import (
    OWN,
    American,
    alike,
    american,
    american_text,
    numbers,
)
from mechcla.sources.locqa.places import LANGUAGES, US, Place
from mechcla.sources.locqa.read import Question
from mechcla.sources.locqa.report import LocQAReport, PlaceReport
from mechcla.sources.locqa.values import carry, parse
from mechcla.sources.splits import half

SOURCE, LICENCE = "LocQA", "none stated"
LONGEST = 60  # characters of a candidate


@dataclass(frozen=True)
class _Asked:
    """One question of one place, and what its answers are read with."""

    question: Question
    american: American
    place: Place

    @property
    def language(self) -> str:
        return self.place.language

    def short(self, text: str) -> str:
        """The text as a candidate: of a currency its code alone, outside English and Spanish."""
        if self.language in OWN or self.american.kind != "currency":
            return text
        value = parse(text, self.language, "currency")
        return value.parts[0] if value else text

    def sharing(self, answers: Mapping[str, str], text: str) -> list[str]:
        """The places among `answers` that give this answer."""
        return [country for country, said in answers.items() if self.alike(said, text)]

    def alike(self, left: str, right: str) -> bool:
        return alike(left, right, self.language, self.american.kind)


def build_items(
    questions: Sequence[Question], places: Sequence[Place], n_other: int, seed: int
) -> tuple[ItemSet, LocQAReport]:
    """The items of these places and the report of what was left out."""
    found = {q.id: american(q) for q in questions}
    items: list[Item] = []
    reports = []
    for place in places:
        made, left = [], []
        for question in questions:
            one = _Asked(question, found[question.id], place)
            result = _item(one, n_other, seed)
            if isinstance(result, str):
                left.append(LeftOut(question.id, result, place.tag))
            else:
                made.append(result)
        items += made
        english = sum(any(c.role == "english" for c in item.candidates) for item in made)
        shared = sum(
            " " in str(c.country) for item in made for c in item.candidates if c.role == "english"
        )
        reports.append(
            PlaceReport(
                tag=place.tag,
                language=place.language,
                country=place.country,
                questions=len(questions),
                made=len(made),
                with_english=english,
                shared=shared,
                test=sum(item.split == "test" for item in made),
                left_out=tuple(left),
            )
        )
    return ItemSet(tuple(items)), LocQAReport(tuple(reports))


def _item(asked: _Asked, n_other: int, seed: int) -> Item | str:
    """The item, or why there is none."""
    question, place = asked.question, asked.place
    answers = {c: a for c, a in question.answers.get(asked.language, {}).items() if a}
    own = answers.get(place.country)
    if own is None:
        return "the file has no answer (N/A)"
    us = american_text(question, asked.american, asked.language, own)
    if us is None:
        return asked.american.why or "the local answer has another form than the American one"
    local = asked.short(own)
    if max(len(local), len(us)) > LONGEST:
        return f"an answer is longer than {LONGEST} characters"
    answers = {country: asked.short(said) for country, said in answers.items()}
    chosen = [(local, "local", place.country)]
    if place.country != US and not asked.alike(local, us):
        chosen.append((us, "english", US))
    room = len(chosen) + n_other + (len(chosen) == 1)
    for country, text in _others(asked, own, answers, seed):
        if len(chosen) == room:
            break
        if all(not asked.alike(text, said) for said in (us, *(t for t, _, _ in chosen))):
            chosen.append((text, "other", country))
    if len(chosen) == 1:
        return "no answer differs from the local one"
    candidates = [
        Candidate(text, role, _whose(country, asked.sharing(answers, text)))
        for text, role, country in chosen
    ]
    candidates.sort(key=lambda c: _number(seed, question.id, place.country, c.text))
    return _make(asked, tuple(candidates))


def _others(
    asked: _Asked, own: str, answers: dict[str, str], seed: int
) -> Iterable[tuple[str, str]]:
    """Other places' answers as (country, text), in an order drawn for the question: first those of
    the language's own places, then, where the American answer is carried too, others' values.
    """
    question, kind = asked.question, asked.american.kind
    carried = asked.language not in OWN
    for country in sorted(answers, key=lambda c: _number(seed, question.id, c)):
        fits = not carried or _fits(asked, question.answers[asked.language][country])
        if country not in (asked.place.country, US) and fits and len(answers[country]) <= LONGEST:
            yield country, answers[country]
    if not carried or kind is None:
        return
    pool = {
        country: value
        for language in OWN
        for country, said in question.answers.get(language, {}).items()
        if country not in answers and country != US and said
        if (value := parse(said, language, kind))
    }
    for country in sorted(pool, key=lambda c: _number(seed, question.id, c)):
        if text := carry(pool[country], own, asked.language):
            yield country, text


def _fits(asked: _Asked, text: str | None) -> bool:
    """Whether an answer of the same language is of the question's kind too."""
    kind = asked.american.kind
    return bool(text) and kind is not None and parse(str(text), asked.language, kind) is not None


def _whose(country: str, shared: Iterable[str]) -> str:
    """The country and, after it, the others of the language that give the same answer."""
    return " ".join(dict.fromkeys((country, *shared)))


def prompts(asked_question: str, place: Place) -> tuple[str, str, str | None, str]:
    """The implicit prompt, the explicit one, the one that names the United States (None for them),
    and the separator.
    """
    language = LANGUAGES[place.language]
    answer = CUES[place.language]
    prompt = f"{asked_question}\n{answer.cue}"
    own, us = (f"{language.cue(c)}{language.joint}{prompt}" for c in (place.country, US))
    return prompt, own, None if place.country == US else us, answer.separator


def _make(asked: _Asked, candidates: tuple[Candidate, ...]) -> Item:
    question, place = asked.question, asked.place
    prompt, explicit, us, separator = prompts(question.texts[place.language], place)
    return Item(
        id=question.id,
        language=place.tag,
        kind="cultural",
        split=half(question.id),
        prompt=prompt,
        candidates=candidates,
        country=place.country,
        topic=question.topic,
        prompt_explicit=explicit,
        prompt_us=us,
        separator=separator,
        source=SOURCE,
        licence=LICENCE,
    )


def build_questions(questions: Sequence[Question], places: Sequence[Place]) -> tuple[OpenItem, ...]:
    """All questions that the file answers for these places, as short-answer questions."""
    made = []
    for place in places:
        for question in questions:
            own = question.answers.get(place.language, {}).get(place.country)
            if own is None:
                continue
            found = american(question)
            us = american_text(question, found, place.language, own)
            english = question.answers["en"].get(US)
            prompt, explicit, _, _ = prompts(question.texts[place.language], place)
            made.append(
                OpenItem(
                    id=question.id,
                    language=place.tag,
                    country=place.country,
                    split=half(question.id),
                    topic=question.topic,
                    prompt=prompt,
                    prompt_explicit=explicit,
                    groups=(AnswerGroup(spellings(own), (), 1),),
                    us_groups=(AnswerGroup(spellings(us), (english,) if english else (), 1),)
                    if us
                    else (),
                    source=SOURCE,
                    licence=LICENCE,
                )
            )
    return tuple(made)


def spellings(answer: str) -> tuple[str, ...]:
    """The answer, the same with plain digits, and its number alone where it has one of two digits
    or more.

    >>> spellings("18 ans")
    ('18 ans', '18')
    """
    plain = unicodedata.normalize("NFKC", answer)
    found = numbers(answer)
    alone = [n for n in found if len(n) > 1] if len(found) == 1 else []
    return tuple(dict.fromkeys((answer, plain, *alone)))


def _number(*parts: object) -> int:
    return int.from_bytes(hashlib.sha256("|".join(map(str, parts)).encode()).digest()[:8], "big")
