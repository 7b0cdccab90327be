"""A second device on a machine that has none: tensors that lie on the CPU and say that they do not.

A real pair of GPUs refuses an operation on tensors of both. So does this, and computes with the
CPU's numbers, so that what runs here on two devices must equal one device to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

CPU, SECOND = torch.device("cpu"), torch.device("lazy", 0)  # a name that needs no driver
COPIES = (torch.ops.aten._to_copy, torch.ops.aten.copy_)
LOOKS_UP = (torch.ops.aten.index, torch.ops.aten.index_put_)  # by indices on the CPU, as on GPUs


class There(torch.Tensor):
    """A tensor on the second device; `here` are its values."""

    here: torch.Tensor

    @staticmethod
    def __new__(cls, here: torch.Tensor) -> There:
        made = torch.Tensor._make_wrapper_subclass(
            cls, here.shape, here.stride(), here.storage_offset(), dtype=here.dtype, device=SECOND
        )
        made.here = here
        return made

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return run(func, args, kwargs or {})


def run(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """One operation, where its tensors or its `device` say."""
    packet, flat = func._overloadpacket, tree_flatten((args, kwargs))[0]
    tensors = [t for t in flat if isinstance(t, torch.Tensor)]
    there = any(isinstance(t, There) for t in tensors)
    if there and packet not in COPIES:
        others = [t for t in tensors if not isinstance(t, There) and t.ndim]
        if others and not (packet in LOOKS_UP and isinstance(args[0], There)):
            raise RuntimeError(f"{func} of tensors on {SECOND} and on the CPU")
    asked = kwargs.get("device")
    if asked is not None:
        there, kwargs = torch.device(asked) == SECOND, kwargs | {"device": CPU}
    given = tree_map(lambda t: t.here if isinstance(t, There) else t, (args, kwargs))
    out = func(*given[0], **given[1])
    if packet is torch.ops.aten.copy_:
        return args[0]
    return tree_map(lambda t: There(t) if there and isinstance(t, torch.Tensor) else t, out)


class Devices(TorchDispatchMode):
    """While it is open, tensors can be made on the second device and sent there."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return run(func, args, kwargs or {})


class Made(TorchFunctionMode):
    """`torch.tensor(values, device=...)`, which is not dispatched to a device without a driver."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is torch.tensor and kwargs.get("device") == SECOND:
            return There(func(*args, **kwargs | {"device": CPU}))
        return func(*args, **kwargs)


@contextmanager
def blocks_there(model: Any, first: int) -> Iterator[None]:
    """A model whose blocks from `first` on, and final norm, lie on the second device, and its
    unembedding on the first, as a tied one does. As accelerate spreads one, blocks and unembedding
    bring what they are given to their own device; the norm, which the bridge may compute itself,
    does not.
    """

    def brings(device: torch.device) -> Any:
        def hook(_module: nn.Module, args: Any, kwargs: Any) -> Any:
            return tree_map(
                lambda t: t.to(device) if isinstance(t, torch.Tensor) else t, (args, kwargs)
            )

        hook.__module__ = "accelerate"  # as whose it stands here: no user's own
        return hook

    blocks = [block.original_component for block in model.blocks]
    swapped: list[tuple[dict[str, Any], str, Any]] = []
    hooks = []
    try:
        for k, block in enumerate(blocks):
            device = SECOND if k >= first else CPU
            hooks.append(block.register_forward_pre_hook(brings(device), with_kwargs=True))
        head = model.bridge.original_model.get_output_embeddings().original_component
        hooks.append(head.register_forward_pre_hook(brings(CPU), with_kwargs=True))
        for part in (*blocks[first:], model.bridge.ln_final.original_component):
            for module in part.modules():
                for table in (module._parameters, module._buffers):
                    swapped += [(table, name, t) for name, t in table.items() if t is not None]
        for table, name, tensor in swapped:
            table[name] = There(tensor.data)
        with Made(), Devices():
            yield
    finally:
        for hook in hooks:
            hook.remove()
        for table, name, tensor in swapped:
            table[name] = tensor
