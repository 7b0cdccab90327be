"""Do languages merge? PCA projections with a common basis, and the same as a number by layer.

After the source paper's Figure 3, whose reviewers asked for numbers instead of pictures. Centring,
basis and metric are stated in every result, because PCA pictures hang on them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mechcla.engine.offload import mapped
from mechcla.errors import MechclaError, unknown
from mechcla.geometry.curve import RESAMPLES, Curve, bootstrap
from mechcla.vectors.residuals import Residuals

POWER_STEPS = 40
EXACT = "donot_use_mm_for_euclid_dist"
HELD = 256 << 20  # bytes of the distances of all rows to all others; more lie in a file, mapped
LIMIT = (
    "Closeness of last-token residuals; "
    "two languages may be close and answer differently, or the reverse."
)


@dataclass(frozen=True, eq=False)
class Projection:
    """Two coordinates an item at one layer, in a basis common to all languages shown.

    explained: share of the variance around the common mean along each axis.
    """

    layer: int
    coordinates: dict[str, Float[np.ndarray, "item 2"]]
    explained: tuple[float, float]
    settings: dict[str, Any]
    limit: str = "Two axes of many: what is apart elsewhere can lie together here."


def project(residuals: Residuals, layer: int) -> Projection:
    """PCA of all languages' items at one layer, centred on the mean over all of them, one basis for
    all.
    """
    stacked = torch.cat([residuals[k][:, layer] for k in residuals.languages]).double()
    centre = stacked.mean(0)
    _, singular, basis = torch.linalg.svd(stacked - centre, full_matrices=False)
    axes = (
        basis[:2]
        * torch.where(basis[:2].abs().max(1).values == basis[:2].max(1).values, 1.0, -1.0)[:, None]
    )
    share = (singular**2 / (singular**2).sum())[:2].tolist()
    coordinates = {
        k: ((residuals[k][:, layer].double() - centre) @ axes.T).numpy()
        for k in residuals.languages
    }
    settings = {
        "centring": "mean over all items and languages",
        "basis": "common",
        "prompt": residuals.prompt,
        "site": residuals.site,
    }
    return Projection(layer, coordinates, (share[0], share[1]), settings)


def _common(residuals: Residuals) -> dict[str, list[int]]:
    """The rows of the questions that every language has, in one order, by language."""
    held = [set(residuals.ids[k]) for k in residuals.languages]
    common = [i for i in residuals.ids[residuals.languages[0]] if all(i in h for h in held)]
    if len(residuals.languages) < 2 or len(common) < 2:
        raise MechclaError(
            "convergence compares at least two languages on at least two shared questions; "
            f"these are {', '.join(residuals.languages)} with {len(common)} in common"
        )
    rows = {}
    for k in residuals.languages:
        where = {i: r for r, i in enumerate(residuals.ids[k])}
        rows[k] = [where[i] for i in common]
    return rows


def convergence(
    residuals: Residuals, measure: str = "separation", resamples: int = RESAMPLES, seed: int = 0
) -> Curve:
    """How far apart languages are by layer, with a basic bootstrap interval over questions
    (`curve.bootstrap` says why).

    separation   mean distance between language centroids over the mean distance of items from
                 their own language's centroid: 0 when languages coincide
    silhouette   mean silhouette of the language labels (Euclidean): 1 apart, 0 mixed
    question     mean distance between the same question's residuals in two languages over that
                 between different questions in two languages: below 1 when meaning, not only
                 language, decides the place
    top1         share of the variance along the first principal axis

    Raises MechclaError for fewer than two languages or shared questions.
    """
    known = {
        "separation": _separation,
        "silhouette": _silhouette,
        "question": _question,
        "top1": _top1,
    }
    if measure not in known:
        raise unknown("measure", measure, known)
    rows, make = _common(residuals), known[measure]
    n = len(next(iter(rows.values())))
    curves = []
    # One layer at a time, each on the same draws of questions: distances of all rows to all others
    # are the square of the rows.
    for layer in range(residuals[residuals.languages[0]].shape[1]):
        h = torch.stack([residuals[k][mine, layer] for k, mine in rows.items()]).double()
        curves.append(bootstrap(measure, make(h.unsqueeze(2)), n, resamples, seed, "basic"))
    settings = {
        "languages": residuals.languages,
        "prompt": residuals.prompt,
        "site": residuals.site,
        "centring": "none needed",
    }
    value, low, high = (
        np.concatenate([getattr(c, part) for c in curves]) for part in ("value", "low", "high")
    )
    return Curve(measure, value, low, high, n, settings=curves[0].settings | settings, limit=LIMIT)


def _separation(h: Tensor) -> Any:
    k = h.shape[0]

    def statistic(w: Tensor) -> np.ndarray:
        p = w / w.sum()
        centre = torch.einsum("n,knld->lkd", p, h)
        to_own = (h - centre.movedim(0, 1).unsqueeze(1)).norm(dim=-1)
        within = torch.einsum("n,knl->lk", p, to_own).mean(-1)
        between = torch.cdist(centre, centre, compute_mode=EXACT)
        return (between.sum((-1, -2)) / (k * (k - 1)) / within).numpy()

    return statistic


def _distances(h: Tensor) -> Float[Tensor, "layer row row"]:
    flat = h.movedim(2, 0).flatten(1, 2)
    layers, rows = flat.shape[:2]
    step = max(1, HELD // (8 * layers * rows))
    if step >= rows:
        return torch.cdist(flat, flat, compute_mode=EXACT)
    found = mapped((layers, rows, rows), flat.dtype)
    for begin in range(0, rows, step):
        part = flat[:, begin : begin + step]
        found[:, begin : begin + step] = torch.cdist(part, flat, compute_mode=EXACT)
    return found


def _silhouette(h: Tensor) -> Any:
    k, n = h.shape[:2]
    distance = _distances(h).view(-1, k * n, k, n)
    label = torch.arange(k).repeat_interleave(n)

    def statistic(w: Tensor) -> np.ndarray:
        total = torch.einsum("lrjm,m->lrj", distance, w)
        own = total[:, torch.arange(k * n), label]
        a = own / (w.sum() - 1).clamp_min(1)
        rest = total / w.sum()
        rest[:, torch.arange(k * n), label] = torch.inf
        b = rest.min(-1).values
        score = (b - a) / torch.maximum(a, b)
        weight = w.repeat(k)
        return ((score * weight).sum(-1) / weight.sum()).numpy()

    return statistic


def _question(h: Tensor) -> Any:
    k, n = h.shape[:2]
    distance = _distances(h).view(-1, k, n, k, n)
    pairs = [(i, j) for i in range(k) for j in range(i + 1, k)]
    across = torch.stack([distance[:, i, :, j, :] for i, j in pairs], dim=1).mean(1)

    def statistic(w: Tensor) -> np.ndarray:
        same = torch.einsum("lnn,n->l", across, w) / w.sum()
        off = torch.outer(w, w).fill_diagonal_(0)
        return (same / (torch.einsum("lnm,nm->l", across, off) / off.sum())).numpy()

    return statistic


def _top1(h: Tensor) -> Any:
    flat = h.movedim(2, 0).flatten(1, 2)
    flat = flat - flat.mean(1, keepdim=True)  # distances stay; the numbers become small
    gram, k = flat @ flat.mT, h.shape[0]
    start = torch.randn(gram.shape[1], 1, dtype=h.dtype, generator=torch.Generator().manual_seed(0))

    def statistic(w: Tensor) -> np.ndarray:
        p = w.repeat(k) / (k * w.sum())
        mean = gram @ p  # inner products with the weighted mean
        centred = gram - mean.unsqueeze(1) - mean.unsqueeze(2) + (mean @ p)[:, None, None]
        weighted = p.sqrt().unsqueeze(1) * centred * p.sqrt()
        v = weighted @ start  # power iteration: eigenvalues of 500 resamples would take minutes
        for _ in range(POWER_STEPS):
            v = weighted @ (v / v.norm(dim=1, keepdim=True))
        shares: Tensor = v.norm(dim=1).squeeze(-1) / torch.diagonal(weighted, dim1=1, dim2=2).sum(
            -1
        )
        return shares.numpy()

    return statistic
