"""The cultural items of the demo set, made from the concepts in data/concepts/*.json.

A concept is one cloze sentence in seven languages and the answer of seven cultures in each of them.
It gives one item to every language whose culture answers otherwise than the United States do.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import combinations
from pathlib import Path
from typing import Any

from data.names import LANGUAGES
from data.universal import digest
from mechcla.items.building import culture_named, script_fault
from mechcla.items.item import Candidate, Item, Split
from mechcla.items.lint_rules import same_text

CULTURES = {"en": "US", "es": "ES", "zh": "CN", "id": "ID", "ko": "KR", "el": "GR", "fa": "IR"}
ENGLISH = "US"
N_CANDIDATES = 4
MIN_OTHERS = 2
SAME_FACT = 4
LICENCE = "CC-BY-4.0"

Concept = dict[str, Any]


def read_concepts(folder: Path) -> list[Concept]:
    """Every concept of every topic file, sorted by topic and id."""
    made = [
        c
        for path in sorted(folder.glob("*.json"))
        for c in json.loads(path.read_text(encoding="utf-8"))
    ]
    return sorted(made, key=lambda c: (c["topic"], c["id"]))


def separator(language: str) -> str:
    """What stands between prompt and answer: nothing in Chinese."""
    return "" if language == "zh" else " "


def problems(concepts: list[Concept]) -> list[str]:
    """What is wrong with the concepts themselves, also in answers that no item offers."""
    found, seen = [], set()
    for concept in concepts:
        say = f"{concept['topic']}/{concept['id']}: {{}}".format
        if concept["id"] in seen:
            found.append(say("the id stands twice"))
        seen.add(concept["id"])
        given = {country: a for country, a in concept["answers"].items() if a}
        if set(concept["prompt"]) != set(LANGUAGES):
            found.append(say(f"prompts in {sorted(concept['prompt'])}"))
        if ENGLISH not in given or len(given) < 6 or not set(given) <= set(CULTURES.values()):
            found.append(say(f"answers of {sorted(given)}"))
        for country, answer in given.items():
            if set(answer) != set(LANGUAGES):
                found.append(say(f"{country}: answers in {sorted(answer)}"))
        found += map(say, _text_problems(concept, given))
    return found + _same_facts(concepts)


def _same_facts(concepts: list[Concept]) -> list[str]:
    """Concepts that share the answers of four cultures: one fact asked twice, perhaps in both
    splits.
    """
    answers = [
        {(c, same_text(a.get("en", ""))) for c, a in concept["answers"].items() if a}
        for concept in concepts
    ]
    return [
        f"{one['topic']}/{one['id']} and {two['topic']}/{two['id']} "
        f"share {len(left & right)} answers"
        for (one, left), (two, right) in combinations(zip(concepts, answers, strict=True), 2)
        if len(left & right) >= SAME_FACT
    ]


def _text_problems(concept: Concept, given: dict[str, dict[str, str]]) -> Iterable[str]:
    for language in LANGUAGES:
        prompt = concept["prompt"].get(language, "")
        texts = [("prompt", prompt, False)] + [
            (c, a.get(language, ""), True) for c, a in given.items()
        ]
        for where, text, candidate in texts:
            if named := culture_named(text, language):
                yield f"{language} {where} {text!r} names {named[0]} ({named[1]!r})"
            if fault := script_fault(text, language, candidate):
                yield f"{language} {where} {text!r}: {fault}"
            if not text or text != text.strip():
                yield f"{language} {where} {text!r} is empty or has white space at an end"
        american = same_text(given.get(ENGLISH, {}).get(language, ""))
        for country, answer in given.items():
            if country != ENGLISH and same_text(answer.get(language, "")) == american:
                yield f"{language}: {country} answers {american!r}, as the United States do"


def cultural_items(
    concepts: list[Concept], splits: dict[str, Split], cues: dict[str, dict[str, str]]
) -> tuple[list[Item], list[str]]:
    """The items of all languages, candidates not yet in their final order, and why others were
    dropped.
    """
    made, dropped = [], []
    for language, country in CULTURES.items():
        for concept in concepts:
            candidates = _candidates(concept, language, country)
            if isinstance(candidates, str):
                dropped.append(f"{concept['id']} ({language}): {candidates}")
                continue
            prompt, gap = concept["prompt"][language], separator(language)
            made.append(
                Item(
                    id=concept["id"],
                    language=language,
                    kind="cultural",
                    country=country,
                    split=splits[concept["id"]],
                    topic=concept["topic"],
                    prompt=prompt,
                    prompt_explicit=cues[language][country] + gap + prompt,
                    prompt_us=None
                    if country == ENGLISH
                    else cues[language][ENGLISH] + gap + prompt,
                    separator=gap,
                    candidates=candidates,
                    source="mechcla",
                    licence=LICENCE,
                )
            )
    return made, dropped


def _candidates(concept: Concept, language: str, country: str) -> tuple[Candidate, ...] | str:
    """Local, American, others; or why this concept gives no item to this culture."""
    answers = {c: a[language] for c, a in concept["answers"].items() if a}
    if country not in answers:
        return f"no answer of {country}"
    chosen = [Candidate(answers[country], "local", country)]
    if country != ENGLISH:
        if same_text(answers[country]) == same_text(answers[ENGLISH]):
            return f"{country} answers as the United States do"
        chosen.append(Candidate(answers[ENGLISH], "english", ENGLISH))
    others = [c for c in answers if c not in (country, ENGLISH)]
    # Those nearest in length to the local answer, so that length alone tells little; ties by hash.
    size = len(answers[country].encode())
    for other in sorted(
        others,
        key=lambda c: (abs(len(answers[c].encode()) - size), digest(concept["id"], language, c)),
    ):
        taken = {same_text(c.text) for c in chosen}
        if len(chosen) < N_CANDIDATES and same_text(answers[other]) not in taken:
            chosen.append(Candidate(answers[other], "other", other))
    n_others = sum(c.role == "other" for c in chosen)
    return tuple(chosen) if n_others >= MIN_OTHERS else f"only {n_others} other answers"
