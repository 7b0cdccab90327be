"""Chat templates: a prompt as an instruction-tuned model expects it, and the answer as its own
turn.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date as Date
from functools import cache
from typing import Any

from mechcla.errors import MechclaError
from mechcla.models.tokens import Tokens, bare, encode, encode_spans

DATE = "2026-01-01"
ASKED, ANSWERED = "mechclaQuestion", "mechclaAnswer"  # stand where a template writes the two texts


@dataclass(frozen=True)
class Chat:
    """How prompts are put into the model's chat template. `chat=True` means `Chat()`.

    system: text of a system turn, if any. template_args: the template's own variables, as JSON
    knows them. date: the day that a template which asks for today (`strftime_now`) is told, so that
    a result does not depend on the day of the run. The template, these three and `chat` itself are
    part of a result's identity. Raises MechclaError for a date that is no ISO date, or variables
    that are not JSON or the template's own.

    >>> quiet = mechcla.Chat(template_args={"enable_thinking": False})
    >>> scores = mechcla.score(model, items.dev.language("es"), chat=quiet)
    """

    system: str | None = None
    template_args: Mapping[str, Any] = field(default_factory=dict, hash=False)
    date: str = DATE

    def __post_init__(self) -> None:
        try:
            Date.fromisoformat(self.date)
        except (TypeError, ValueError) as error:
            raise MechclaError(
                f"chat date {self.date!r} is no date; expected e.g. {DATE!r}"
            ) from error
        if self.system is not None and not isinstance(self.system, str):
            raise MechclaError(f"chat system prompt {self.system!r:.60}; expected a text, or None")
        if not isinstance(self.template_args, Mapping) or not all(
            isinstance(name, str) and name.isidentifier() for name in self.template_args
        ):
            raise MechclaError(
                f"chat template_args {self.template_args!r:.80}; expected the template's variables "
                "by name, e.g. "
                '{"enable_thinking": false}'
            )
        try:
            plain = json.loads(json.dumps(dict(self.template_args), sort_keys=True))
        except (TypeError, ValueError) as error:
            raise MechclaError(
                f"chat template_args {self.template_args!r:.80} is not JSON: {error}"
            ) from error
        object.__setattr__(self, "template_args", plain)


def as_chat(chat: bool | Chat) -> Chat | None:
    """Chat() for True, None for False. Raises MechclaError for anything else."""
    if isinstance(chat, Chat):
        return chat
    if not isinstance(chat, bool):
        raise MechclaError(f"chat is {chat!r:.60}; expected True, False or mechcla.Chat(...)")
    return Chat() if chat else None


def chat_settings(chat: bool | Chat, tokenizer: Any) -> dict[str, Any]:
    """What a record says about chat: the template's digest, its variables and the day it is told.

    >>> chat_settings(False, model.tokenizer)
    {'chat': False}
    """
    how = as_chat(chat)
    if how is None:
        return {"chat": False}
    template = _template(tokenizer)
    return {
        "chat": True,
        "chat_template": {
            "sha256": hashlib.sha256(template.encode()).hexdigest(),
            "system": how.system,
            "template_args": dict(how.template_args),
            "date": how.date if "strftime_now" in template else None,
        },
    }


def prompt_tokens(text: str, tokenizer: Any, chat: bool | Chat = False) -> Tokens:
    """The tokens of a prompt: its own, or those of the template up to where the answer begins.

    In a template all but the user's words is added: the turn markers on both sides, and the system
    turn.

    >>> tokens = prompt_tokens("¿Qué se desayuna?", model.tokenizer, chat=True)
    """
    how = as_chat(chat)
    if how is None:
        return encode(text, tokenizer)
    return _spanned(lambda asked: render(how, tokenizer, asked), text, tokenizer)


def answered_tokens(
    text: str,
    separator: str,
    answers: Sequence[str],
    tokenizer: Any,
    chat: bool | Chat = False,
) -> tuple[Tokens, list[tuple[int, ...]]]:
    """The tokens of a prompt, and those of prompt and answer, which end where the answer ends.

    Without chat, prompt, separator and answer are one text. With chat the template writes the
    answer as the assistant's turn, with the space or the empty block of thoughts that it puts
    before it and without what it puts behind; the separator is not used. Where a template does not
    write assistant's turns, or writes them as it writes the user's, the answer follows its
    generation prompt directly.

    Raises MechclaError for a template that refuses an assistant's turn or changes the answer's
    text.
    """
    how = as_chat(chat)
    if how is None:
        whole = [encode(text + separator + answer, tokenizer).ids for answer in answers]
        return encode(text, tokenizer), whole
    if not _writes_answers(how, tokenizer, text):
        before, opened = render(how, tokenizer, text), prompt_tokens(text, tokenizer, how)
        return opened, [tuple(bare(before + answer, tokenizer)) for answer in answers]

    def opening(asked: str) -> str:
        return render(how, tokenizer, asked, ANSWERED).split(ANSWERED)[0]

    before, behind = render(how, tokenizer, text, ANSWERED).split(ANSWERED)
    for answer in answers:
        if render(how, tokenizer, text, answer) != before + answer + behind:
            raise _changed(answer)
    whole = [tuple(bare(before + answer, tokenizer)) for answer in answers]
    return _spanned(opening, text, tokenizer), whole


def _changed(answer: str) -> MechclaError:
    return MechclaError(
        f"the chat template does not keep the answer {answer!r} as it is (it strips, rewrites or "
        "repeats it), so "
        "its tokens are not the candidate's; take away white space around it, or use chat=False"
    )


def render(chat: Chat, tokenizer: Any, text: str, answer: str | None = None) -> str:
    """The template's text for a user's turn, up to where the answer begins, or with the answer.

    Raises MechclaError for a tokenizer without a chat template, or one that refuses what it is
    given.
    """
    turns = [] if answer is None else [{"role": "assistant", "content": answer}]
    return _render(chat, tokenizer, [{"role": "user", "content": text}, *turns])


def _render(chat: Chat, tokenizer: Any, turns: list[dict[str, str]]) -> str:
    template = _template(tokenizer)
    _check_args(chat, template, tokenizer)
    system = [] if chat.system is None else [{"role": "system", "content": chat.system}]
    dated = (
        {"chat_template": _fixed_date(chat.date) + template} if "strftime_now" in template else {}
    )
    try:
        rendered = tokenizer.apply_chat_template(
            [*system, *turns],
            tokenize=False,
            add_generation_prompt=turns[-1]["role"] == "user",
            **dated,
            **chat.template_args,
        )
    except Exception as error:  # a template is a program, and may fail in any way it likes
        roles = ", ".join(turn["role"] for turn in [*system, *turns])
        raise MechclaError(
            f"the chat template refuses the turns {roles}: {type(error).__name__}: {error}; "
            + ("leave the system prompt out, or " if system else "")
            + "use chat=False"
        ) from error
    if chat.system is not None and chat.system.strip() not in rendered:
        raise MechclaError(
            f"the chat template does not write the system prompt {chat.system[:60]!r}; leave it "
            "out, or put it "
            "into the prompts"
        )
    return str(rendered)


def _template(tokenizer: Any) -> str:
    if not getattr(tokenizer, "chat_template", None):
        raise MechclaError(
            f"the tokenizer ({type(tokenizer).__name__}) has no chat template, so chat=True has no "
            "form to put the "
            "prompt in; use an instruction-tuned model, or chat=False"
        )
    try:
        return str(tokenizer.get_chat_template())
    except ValueError as error:
        raise MechclaError(
            f"the tokenizer has several chat templates and none is the default: {error}"
        ) from error


def _check_args(chat: Chat, template: str, tokenizer: Any) -> None:
    if not chat.template_args:
        return
    own = inspect.signature(tokenizer.apply_chat_template).parameters
    for name in chat.template_args:
        taken = name in ("messages", "strftime_now") or name in own
        if taken or not re.search(rf"\b{name}\b", template):
            why = "is not a variable of its own" if taken else "does not occur in it"
            raise MechclaError(
                f"the chat template takes no variable {name!r}: it {why}; leave it out of "
                "template_args"
            )


@cache
def _fixed_date(day: str) -> str:
    """A macro before a template, in place of transformers' `strftime_now`, which asks the clock.

    It replaces each directive by the day's value; midnight stands for the time of day.
    """
    moment = Date.fromisoformat(day)
    steps = "".join(
        f" | replace({'%' + sign + letter!r}, {value!r})"
        for letter in "aAbBcdDeFgGhHIjmMnpSTuUVwWxXyY"
        for sign, value in (
            ("", moment.strftime(f"%{letter}")),
            ("-", moment.strftime(f"%{letter}").lstrip("0 ") or "0"),
        )
    )
    return "{% macro strftime_now(format) %}{{ format" + steps + " }}{% endmacro %}\n"


def _writes_answers(chat: Chat, tokenizer: Any, text: str) -> bool:
    """Whether the template has a form for the assistant's turn that it does not give to the user's
    too.
    """
    whole = render(chat, tokenizer, text, ANSWERED)
    if whole == render(chat, tokenizer, text, ANSWERED[::-1]):
        return False
    if whole.count(ANSWERED) != 1:
        raise _changed(ANSWERED)
    if whole.startswith(render(chat, tokenizer, text)):
        return True
    turns = [{"role": "user", "content": text}, {"role": "user", "content": ANSWERED}]
    try:
        return not _render(chat, tokenizer, turns).startswith(whole)
    except MechclaError:  # it tells the two roles apart, since it refuses two turns of the user's
        return True


def _spanned(write: Callable[[str], str], text: str, tokenizer: Any) -> Tokens:
    """Tokens of what `write` makes of a text, with the places where it wrote the text itself as the
    user's.
    """
    rendered, around = write(text), write(ASKED).split(ASKED)
    if len(around) < 2:
        raise MechclaError(
            f"the chat template does not write the user's text {text[:60]!r}; use chat=False"
        )
    spans, at = [], 0
    for part in around[:-1]:
        at += len(part)
        spans.append((at, at + len(text)))
        at += len(text)
    if text.join(around) != rendered:  # it strips or rewrites the text: what stands between its own
        if not (rendered.startswith(around[0]) and rendered.endswith(around[-1])):
            raise MechclaError(
                f"the chat template writes another frame around {text[:60]!r} than around other "
                "texts, so the "
                "user's words cannot be told from it; use chat=False"
            )
        spans = [(len(around[0]), len(rendered) - len(around[-1]))]
    return encode_spans(rendered, spans, tokenizer)
