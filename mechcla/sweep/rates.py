"""How fast this machine runs this model: seconds per block and token, per unembedded position, per
cell, measured on a few of a run's own items in a few seconds.

A pass through a block takes a fixed time and a time per token; both are solved for from two passes
of different size. Source: ours.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

import torch

from mechcla.engine.intervention import Intervention
from mechcla.items.item_set import ItemSet
from mechcla.metrics.metrics import difference
from mechcla.scoring.prepared import prepare
from mechcla.scoring.scorer import score_many
from mechcla.scoring.scores import Scores
from mechcla.statistics import minimum_detectable_effect, permutation_test
from mechcla.sweep.config import SweepConfig

if TYPE_CHECKING:
    from mechcla.models.hooked_model import HookedModel

TOKENS = 512  # of the larger of the two passes
CLOCK = time.perf_counter
FIGURES = 2.0  # seconds of figures and page, whatever the run: seen on one core


@dataclass(frozen=True)
class Rates:
    """Seconds, FLOPs and bytes per unit of work.

    pass_: of a batch through a block, beside its tokens; token: of a token through a block; row: of
    an unembedded position; cell, item: of a cell's table, and of each of its items; tables: of one
    condition in one language.
    """

    pass_: float
    token: float
    row: float
    cell: float
    item: float
    tables: float
    flops_per_token: float
    flops_per_row: float
    bytes_per_cell: float
    bytes_per_row: float

    def seconds(self, tokens: int, passes: int, rows: int, cells: int, items: int) -> float:
        """Of this much work on one worker."""
        blocks = tokens * self.token + passes * self.pass_
        return blocks + rows * self.row + cells * self.cell + items * self.item


def measure(model: HookedModel, items: ItemSet, config: SweepConfig) -> Rates:
    """The rates of this machine; a few seconds, after a pass that is not measured.

    items: some of those that a cell holds.
    """
    items = ItemSet(items.items[:8])
    n, d = model.n_layers, model.d_model
    vector = torch.zeros(d)
    vector[0] = 1e-3
    ready = prepare(model, items, max_tokens=1 << 20, prior=False, chat=config.chat_form)
    ready = ready.suited((Intervention(vector, 0, 1.0),))
    many = max(2, -(-TOKENS // sum(b.layout.ids.numel() for b in ready.batches)))

    def edits(layer: int, count: int) -> list[tuple[Intervention, ...]]:
        return [(Intervention(vector, layer, 1.0 + k),) for k in range(count)]

    tokens = sum(b.layout.ids.numel() for b in ready.batches)
    rows = sum(
        len(set(zip(b.edge_row.tolist(), b.edge_place.tolist(), strict=True)))
        for b in ready.batches
    )
    low = n // 2
    found: list[tuple[int, Scores]] = []
    one, more, head = edits(low, 1), edits(low, many), edits(n - 1, many)
    _timed(lambda: list(score_many(ready, one)), 1)
    of_one = _timed(lambda: list(score_many(ready, one)), 3)
    of_many = _timed(lambda: list(score_many(ready, more)), 2)
    of_head = _timed(lambda: found.extend(score_many(ready, head)), 2)
    scores = found[0][1]
    edges = ready.edge_log_probs()
    table = _timed(lambda: ready.table(edges, ()), 3)
    data = BytesIO()
    write = _timed(lambda: scores.to_parquet(BytesIO()), 3)
    scores.to_parquet(data)
    blocks = n - low - 1
    per_row = max(of_head / many - table, 0.0) / rows
    small = max(of_one - per_row * rows - table, 1e-9) / max(1, blocks)
    large = max(of_many - many * (per_row * rows + table), 1e-9) / max(1, blocks)
    per_token = max(0.0, (large - small) / (tokens * (many - 1)))
    plain = sum(p.numel() for p in model.blocks.parameters() if p.ndim > 1)
    weight = model.unembedding.weight
    size = len(data.getvalue())
    each = 300.0  # bytes of an item's row in a cell
    return Rates(
        max(0.0, small - per_token * tokens),
        per_token or small / tokens,
        per_row,
        2 * write + 0.005,
        table / len(items),
        tables_seconds(scores, config),
        2.0 * plain / n,
        2.0 * weight.shape[0] * weight.shape[1],
        max(0.0, size - each * len(items)),
        each,
    )


def tables_seconds(scores: Scores, config: SweepConfig) -> float:
    """Of the intervals and tests of one condition in one language: both measures, each metric."""
    kind = scores.rows[0].kind
    name = "transfer" if kind == "universal" else "localization"

    def once() -> None:
        difference(scores, scores, name, "share", resamples=config.resamples, seed=0)
        permutation_test(scores, scores, name, "share", seed=0)
        minimum_detectable_effect(scores, scores, name, "share")

    return 6 * _timed(once, 1)


def _timed(run: Callable[[], object], often: int) -> float:
    """The least seconds of so many runs: what others do on the machine only adds."""
    least = float("inf")
    for _ in range(often):
        begun = CLOCK()
        run()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        least = min(least, CLOCK() - begun)
    return least
