"""Log-probabilities of labels from what the unembedding reads, without logits of all labels."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

AT_ONCE = 256  # labels: with 262,144 tokens 256 MB of float32, whatever the micro-batch holds


def frozen_head_log_probs(
    read: Float[Tensor, "label d"],
    weight: Float[Tensor, "vocab d"],
    labels: Int[Tensor, " label"],
    cap: float | None = None,
    at_once: int = AT_ONCE,
) -> Float[Tensor, " label"]:
    """Log-probability of each label under softmax(logits), in nats, in float32 or better.

    logits are weight @ read, or cap * tanh(weight @ read / cap) with a cap. weight gets no
    gradient. The gradient by read is made together with the log-probabilities, `at_once` labels at
    a time, so that logits of all labels never lie in memory together. Source: ours; the same as
    log_softmax of all logits.

    >>> frozen_head_log_probs(torch.zeros(1, 2), torch.ones(4, 2), torch.tensor([2]))
    tensor([-1.3863])
    """
    found: Tensor = _LogProbs.apply(  # type: ignore[no-untyped-call]
        read, weight, labels, cap, at_once
    )
    return found


class _LogProbs(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, read: Tensor, weight: Tensor, labels: Tensor, cap: float | None, at_once: int
    ) -> Tensor:
        n, wanted = len(labels), ctx.needs_input_grad[0]
        exact = torch.promote_types(weight.dtype, torch.float32)
        buffer = weight.new_empty(min(n, at_once), len(weight))
        found = torch.empty(n, dtype=exact, device=read.device)
        gradient = torch.empty_like(read) if wanted else None
        for begin in range(0, n, at_once):
            some = slice(begin, begin + at_once)
            own = labels[some, None]
            logits = torch.mm(read[some], weight.T, out=buffer[: len(own)])
            if cap is not None:
                logits.div_(cap).tanh_().mul_(cap)
            logits = logits.to(exact)  # the buffer itself where it is exact already
            normalizer = logits.logsumexp(-1, keepdim=True)
            found[some] = (logits.gather(-1, own) - normalizer)[:, 0]
            if gradient is None:
                continue
            slope = None if cap is None else 1 - (logits / cap) ** 2
            by_logit = logits.sub_(normalizer).exp_().neg_()  # minus the probabilities
            by_logit.scatter_add_(-1, own, torch.ones_like(own, dtype=exact))
            if slope is not None:
                by_logit.mul_(slope)
            gradient[some] = by_logit.to(weight.dtype) @ weight
        ctx.save_for_backward(gradient)
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None, None, None]:
        [gradient] = ctx.saved_tensors
        return (gradient * upstream[:, None]).to(gradient.dtype), None, None, None, None
