"""OpenItem: a question that is answered in free text, with the answers that people gave to it.

Multiple choice is `Item`; this is the short-answer form, as BLEnD publishes it: groups of answers that count as
one, each with the number of annotators behind it.
"""

from __future__ import annotations

from dataclasses import dataclass

from mechcla.errors import MechclaError, nearest
from mechcla.items.item import SPLITS, PromptForm


@dataclass(frozen=True)
class AnswerGroup:
    """Spellings of one answer, in the question's language and in English, and how many people gave it."""

    answers: tuple[str, ...]
    en_answers: tuple[str, ...]
    count: int


@dataclass(frozen=True)
class OpenItem:
    """One short-answer question in one language, about one country.

    `groups` are that country's answers, most votes first; `us_groups` what people in the US answered to the same
    question, which English bias is read against. `prompt` is None where no form without the country's
    name could be made. The split belongs to the id. Raises MechclaError for an empty field or an unknown split.
    """

    id: str
    language: str
    country: str
    split: str
    topic: str
    prompt: str | None
    prompt_explicit: str
    groups: tuple[AnswerGroup, ...]
    us_groups: tuple[AnswerGroup, ...] = ()
    source: str = ""
    licence: str = ""

    def __post_init__(self) -> None:
        for name in ("id", "language", "country", "prompt_explicit"):
            if not getattr(self, name).strip():
                raise MechclaError(
                    f"question {self.id!r} ({self.language}): {name!r} is empty; expected a text"
                )
        if self.split not in SPLITS:
            raise MechclaError(
                f"question {self.id!r} ({self.language}): 'split' is {self.split!r}; {nearest(self.split, SPLITS)}"
            )
        if not self.groups:
            raise MechclaError(
                f"question {self.id!r} ({self.language}) has no answer; expected at least one group"
            )

    def prompt_text(self, form: PromptForm = "implicit") -> str:
        """The question in the form asked for. Raises MechclaError where there is no implicit form."""
        if form == "explicit":
            return self.prompt_explicit
        if self.prompt is None:
            raise MechclaError(
                f"question {self.id!r} ({self.language}) has no implicit form; ask it explicitly or leave it out"
            )
        return self.prompt
