"""The rules of `mechcla.lint`: what in an item makes its score mean something else.

A rule is one function of the items that yields findings. `RULES.register("my-rule", rule)` adds one, and from
then on `mechcla.lint` and `python -m mechcla lint` hold it too. What a rule could not judge it yields with the
severity `unchecked`, so that silence always means "checked and fine".
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from mechcla.items.country_cue import Cues, name_in_cue, named_in
from mechcla.items.country_names import Names, base_code, country_names
from mechcla.items.item import Item
from mechcla.registry import Registry

Severity = Literal["error", "warning", "unchecked"]


@dataclass(frozen=True)
class Finding:
    """One thing that a rule says of one item.

    `language` is empty where the fault is not in one language, `field` where it is in no single field. `severity`:
    "error", the score means something else; "warning", it is probably off; "unchecked", the rule could not judge.
    """

    id: str
    language: str
    rule: str
    message: str
    field: str = ""
    severity: Severity = "error"

    def __str__(self) -> str:
        return f"{self.id} ({self.language or 'all'}) {self.rule}: {self.message}"


Rule = Callable[[Sequence[Item]], Iterable[Finding]]
RULES: Registry[Rule] = Registry("lint rule")
_NO_COUNTRY = Names(None, "the item has no 'country'")


def same_text(text: str) -> str:
    """The form in which two texts count as one whatever their case: NFC, case-folded, single spaces."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


def equal_answers(left: str, right: str) -> bool:
    """Whether two candidates are one answer. Case is folded where there is a word of four different letters.

    Below that it can carry the meaning: "Aa" and "AA" are two genotypes, "mPa" and "MPa" two units. Accents
    are kept: "papá" and "papa" are two words.

    >>> equal_answers("Lima", "LIMA "), equal_answers("Aa", "aa")
    (True, False)
    """
    if same_text(left) != same_text(right):
        return False
    exact = [" ".join(unicodedata.normalize("NFC", t).split()) for t in (left, right)]
    return exact[0] == exact[1] or any(
        len(set(w)) > 3 for w in re.findall("[^\\W\\d_]+", same_text(left))
    )


@RULES.register("country-in-prompt")
def country_in_prompt(items: Sequence[Item]) -> Iterator[Finding]:
    """The implicit prompt of a cultural item must not name the item's country."""
    pending = []
    for item in items:
        if item.kind != "cultural":
            continue
        local, english = (_names(item, language) for language in (item.language, "en"))
        if named := local.find(item.prompt) or english.find(item.prompt):
            yield _names_country(item, named)
        # Names that the cue uses are enough; where it has another one ("Burma"), the cue itself is read.
        elif not local.find(item.prompt_explicit or ""):
            pending.append(item)
    languages = {item.language for item in pending}
    cues = Cues.of(item for item in items if item.language in languages)
    for item in pending:
        yield from _by_cue(item, cues)


def _names(item: Item, language: str) -> Names:
    return country_names(item.country, language) if item.country else _NO_COUNTRY


def _names_country(item: Item, named: str) -> Finding:
    message = f"{item.prompt!r} names {item.country or 'the country of its cue'} ({named!r})"
    return Finding(item.id, item.language, "country-in-prompt", message, "prompt")


def _by_cue(item: Item, cues: Cues) -> Iterator[Finding]:
    name, known = name_in_cue(item, cues), _names(item, item.language)
    if name and (named := named_in(name, item.language, item.prompt)):
        yield _names_country(item, named)
    if name or known.hand_written or (known.pattern and item.prompt_explicit is None):
        return
    who = item.country or "the country"
    why = (
        f"the explicit prompt calls {who} otherwise than CLDR"
        if known.pattern
        else f"the name of {who} is unknown ({known.why})"
    )
    cue = "there is no explicit prompt" if item.prompt_explicit is None else "the cue is ambiguous"
    message = f"{why}, and {cue}"
    yield Finding(item.id, item.language, "country-in-prompt", message, "prompt", "unchecked")


@RULES.register("explicit-is-implicit")
def explicit_is_implicit(items: Sequence[Item]) -> Iterator[Finding]:
    """The explicit prompt of a cultural item must add something to the implicit one."""
    for item in items:
        explicit = item.prompt_explicit
        if item.kind == "cultural" and explicit and same_text(explicit) == same_text(item.prompt):
            message = f"'prompt_explicit' and 'prompt' are both {explicit!r}"
            yield Finding(
                item.id, item.language, "explicit-is-implicit", message, "prompt_explicit"
            )


@RULES.register("us-is-explicit")
def us_is_explicit(items: Sequence[Item]) -> Iterator[Finding]:
    """The US prompt of an item of another country must not be its explicit prompt."""
    for item in items:
        us, explicit = item.prompt_us, item.prompt_explicit
        if (
            item.kind != "cultural"
            or not us
            or not explicit
            or same_text(us) != same_text(explicit)
        ):
            continue
        country = item.country or item.candidates[item.right].country
        if country is None:
            message = "'prompt_us' is 'prompt_explicit', and nothing says whether the country is US"
            yield Finding(
                item.id, item.language, "us-is-explicit", message, "prompt_us", "unchecked"
            )
        elif base_code(country) != "us":
            message = f"'prompt_us' and 'prompt_explicit' of a {country} item are both {us!r}"
            yield Finding(item.id, item.language, "us-is-explicit", message, "prompt_us")


@RULES.register("equal-candidates")
def equal_candidates(items: Sequence[Item]) -> Iterator[Finding]:
    """No two candidates of an item are the same answer; one may begin with another one."""
    for item in items:
        for left, right in combinations(item.candidates, 2):
            if equal_answers(left.text, right.text):
                message = (
                    f"{left.text!r} ({left.role}) and {right.text!r} ({right.role}) are one answer"
                )
                yield Finding(item.id, item.language, "equal-candidates", message, "candidates")


@RULES.register("double-space")
def double_space(items: Sequence[Item]) -> Iterator[Finding]:
    """White space between prompt and candidate comes from one of prompt, separator and candidate, not from two."""
    for item in items:
        prompts = {
            "prompt": item.prompt,
            "prompt_explicit": item.prompt_explicit,
            "prompt_us": item.prompt_us,
        }
        for field, text in prompts.items():
            if text and text[-1].isspace() and (not item.separator or item.separator[0].isspace()):
                message = _doubled(item, field, text)
                if message:
                    yield Finding(item.id, item.language, "double-space", message, field, "warning")
        for candidate in item.candidates:
            text = candidate.text
            if text[0].isspace() and item.separator[-1:].isspace():
                message = f"the separator {item.separator!r} and candidate {text!r} double a space"
                yield Finding(
                    item.id, item.language, "double-space", message, "candidates", "warning"
                )


def _doubled(item: Item, field: str, text: str) -> str:
    end = text[len(text.rstrip()) :]
    if item.separator:
        return (
            f"{field!r} ends with {end!r} and the separator is {item.separator!r}; "
            "take one of them away"
        )
    if any(c.text[0].isspace() for c in item.candidates):
        return f"{field!r} ends with {end!r} and a candidate begins with a space"
    return ""
