"""Made-up items in many languages, to see that a sweep over all of them runs.

    python -m analyses.many_languages --out many.jsonl
    python -m mechcla.sweep --items many.jsonl --out runs/many

The languages are those of Global-MMLU. The words are the same in all of them, with the language's
code before each: no numbers come from these items, only the work of as many languages.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from mechcla import Candidate, Item, ItemSet
from mechcla.sources.global_mmlu.cues import LANGUAGES

PLACES = ("Japan", "Peru", "Italy", "Ghana", "Nepal", "Chile")
CAPITALS = ("Tokyo", "Lima", "Rome", "Accra", "Kathmandu", "Santiago")
LONG = "of a list of many questions, each of which has one short answer that stands behind it"
DRINKS = ("tea", "wine", "juice", "milk", "cider", "water")


def items_in(languages: list[str], questions: int = 3) -> ItemSet:
    """So many universal and cultural questions per split and language, English always among them.

    Raises ValueError for more questions than there are words.
    """
    if not 1 <= questions <= len(PLACES) // 2:
        raise ValueError(f"{questions} questions; expected 1 to {len(PLACES) // 2}")
    made = []
    for language in dict.fromkeys(["en", *languages]):
        for k in range(2 * questions):
            split = "test" if k % 2 else "dev"
            made.append(_universal(language, k, split))
            made.append(_cultural(language, k, split))
    return ItemSet(tuple(made))


def made_up(languages: list[str], questions: int) -> ItemSet:
    """As many questions per kind, split and language as are asked for, with long prompts that begin
    with a number each, English always among them.
    """
    made = []
    for language in dict.fromkeys(["en", *languages]):
        for k in range(2 * questions):
            split, n, front = "test" if k % 2 else "dev", k % len(PLACES), f"{k} {LONG}"
            for item in (_universal(language, n, split), _cultural(language, n, split)):
                cue = item.prompt_explicit and f"{front} {item.prompt_explicit}"
                us = item.prompt_us and f"{front} {item.prompt_us}"
                own = {"id": f"{item.kind}{k}", "prompt": f"{front} {item.prompt}"}
                made.append(replace(item, **own, prompt_explicit=cue, prompt_us=us))
    return ItemSet(tuple(made))


def _universal(language: str, k: int, split: str) -> Item:
    wrong = [CAPITALS[(k + n) % len(CAPITALS)] for n in (1, 2)]
    candidates = (
        Candidate(f"{language}{CAPITALS[k]}", "correct"),
        *(Candidate(f"{language}{name}", "wrong") for name in wrong),
    )
    return Item(f"capital{k}", language, "universal", split, f"{language} {PLACES[k]}:", candidates)


def _cultural(language: str, k: int, split: str) -> Item:
    prompt, country = f"{language} drink{k}:", "US" if language == "en" else language[:2].upper()
    roles = ("local", "other", "other") if country == "US" else ("local", "english", "other")
    candidates = tuple(
        Candidate(f"{language}{DRINKS[(k + n) % len(DRINKS)]}", role)
        for n, role in enumerate(roles)
    )
    return Item(
        f"drink{k}",
        language,
        "cultural",
        split,
        prompt,
        candidates,
        country=country,
        topic="drink",
        prompt_explicit=f"{language} here. {prompt}",
        prompt_us=None if country == "US" else f"{language} there. {prompt}",
    )


def main(arguments: list[str] | None = None) -> int:
    """Write the items; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("many.jsonl"), help="a JSON Lines file")
    parser.add_argument("--languages", type=int, default=len(LANGUAGES), help="beside English")
    parser.add_argument("--questions", type=int, default=3, help="per kind, split and language")
    chosen = parser.parse_args(arguments)
    items = items_in([k for k in LANGUAGES if k != "en"][: chosen.languages], chosen.questions)
    items.to_jsonl(chosen.out)
    print(f"{len(items)} items in {len(items.languages)} languages: {chosen.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
