"""A bound on the memory of cached residuals: past it they lie in unlinked temporary files, mapped,
not held.

A sweep keeps the unsteered stream of every batch at one block, and for some vectors the activations
of every dev prompt. That grows with the items, so a ResidualCache holds at most `bound` bytes in
memory; what comes after is offloaded: written to disk and mapped, which the operating system may
drop from memory at any time. Values are the same to the last bit. The files have no name after they
are opened, so nothing is left behind, whatever ends the process.
"""

from __future__ import annotations

import math
import os
import tempfile
import weakref
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from mechcla.engine.state import State
from mechcla.errors import MechclaError

BOUND = 2 << 30


def _size(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


class ResidualCache:
    """Keeps States: in memory while their bytes stay within `bound`, in mapped files beyond.

    folder: where the files go; default: the system's temporary folder.
    """

    def __init__(self, bound: int = BOUND, folder: str | None = None) -> None:
        self.bound, self.folder = bound, folder
        self.held = 0
        self.offloaded = 0
        self._where: weakref.WeakValueDictionary[int, Tensor] = weakref.WeakValueDictionary()

    def keep(self, state: State) -> State:
        """The same State, in memory or mapped. Tensors that its blocks share are kept once.

        Its trunk only saves time: it is kept while that leaves half of the bound free, and dropped
        rather than mapped.
        """
        seen: dict[int, Tensor] = {}
        if (
            state.trunk
            and state.layer == 0
            and 2 * (self.held + sum(_size(t) for t in state.trunk)) > self.bound
        ):
            state = replace(state, trunk=())
        ended = state.unsteered and replace(
            state.unsteered, rows=self._keep(state.unsteered.rows, seen)
        )
        return replace(
            state,
            resid=self._keep(state.resid, seen),
            trunk=self._tree(state.trunk, seen),
            calls=self._tree(state.calls, seen),
            unsteered=ended,
        )

    def hold(self, tensor: Tensor) -> Tensor:
        """The same values, in memory or mapped. They count as in memory while this very tensor is
        held, and not for as long as a view of it is.
        """
        return self._keep(tensor, {})

    def _tree(self, value: Any, seen: dict[int, Tensor]) -> Any:
        if isinstance(value, Tensor):
            return self._keep(value, seen)
        if isinstance(value, dict):
            return {k: self._tree(v, seen) for k, v in value.items()}
        return tuple(self._tree(v, seen) for v in value) if type(value) in (tuple, list) else value

    def _keep(self, tensor: Tensor, seen: dict[int, Tensor]) -> Tensor:
        if id(tensor) in seen:
            return seen[id(tensor)]
        if self._where.get(id(tensor)) is tensor:  # kept already, at an earlier block
            return tensor
        size = _size(tensor)
        if self.held + size <= self.bound or not size:
            kept = tensor
            self.held += size
            weakref.finalize(kept, self._release, size)
        else:
            kept = self._map(tensor)
            self.offloaded += size
        self._where[id(kept)] = kept
        seen[id(tensor)] = kept
        return kept

    def _release(self, size: int) -> None:
        self.held -= size

    def _map(self, tensor: Tensor) -> Tensor:
        source = tensor.detach().cpu().contiguous()
        return mapped(source.shape, source.dtype, self.folder).copy_(source)


def mapped(shape: Sequence[int], dtype: torch.dtype, folder: str | None = None) -> Tensor:
    """A tensor in a file without a name, which the operating system may drop from memory at any
    time.

    Raises MechclaError where there is no room.
    """
    count = math.prod(shape)
    size = count * dtype.itemsize
    handle, path = tempfile.mkstemp(prefix="mechcla-", dir=folder)
    try:
        # Reserve the space, so that a full disk is an error here and not a crash at a later write.
        getattr(os, "posix_fallocate", lambda h, _begin, n: os.truncate(h, n))(handle, 0, size)
        return torch.from_file(path, shared=True, size=count, dtype=dtype).view(tuple(shape))
    except OSError as error:
        raise MechclaError(
            f"cannot offload {size >> 20} MiB of cached residuals to "
            f"{os.path.dirname(path)!r}: {error.strerror}; set TMPDIR to a folder with room, "
            "or raise the bound (cache_mib)"
        ) from error
    finally:
        os.close(handle)
        os.unlink(path)
