"""Implicit and explicit forms of a question: the country's name taken out by rule, and the result
checked.

Source: ours; no list of implicit BLEnD questions has been published. The rules are in `rules.py`,
the check in `names.py`; a question that a rule leaves ungrammatical or still naming its country has
no implicit form.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cache

from mechcla.sources.blend.american import american_form
from mechcla.sources.blend.names import named_country
from mechcla.sources.blend.regions import Region
from mechcla.sources.blend.rows import Row, clean
from mechcla.sources.blend.rules import EXPLICIT_RULES, RULES, Rule


@dataclass(frozen=True)
class Forms:
    """The forms of one question; None where there is none, and then `why` says the reason.

    `left` are the words by which a failed implicit form still names its country. `us` names the
    United States instead.
    """

    implicit: str | None
    explicit: str | None
    why: str = ""
    left: str = ""
    us: str | None = None


def question_forms(row: Row, region: Region, form: str = "local") -> Forms:
    """The forms of one question in the region's language ("local") or in English ("english").

    The explicit form is the published question, with the country's name in the place of "your
    country" where the publisher left it out.

    >>> from mechcla.sources.blend.regions import find_region
    >>> row = Row("x", "Food", "¿Qué se come en España?", "What do people eat in Spain?", (), 0, 0)
    >>> question_forms(row, find_region("ES")).implicit
    '¿Qué se come en nuestro país?'
    """
    english = form == "english" and region.language != "en"
    text = row.english if english else row.local
    if not text:
        return Forms(None, None, "the published question is blank")
    rules, explicit_rules = _rules(region, english or region.language == "en")
    explicit, implicit = _apply(explicit_rules, text), _apply(rules, text)
    if left := named_country(implicit, region):
        return Forms(None, explicit, "still names its country, people or language", left)
    if named_country(explicit, region) is None:
        return Forms(
            implicit, None, "the published question names no country, so it has no explicit form"
        )
    return Forms(implicit, explicit, us=american_form(implicit, region, english))


@cache
def _rules(region: Region, english: bool) -> tuple[tuple[tuple[re.Pattern[str], str], ...], ...]:
    rules: tuple[Rule, ...]
    explicit: tuple[Rule, ...]
    if english:
        name = rf"\b(the )?{re.escape(region.english.removeprefix('the '))}\b"
        rules = (
            (r"\bbesides English\b", "besides our own language"),
            (name, region.ours),
            (r"\byour country\b", region.ours),
        )
        # "Which area in our region", not "Which region in our region".
        if region.ours == "our region":
            rules = ((r"\bregion\b", "area"), *rules)
        explicit = ((r"\byour country\b", region.english),)
    else:
        rules, explicit = RULES[region.code], EXPLICIT_RULES.get(region.code, ())
    nfc = unicodedata.normalize
    return tuple(
        tuple((re.compile(nfc("NFC", old)), nfc("NFC", new)) for old, new in part)
        for part in (rules, explicit)
    )


def _apply(rules: tuple[tuple[re.Pattern[str], str], ...], text: str) -> str:
    done = text
    for pattern, new in rules:
        done = pattern.sub(new, done)
    # The files' own spacing slips.
    done = re.sub(r"(?<=[?؟])\(", " (", re.sub(r"\s+(?=[?؟,،])", "", done))
    return _capital(text, clean(done))


def _capital(before: str, after: str) -> str:
    """The new text, capitalised where the old one was ("Azərbaycanda" to "Ölkəmizdə")."""
    first = next((i for i, c in enumerate(after) if c.isalpha()), None)
    old = next((c for c in before if c.isalpha()), "")
    if first is None or not old.isupper() or not after[first].islower():
        return after
    return after[:first] + after[first].upper() + after[first + 1 :]
