"""Are two languages' spaces alike? Linear CKA, and whether a question finds its translation.

Sources: Kornblith et al. 2019 (linear CKA, and the debiased form of Nguyen et al. 2021 after Song
et al. 2012); CSLS of Conneau et al. 2018. Retrieval works on cosines after an optional centring by
language.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mechcla.errors import MechclaError, unknown
from mechcla.geometry.curve import RESAMPLES, Curve, bootstrap

METHODS = ("cosine", "centred", "csls")
POOL_LIMIT = "The pool is small; a hard pool would give lower numbers."


def linear_cka(
    left: Float[Tensor, "item layer d_model"],
    right: Float[Tensor, "item layer d_model_2"],
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Curve:
    """Debiased linear CKA of paired residuals by layer: 1 if one space is a rotation and scaling of
    the other.

    The debiased estimator is near 0 for unrelated spaces also where there are fewer items than
    dimensions, where the plain one is near 1. The interval is that of random halves. Raises
    MechclaError for fewer than eight pairs, of which a half is the least that the estimator takes.
    """
    if len(left) < 8 or len(left) != len(right):
        raise MechclaError(
            "debiased CKA and its interval need at least eight pairs in the same order; "
            f"got {len(left)} and {len(right)}"
        )
    grams = [torch.einsum("nld,mld->lnm", x.double(), x.double()) for x in (left, right)]

    def statistic(w: Tensor) -> np.ndarray:
        drawn = w.nonzero().squeeze(-1)
        apart = 1 - torch.eye(len(drawn), dtype=torch.float64)
        k, m = (g[:, drawn][:, :, drawn] * apart for g in grams)
        cross, first, second = _hsic(k, m), _hsic(k, k), _hsic(m, m)
        return (cross / (first * second).clamp_min(1e-300).sqrt()).numpy()

    # a question drawn twice would be alike to itself in both spaces, so the interval is of halves
    return bootstrap(
        "linear CKA",
        statistic,
        len(left),
        resamples,
        seed,
        "halves",
        settings={"estimator": "debiased"},
        limit="Alike up to rotation; it does not say that the same direction means the same.",
    )


def _hsic(k: Float[Tensor, "layer n n"], m: Float[Tensor, "layer n n"]) -> Float[Tensor, " layer"]:
    """Unbiased HSIC (Song et al. 2012) of two Gram matrices whose diagonals are zero, up to the
    common n(n-3).
    """
    n = k.shape[-1]
    trace = (k * m).sum((1, 2))
    sums = k.sum((1, 2)) * m.sum((1, 2)) / ((n - 1) * (n - 2))
    return trace + sums - 2 / (n - 2) * (k.sum(1) * m.sum(1)).sum(-1)


@dataclass(frozen=True, eq=False)
class Retrieval:
    """Top-1 accuracy and mean reciprocal rank of finding the same question in the other language,
    by layer.
    """

    top1: Curve
    mrr: Curve
    settings: dict[str, Any]
    limit: str = POOL_LIMIT


def retrieval(
    left: Float[Tensor, "item layer d_model"],
    right: Float[Tensor, "item layer d_model"],
    method: str = "centred",
    resamples: int = RESAMPLES,
    seed: int = 0,
    neighbours: int = 10,
) -> Retrieval:
    """For every question in `left`, the rank of its pair among all of `right`, both ways averaged.

    method: cosine; centred (each language's mean taken off first); csls (centred, and hubs
    corrected for with `neighbours`). The bootstrap draws which questions are averaged; the pool
    stays whole.
    """
    if method not in METHODS:
        raise unknown("method", method, METHODS)
    if len(left) != len(right) or len(left) < 2:
        raise MechclaError(
            "retrieval needs at least two pairs in the same order; "
            f"got {len(left)} and {len(right)}"
        )
    ranks = torch.stack(
        [
            _ranks(left[:, k].double(), right[:, k].double(), method, neighbours)
            for k in range(left.shape[1])
        ]
    )
    settings = {
        "method": method,
        "neighbours": neighbours if method == "csls" else None,
        "pool": len(right),
    }
    chance = np.full(left.shape[1], 1 / len(right))
    mrr_chance = np.full(left.shape[1], float((1 / torch.arange(1, len(right) + 1)).mean()))

    def curve(what: str, values: Tensor, null: np.ndarray) -> Curve:
        def statistic(w: Tensor) -> np.ndarray:
            return (torch.einsum("lwn,n->l", values, w) / (2 * w.sum())).numpy()

        return bootstrap(
            what,
            statistic,
            len(left),
            resamples,
            seed,
            null=null,
            settings=settings,
            limit=POOL_LIMIT,
        )

    return Retrieval(
        curve("top-1", (ranks == 1).double(), chance),
        curve("MRR", 1 / ranks.double(), mrr_chance),
        settings,
    )


def _ranks(left: Tensor, right: Tensor, method: str, neighbours: int) -> Float[Tensor, "2 item"]:
    """Rank of each pair, from left to right and back; ties count against it."""
    if method != "cosine":
        left, right = left - left.mean(0), right - right.mean(0)
    cosine = (
        torch.nn.functional.normalize(left, dim=-1) @ torch.nn.functional.normalize(right, dim=-1).T
    )
    if method == "csls":
        k = min(neighbours, len(right))
        cosine = (
            2 * cosine
            - cosine.topk(k, dim=1).values.mean(1, keepdim=True)
            - cosine.topk(k, dim=0).values.mean(0, keepdim=True)
        )
    own = cosine.diagonal()
    return torch.stack(
        [(cosine >= own.unsqueeze(1)).sum(1), (cosine >= own.unsqueeze(0)).sum(0)]
    ).double()
