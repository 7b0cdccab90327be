"""Short answers in free text, decoded greedily under the same interventions that scoring takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import torch
from jaxtyping import Int
from torch import Tensor

from mechcla.answers.answers import Answer, Answers
from mechcla.answers.processors import described, rules
from mechcla.engine.capability import alone
from mechcla.engine.decoding import cache_fits, cached_logits, full_logits
from mechcla.engine.intervention import Intervention
from mechcla.engine.languages import Interventions, by_language
from mechcla.engine.languages import described as edits_described
from mechcla.engine.memory import retry_smaller
from mechcla.errors import MechclaError, nearest, unknown
from mechcla.items.item import PromptForm
from mechcla.models.chat import Chat, chat_settings, prompt_tokens
from mechcla.models.tokens import Tokens, check_known

if TYPE_CHECKING:
    from mechcla.models.hooked_model import HookedModel


MAX_TOKENS = 2048
SLOT = "{q}"


@runtime_checkable
class Question(Protocol):
    """What can be asked: an OpenItem, an Item, or anything else with these."""

    id: str
    language: str
    country: str | None
    split: str
    topic: str

    def prompt_text(self, form: PromptForm = "implicit") -> str: ...


def generate(
    model: HookedModel,
    questions: Sequence[Question],
    interventions: Interventions = (),
    prompt: PromptForm = "implicit",
    max_new_tokens: int = 16,
    stop: str | None = "\n",
    chat: bool | Chat = False,
    max_tokens: int = MAX_TOKENS,
    template: str | Mapping[str, str] = SLOT,
    cache: bool | None = None,
    packed: bool = False,
    any_language: bool = False,
) -> Answers:
    """Greedy answers to questions (OpenItem, Item) under interventions; () is the unsteered model.

    interventions: one, a list, or by language, {"es": ..., "ko": ...}; languages that are not named
    run unsteered. A vector of another language than its question's is refused by name, unless
    any_language. Positions mean what they mean in scoring, with the generated tokens as the answer:
    "prompt_and_answer", "answer" and "last_and_answer" edit every generated token that is fed back;
    the first token is predicted at the prompt's last token, so "answer" alone cannot change it.
    What the tokenizer or the chat template added is not edited, save the prompt's last token where
    positions name it. Unsteered and at strength 0 it equals transformers'
    `generate(do_sample=False)` on each prompt, under the model's own generation config: its logits
    processors (repetition_penalty, no_repeat_ngram_size, suppress_tokens, min_new_tokens, ...), end
    ids and stop strings are transformers' own, steered or not. Its lengths and times are not used:
    max_new_tokens is the argument's.

    prompt: "implicit" or "explicit". max_new_tokens: the most tokens an answer has. stop: a text
    that ends the answer, looked for after leading white space; None: only EOS and the length end
    it. template: text around each question, with {q} in its place, one or one per language, e.g.
    {"en": "Question: {q}\\nAnswer:"}. chat: put it into the tokenizer's chat template; True, or a
    `mechcla.Chat` with a system prompt, variables and a date. max_tokens: rows x (prompt + new
    tokens) of a batch, halved, with a warning, as often as memory runs out. cache: None lets
    `decoding.cache_fits` decide; False runs full passes. packed: while hooks of your own are in
    place, prompts run one by one by full passes, so that a hook sees the whole text and nothing
    else; True runs them in batches, from a cache, all the same. Greedy decoding shows a model's
    single most likely path, not what else it might say, and in 16-bit types a near tie may fall
    either way with the batch's size.

    Source: ours. Raises MechclaError for no questions, a prompt beyond the model's window, an
    unknown form, a template without {q}, a question without an implicit form, chat=True without a
    chat template, or a generation config that asks for another search than the greedy one.

    >>> answers = mechcla.generate(model, questions, interventions={"es": sur, "ko": other})
    >>> texts = answers.to_pandas()[["id", "text"]]
    """
    if prompt not in ("implicit", "explicit"):
        raise unknown("prompt form", prompt, ("implicit", "explicit"))
    if not len(questions):
        raise MechclaError("there are no questions to answer; is the language or split right?")
    if max_new_tokens < 1 or max_tokens < 1:
        raise MechclaError(
            f"max_new_tokens={max_new_tokens}, max_tokens={max_tokens}; expected at least 1 each"
        )
    if stop is not None and not stop:
        raise MechclaError("stop is an empty text, which every answer has; use None for no stop")
    edits = by_language(interventions, [q.language for q in questions], model, chat, any_language)
    apart = isinstance(interventions, Mapping)  # else every language has the same edits
    asked = [_encode(model, q, prompt, template, chat) for q in questions]
    prompts, special = [list(t.ids) for t in asked], [t.added for t in asked]
    longest = max(map(len, prompts)) + max_new_tokens
    if model.window is not None and longest > model.window:
        raise MechclaError(
            f"the longest prompt and max_new_tokens={max_new_tokens} are {longest} tokens, "
            f"the model's window is {model.window}"
        )
    single = alone(model, packed)
    cached = (not single and cache_fits(model)) if cache is None else cache
    rows: dict[int, Answer] = {}
    groups: dict[tuple[int, str], list[int]] = {}  # one length at a time: no padding
    for i, (ids, q) in enumerate(zip(prompts, questions, strict=True)):
        groups.setdefault((len(ids), q.language if apart else ""), []).append(i)
    for (length, _), todo in sorted(groups.items()):
        steps = edits[questions[todo[0]].language]
        size = length + max_new_tokens
        while todo:

            def run(
                most: int,
                todo: list[int] = todo,
                size: int = size,
                steps: tuple[Intervention, ...] = steps,
            ) -> list[tuple[list[int], str]]:
                part = todo[: 1 if single else max(1, most // size)]
                return _decode(
                    model,
                    [prompts[i] for i in part],
                    [special[i] for i in part],
                    steps,
                    max_new_tokens,
                    stop,
                    cached,
                )

            for tokens, ended in retry_smaller(model, run, max_tokens, floor=size):
                q = questions[i := todo[0]]
                text = answer_text(model, tokens, stop)
                rows[i] = Answer(
                    q.id,
                    q.language,
                    q.country,
                    q.split,
                    q.topic,
                    prompt,
                    text,
                    tuple(tokens),
                    ended,
                )
                todo = todo[1:]
    settings = {
        "model": model.name,
        "prompt": prompt,
        "interventions": edits_described(interventions, edits),
        "stop": stop,
        **chat_settings(chat, model.tokenizer),
        "max_new_tokens": max_new_tokens,
        "generation_config": described(model),
        "template": template if isinstance(template, str) else dict(template),
    }
    return Answers(tuple(rows[i] for i in sorted(rows)), settings)


def _encode(
    model: HookedModel,
    q: Question,
    form: PromptForm,
    template: str | Mapping[str, str],
    chat: bool | Chat,
) -> Tokens:
    """The tokens of one question as it is asked."""
    if not isinstance(template, str):
        if q.language not in template:
            raise MechclaError(
                f"no template for language {q.language!r}; {nearest(q.language, template)}"
            )
        template = template[q.language]
    if SLOT not in template:
        raise MechclaError(f"the template {template[:60]!r} has no {SLOT}, where the question goes")
    text = template.replace(SLOT, q.prompt_text(form))
    tokens = prompt_tokens(text, model.tokenizer, chat)
    if not tokens.ids:
        raise MechclaError(
            f"question {q.id!r} ({q.language}): the prompt {text[:60]!r} has no token"
        )
    check_known(tokens.ids, model.tokenizer, model.vocab_size, f"question {q.id!r} ({q.language})")
    return tokens


def _written(model: HookedModel, tokens: Sequence[int]) -> str:
    ends = model.end_ids | {model.tokenizer.eos_token_id}  # the latter alone does not stop it
    kept = list(takewhile(lambda token: token not in ends, tokens))
    return str(model.tokenizer.decode(kept, skip_special_tokens=True)).lstrip()


def answer_text(model: HookedModel, tokens: Sequence[int], stop: str | None = "\n") -> str:
    """The tokens as text, stripped: without EOS, up to the first `stop` that follows any text."""
    text = _written(model, tokens)
    return (text.split(stop)[0] if stop else text).strip()


def _decode(
    model: HookedModel,
    prompts: list[list[int]],
    special: Sequence[frozenset[int]],
    edits: Sequence[Intervention],
    max_new_tokens: int,
    stop: str | None,
    cached: bool,
) -> list[tuple[list[int], str]]:
    """Tokens, and what ended them, of prompts of one length.

    A row that has ended goes along until all have, so that the cache's rows stay together; what it
    adds is cut.
    """
    grown: list[list[int]] = [[] for _ in prompts]
    done: list[tuple[list[int], str] | None] = [None] * len(prompts)
    how, past = rules(model, prompts, max_new_tokens), None
    for step in range(max_new_tokens):
        if cached:
            logits, past = cached_logits(model, prompts, special, grown, edits, past)
        else:
            logits = full_logits(model, prompts, special, grown, edits)
        tokens = how.scores(_joined(model, prompts, grown), logits).argmax(-1).tolist()
        for row, token in zip(grown, tokens, strict=True):
            row.append(token)
        stopped = how.stopped(_joined(model, prompts, grown))
        for r, token in enumerate(tokens):
            if done[r] is not None:
                continue
            if token in how.end_ids:
                done[r] = (list(grown[r]), "eos")
            elif stopped[r] or (stop and stop in _written(model, grown[r])):
                done[r] = (list(grown[r]), "stop")
            elif step + 1 == max_new_tokens:
                done[r] = (list(grown[r]), "length")
        if all(d is not None for d in done):
            break
    return [d for d in done if d is not None]


def _joined(
    model: HookedModel, prompts: list[list[int]], grown: list[list[int]]
) -> Int[Tensor, "row seq"]:
    """Prompts and what was generated after them, as transformers' processors are given them."""
    rows = [[*p, *g] for p, g in zip(prompts, grown, strict=True)]
    return torch.tensor(rows, dtype=torch.long, device=model.device)
