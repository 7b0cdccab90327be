"""A linear map from a language's residuals to English ones: not one direction but one for every
residual.

INCLINE (Wang et al., 2024) fits h_en = h_L W by least squares on parallel sentences and moves h_L
part of the way. Ours differs in two things: the map is affine and its deviation from h + v_EN is
shrunk by a ridge, because a few hundred items in hundreds of dimensions would otherwise be fitted
exactly and everything else mapped to nothing. At an infinite ridge it is EN-steering itself. And it
is applied at one layer, where INCLINE takes all of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from mechcla.engine.intervention import Intervention, Positions, chat_of
from mechcla.errors import MechclaError
from mechcla.items.item import PIVOT
from mechcla.vectors.residuals import Residuals


@dataclass(frozen=True, eq=False)
class LinearMap:
    """h -> h @ weight + bias, from a language's residuals at one layer and site to the pivot's."""

    weight: Float[Tensor, "d_model d_model"]
    bias: Float[Tensor, " d_model"]
    layer: int
    site: str
    language: str
    pivot: str
    ridge: float
    n: int
    record: dict[str, Any] = field(default_factory=dict)


def fit_map(
    universal: Residuals, language: str, layer: int, ridge: float = 1.0, pivot: str = PIVOT
) -> LinearMap:
    """The ridge regression of the pivot's residuals on the language's, over the questions that both
    have.

    Minimises |X A - D|^2 + lambda |A|^2 with X the language's centred residuals and D what centred
    English ones have beyond them; the map is h -> mean_en + (h - mean_L)(1 + A). ridge: lambda over
    the mean squared length of X's rows, so 1 is of the data's own size; math.inf gives h + v_EN.
    Raises MechclaError for a negative ridge, a layer or language that the residuals lack, or fewer
    than two shared questions.

    >>> from mechcla.vectors.residuals import cache_residuals
    >>> learnt = fit_map(cache_residuals(model, items.universal.dev), "es", layer=9)
    """
    if not ridge >= 0:
        raise MechclaError(f"ridge is {ridge!r}; expected 0 or more (math.inf is EN-steering)")
    left, right = universal.paired(pivot, language)
    if not 0 <= layer < left.shape[1]:
        raise MechclaError(
            f"layer {layer} is not one of these residuals' {left.shape[1]}; expected 0 to "
            f"{left.shape[1] - 1}"
        )
    if len(left) < 2:
        raise MechclaError(
            f"a map needs at least two questions in both {pivot!r} and {language!r}; there is "
            f"{len(left)}"
        )
    english, own = left[:, layer].double(), right[:, layer].double()
    target, source = english.mean(0), own.mean(0)
    x, width = own - source, own.shape[1]
    difference = (english - target) - x
    if math.isinf(ridge):
        change = torch.zeros(width, width, dtype=torch.float64)
    elif ridge == 0:
        change = torch.linalg.lstsq(x, difference, driver="gelsd").solution
    else:
        gram = x @ x.T
        scale = gram.diagonal().mean() * ridge
        change = x.T @ torch.linalg.solve(
            gram + scale * torch.eye(len(x), dtype=torch.float64), difference
        )
    weight = torch.eye(width, dtype=torch.float64) + change
    return LinearMap(
        weight.float(),
        (target - source @ weight).float(),
        layer,
        universal.site,
        language,
        pivot,
        float(ridge),
        len(x),
        universal.record,
    )


def map_steering(
    learnt: LinearMap, strength: float, positions: Positions = "last_prompt_token"
) -> tuple[Intervention, ...]:
    """Move each residual `strength` of the way to its image; 1 replaces it.

    The default is the position that the map was fitted on, where INCLINE acts too.

    >>> scores = mechcla.score(model, items.language("es").test, map_steering(learnt, 0.5))
    """
    made_with = learnt.record.get("model", {}).get("digest")
    return (
        Intervention(
            learnt.bias,
            learnt.layer,
            strength,
            site=learnt.site,
            operator="map",
            positions=positions,
            label="EN map",
            made_with=made_with,
            made_in=chat_of(learnt.record),
            matrix=learnt.weight,
            language=learnt.language,
        ),
    )
