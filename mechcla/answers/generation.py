"""Answers in free text, greedy or drawn, under the same interventions that scoring takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import takewhile
from typing import TYPE_CHECKING

import torch
from jaxtyping import Int
from torch import Tensor

from mechcla.answers.answers import Answer, Answers
from mechcla.answers.processors import described, rules
from mechcla.answers.prompts import SLOT, Question, as_questions, encode_question
from mechcla.answers.sampling import Sampling
from mechcla.engine.capability import alone
from mechcla.engine.decoding import cache_fits, cached_logits, full_logits
from mechcla.engine.intervention import Intervention
from mechcla.engine.languages import Interventions, by_language
from mechcla.engine.languages import described as edits_described
from mechcla.engine.memory import retry_smaller
from mechcla.errors import MechclaError, unknown
from mechcla.items.item import PromptForm
from mechcla.models.chat import Chat, chat_settings
from mechcla.progress import bar

if TYPE_CHECKING:
    from mechcla.models.hooked_model import HookedModel


MAX_TOKENS = 2048
Written = tuple[list[int], str]  # the tokens of an answer, and what ended it
Row = tuple[int, int]  # a question's place, and the number of one of its answers
Watch = Callable[[int, Sequence[int], str], None]  # a row's place, its tokens so far, its end or ""


def generate(
    model: HookedModel,
    questions: str | Sequence[Question | str],
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
    *,
    language: str | Sequence[str] | None = None,
    sample: bool = False,
    temperature: float | None = None,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int = 0,
    n: int = 1,
    stream: Callable[[Answer], None] | None = None,
) -> Answers:
    """Answers to questions (OpenItem, Item) or plain texts under interventions; () is the unsteered
    model.

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
    {"en": "Question: {q}\\nAnswer:"}; a question that stands in it already is not put in again.
    chat: put it into the tokenizer's chat template; True, or a
    `mechcla.Chat` with a system prompt, variables and a date. max_tokens: rows x (prompt + new
    tokens) of a batch, halved, with a warning, as often as memory runs out. cache: None lets
    `decoding.cache_fits` decide; False runs full passes. packed: while hooks of your own are in
    place, prompts run one by one by full passes, so that a hook sees the whole text and nothing
    else; True runs them in batches, from a cache, all the same. Greedy decoding shows a model's
    single most likely path, not what else it might say, and in 16-bit types a near tie may fall
    either way with the batch's size.

    language: of plain texts, one or one per text; default: that of the edits, if it is one. sample:
    draw tokens instead, as `generate(do_sample=True)` does, with temperature, top_k and top_p in
    place of the generation config's; n answers per question, whose `number` counts from 0. A drawn
    answer depends on seed, prompt and number, not on the batch, and edits of one prompt share the
    random numbers. stream: called with each answer so far, after every token, `ended` empty until
    the last time; where memory ran out an answer begins again.

    Source: ours. Raises MechclaError for no questions, a prompt beyond the model's window, an
    unknown form, a template without {q}, a question without an implicit form, chat=True without a
    chat template, or a generation config that asks for another search than these.

    >>> answers = mechcla.generate(model, questions, interventions={"es": sur, "ko": other})
    >>> texts = answers.to_pandas()[["id", "text"]]
    >>> drawn = mechcla.generate(model, "La moneda es", sur, sample=True, n=3, seed=1)
    >>> [a.number for a in drawn]
    [0, 1, 2]
    """
    if prompt not in ("implicit", "explicit"):
        raise unknown("prompt form", prompt, ("implicit", "explicit"))
    asked = as_questions(questions, language, interventions)
    if not asked:
        raise MechclaError("there are no questions to answer; is the language or split right?")
    if max_new_tokens < 1 or max_tokens < 1:
        raise MechclaError(
            f"max_new_tokens={max_new_tokens}, max_tokens={max_tokens}; expected at least 1 each"
        )
    if stop is not None and not stop:
        raise MechclaError("stop is an empty text, which every answer has; use None for no stop")
    how = Sampling(sample, temperature, top_k, top_p, seed, n)
    edits = by_language(interventions, [q.language for q in asked], model, chat, any_language)
    apart = isinstance(interventions, Mapping)  # else every language has the same edits
    encoded = [encode_question(model, q, prompt, template, chat) for q in asked]
    prompts, special = [list(t.ids) for t in encoded], [t.added for t in encoded]
    longest = max(map(len, prompts)) + max_new_tokens
    if model.window is not None and longest > model.window:
        raise MechclaError(
            f"the longest prompt and max_new_tokens={max_new_tokens} are {longest} tokens, "
            f"the model's window is {model.window}"
        )
    single = alone(model, packed)
    cached = (not single and cache_fits(model)) if cache is None else cache

    def answer(row: Row, tokens: Sequence[int], ended: str) -> Answer:
        q, text = asked[row[0]], answer_text(model, tokens, stop)
        place = (q.id, q.language, q.country, q.split, q.topic, prompt)
        return Answer(*place, text, tuple(tokens), ended, row[1])

    rows: dict[Row, Answer] = {}
    groups: dict[tuple[int, str], list[Row]] = {}  # one length at a time: no padding
    for i, (ids, q) in enumerate(zip(prompts, asked, strict=True)):
        group = groups.setdefault((len(ids), q.language if apart else ""), [])
        group += [(i, number) for number in range(n)]
    done = bar("generation", len(asked) * n * max_new_tokens, "token")
    for (length, _), todo in sorted(groups.items()):
        steps = edits[asked[todo[0][0]].language]
        size = length + max_new_tokens
        while todo:

            def run(
                most: int,
                todo: list[Row] = todo,
                size: int = size,
                steps: tuple[Intervention, ...] = steps,
            ) -> list[Written]:
                part = todo[: 1 if single else max(1, most // size)]

                def watch(place: int, tokens: Sequence[int], ended: str) -> None:
                    done.update(max_new_tokens - len(tokens) + 1 if ended else 1)
                    if stream is not None:
                        stream(answer(part[place], tokens, ended))

                return _decode(
                    model,
                    [prompts[i] for i, _ in part],
                    [special[i] for i, _ in part],
                    steps,
                    max_new_tokens,
                    stop,
                    cached,
                    how,
                    [number for _, number in part],
                    watch,
                )

            for written in retry_smaller(model, run, max_tokens, floor=size):
                rows[todo[0]] = answer(todo[0], *written)
                todo = todo[1:]
    done.close()
    settings = {
        "model": model.name,
        "prompt": prompt,
        "interventions": edits_described(interventions, edits),
        "stop": stop,
        **chat_settings(chat, model.tokenizer),
        "max_new_tokens": max_new_tokens,
        "generation_config": described(model),
        "decoding": how.describe(),
        "template": template if isinstance(template, str) else dict(template),
    }
    return Answers(tuple(rows[row] for row in sorted(rows)), settings)


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
    sampling: Sampling,
    numbers: Sequence[int],
    watch: Watch,
) -> list[Written]:
    """Tokens, and what ended them, of prompts of one length.

    A row that has ended goes along until all have, so that the cache's rows stay together; what it
    adds is cut.
    """
    grown: list[list[int]] = [[] for _ in prompts]
    done: list[Written | None] = [None] * len(prompts)
    how, past = rules(model, prompts, max_new_tokens, sampling.settings), None
    draws = [sampling.generator(p, k) for p, k in zip(prompts, numbers, strict=True)]
    for step in range(max_new_tokens):
        if cached:
            logits, past = cached_logits(model, prompts, special, grown, edits, past)
        else:
            logits = full_logits(model, prompts, special, grown, edits)
        tokens = sampling.choose(how.scores(_joined(model, prompts, grown), logits), draws)
        for row, token in zip(grown, tokens, strict=True):
            row.append(token)
        stopped = how.stopped(_joined(model, prompts, grown))
        for r, token in enumerate(tokens):
            if done[r] is not None:
                continue
            ended = ""
            if token in how.end_ids:
                ended = "eos"
            elif stopped[r] or (stop and stop in _written(model, grown[r])):
                ended = "stop"
            elif step + 1 == max_new_tokens:
                ended = "length"
            if ended:
                done[r] = (list(grown[r]), ended)
            watch(r, grown[r], ended)
        if all(d is not None for d in done):
            break
    return [d for d in done if d is not None]


def _joined(
    model: HookedModel, prompts: list[list[int]], grown: list[list[int]]
) -> Int[Tensor, "row seq"]:
    """Prompts and what was generated after them, as transformers' processors are given them."""
    rows = [[*p, *g] for p, g in zip(prompts, grown, strict=True)]
    return torch.tensor(rows, dtype=torch.long, device=model.device)
