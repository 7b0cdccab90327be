"""Keys and values of a beginning that many rows share: computed once, for one row, and then only
read.

transformers' own cache, so that every family's attention takes it as it takes the cache of its
generation. It never forgets: what a token may see is the mask's part, not the cache's. Source:
ours.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache


class Beginning(DynamicCache):
    """One row's keys and values by block. `closed` is set once its tokens are in.

    Closed, it hands every pass its own keys and values followed by the pass', for any number of
    rows, and keeps none of the latter: it is the same for every batch and cell.
    """

    closed = False

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """What attention reads at a block: [row, head, beginning + seq, d_head], keys and
        values.
        """
        if not self.closed:
            held: tuple[Tensor, Tensor] = super().update(
                key_states, value_states, layer_idx, *args, **kwargs
            )
            return held
        layer: Any = self.layers[layer_idx]
        rows = len(key_states)
        keys, values = (t.expand(rows, *t.shape[1:]) for t in (layer.keys, layer.values))
        return torch.cat([keys, key_states], -2), torch.cat([values, value_states], -2)
