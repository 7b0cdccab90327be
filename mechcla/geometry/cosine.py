"""Where EN and LOC point: cosine and perpendicularity by layer, and what two random directions
would have.

    cosine(L, l) = v_EN[L, l] . v_LOC[L, l] / (|v_EN| |v_LOC|)
    perpendicularity = 1 - |cosine|

Two random vectors of d values have a cosine of mean 0 and standard deviation 1 / sqrt(d), so in a
wide model nearly all pairs are nearly perpendicular: read perpendicularity against
`random_perpendicularity`. Source: the source paper's Figure 4 (left) shows perpendicularity; the
formula is ours.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from mechcla.errors import MechclaError
from mechcla.vectors.steering_vectors import SteeringVectors


def cosine_by_layer(
    left: SteeringVectors, right: SteeringVectors
) -> dict[str, Float[Tensor, " layer"]]:
    """Cosine of two families of vectors at every layer, for the languages that both have.

    >>> mechcla.cosine_by_layer(en, loc)["es"].shape
    torch.Size([18])
    """
    shared = [language for language in left.languages if language in right.vectors]
    if not shared:
        raise MechclaError(
            f"{left.name} has languages {', '.join(left.languages)} "
            f"and {right.name} {', '.join(right.languages)}: none in common"
        )
    return {
        language: torch.nn.functional.cosine_similarity(
            left[language].double(), right[language].double(), dim=-1
        ).float()
        for language in shared
    }


def perpendicularity_by_layer(
    left: SteeringVectors, right: SteeringVectors
) -> dict[str, Float[Tensor, " layer"]]:
    """1 - |cosine| at every layer: 1 is orthogonal, 0 is the same line."""
    return {language: 1 - cosine.abs() for language, cosine in cosine_by_layer(left, right).items()}


def random_perpendicularity(d_model: int) -> float:
    """1 - |cosine| expected of random directions: 1 - Gamma(d/2) / (sqrt(pi) Gamma((d+1)/2))."""
    log_mean = math.lgamma(d_model / 2) - math.lgamma((d_model + 1) / 2) - 0.5 * math.log(math.pi)
    return 1 - math.exp(log_mean)
