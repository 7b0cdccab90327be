"""Final norm and unembedding at scored positions only, the vocabulary in pieces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mechcla.engine.transfers import fetched, sent

if TYPE_CHECKING:
    from mechcla.models.hooked_model import HookedModel, Unembedding


HEAD_ROWS = 1_024
CPU_PIECE, GPU_PIECE = 2_048, 32_768


@dataclass(frozen=True, eq=False)
class Scored:
    """What a finished State leaves for the unembedding: each distinct scored position once.

    Edge e is the log-probability of `token[e]` at row `place[e]`.
    """

    rows: Float[Tensor, "row d_model"]
    place: Int[Tensor, " edge"]
    token: Int[Tensor, " edge"]


@torch.inference_mode()
def log_probs(model: HookedModel, parts: Sequence[Scored]) -> list[Float[Tensor, " _"]]:
    """Final norm and unembedding of scored rows; float32 on the CPU, a tensor per part, an entry
    per edge.

    The rows of all parts go through together, HEAD_ROWS at a time, and the vocabulary in pieces
    with a running log-sum-exp: no tensor is larger than HEAD_ROWS x a piece.
    """
    head = model.unembedding
    hidden, totals = [], []
    if not parts:
        return []
    # Of cached ones some may be mapped, on the CPU, and some not.
    together = torch.cat([part.rows.to(head.weight.device) for part in parts])
    # Even pieces: each reads the whole matrix once.
    for rows in together.chunk(max(1, -(-len(together) // HEAD_ROWS))):
        # The two may lie on different devices.
        hidden.append(model.final_norm(rows).to(head.weight.device))
        totals.append(_log_normaliser(hidden[-1], head))
    normed, total = torch.cat(hidden), torch.cat(totals)
    offsets = torch.tensor([0] + [len(part.rows) for part in parts]).cumsum(0)
    place = torch.cat([part.place + offset for part, offset in zip(parts, offsets, strict=False)])
    place = sent(place, normed.device)
    token = sent(torch.cat([part.token for part in parts]), normed.device)
    chosen = (normed[place] * head.weight[token]).sum(-1, dtype=total.dtype)
    if head.bias is not None:
        chosen = chosen + head.bias[token]
    found = fetched((head.finish(chosen) - total[place]).float())
    return list(torch.split(found, [len(part.token) for part in parts]))


def _log_normaliser(rows: Float[Tensor, "row d_model"], head: Unembedding) -> Float[Tensor, " row"]:
    """log of the sum over the vocabulary of exp(logit), at least in float32."""
    precise = torch.float64 if rows.dtype == torch.float64 else torch.float32
    total = torch.full((len(rows),), -torch.inf, device=rows.device, dtype=precise)
    step = CPU_PIECE if rows.device.type == "cpu" else GPU_PIECE
    buffer = torch.empty(len(rows), step, dtype=rows.dtype, device=rows.device)
    for begin in range(0, len(head.weight), step):
        piece = head.weight[begin : begin + step]
        logits = torch.mm(
            rows, piece.T, out=buffer[:, : len(piece)] if len(piece) == step else None
        )
        if head.bias is not None:
            logits = logits + head.bias[begin : begin + step]
        shaped = head.finish(logits.to(precise))
        most = shaped.amax(-1, keepdim=True)
        # In place: no copies.
        total = torch.logaddexp(total, shaped.sub_(most).exp_().sum(-1).log_() + most.squeeze(-1))
    return total
