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
from mechcla.engine.packing import Batch
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
    for part, edges in _parts(batch, rows):
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
        row, place = part.edge_row.to(device), part.edge_place.to(device)
        found[edges] = logits[row, place, part.edge_token.to(device)].cpu()
        if streams is not None:
            streams[edges] = kept[0][row, place].float().cpu()
    return found


def _parts(batch: Batch, rows: Rows) -> Iterator[tuple[Batch, Int[Tensor, " edge"]]]:
    """The batch as the passes that run it, and which of its edges each of them has."""
    lengths = batch.real.sum(1)
    if rows == "padded":
        yield batch, torch.arange(len(batch.edge_token))
        return
    groups = (
        [torch.tensor([r]) for r in range(len(lengths))]
        if rows == "alone"
        else [(lengths == n).nonzero().squeeze(1) for n in sorted(set(lengths.tolist()))]
    )
    for chosen in groups:
        width = int(lengths[chosen[0]])
        ids = batch.ids[chosen, :width]
        packed = tuple(batch.packed[int(r)] for r in chosen)
        if rows == "alone":  # its last token, which is no input elsewhere
            ids = torch.tensor([[*packed[0].prompt, *packed[0].candidates[0]]])
            width = ids.shape[1]
        edges = torch.isin(batch.edge_row, chosen).nonzero().squeeze(1)
        seen = torch.ones(len(chosen), width, width, dtype=torch.bool).tril()
        yield (
            Batch(
                packed,
                ids,
                torch.arange(width).repeat(len(chosen), 1),
                torch.ones(len(chosen), width, dtype=torch.bool),
                seen,
                torch.searchsorted(chosen, batch.edge_row[edges]),
                batch.edge_place[edges],
                batch.edge_token[edges],
                (),
            ),
            edges,
        )
