"""All candidates of an item share one prompt in one sequence; batches are planned by tokens.

The candidates of an item form a trie under their shared prompt. Each inner node of the trie is one
input token that sees the prompt and its own ancestors (a tree mask) and stands at position prompt +
depth, so its residual is exactly what a separate row would give. A leaf is only ever predicted, so
it is no input. What is scored is an edge: the log-probability of a child token at its parent's
position.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from mechcla.errors import MechclaError
from mechcla.items.item import Item, PromptForm
from mechcla.models.chat import Chat, answered_tokens
from mechcla.models.tokens import Pool, Tokens, check_known, common, pooled
from mechcla.models.tokens import encode as encode_tokens

# What a forward pass costs beyond its tokens, in tokens: 55 on two cores, less where variants share
# it.
PASS_TOKENS = 32


@dataclass(frozen=True, slots=True)
class Packed:
    """One item as token ids: its shared prompt and its candidates' tokens after it.

    A prompt alone is one without candidates, and its `item` may be None. `special`: the places of
    the prompt's tokens that the tokenizer or a chat template added (BOS, turn markers), which
    steering leaves alone; a number n stands for the first n.
    """

    item: Item | None
    prompt: tuple[int, ...]
    candidates: tuple[tuple[int, ...], ...]
    special: int | frozenset[int]

    @property
    def added(self) -> frozenset[int]:
        """Places of the prompt's tokens that the user did not write."""
        return added_places(self.special, len(self.prompt))

    @property
    def trie(self) -> tuple[tuple[int, ...], ...]:
        """Inner nodes: the distinct proper, non-empty prefixes of the candidates, parents first."""
        prefixes = {c[:i] for c in self.candidates for i in range(1, len(c))}
        return tuple(sorted(prefixes, key=lambda p: (len(p), p)))

    @property
    def n_tokens(self) -> int:
        """Length of the packed sequence."""
        return len(self.prompt) + len(self.trie)


def added_places(special: int | frozenset[int], length: int) -> frozenset[int]:
    """`Packed.special` as places within a prompt of this length."""
    places = range(special) if isinstance(special, int) else special
    return frozenset(place for place in places if place < length)


def encode(text: str, tokenizer: object) -> list[int]:
    """Token ids of a text, with the tokenizer's own special tokens in front, and none behind."""
    return list(encode_tokens(text, tokenizer).ids)


def pack(
    item: Item,
    tokenizer: object,
    form: PromptForm = "implicit",
    window: int | None = None,
    chat: bool | Chat = False,
    vocab_size: int | None = None,
    pool: Pool | None = None,
) -> Packed:
    """Tokenise an item so that no candidate is scored as zero tokens.

    Prompt and candidate are tokenised as one text. Where a token spans the join, the shared prompt
    is cut back to the longest prefix that the prompt and all candidates have in common, so the sums
    of log-likelihoods of an item's candidates stay comparable. chat: the prompt is the user's turn
    in the model's chat template, and the candidate the assistant's; the template decides what
    stands between the two. pool: what items have alike is held once (`tokens.pooled`).

    Raises MechclaError if a candidate adds no token, if the longest text exceeds the model's
    `window`, or for a token beyond the model's `vocab_size`.
    """
    text = item.prompt_text(form)
    texts = [c.text for c in item.candidates]
    try:
        prompt, full = answered_tokens(text, item.separator, texts, tokenizer, chat)
    except MechclaError as error:
        raise MechclaError(f"{item.label}: {error}") from error
    cut = min(common(prompt.ids, ids) for ids in full)
    in_front = 0
    while in_front in prompt.added:
        in_front += 1
    if cut == 0 or cut < in_front < len(prompt.ids):
        raise MechclaError(f"{item.label}: prompt {text!r} and its candidates share no token")
    for candidate, ids in zip(item.candidates, full, strict=True):
        if len(ids) <= cut:
            raise MechclaError(
                f"{item.label}: candidate {candidate.text!r} adds no token to the prompt {text!r} "
                "with this tokenizer, so it has no likelihood; expected a text that is at least "
                "one token"
            )
        check_known(ids, tokenizer, vocab_size, item.label)
    longest = max(len(ids) for ids in full)
    if window is not None and longest > window:
        raise MechclaError(
            f"{item.label}: prompt and answer are {longest} tokens, the model's window is "
            f"{window}: {text[:60]!r}..."
        )
    pool = {} if pool is None else pool
    front = pooled(Tokens(prompt.ids[:cut], prompt.added), pool)
    candidates = tuple(pooled(Tokens(ids[cut:], frozenset()), pool).ids for ids in full)
    return Packed(item, front.ids, candidates, front.added)


@dataclass(frozen=True, eq=False)
class Layout:
    """The rows of one forward pass: all that runs, and all that an intervention need know of them.

    `positions` are what the position embedding sees (a node's depth, not its place in the row);
    `visible[r, q, k]`: whether the token at q attends to the one at k; `bits` holds it, eight to a
    byte, since it is read once and would else be most of what a prepared item takes. A row's first
    `prompt` tokens are its prompt, the others its answer; `added`: those that the user did not
    write. What is not `real` is padding.
    """

    ids: Int[Tensor, "row seq"]
    positions: Int[Tensor, "row seq"]
    real: Bool[Tensor, "row seq"]
    bits: UInt8[np.ndarray, "row seq byte"]
    prompt: Int[Tensor, " row"]
    added: Bool[Tensor, "row seq"]
    # Which tokens are edited, by positions and device: the same for every cell.
    masks: dict[tuple[str, torch.device], Tensor] = field(default_factory=dict, init=False)
    prompt_on: dict[torch.device, Tensor] = field(default_factory=dict, init=False)

    @property
    def visible(self) -> Bool[Tensor, "row seq seq"]:
        bits = np.unpackbits(self.bits, axis=-1, count=self.ids.shape[1])
        return torch.from_numpy(bits).view(torch.bool)


def causal(
    ids: Int[Tensor, "row seq"],
    prompt: Int[Tensor, " row"],
    added: Bool[Tensor, "row seq"],
    begin: int = 0,
) -> Layout:
    """Rows of one length under an ordinary causal mask; begin: the first token's position."""
    rows, width = ids.shape
    tril = np.packbits(np.tri(width, dtype=bool), axis=-1)
    return Layout(
        ids,
        torch.arange(begin, begin + width).repeat(rows, 1),
        torch.ones(rows, width, dtype=torch.bool),
        np.broadcast_to(tril, (rows, *tril.shape)),
        prompt,
        added,
    )


@dataclass(frozen=True, eq=False)
class Batch:
    """Packed items: the layout that runs, and the edges that are scored.

    `edge_*` list what is scored, each (row, place, token) once; `path` says which edges sum to
    which candidate: (row, candidate, edge). beginning: tokens that all prompts begin with and that
    are no part of the layout: they are run once, for all rows.
    """

    packed: tuple[Packed, ...]
    layout: Layout
    edge_row: Int[Tensor, " edge"]
    edge_place: Int[Tensor, " edge"]
    edge_token: Int[Tensor, " edge"]
    path: Int[Tensor, "step 3"]
    beginning: tuple[int, ...] = ()

    @cached_property
    def scored(self) -> tuple[Int[Tensor, " place"], Int[Tensor, " edge"]]:
        """Each distinct scored position once, as row x length + place, and each edge's index in
        them.
        """
        flat = self.edge_row * self.layout.ids.shape[1] + self.edge_place
        places, index = torch.unique(flat, return_inverse=True)
        return places, index

    @cached_property
    def scored_on(self) -> dict[torch.device, Tensor]:
        """The scored positions by device, as they were sent there."""
        return {}

    @cached_property
    def passes(self) -> dict[tuple[str, torch.device], list[Any]]:
        """The plain path's passes, by how rows run and device, as they were sent there."""
        return {}

    def sums(self, log_probs: Float[Tensor, " edge"]) -> list[float]:
        """Log-likelihood of every candidate, in the order of items and candidates, summed in
        float64.

        The same list for both layouts of `collate`.
        """
        edge = log_probs.double().tolist()
        totals: dict[tuple[int, int], float] = {}
        for row, candidate, e in self.path.tolist():
            totals[(row, candidate)] = totals.get((row, candidate), 0.0) + edge[e]
        return list(totals.values())


def collate(
    packed: Sequence[Packed], pad_id: int, share_prompt: bool = True, beginning: int = 0
) -> Batch:
    """One Batch from packed items, right-padded.

    share_prompt=False gives the plain layout, a row per candidate and an ordinary causal mask: what
    a model that cannot take a tree mask runs, and what the fast layout is tested against.
    beginning: how many tokens all prompts begin with and do not run themselves.
    """
    rows = (
        [(p, [p]) for p in packed]
        if share_prompt
        else [
            (Packed(p.item, p.prompt, (c,), p.special), [p]) for p in packed for c in p.candidates
        ]
    )
    views = [row for row, _ in rows]
    tries = [row.trie for row in views]
    length = max(len(v.prompt) + len(t) for v, t in zip(views, tries, strict=True)) - beginning
    shape = (len(views), length)
    ids = torch.full(shape, pad_id, dtype=torch.long)
    positions = torch.zeros(shape, dtype=torch.long)
    real = torch.zeros(shape, dtype=torch.bool)
    visible = torch.eye(length, dtype=torch.bool).repeat(len(views), 1, 1)
    added = torch.zeros(shape, dtype=torch.bool)
    edges: dict[tuple[int, int, int], int] = {}
    path: list[tuple[int, int, int]] = []
    for r, (view, trie) in enumerate(zip(views, tries, strict=True)):
        n = len(view.prompt) - beginning
        place = {(): n - 1} | {prefix: n + i for i, prefix in enumerate(trie)}
        ids[r, :n] = torch.tensor(view.prompt[beginning:])
        positions[r, :n] = torch.arange(beginning, beginning + n)
        real[r, : n + len(trie)] = True
        added[r, [at - beginning for at in view.added if at >= beginning]] = True
        visible[r, :n, :n] = torch.ones(n, n, dtype=torch.bool).tril()
        for prefix in trie:
            at = place[prefix]
            ids[r, at] = prefix[-1]
            positions[r, at] = beginning + n + len(prefix) - 1
            visible[r, at, :n] = True
            for depth in range(1, len(prefix)):
                visible[r, at, place[prefix[:depth]]] = True
        for c, tokens in enumerate(view.candidates):
            for i, token in enumerate(tokens):
                edge = edges.setdefault((r, place[tokens[:i]], token), len(edges))
                path.append((r, c, edge))
    keys = torch.tensor(list(edges), dtype=torch.long).reshape(-1, 3)
    prompt = torch.tensor([len(view.prompt) - beginning for view in views])
    bits = np.packbits(visible.numpy(), axis=-1)
    layout = Layout(ids, positions, real, bits, prompt, added)
    return Batch(
        tuple(views),
        layout,
        keys[:, 0],
        keys[:, 1],
        keys[:, 2],
        torch.tensor(path, dtype=torch.long).reshape(-1, 3),
        views[0].prompt[:beginning],
    )


def plan(lengths: Sequence[int], max_tokens: int) -> list[list[int]]:
    """Indices of rows in groups, shortest first, so that rows x padded length stays within
    `max_tokens`.

    Of all ways to cut the rows, sorted by length, into groups, the one with the fewest padded
    tokens, a group counting PASS_TOKENS more for the pass that it needs. A single row longer than
    the bound is a group of its own.
    """
    order = sorted(range(len(lengths)), key=lambda i: (lengths[i], i))
    least, cut = np.zeros(len(order) + 1), [0] * (len(order) + 1)
    for end in range(1, len(order) + 1):
        longest = lengths[order[end - 1]]
        begin = max(0, end - max(1, max_tokens // longest))
        cost = least[begin:end] + np.arange(end - begin, 0, -1) * longest + PASS_TOKENS
        best = int(cost.argmin())
        least[end], cut[end] = cost[best], begin + best
    groups, end = [], len(order)
    while end:
        groups.append(order[cut[end] : end])
        end = cut[end]
    return groups[::-1]
