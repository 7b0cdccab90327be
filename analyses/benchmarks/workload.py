"""What every path computes: the log-likelihood of every candidate of every item under every cell of
a sweep.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

import mechcla
from mechcla.engine.intervention import Intervention
from mechcla.engine.packing import Packed, pack
from mechcla.models.hooked_model import HookedModel

Result = list[list[tuple[float, ...]]]  # [cell][item][candidate]


@dataclass(frozen=True, eq=False)
class Workload:
    """A full sweep of one vector: every layer and strength, prompt and answer steered, BOS left
    alone.
    """

    model: HookedModel
    items: mechcla.ItemSet
    vectors: mechcla.SteeringVectors
    language: str
    layers: tuple[int, ...]
    strengths: tuple[float, ...]
    rows: int

    @property
    def cells(self) -> list[tuple[int, float]]:
        return [(layer, strength) for layer in self.layers for strength in self.strengths]

    def edit(self, cell: tuple[int, float]) -> Intervention:
        layer, strength = cell
        vector, norm = self.vectors.at(self.language, layer)
        return Intervention(
            vector, layer, strength, positions="prompt_and_answer", norm=norm, label="EN"
        )

    def packed(self) -> list[Packed]:
        return [pack(item, self.model.tokenizer) for item in self.items]


def evenly(items: mechcla.ItemSet, n: int) -> mechcla.ItemSet:
    """n items spread evenly over the set, which lists topic after topic."""
    return mechcla.ItemSet(tuple(items.items[int(k * len(items) / n)] for k in range(n)))


@dataclass(frozen=True)
class Row:
    """One candidate as its own sequence, as every path but mechcla's runs it."""

    item: int
    candidate: int
    ids: tuple[int, ...]
    cut: int


def rows(packed: list[Packed]) -> list[Row]:
    return [
        Row(i, c, p.prompt + tokens, len(p.prompt))
        for i, p in enumerate(packed)
        for c, tokens in enumerate(p.candidates)
    ]


def padded(part: list[Row], pad_id: int) -> tuple[Tensor, Tensor, Tensor]:
    """ids, attention mask and positions of right-padded rows."""
    width = max(len(r.ids) for r in part)
    ids, mask = (
        torch.full((len(part), width), pad_id),
        torch.zeros(len(part), width, dtype=torch.long),
    )
    for k, r in enumerate(part):
        ids[k, : len(r.ids)] = torch.tensor(r.ids)
        mask[k, : len(r.ids)] = 1
    return ids, mask, torch.arange(width).repeat(len(part), 1)


def scored(part: list[Row]) -> tuple[Tensor, Tensor, Tensor]:
    """Row, place and next token of everything that is scored."""
    triples = [(k, t - 1, r.ids[t]) for k, r in enumerate(part) for t in range(r.cut, len(r.ids))]
    row, place, token = torch.tensor(triples).T
    return row, place, token


def gather(
    parts: list[list[Row]], log_probs: list[Tensor], packed: list[Packed]
) -> list[tuple[float, ...]]:
    """Sums by item and candidate from each part's scored log-probabilities, in float64."""
    sums: dict[tuple[int, int], float] = {}
    for part, values in zip(parts, log_probs, strict=True):
        stream = iter(values.double().tolist())
        for r in part:
            sums[r.item, r.candidate] = sum(next(stream) for _ in range(r.cut, len(r.ids)))
    return [tuple(sums[i, c] for c in range(len(p.candidates))) for i, p in enumerate(packed)]


def batches(all_rows: list[Row], size: int) -> list[list[Row]]:
    """Rows sorted by length, `size` at a time: the batching a careful user writes by hand."""
    ordered = sorted(all_rows, key=lambda r: len(r.ids))
    return [ordered[k : k + size] for k in range(0, len(ordered), size)]


def largest_difference(left: Result, right: Result) -> float:
    return max(
        abs(a - b)
        for x, y in zip(left, right, strict=True)
        for p, q in zip(x, y, strict=True)
        for a, b in zip(p, q, strict=True)
    )
