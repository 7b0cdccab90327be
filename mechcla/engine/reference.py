"""The plain path: TransformerLens' own forward pass, one row per candidate, logits at every
position.

It is what a model that does not fit the engine runs on, and what the engine is checked against
(`capability`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mechcla.engine.hooks import edit_places
from mechcla.engine.intervention import Intervention
from mechcla.engine.packing import Batch, Layout, causal
from mechcla.engine.transfers import fetched, sent
from mechcla.models.hooking import Place, run_hooked

if TYPE_CHECKING:
    from mechcla.models.hooked_model import HookedModel

Rows = Literal["padded", "lengths", "alone"]


@torch.inference_mode()
def plain_log_probs(
    model: HookedModel,
    batch: Batch,
    edits: Sequence[Intervention] = (),
    rows: Rows = "padded",
    streams: Float[Tensor, "edge d_model"] | None = None,
) -> Float[Tensor, " edge"]:
    """Log-probabilities of a plain batch's edges from full forward passes with hooks.

    `batch` must come from collate(..., share_prompt=False). rows: "padded", all in one pass;
    "lengths", a pass per length and no padding, for models whose layers mind it; "alone", a pass
    per row, prompt and whole candidate as one text, so that hooks of the user's own see what a
    single text shows them. streams: filled with the residual stream behind the last block at the
    edges, where it is given.
    """
    chosen: list[Tensor] = []
    parts = _sent(model, batch, rows)
    for part in parts:
        kept: list[Tensor] = []
        places: list[Place] = list(edit_places(model, edits, part.layout))
        if streams is not None:
            last = model.hook_point(model.n_layers - 1, "resid_post")
            places.append(("site", last, kept.append))
        logits = run_hooked(places, partial(model.logits, *part.given)).float().log_softmax(-1)
        row, place, token = part.scored_on(logits.device)
        chosen.append(logits[row, place, token])
        if streams is not None:
            row, place, _ = part.scored_on(kept[0].device)
            streams[part.edges] = kept[0][row, place].float().cpu()
    found = torch.empty(len(batch.edge_token))
    found[torch.cat([part.edges for part in parts])] = fetched(torch.cat(chosen))
    return found


@dataclass(frozen=True, eq=False)
class Part:
    """One pass of a batch, with what it is given on the model's device: sent once for all cells.

    scored: row, place and token of its edges, which are `edges` of the batch's.
    """

    layout: Layout
    given: tuple[Tensor, Tensor, Tensor]
    scored: tuple[Tensor, Tensor, Tensor]
    edges: Int[Tensor, " edge"]
    copies: dict[torch.device, tuple[Tensor, Tensor, Tensor]] = field(default_factory=dict)

    def scored_on(self, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        """`scored` on a device, where logits lie or the stream does."""
        if device not in self.copies:
            row, place, token = self.scored
            self.copies[device] = sent(row, device), sent(place, device), sent(token, device)
        return self.copies[device]


def _sent(model: HookedModel, batch: Batch, rows: Rows) -> list[Part]:
    """The passes that run the batch, made and sent once per batch."""
    key, device = (rows, model.device), model.device
    if key not in batch.passes:
        batch.passes[key] = [
            Part(
                layout,
                (
                    sent(layout.ids, device),
                    sent(layout.real.long(), device),
                    sent(layout.positions, device),
                ),
                (row, batch.edge_place[edges], batch.edge_token[edges]),
                edges,
            )
            for layout, row, edges in _parts(batch, rows)
        ]
    return batch.passes[key]


def _parts(
    batch: Batch, rows: Rows
) -> Iterator[tuple[Layout, Int[Tensor, " edge"], Int[Tensor, " edge"]]]:
    """The passes that run the batch; in which of its rows each of them has which of its edges."""
    layout = batch.layout
    lengths = layout.real.sum(1)
    if rows == "padded":
        yield layout, batch.edge_row, torch.arange(len(batch.edge_token))
        return
    groups = (
        [torch.tensor([r]) for r in range(len(lengths))]
        if rows == "alone"
        else [(lengths == n).nonzero().squeeze(1) for n in sorted(set(lengths.tolist()))]
    )
    for chosen in groups:
        width = int(lengths[chosen[0]])
        ids, added = layout.ids[chosen, :width], layout.added[chosen, :width]
        if rows == "alone":  # its last token, which is no input elsewhere
            last = batch.packed[int(chosen[0])].candidates[0][-1:]
            ids = torch.cat([ids, torch.tensor([last], dtype=torch.long)], 1)
            added = torch.cat([added, torch.zeros(1, 1, dtype=torch.bool)], 1)
        edges = torch.isin(batch.edge_row, chosen).nonzero().squeeze(1)
        row = torch.searchsorted(chosen, batch.edge_row[edges])
        yield causal(ids, layout.prompt[chosen], added), row, edges
