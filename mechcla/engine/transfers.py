"""Tensors from the CPU to a GPU and back, without waiting where nothing has to be waited for.

A copy from ordinary memory holds the CPU up, and so does asking a tensor on a GPU for its value:
all work that was given to the GPU before must then be done. So what a cell needs there is sent once
and kept, and results come back together. On the CPU nothing is copied. Source: PyTorch's notes on
pinned memory.
"""

from __future__ import annotations

import torch
from torch import Tensor


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on a device; to a GPU through pinned memory, and the CPU goes on meanwhile."""
    if device.type != "cuda" or tensor.device.type != "cpu":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def fetched(tensor: Tensor) -> Tensor:
    """The tensor on the CPU, whole; from a GPU by one copy into pinned memory."""
    if tensor.device.type != "cuda":
        return tensor.cpu()
    here = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    here.copy_(tensor, non_blocking=True)
    torch.cuda.current_stream(tensor.device).synchronize()
    return here
