"""Examples become tokens, steps and micro-batches: which texts are seen when, decided by a seed."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from mechcla.errors import MechclaError
from mechcla.models.chat import Chat, answered_tokens, render
from mechcla.models.tokens import bare, check_known, common, encode


@dataclass(frozen=True)
class Text:
    """A text to learn: labels are the answer's tokens, and the end of it if `end`, which is EOS or
    a chat template's own end of turn.

    prompt: "" for a text that is learnt as a whole, whose first token alone is no label.
    """

    prompt: str
    separator: str
    answer: str
    end: bool = False


@dataclass(frozen=True)
class Example:
    """One or two texts that a task takes together. where: what a message names, such as a row.

    fact: what it is about. fit: whether a task that also fine-tunes on the first text does so here.
    """

    where: str
    fact: str
    language: str
    texts: tuple[Text, ...]
    fit: bool = True


@dataclass(frozen=True)
class Row:
    """An example as token ids, and how many of each text's first tokens are no labels.

    added: per text, the places of what the tokenizer or a chat template put there.
    """

    example: Example
    ids: tuple[tuple[int, ...], ...]
    prompts: tuple[int, ...]
    added: tuple[frozenset[int], ...]

    @property
    def length(self) -> int:
        return max(map(len, self.ids))

    @property
    def n_labels(self) -> int:
        return sum(len(i) - p for i, p in zip(self.ids, self.prompts, strict=True))

    @property
    def n_fit_labels(self) -> int:
        """Labels of the first text, where a task that also fine-tunes does so."""
        return len(self.ids[0]) - self.prompts[0] if self.example.fit else 0


@dataclass(frozen=True)
class MicroBatch:
    """Rows ready for a forward pass, right-padded, the texts of a row one after another.

    written: what is real and was not added by the tokenizer or a chat template.
    label_row, label_place: where the logits for each label are read, by text and by place in it;
    labels: the tokens there. scale: what the micro-batch's mean counts within its step. fit_labels:
    the step's labels that a preference task fine-tunes on, times the micro-batch's part of the
    step's rows: a sum over it divided by this is, over the step, a mean per label token. task: the
    name of the task; step: the optimizer step, from 1.
    """

    task: str
    step: int
    scale: float
    where: tuple[str, ...]
    fit: Bool[Tensor, " row"]
    ids: Int[Tensor, "text seq"]
    real: Bool[Tensor, "text seq"]
    written: Bool[Tensor, "text seq"]
    label_row: Int[Tensor, " label"]
    label_place: Int[Tensor, " label"]
    labels: Int[Tensor, " label"]
    fit_labels: float

    @property
    def n_texts(self) -> int:
        return len(self.ids)

    def to(self, device: torch.device, non_blocking: bool = False) -> MicroBatch:
        """The same on another device."""
        moved: dict[str, Any] = {
            k: v.to(device, non_blocking=non_blocking)
            for k, v in vars(self).items()
            if isinstance(v, Tensor)
        }
        return replace(self, **moved)


def encode_example(
    example: Example, tokenizer: Any, window: int | None, vocab_size: int, chat: Chat | None
) -> Row:
    """The example's tokens. With chat, prompts stand in the model's template, sentences do not.

    Raises MechclaError, naming the example, for a text without a label or beyond the window.
    """
    ids, prompts, around = [], [], []
    for text in example.texts:
        try:
            whole, cut, added = _tokens(text, tokenizer, chat)
        except MechclaError as error:
            raise MechclaError(f"{example.where}: {error}") from error
        if len(whole) <= cut:
            raise MechclaError(
                f"{example.where}: {text.answer!r:.60} adds no token to its prompt with this "
                "tokenizer, so there is nothing to learn; expected a text of at least one token"
            )
        check_known(whole, tokenizer, vocab_size, example.where)
        if window is not None and len(whole) > window:
            raise MechclaError(
                f"{example.where}: the text is {len(whole)} tokens, the model's "
                f"window is {window}: {(text.prompt + text.separator + text.answer)[:60]!r}...; "
                "shorten it or leave it out"
            )
        ids.append(whole)
        prompts.append(cut)
        around.append(added)
    return Row(example, tuple(ids), tuple(prompts), tuple(around))


def _tokens(
    text: Text, tokenizer: Any, chat: Chat | None
) -> tuple[tuple[int, ...], int, frozenset[int]]:
    """The text's tokens, how many of the first are no labels, and the places of added ones."""
    if not text.prompt:
        found = encode(text.answer, tokenizer)
        front = 0
        while front in found.added:
            front += 1
        return found.ids, max(1, front), found.added
    prompt, [whole] = answered_tokens(
        text.prompt, text.separator, [text.answer], tokenizer, chat or False
    )
    if chat is None:  # with chat the prompt goes to where the answer begins already
        prompt = encode(text.prompt + text.separator, tokenizer)
    cut = max(1, common(prompt.ids, whole))
    end = _end(text, whole, tokenizer, chat) if text.end else ()
    return (*whole, *end), cut, prompt.added


def _end(text: Text, whole: tuple[int, ...], tokenizer: Any, chat: Chat | None) -> tuple[int, ...]:
    """What ends the answer: the template's own end of a turn, up to its first special token; the
    tokenizer's EOS without chat, or where the template writes nothing there.
    """
    eos = getattr(tokenizer, "eos_token_id", None)
    if chat is not None:
        turn = tuple(bare(render(chat, tokenizer, text.prompt, text.answer), tokenizer))
        behind = turn[len(whole) :] if turn[: len(whole)] == whole else ()
        special = {eos, *(i for i, t in tokenizer.added_tokens_decoder.items() if t.special)}
        stop = next((n for n, i in enumerate(behind, start=1) if i in special), len(behind))
        if behind:
            return behind[:stop]
    return () if eos is None else (eos,)


def step_rows(rows: Sequence[Row], steps: int, per_step: int, distinct: bool, key: str) -> Steps:
    """The rows of each step: every row once before any a second time, in an order by `key`.

    distinct: a row whose fact is in the step already waits for the next; a step has fewer rows than
    asked for if there are fewer facts.
    """
    found: Steps = []
    waiting: deque[Row] = deque()
    pass_ = 0
    if distinct:
        per_step = min(per_step, len({row.example.fact for row in rows}))
    while len(found) < steps:
        chosen: list[Row] = []
        held: deque[Row] = deque()
        facts: set[str] = set()
        while len(chosen) < per_step:
            if not waiting:
                waiting.extend(_shuffled(rows, f"{key}/{pass_}"))
                pass_ += 1
            row = waiting.popleft()
            if distinct and row.example.fact in facts:
                held.append(row)
                continue
            facts.add(row.example.fact)
            chosen.append(row)
        waiting.extendleft(reversed(held))
        found.append(chosen)
    return found


Steps = list[list[Row]]


def _shuffled(rows: Sequence[Row], key: str) -> list[Row]:
    """By SHA-256, which is the same on every machine and in every version of a library."""
    return [
        rows[i]
        for i in sorted(
            range(len(rows)), key=lambda i: hashlib.sha256(f"{key}/{i}".encode()).digest()
        )
    ]


def parts_needed(steps: Steps, batch_tokens: int) -> int:
    """The fewest micro-batches per step, the same for all, each within `batch_tokens` tokens.

    Padding counts; texts are cut into them by length, so there is little of it. Where single rows
    are longer than the bound, as many as a step has rows.
    """
    most = min(map(len, steps))
    for parts in range(1, most + 1):
        if all(
            max(row.length for row in part) * sum(len(row.ids) for row in part) <= batch_tokens
            for rows in steps
            for part in cut(rows, parts)
        ):
            return parts
    return most


def cut(rows: Sequence[Row], parts: int) -> list[list[Row]]:
    """The rows by length in so many parts of nearly equal count; fewer where there are fewer."""
    ordered = sorted(rows, key=lambda row: row.length)
    parts = min(parts, len(ordered))
    edges = [len(ordered) * k // parts for k in range(parts + 1)]
    return [ordered[a:b] for a, b in pairwise(edges)]


def collate(
    rows: Sequence[Row], pad_id: int, task: str, step: int, scale: float, fit_labels: float
) -> MicroBatch:
    """One micro-batch from rows, right-padded; the first token of a text is never a label."""
    texts = [one for row in rows for one in zip(row.ids, row.prompts, row.added, strict=True)]
    length = max(len(ids) for ids, *_ in texts)
    ids = torch.full((len(texts), length), pad_id, dtype=torch.long)
    real = torch.zeros((len(texts), length), dtype=torch.bool)
    written = torch.zeros_like(real)
    places: list[tuple[int, int, int]] = []
    for n, (tokens, cut, added) in enumerate(texts):
        ids[n, : len(tokens)] = torch.tensor(tokens)
        real[n, : len(tokens)] = True
        written[n, [place for place in range(len(tokens)) if place not in added]] = True
        places += [(n, place - 1, tokens[place]) for place in range(cut, len(tokens))]
    at = torch.tensor(places, dtype=torch.long).reshape(-1, 3)
    fit = torch.tensor([row.example.fit for row in rows], dtype=torch.bool)
    where = tuple(row.example.where for row in rows)
    at_labels = (at[:, 0], at[:, 1], at[:, 2])
    return MicroBatch(task, step, scale, where, fit, ids, real, written, *at_labels, fit_labels)
