"""Log-probabilities of labels from what the unembedding reads, without logits of all labels."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from mechcla.engine.head import CPU_PIECE, GPU_PIECE, HEAD_ROWS


def frozen_head_log_probs(
    read: Float[Tensor, "label d"],
    weight: Float[Tensor, "vocab d"],
    labels: Int[Tensor, " label"],
    cap: float | None = None,
    at_once: int = HEAD_ROWS,
    piece: int | None = None,
) -> Float[Tensor, " label"]:
    """Log-probability of each label under softmax(logits), in nats, in float32 or better.

    logits are weight @ read, or cap * tanh(weight @ read / cap) with a cap. weight gets no
    gradient. The gradient by read is made together with the log-probabilities, `at_once` labels
    and `piece` tokens of the vocabulary at a time, so that logits never lie in memory together, and
    each part of the matrix is read once. Source: ours, with the running softmax of Milakov and
    Gimelshein 2018 (arXiv 1805.02867); the same as log_softmax of all logits.

    >>> frozen_head_log_probs(torch.zeros(1, 2), torch.ones(4, 2), torch.tensor([2]))
    tensor([-1.3863])
    """
    if piece is None:
        piece = CPU_PIECE if weight.device.type == "cpu" else GPU_PIECE
    found: Tensor = _LogProbs.apply(  # type: ignore[no-untyped-call]
        read, weight, labels, cap, at_once, piece
    )
    return found


class _LogProbs(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        read: Tensor,
        weight: Tensor,
        labels: Tensor,
        cap: float | None,
        at_once: int,
        piece: int,
    ) -> Tensor:
        found, gradients = [], []
        for some, own in zip(torch.split(read, at_once), torch.split(labels, at_once), strict=True):
            log_probs, gradient = _of_some(some, weight, own, cap, piece, ctx.needs_input_grad[0])
            found.append(log_probs)
            gradients.append(gradient)
        ctx.save_for_backward(torch.cat(gradients) if ctx.needs_input_grad[0] else None)
        return torch.cat(found)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None, None, None, None]:
        [gradient] = ctx.saved_tensors
        return (gradient * upstream[:, None]).to(gradient.dtype), None, None, None, None, None


def _of_some(
    read: Float[Tensor, "label d"],
    weight: Float[Tensor, "vocab d"],
    labels: Int[Tensor, " label"],
    cap: float | None,
    piece: int,
    wanted: bool,
) -> tuple[Float[Tensor, " label"], Float[Tensor, ...]]:
    """Log-probabilities of some labels and, if wanted, their gradients by `read`, in its shape.

    `most` is the largest logit so far; `total` and `pulled`, the sums over the vocabulary of
    exp(logit - most) and of that times the token's row, are brought to it as it grows.
    """
    exact = torch.promote_types(weight.dtype, torch.float32)
    most = read.new_full((len(read), 1), -torch.inf, dtype=exact)
    total = torch.zeros_like(most)
    pulled = torch.zeros(read.shape if wanted else 0, dtype=exact, device=read.device)
    buffer = read.new_empty(len(read), min(piece, len(weight)))
    for rows in torch.split(weight, piece):
        out = buffer if len(rows) == buffer.shape[1] else None  # all pieces but a shorter last
        logits = _finished(torch.mm(read, rows.T, out=out).to(exact), cap)
        slope = _slope(logits, cap) if wanted else None
        grown = torch.maximum(most, logits.amax(-1, keepdim=True))
        shrink = (most - grown).exp_()
        most = grown
        shares = logits.sub_(most).exp_()
        total.mul_(shrink).add_(shares.sum(-1, keepdim=True))
        if not wanted:
            continue
        if slope is not None:
            shares.mul_(slope)
        if exact == weight.dtype:
            pulled.mul_(shrink).addmm_(shares, rows)
        else:
            pulled.mul_(shrink).add_(shares.to(weight.dtype) @ rows)
    own = weight[labels]
    logit = _finished((read * own).sum(-1, keepdim=True, dtype=exact), cap)
    log_probs = (logit - most - total.log())[:, 0]
    if wanted:
        slope = _slope(logit, cap)
        pulled.div_(total).neg_().add_(own if slope is None else slope * own)
    return log_probs, pulled.to(read.dtype)


def _finished(logits: Tensor, cap: float | None) -> Tensor:
    """The model's own logits, in place."""
    return logits if cap is None else logits.div_(cap).tanh_().mul_(cap)


def _slope(logits: Tensor, cap: float | None) -> Tensor | None:
    """The derivative of a capped logit by the plain one; None where they are the same."""
    return None if cap is None else 1 - (logits / cap) ** 2
