"""Many variants of the same items, run as a tree over layers, so that nothing runs twice.

Blocks below a steered one run once for all variants; variants that begin alike share what they have
in common (a pair of layers its shallow part). From their last edit on, variants only differ in
their numbers, so they run together as the rows of one batch: all strengths of a layer, and, while
there is room, those of deeper layers, which join at their own block. What the last block gives out
is gathered over batches and variants before the unembedding, whose matrix is then read once for
many rows instead of once for a few.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING

from jaxtyping import Float
from torch import Tensor

from mechcla.engine.gating import gates_of
from mechcla.engine.head import HEAD_ROWS, Scored, log_probs
from mechcla.engine.intervention import Intervention
from mechcla.engine.state import State, advance, advance_together, scored, steer_here

if TYPE_CHECKING:
    from mechcla.models.hooked_model import HookedModel


GATHERED_ROWS = 2 * HEAD_ROWS
MOST_WAITING = 8 * GATHERED_ROWS  # where one batch under many variants has more than that by itself
Edits = tuple[Intervention, ...]
Step = tuple[int, Edits]
Branch = tuple[int, tuple[Step, ...]]
Keep = Callable[[State], State]
Found = tuple[int, list[Float[Tensor, " _"]]]


def steps(edits: Edits) -> tuple[Step, ...]:
    """The edits grouped by layer, shallow first; within a layer they keep their order."""
    layers = sorted({e.layer for e in edits})
    return tuple((layer, tuple(e for e in edits if e.layer == layer)) for layer in layers)


def run_variants(
    states: tuple[State, ...], branches: Sequence[Branch], max_tokens: int, keep: Keep
) -> Iterator[Found]:
    """Run every branch (a variant's number and its steps) from these States, a State a batch, all
    at one block.

    max_tokens: rows x length of one forward pass. keep: is given each State that outlives a step,
    and may move it out of memory. Yields (the variant's number, log-probabilities of the scored
    edges, a tensor a batch), the shallow layers first.
    """
    queue = _Queue(max_tokens)
    gates = gates_of([edit for _, todo in branches for _, step in todo for edit in step])
    done = [i for i, todo in branches if not todo]
    if done and all(s.unsteered is not None for s in states):  # the recording pass ran it already
        gathered = _Gathered([s.unsteered for s in states if s.unsteered is not None])
        _unembed([gathered], states[0].model)
        yield from _found([done], [gathered])
    elif done:
        yield from queue.add(states, [(done, ())], states[0].layer)
    groups: dict[tuple[int, tuple[tuple[object, ...], ...]], list[Branch]] = {}
    for branch in branches:
        if branch[1]:
            layer, step = branch[1][0]
            groups.setdefault(
                (layer, tuple(tuple(e.describe().values()) for e in step)), []
            ).append(branch)
    ordered = sorted(
        ((layer, _is_after(g[0][1][0][1]), g) for (layer, _), g in groups.items()),
        key=lambda x: x[:2],
    )
    for (layer, after), same in groupby(ordered, key=lambda x: x[:2]):
        states = tuple(keep(advance(s, layer + 1 if after else layer, gates=gates)) for s in states)
        last: list[tuple[list[int], Edits]] = []
        for _, _, group in same:
            step = group[0][1][0][1]
            rest = [(i, todo[1:]) for i, todo in group]
            if any(todo for _, todo in rest):
                yield from run_variants(
                    tuple(keep(_apply(s, layer, step)) for s in states), rest, max_tokens, keep
                )
            else:
                last.append(([i for i, _ in rest], step))
        if last:
            yield from queue.add(states, last, layer + 1)
    yield from queue.flush()


def _is_after(step: Edits) -> bool:
    """Whether a layer's edits all act on what its block gives out, so that the block need not run
    again.
    """
    return all(e.site == "resid_post" for e in step)


def _apply(state: State, layer: int, step: Edits) -> State:
    """The State behind block `layer` under its edits; the block is run only if it has not been."""
    return steer_here(state, step) if state.layer == layer + 1 else advance(state, layer + 1, step)


@dataclass
class _Pending:
    """Variants with the same numbers and no edit left, and their States, a State per batch."""

    indices: list[int]
    states: list[State]


@dataclass
class _Queue:
    """Variants that have no edit left and run the remaining blocks together.

    They are taken on as long as all their tokens fit one pass; where a single variant fills it,
    batches are finished one after another, and only the scored rows of each are kept.
    """

    max_tokens: int
    pending: list[_Pending] = field(default_factory=list)

    def add(
        self, states: Sequence[State], variants: Sequence[tuple[list[int], Edits]], layer: int
    ) -> Iterator[Found]:
        """Take on variants that enter block `layer` under their edits of the block below; yields
        what is done.
        """
        room = self.max_tokens // sum(s.batch.layout.ids.numel() for s in states)
        if len(self.pending) + len(variants) > room:
            yield from self.flush()
        if len(variants) > room:
            yield from self._at_once(states, variants, layer)
            return
        self._advance(layer)
        self.pending += [
            _Pending(indices, [_apply(s, layer - 1, step) if step else s for s in states])
            for indices, step in variants
        ]

    def flush(self) -> Iterator[Found]:
        """Finish all pending variants."""
        if not self.pending:
            return
        model, indices = self.pending[0].states[0].model, [p.indices for p in self.pending]
        self._advance(model.n_layers)
        gathered = [_Gathered([scored(s) for s in p.states]) for p in self.pending]
        self.pending = []
        _unembed(gathered, model)
        yield from _found(indices, gathered)

    def _advance(self, layer: int) -> None:
        for batch in range(len(self.pending[0].states) if self.pending else 0):
            advanced = advance_together(
                [p.states[batch] for p in self.pending], layer, self.max_tokens
            )
            for one, state in zip(self.pending, advanced, strict=True):
                one.states[batch] = state

    def _at_once(
        self, states: Sequence[State], variants: Sequence[tuple[list[int], Edits]], layer: int
    ) -> Iterator[Found]:
        gathered = [_Gathered() for _ in variants]
        for state in states:
            # As many as run together: the next ones are steered when these are done, so that
            # memory does not grow with the number of variants.
            most = max(1, self.max_tokens // state.batch.layout.ids.numel())
            for begin in range(0, len(variants), most):
                part = slice(begin, begin + most)
                steered = [
                    _apply(state, layer - 1, step) if step else state for _, step in variants[part]
                ]
                for mine, ended in zip(
                    gathered[part],
                    advance_together(steered, state.model.n_layers, self.max_tokens),
                    strict=True,
                ):
                    mine.waiting.append(scored(ended))
                if _waiting(gathered) >= MOST_WAITING:
                    _unembed(gathered, state.model)
            if _waiting(gathered) >= GATHERED_ROWS:
                _unembed(gathered, state.model)
        _unembed(gathered, states[0].model)
        yield from _found([indices for indices, _ in variants], gathered)


@dataclass
class _Gathered:
    """One variant's scored rows that wait for the unembedding, and the log-probabilities of the
    batches before them.
    """

    waiting: list[Scored] = field(default_factory=list)
    edges: list[Float[Tensor, " _"]] = field(default_factory=list)


def _waiting(gathered: Sequence[_Gathered]) -> int:
    return sum(len(part.rows) for mine in gathered for part in mine.waiting)


def _unembed(gathered: Sequence[_Gathered], model: HookedModel) -> None:
    edges = iter(log_probs(model, [part for mine in gathered for part in mine.waiting]))
    for mine in gathered:
        mine.edges += [next(edges) for _ in mine.waiting]
        mine.waiting = []


def _found(indices: Sequence[list[int]], gathered: Sequence[_Gathered]) -> Iterator[Found]:
    for mine, variant in zip(indices, gathered, strict=True):
        yield from ((i, variant.edges) for i in mine)
