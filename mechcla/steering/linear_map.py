"""A linear map from a language's residuals to English ones: not one direction but one for every
residual.

INCLINE (Wang et al., 2024) fits h_en = h_L W by least squares on parallel sentences and moves h_L
part of the way. Ours differs in two things: the map is affine and its deviation from h + v_EN is
shrunk by a ridge, because a few hundred items in hundreds of dimensions would otherwise be fitted
exactly and everything else mapped to nothing. At an infinite ridge it is EN-steering itself. And it
is applied at one layer, where INCLINE takes all of them.

In a sweep (`--en-operator map`) the map is EN's part, in EN, SUR and GATED. Its control arms are
maps too, whose pushes are of the same size:

    random     each push of the map turned by one random rotation, so as long, item by item
    shuffled   fitted with the two sides of half of the questions exchanged; its pushes scaled to
               the same mean square over the language's own dev prompts
    swapped    v_LOC, as long as v_EN, added in the map's place, and v_EN in LOC's
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from mechcla.engine.intervention import Intervention, Positions, chat_of
from mechcla.errors import MechclaError
from mechcla.items.item import PIVOT
from mechcla.vectors.paired_rows import PairedRows
from mechcla.vectors.residuals import Residuals
from mechcla.vectors.steering_vectors import SteeringVectors

RIDGE = 1.0


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
    universal: Residuals, language: str, layer: int, ridge: float = RIDGE, pivot: str = PIVOT
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
    weight, bias = _fit(left[:, layer].double(), right[:, layer].double(), ridge)
    return LinearMap(
        weight.float(),
        bias.float(),
        layer,
        universal.site,
        language,
        pivot,
        float(ridge),
        len(left),
        universal.record,
    )


def _fit(
    english: Float[Tensor, "item d_model"], own: Float[Tensor, "item d_model"], ridge: float
) -> tuple[Float[Tensor, "d_model d_model"], Float[Tensor, " d_model"]]:
    """Weight and bias in float64."""
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
    return weight, target - source @ weight


def map_of(vectors: SteeringVectors, language: str, layer: int) -> LinearMap:
    """The map of one language and layer of EN vectors that hold their rows, as a run's do under
    `--en-operator map`; `fit_map` of the same residuals, or a control arm's in its place.

    Fitted at the first call, and kept until another language is asked for. Raises MechclaError for
    a language or layer that is not there, and for vectors without rows.

    >>> learnt = map_of(run.vectors["EN"], "es", layer=9)  # doctest: +SKIP
    """
    vector, _ = vectors.at(language, layer)
    rows = vectors.rows
    if rows is None or language not in rows.languages:
        raise MechclaError(
            f"the {vectors.name} vectors of {language!r} hold no activations to fit a linear map "
            "on; expected vectors that a sweep with --en-operator map made"
        )
    key = (language, layer, rows.turn, rows.seed)
    if rows.turn == "translation":  # of vectors that are each another's
        eye = torch.eye(len(vector), dtype=torch.float64)
        return _made(vectors, language, layer, eye, vector.double(), rows)
    if key not in rows.fits:
        for other in [k for k in rows.fits if k[0] != language]:
            del rows.fits[other]
        with _one_thread():
            weight, bias = _turned(vectors.name, rows, language, layer)
        rows.fits[key] = _made(vectors, language, layer, weight, bias, rows)
    found: LinearMap = rows.fits[key]
    return replace(found, record=vectors.record)


def _made(
    vectors: SteeringVectors,
    language: str,
    layer: int,
    weight: Float[Tensor, "d_model d_model"],
    bias: Float[Tensor, " d_model"],
    rows: PairedRows,
) -> LinearMap:
    n = rows.rows[language].shape[1]
    return LinearMap(
        weight.float(),
        bias.float(),
        layer,
        vectors.site,
        language,
        PIVOT,
        RIDGE,
        n,
        vectors.record,
    )


def _turned(
    name: str, rows: PairedRows, language: str, layer: int
) -> tuple[Float[Tensor, "d_model d_model"], Float[Tensor, " d_model"]]:
    """Weight and bias of the map, or of the arm that the rows are turned to."""
    english, own = (side.double() for side in rows.at(language, layer))
    weight, bias = _fit(english, own, RIDGE)
    if not rows.turn:
        return weight, bias
    eye = torch.eye(len(bias), dtype=torch.float64)
    if rows.turn == "random":
        key = hashlib.sha256(f"{rows.seed}|map|{language}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(key[:7], "big"))
        drawn = torch.randn(eye.shape, generator=generator, dtype=torch.float64)
        rotation, corner = torch.linalg.qr(drawn)
        rotation = rotation * corner.diagonal().sign()  # uniform over all rotations
        return eye + (weight - eye) @ rotation, bias @ rotation
    away = torch.zeros(len(own), 1, dtype=torch.bool)
    away[list(rows.swapped[language])] = True
    other, turned = _fit(torch.where(away, own, english), torch.where(away, english, own), RIDGE)
    real, arm = (
        (own @ (w - eye) + b).square().sum(-1).mean().sqrt()
        for w, b in ((weight, bias), (other, turned))
    )
    share = real / arm.clamp_min(1e-30)
    return eye + share * (other - eye), share * turned


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums in one order, so that a map is the same to the last bit under any number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def map_steering(
    learnt: LinearMap,
    strength: float,
    positions: Positions = "last_prompt_token",
    label: str = "EN map",
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
            label=label,
            made_with=made_with,
            made_in=chat_of(learnt.record),
            matrix=learnt.weight,
            language=learnt.language,
        ),
    )
