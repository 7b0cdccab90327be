"""Are two languages' spaces alike? Linear CKA, and whether a question finds its translation; both
with English for all languages at once, and as a change from another model.

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
from mechcla.geometry.curve import RESAMPLES, Curve, Statistic, bootstrap
from mechcla.vectors.residuals import Residuals

METHODS = ("cosine", "centred", "csls")
PIVOT, MEAN = "en", "all"
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
    # a question drawn twice would be alike to itself in both spaces, so the interval is of halves
    return bootstrap(
        "linear CKA",
        _cka(left, right),
        len(left),
        resamples,
        seed,
        "halves",
        settings={"estimator": "debiased"},
        limit="Alike up to rotation; it does not say that the same direction means the same.",
    )


def _cka(left: Tensor, right: Tensor) -> Statistic:
    grams = [torch.einsum("nld,mld->lnm", x.double(), x.double()) for x in (left, right)]

    def statistic(w: Tensor) -> np.ndarray:
        drawn = w.nonzero().squeeze(-1)
        apart = 1 - torch.eye(len(drawn), dtype=torch.float64)
        k, m = (g[:, drawn][:, :, drawn] * apart for g in grams)
        cross, first, second = _hsic(k, m), _hsic(k, k), _hsic(m, m)
        return (cross / (first * second).clamp_min(1e-300).sqrt()).numpy()

    return statistic


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


def cka_with_english(
    residuals: Residuals,
    minus: Residuals | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Curve]:
    """Debiased linear CKA of each language with English by layer, and of "all": the languages'
    mean.

    minus: another model's residuals of the same items; the curves are then the change from it,
    paired by question, and their null is no change. All languages are compared on the questions
    that every one has. The interval is that of random halves, as `linear_cka`'s. Raises
    MechclaError for fewer than eight such questions, or no language beside English.

    >>> cka_with_english(h, resamples=20)["all"].value.shape
    (18,)
    """
    pairs, n = _pairs(residuals, minus, least=8)
    statistics = {k: _less(*(_cka(*pair) for pair in own)) for k, own in pairs.items()}
    settings = {"estimator": "debiased"}
    limit = "Alike up to rotation; it does not say that the same direction means the same."
    drawn = (n, resamples, seed, "halves")
    return _curves("linear CKA with English", statistics, drawn, minus, None, settings, limit)


def retrieval_of_english(
    residuals: Residuals,
    minus: Residuals | None = None,
    method: str = "cosine",
    resamples: int = RESAMPLES,
    seed: int = 0,
    neighbours: int = 10,
) -> dict[str, Curve]:
    """How often the nearest English text is the translation, by language and layer, and of "all":
    the languages' mean. Ties count against it.

    Give it mean-pooled residuals (`cache_residuals(..., position="mean_prompt_token")`) for
    sentences. method, neighbours: as `retrieval`'s, but from the language to English alone. minus:
    another model's residuals, as in `cka_with_english`. The null is 1 / pool, or no change.

    >>> retrieval_of_english(h, resamples=20)["all"].n
    128
    """
    if method not in METHODS:
        raise unknown("method", method, METHODS)
    pairs, n = _pairs(residuals, minus, least=2)

    def hits(english: Tensor, other: Tensor) -> Statistic:
        ranks = [
            _ranks(other[:, k].double(), english[:, k].double(), method, neighbours)[0]
            for k in range(other.shape[1])
        ]
        found = (torch.stack(ranks) == 1).double()
        return lambda w: ((found @ w) / w.sum()).numpy()

    statistics = {k: _less(*(hits(*pair) for pair in own)) for k, own in pairs.items()}
    settings = {
        "method": method,
        "neighbours": neighbours if method == "csls" else None,
        "pool": n,
        "position": residuals.record.get("position"),
    }
    drawn = (n, resamples, seed, "percentile")
    what = "retrieval of the English text"
    return _curves(what, statistics, drawn, minus, 1 / n, settings, POOL_LIMIT)


def _pairs(
    residuals: Residuals, minus: Residuals | None, least: int
) -> tuple[dict[str, list[tuple[Tensor, Tensor]]], int]:
    """English and each language on the questions that all have, of one model or of both."""
    models = [residuals] if minus is None else [residuals, minus]
    languages = [k for k in residuals.languages if k != PIVOT]
    for found in models:
        for language in (PIVOT, *languages):
            _ = found[language]  # which language is lacking is said
    held = [set(found.ids[k]) for found in models for k in (PIVOT, *languages)]
    common = [i for i in residuals.ids[PIVOT] if all(i in ids for ids in held)]
    if not languages or len(common) < least:
        raise MechclaError(
            f"closeness to English needs a language beside it and at least {least} questions that "
            f"all have; got {', '.join(languages) or 'no other language'} and {len(common)}"
        )
    pairs: dict[str, list[tuple[Tensor, Tensor]]] = {k: [] for k in languages}
    for found in models:
        rows = {}
        for language in (PIVOT, *languages):
            where = {i: k for k, i in enumerate(found.ids[language])}
            rows[language] = found[language][[where[i] for i in common]]
        for language in languages:
            pairs[language].append((rows[PIVOT], rows[language]))
    return pairs, len(common)


def _less(own: Statistic, other: Statistic | None = None) -> Statistic:
    """A statistic less another's, over the same draws."""
    return own if other is None else lambda w: own(w) - other(w)


def _curves(
    what: str,
    statistics: dict[str, Statistic],
    drawn: tuple[int, int, int, str],
    minus: Residuals | None,
    chance: float | None,
    settings: dict[str, Any],
    limit: str,
) -> dict[str, Curve]:
    """A curve per language, and their mean's, whose draws are of questions for all at once."""
    n, resamples, seed, interval = drawn
    every = list(statistics.values())
    statistics = {**statistics, MEAN: lambda w: np.mean([s(w) for s in every], axis=0)}
    null = chance if minus is None else 0.0
    found = {}
    for language, statistic in statistics.items():
        layers = len(statistic(torch.ones(n, dtype=torch.float64)))
        found[language] = bootstrap(
            what if minus is None else f"change in {what}",
            statistic,
            n,
            resamples,
            seed,
            interval,
            null=None if null is None else np.full(layers, null),
            settings=settings,
            limit=limit,
        )
    return found
