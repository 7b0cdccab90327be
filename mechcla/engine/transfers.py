"""Tensors from the CPU to a GPU and back, without waiting where nothing has to be waited for.

A copy from ordinary memory holds the CPU up, and so does asking a tensor on a GPU for its value:
all work that was given to the GPU before must then be done. So what a cell needs there is sent once
and kept, and results come back together. On the CPU nothing is copied. Source: PyTorch's notes on
pinned memory.
"""

from __future__ import annotations

import weakref
from collections import OrderedDict

import torch
from torch import Tensor

LENT = (
    4  # copies: one of a map is 59 MB at d_model 3840, and cells of one map run one after another
)
Key = tuple[int, torch.device]
_lent: OrderedDict[Key, tuple[weakref.ref[Tensor], Tensor]] = OrderedDict()


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on a device; to a GPU through pinned memory, and the CPU goes on meanwhile."""
    if device.type != "cuda" or tensor.device.type != "cpu":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def lent(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor in float32 on a device: one copy for all who use it, of which the last few used
    are kept, and none beyond the tensor itself. Its values are taken as frozen.
    """
    if tensor.device == device and tensor.dtype == torch.float32:
        return tensor
    key = id(tensor), device
    of, copy = _lent.pop(key, (None, tensor))
    if of is None or of() is not tensor:
        copy = sent(tensor.to(dtype=torch.float32), device)
        of = weakref.ref(tensor, lambda _: _lent.pop(key, None))
    _lent[key] = of, copy
    while len(_lent) > LENT:
        _lent.popitem(last=False)
    return copy


def fetched(tensor: Tensor) -> Tensor:
    """The tensor on the CPU, whole; from a GPU by one copy into pinned memory."""
    if tensor.device.type != "cuda":
        return tensor.cpu()
    here = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    here.copy_(tensor, non_blocking=True)
    torch.cuda.current_stream(tensor.device).synchronize()
    return here
