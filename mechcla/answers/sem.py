"""SEM-B, SEM-W and English bias of generated short answers, each with an interval and its n.

Source: SEM-B and SEM-W as BLEnD's exact_match.py defines them, as shares of 1, not percent; English
bias of free answers and all intervals are ours. Questions that BLEnD leaves out as invalid are
taken to be left out already.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from mechcla.answers.answers import Answer, Answers
from mechcla.answers.lemmas import base, fold, lemmatiser
from mechcla.answers.matching import Match, clean_response, soft_match
from mechcla.errors import MechclaError
from mechcla.items.open_item import AnswerGroup, OpenItem
from mechcla.metrics.estimates import POOLED, RESAMPLES, Estimate, bootstrap_means

Table = dict[str, dict[str, float]]


def sem_b(
    answers: Answers, questions: Sequence[OpenItem], strict: bool = False, *, seed: int = 0
) -> dict[str, Estimate]:
    """Share of answers in which something is found that people of the country answered, by language
    and pooled.

    A language asked about several countries has a value per country, "es-ES" and "es-MX". `measure`
    names the lemmatiser. Intervals are bootstraps over question ids. The limit: it credits an
    answer that merely contains the right words, and misses right answers that no annotator gave.
    Questions without an answer are not counted.

    Raises MechclaError for an answer without its question, or two answers to one question.

    >>> print(mechcla.sem_b(answers, questions)["es"])
    0.512 [0.447, 0.579] n=5
    """
    return _sem("SEM-B", answers, questions, strict, seed)


def sem_w(
    answers: Answers, questions: Sequence[OpenItem], strict: bool = False, *, seed: int = 0
) -> dict[str, Estimate]:
    """Like `sem_b`, with the found answer's votes over the most votes that the question has,
    instead of 1.
    """
    return _sem("SEM-W", answers, questions, strict, seed)


def _sem(
    name: str, answers: Answers, questions: Sequence[OpenItem], strict: bool, seed: int
) -> dict[str, Estimate]:
    table: Table = defaultdict(dict)
    for label, row, _, match in matches(answers, questions, strict):
        table[label][row.id] = match.weight if name == "SEM-W" else float(match.hit)
    return estimates(table, _measures(name + (" strict" if strict else ""), table), seed=seed)


def matches(
    answers: Answers, questions: Sequence[OpenItem], strict: bool = False
) -> Iterator[tuple[str, Answer, OpenItem, Match]]:
    """Each answer with its label (language, or language-country), its question and its match."""
    for label, row, question in paired(answers, questions):
        yield (
            label,
            row,
            question,
            soft_match(_response(row, question), question.groups, row.language, strict),
        )


def paired(
    answers: Answers, questions: Sequence[OpenItem]
) -> Iterator[tuple[str, Answer, OpenItem]]:
    """Each answer with its question, by id, language and country, and the label it is reported
    under.
    """
    known = {(q.id, q.language, q.country): q for q in questions}
    seen: set[tuple[str, str, str | None]] = set()
    for label, row in zip(labels(answers), answers, strict=True):
        key = (row.id, row.language, row.country)
        if key not in known:
            raise MechclaError(
                f"the answer to {row.id!r} ({row.language}, {row.country}) "
                f"has no question among the {len(known)} given"
            )
        if key in seen:
            raise MechclaError(
                f"{row.id!r} ({row.language}, {row.country}) is answered twice; "
                "give the answers of one run, in one prompt form, one per question: "
                "answers.where(number=0)"
            )
        seen.add(key)
        yield label, row, known[key]


def labels(answers: Answers) -> list[str]:
    """What each answer is reported under: its language, or language-country where several countries
    share the code.
    """
    countries: dict[str, set[str | None]] = defaultdict(set)
    for row in answers:
        countries[row.language].add(row.country)
    return [
        r.language if len(countries[r.language]) == 1 else f"{r.language}-{r.country}"
        for r in answers
    ]


def _response(row: Answer, question: OpenItem) -> str:
    asked = question.prompt_explicit if row.prompt_form == "explicit" else question.prompt
    return clean_response(row.text, asked or "")


def open_english_bias(
    answers: Answers, questions: Sequence[OpenItem], strict: bool = False, *, seed: int = 0
) -> dict[str, Estimate]:
    """Share of answers that are what people in the US answered and not what people of the country
    did.

    Over questions whose answers are `disjoint`, other than those about the US. US answers exist in
    English; their spellings in the language are taken from `questions` themselves, from groups with
    the same English answer (`translations`), so give all questions of a language, not only those
    answered. The limit: a US answer of which no question has the local spelling is missed, so
    across languages the values are lower bounds of different tightness; compare methods within a
    language.

    Raises MechclaError if no answered question has US answers that are disjoint from the local
    ones.

    >>> print(open_english_bias(answers, questions)["ko"])
    0.071 [0.042, 0.104] n=4
    """
    lexicons = {
        language: translations(questions, language)
        for language in dict.fromkeys(a.language for a in answers)
    }
    table: Table = defaultdict(dict)
    for label, row, question in paired(answers, questions):
        if question.country == "US" or not disjoint(question):
            continue
        response = _response(row, question)
        us = [in_language(group, lexicons[row.language]) for group in question.us_groups]
        local = soft_match(response, question.groups, row.language, strict).hit
        table[label][row.id] = float(
            not local and soft_match(response, us, row.language, strict).hit
        )
    if not table:
        raise MechclaError(
            f"none of the {len(answers)} answers "
            "is to a question whose US answers differ from the local ones"
        )
    return estimates(
        table, _measures("English bias" + (" strict" if strict else ""), table), seed=seed
    )


def english(group: AnswerGroup) -> set[str]:
    """A group's English answers, folded."""
    return {fold(a, "en").strip() for a in group.en_answers or group.answers} - {""}


def disjoint(question: OpenItem) -> bool:
    """Whether local and US people answer differently: neither's most common answer is among the
    other's, in English.

    Exact strings, so synonyms that annotators spelt differently count as different. False without
    US answers.
    """
    if not question.us_groups:
        return False
    local, us = (
        sorted(groups, key=lambda g: -g.count) for groups in (question.groups, question.us_groups)
    )
    all_local, all_us = (set().union(*map(english, groups)) for groups in (local, us))
    return not english(local[0]) & all_us and not english(us[0]) & all_local


def translations(questions: Sequence[OpenItem], language: str) -> dict[str, tuple[str, ...]]:
    """English answer, folded, to its spellings in the language: of all groups that have it as an
    English answer.
    """
    found: dict[str, dict[str, None]] = defaultdict(dict)
    if base(language) != "en":
        for question in questions:
            for group in question.groups if base(question.language) == base(language) else ():
                for word in english(group):
                    found[word].update(dict.fromkeys(group.answers))
    return {word: tuple(spellings) for word, spellings in found.items()}


def in_language(group: AnswerGroup, lexicon: Mapping[str, Sequence[str]]) -> AnswerGroup:
    """A US group with the lexicon's spellings as its answers in the language."""
    words = english(group)
    local = dict.fromkeys(s for word in sorted(words) for s in lexicon.get(word, ()))
    return AnswerGroup(tuple(local), tuple(sorted(words)), group.count)


def _measures(name: str, labels: Mapping[str, object]) -> dict[str, str]:
    makers = {label: lemmatiser(label) for label in labels}
    everyone = ", ".join(dict.fromkeys(makers.values()))
    return {label: f"{name}, lemmas: {maker}" for label, maker in makers.items()} | {
        POOLED: f"{name}, lemmas: {everyone}"
    }


def estimates(
    table: Mapping[str, Mapping[str, float]],
    measures: Mapping[str, str],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Estimate]:
    """Means and 95% bootstrap intervals, clustered by question id, of a table [label][id], and of
    all of it.

    Labels without values are left out. Raises MechclaError for a table without any.
    """
    full = {label: column for label, column in table.items() if column}
    if not full:
        raise MechclaError("there are no answers to average")
    counts = {label: len(column) for label, column in full.items()} | {
        POOLED: sum(map(len, full.values()))
    }
    result = {}
    for label, draws in bootstrap_means(full, resamples, seed).items():
        low, high = np.nanpercentile(draws[1:], [2.5, 97.5])
        result[label] = Estimate(
            float(draws[0]), float(low), float(high), counts[label], measures[label]
        )
    return result
