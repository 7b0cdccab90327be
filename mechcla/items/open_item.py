"""OpenItem: a question that is answered in free text, with the answers that people gave to it.

Multiple choice is `Item`; this is the short-answer form, as BLEnD publishes it: groups of answers
that count as one, each with the number of annotators behind it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

from mechcla.errors import MechclaError, nearest
from mechcla.items.item import SPLITS, PromptForm
from mechcla.items.texts import check_language, clip, id_fault, text_fault


@dataclass(frozen=True)
class AnswerGroup:
    """Spellings of one answer, in the question's language and in English, and how many people gave
    it.
    """

    answers: tuple[str, ...]
    en_answers: tuple[str, ...]
    count: int


@dataclass(frozen=True)
class OpenItem:
    """One short-answer question in one language, about one country.

    `groups` are that country's answers, most votes first; `us_groups` what people in the US
    answered to the same question, which English bias is read against. `prompt` is None where no
    form without the country's name could be made. The split belongs to the id. `id`, `language` and
    texts are held to the rules of `Item`. Raises MechclaError for an empty field, an unknown split,
    or a text, id or language code that cannot be used.
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
        check_language(self.language, f"question {clip(self.id)}")
        label = f"question {clip(self.id)} ({self.language})"
        for name in ("id", "country", "prompt_explicit"):
            value = getattr(self, name)
            if not isinstance(value, str) or not value.strip():
                shown = "empty" if isinstance(value, str) else clip(value)
                raise MechclaError(f"{label}: {name!r} is {shown}; expected a text")
        if self.split not in SPLITS:
            raise MechclaError(
                f"{label}: 'split' is {clip(self.split)}; "
                f"{nearest(self.split if isinstance(self.split, str) else '', SPLITS)}"
            )
        if not self.groups:
            raise MechclaError(f"{label} has no answer; expected at least one group")
        for name, text in self._texts():
            if fault := id_fault(text) if name == "'id'" else text_fault(text):
                raise MechclaError(f"{label}: {name} is {clip(text)}, which {fault}")

    def _texts(self) -> Iterator[tuple[str, str]]:
        """Every text of the question and its answers, with the field's name as messages say it."""
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, str):
                yield repr(field.name), value
            elif isinstance(value, tuple):
                for group in value:
                    for answer in (*group.answers, *group.en_answers):
                        yield f"an answer in {field.name!r}", answer

    def prompt_text(self, form: PromptForm = "implicit") -> str:
        """The question in this form. Raises MechclaError where there is no implicit form."""
        if form == "explicit":
            return self.prompt_explicit
        if self.prompt is None:
            raise MechclaError(
                f"question {self.id!r} ({self.language}) has no implicit form; "
                "ask it explicitly or leave it out"
            )
        return self.prompt
