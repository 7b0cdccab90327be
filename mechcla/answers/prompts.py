"""What a model is asked: questions that know their language, or plain texts; a template around
them, once; and the tokens of both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from mechcla.engine.intervention import Intervention
from mechcla.engine.languages import Interventions
from mechcla.errors import MechclaError, nearest
from mechcla.items.item import PromptForm
from mechcla.models.chat import Chat, prompt_tokens
from mechcla.models.tokens import Tokens, check_known

if TYPE_CHECKING:
    from mechcla.models.hooked_model import HookedModel

SLOT = "{q}"
UNKNOWN = "und"  # the language of a text whose language nobody said (ISO 639-2: undetermined)


@runtime_checkable
class Question(Protocol):
    """What can be asked: an OpenItem, an Item, or anything else with these."""

    @property
    def id(self) -> str: ...
    @property
    def language(self) -> str: ...
    @property
    def country(self) -> str | None: ...
    @property
    def split(self) -> str: ...
    @property
    def topic(self) -> str: ...

    def prompt_text(self, form: PromptForm = "implicit") -> str: ...


@dataclass(frozen=True)
class PlainText:
    """A text to be gone on with, as a question. Its id is its place among the texts."""

    id: str
    language: str
    text: str
    country: str | None = None
    split: str = ""
    topic: str = ""

    def prompt_text(self, form: PromptForm = "implicit") -> str:
        """The text. Raises MechclaError for another form, which a plain text does not have."""
        if form != "implicit":
            raise MechclaError(
                f"the text {self.text[:60]!r} has no {form} form; name the country in the text "
                "itself, or ask an OpenItem"
            )
        return self.text


def as_questions(
    questions: str | Sequence[Question | str],
    language: str | Sequence[str] | None,
    interventions: Interventions,
) -> list[Question]:
    """Questions as they are, and plain texts as questions.

    language: of the plain texts, one or one per text; None is that of the edits, where it is one,
    and else unknown. Raises MechclaError for an empty text, for languages that are not as many as
    the texts, or that only the edits could tell and do not.
    """
    given: Sequence[Question | str] = [questions] if isinstance(questions, str) else questions
    plain = [q for q in given if isinstance(q, str)]
    for place, text in enumerate(given):
        if isinstance(text, str) and not text.strip():
            raise MechclaError(f"text {place} of {len(given)} is empty; expected something to ask")
    if not plain:
        if language is not None and len(given):
            raise MechclaError(
                f"language={language!r} says what plain texts are in; these {len(given)} questions "
                "know theirs, so leave it out"
            )
        return [q for q in given if not isinstance(q, str)]
    if language is None:
        named = _languages(interventions)
        if len(named) > 1:
            listed = ", ".join(named)
            raise MechclaError(
                f"interventions are of {listed}, and {plain[0][:40]!r} does not say its language; "
                f'add language="{named[0]}", or one per text, language=[{listed}]'
            )
        language = named[0] if named else UNKNOWN
    each = [language] * len(plain) if isinstance(language, str) else list(language)
    if len(each) != len(plain):
        raise MechclaError(
            f"{len(each)} languages for {len(plain)} texts; expected one, or one per text"
        )
    left = iter(each)
    return [
        PlainText(str(place), next(left), q) if isinstance(q, str) else q
        for place, q in enumerate(given)
    ]


def _languages(interventions: Interventions) -> list[str]:
    """The languages that edits are for."""
    if isinstance(interventions, Mapping):
        return list(interventions)
    listed = [interventions] if isinstance(interventions, Intervention) else interventions
    found = [e.language for e in listed if isinstance(e, Intervention)]
    return list(dict.fromkeys(k for k in found if k is not None))


def in_template(text: str, template: str) -> str:
    """The text in the template, once: one that stands in it already stays as it is.

    >>> in_template("Hi?", "Q: {q} A:"), in_template("Q: Hi? A:", "Q: {q} A:")
    ('Q: Hi? A:', 'Q: Hi? A:')
    """
    head, tail = template.split(SLOT)[0].strip(), template.split(SLOT)[-1].strip()
    bare = text.strip()
    around = len(head) + len(tail)
    held = bare.startswith(head) and bare.endswith(tail) and len(bare) > around > 0
    if held and bare[len(head) : len(bare) - len(tail)].strip():
        return text
    return template.replace(SLOT, text)


def encode_question(
    model: HookedModel,
    q: Question,
    form: PromptForm,
    template: str | Mapping[str, str],
    chat: bool | Chat,
) -> Tokens:
    """The tokens of one question as it is asked.

    Raises MechclaError for a template without {q}, a language without one, or a prompt of no token.
    """
    if not isinstance(template, str):
        if q.language not in template:
            raise MechclaError(
                f"no template for language {q.language!r}; {nearest(q.language, template)}"
            )
        template = template[q.language]
    if SLOT not in template:
        raise MechclaError(f"the template {template[:60]!r} has no {SLOT}, where the question goes")
    text = in_template(q.prompt_text(form), template)
    tokens = prompt_tokens(text, model.tokenizer, chat)
    if not tokens.ids:
        raise MechclaError(
            f"question {q.id!r} ({q.language}): the prompt {text[:60]!r} has no token"
        )
    check_known(tokens.ids, model.tokenizer, model.vocab_size, f"question {q.id!r} ({q.language})")
    return tokens
