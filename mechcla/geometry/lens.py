"""Which language does the model think in? The logit lens, read at the answer's first token.

Every layer's last-token residual goes through the final norm and the unembedding (nostalgebraist
2020; Wendler et al. 2024). Of the English answer's first token and the local language's, the share
of the English one is reported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mechcla.engine.packing import pack
from mechcla.errors import MechclaError
from mechcla.geometry.curve import RESAMPLES, Curve, bootstrap
from mechcla.items.item import PIVOT, Item
from mechcla.items.item_set import ItemSet, pair_ids
from mechcla.vectors.residuals import cache_residuals

if TYPE_CHECKING:
    from mechcla.models.hooked_model import HookedModel

LIMIT = (
    "The lens reads middle layers through the last one's head, and one token stands for an answer."
)


def first_token(model: HookedModel, item: Item) -> int:
    """First token after the shared prompt of an item's right answer."""
    packed = pack(item, model.tokenizer)
    right = next(k for k, c in enumerate(item.candidates) if c.role in ("correct", "local"))
    return packed.candidates[right][0]


@torch.inference_mode()
def english_share(
    model: HookedModel,
    items: ItemSet,
    language: str,
    resamples: int = RESAMPLES,
    seed: int = 0,
    pivot: str = PIVOT,
) -> Curve:
    """p(English answer) / (p(English answer) + p(local answer)) at the prompt's end, by layer, on
    universal items.

    Questions whose two answers begin with the same token are left out and counted in `settings`.

    >>> english_share(model, items.universal.dev, "ko").value.shape
    (18,)
    """
    pairs = pair_ids(items.universal.language(pivot), items.universal.language(language))
    tokens = [(first_token(model, a), first_token(model, b)) for a, b in pairs]
    kept = [k for k, (a, b) in enumerate(tokens) if a != b]
    if not kept:
        raise MechclaError(
            f"all {len(pairs)} questions of {language!r} begin their answer with the English "
            "token: nothing to compare"
        )
    chosen = ItemSet(tuple(pairs[k][1] for k in kept))
    residuals = cache_residuals(model, chosen)[language]
    pair = torch.tensor([tokens[k] for k in kept])
    share = torch.stack(
        [_share(model, residuals[:, layer], pair) for layer in range(model.n_layers)]
    )

    def statistic(w: Tensor) -> np.ndarray:
        return ((share @ w) / w.sum()).numpy()

    settings: dict[str, Any] = {
        "language": language,
        "pivot": pivot,
        "left_out": len(pairs) - len(kept),
    }
    return bootstrap(
        "share of the English token",
        statistic,
        len(kept),
        resamples,
        seed,
        settings=settings,
        limit=LIMIT,
    )


def _share(
    model: HookedModel, h: Float[Tensor, "item d_model"], pair: Tensor
) -> Float[Tensor, " item"]:
    head = model.unembedding
    hidden = model.final_norm(h.to(model.device, model.dtype))
    ids = pair.to(hidden.device)
    logits = torch.einsum("nd,nkd->nk", hidden, head.weight[ids])
    if head.bias is not None:
        logits = logits + head.bias[ids]
    shares: Tensor = head.finish(logits.double()).softmax(-1)[:, 0]
    return shares.cpu()
