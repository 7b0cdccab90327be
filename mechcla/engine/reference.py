"""The plain path: TransformerLens' own forward pass, one row per candidate, logits at every position.

It is what a model that does not fit the engine runs on, and what the engine is checked against (`capability`).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from mechcla.engine.hooks import attach
from mechcla.engine.intervention import Intervention
from mechcla.engine.packing import Batch

if TYPE_CHECKING:
    from mechcla.models.hooked_model import HookedModel


@torch.inference_mode()
def plain_log_probs(
    model: HookedModel, batch: Batch, edits: Sequence[Intervention] = ()
) -> Float[Tensor, " edge"]:
    """Log-probabilities of a plain batch's edges from full forward passes with hooks.

    `batch` must come from collate(..., share_prompt=False).
    """
    device = model.device
    with ExitStack() as stack:
        attach(model, edits, batch, stack)
        logits = model.bridge(
            batch.ids.to(device),
            attention_mask=batch.real.long().to(device),
            position_ids=batch.positions.to(device),
        )
    logits = logits.float().log_softmax(-1)
    return logits[
        batch.edge_row.to(device), batch.edge_place.to(device), batch.edge_token.to(device)
    ].cpu()
