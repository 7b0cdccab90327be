"""What a path did, counted rather than timed: blocks, tokens through blocks, positions unembedded,
FLOPs.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any
from unittest.mock import patch

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from mechcla.models.native import NativeBlock


@dataclass(frozen=True)
class Counts:
    """blocks: calls of a block. block_tokens: tokens (padding too) through them. unembedded:
    positions whose logits over the whole vocabulary were made. flops: of all matrix products."""

    blocks: int
    block_tokens: int
    unembedded: int
    flops: int

    def flat(self) -> dict[str, int]:
        return asdict(self)


class Kernels(TorchDispatchMode):
    """Counts the operations that would each be a kernel on a GPU, and those that wait for one."""

    def __init__(self) -> None:
        super().__init__()
        self.launched, self.waited = 0, 0
        self.moved = 0  # bytes of copies

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        packet = func._overloadpacket
        self.waited += packet in (torch.ops.aten._local_scalar_dense, torch.ops.aten.nonzero)
        if packet is torch.ops.aten._to_copy:
            self.moved += out.numel() * out.element_size()
        self.launched += not func.is_view
        return out


class _Unembedded(TorchDispatchMode):
    """Counts products with (a piece of) the unembedding matrix, in entries of the logits."""

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self.weight, self.entries = weight, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func._overloadpacket in (torch.ops.aten.mm, torch.ops.aten.addmm, torch.ops.aten.linear):
            matrices = [a for a in args if isinstance(a, torch.Tensor) and a.ndim == 2]
            store = self.weight.untyped_storage().data_ptr()
            if any(m.untyped_storage().data_ptr() == store for m in matrices):
                self.entries += out.numel()
        return out


def count(
    run: Callable[[], object], blocks: torch.nn.ModuleList, unembedding: torch.Tensor
) -> Counts:
    """Run once under counters. The numbers are the same on every machine.

    Blocks are counted in place of their `forward`, not by hooks, under which the engine does less.
    """
    seen = [0, 0]

    def counted(forward: Callable[..., Any]) -> Callable[..., Any]:
        def see(*args: Any, **kwargs: Any) -> Any:
            streams = (v for v in (*args, *kwargs.values()) if isinstance(v, torch.Tensor))
            stream = next(streams)
            seen[0] += 1
            seen[1] += stream.shape[0] * stream.shape[1]
            return forward(*args, **kwargs)

        return see

    with ExitStack() as stack:
        native = counted(NativeBlock.__call__)
        stack.enter_context(patch.object(NativeBlock, "__call__", native))
        for block in blocks:
            stack.enter_context(patch.dict(vars(block), forward=counted(block.forward)))
        head = stack.enter_context(_Unembedded(unembedding))
        flops = stack.enter_context(FlopCounterMode(display=False))
        run()
    return Counts(seen[0], seen[1], head.entries // unembedding.shape[0], flops.get_total_flops())


def matmul_rate(device: torch.device, dtype: torch.dtype, repeats: int = 9) -> float:
    """FLOP/s of this machine's matrix product, median over shapes as wide as a block's and a
    head's.
    """
    left, right = (torch.randn(2048, 2048, device=device, dtype=dtype) for _ in range(2))
    out = torch.empty_like(left)
    rates = []
    for _ in range(repeats):
        begun = time.perf_counter()
        torch.mm(left, right, out=out)
        if device.type == "cuda":
            torch.cuda.synchronize()
        rates.append(2 * 2048**3 / (time.perf_counter() - begun))
    return statistics.median(rates[1:])
