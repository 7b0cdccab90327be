"""The plain path: TransformerLens' own forward pass, one row per candidate, logits at every
position.

It is what a model that does not fit the engine runs on, and what the engine is checked against
(`capability`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mechcla.engine.hooks import edit_places
from mechcla.engine.intervention import Intervention
from mechcla.engine.packing import Batch, Layout, causal
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
    found = torch.empty(len(batch.edge_token))
    for part, row, edges in _parts(batch, rows):
        kept: list[Tensor] = []
        places: list[Place] = list(edit_places(model, edits, part))
        if streams is not None:
            last = model.hook_point(model.n_layers - 1, "resid_post")
            places.append(("site", last, kept.append))
        device = model.device
        ids, mask = part.ids.to(device), part.real.long().to(device)
        positions = part.positions.to(device)

        def forward(
            ids: Tensor = ids, mask: Tensor = mask, positions: Tensor = positions
        ) -> Tensor:
            return model.logits(ids, mask, positions)

        logits = run_hooked(places, forward).float().log_softmax(-1)
        row, place = row.to(logits.device), batch.edge_place[edges].to(logits.device)
        found[edges] = logits[row, place, batch.edge_token[edges].to(logits.device)].cpu()
        if streams is not None:
            last_one = kept[0].device
            streams[edges] = kept[0][row.to(last_one), place.to(last_one)].float().cpu()
    return found


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
