"""More than one direction: the leading directions of item-wise differences, and the angles between two such sets.

Uncentred: the mean difference is what steering uses, so it must be able to be the first direction; centred PCA of
differences would take it away.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from mechcla.errors import MechclaError


def top_directions(differences: Float[Tensor, "item layer d_model"], k: int = 4) -> Float[Tensor, "layer k d_model"]:
    """The k leading right singular vectors of uncentred item-wise differences, by layer, in float64.

    Orthonormal; each points where the mean difference points. Raises MechclaError for more than there are items.
    """
    if not 1 <= k <= min(len(differences), differences.shape[-1]):
        raise MechclaError(f"k is {k}; {len(differences)} differences of width {differences.shape[-1]} have at least 1 direction and at most {min(len(differences), differences.shape[-1])}")
    found = []
    for layer in range(differences.shape[1]):
        rows = differences[:, layer].double()
        basis = torch.linalg.svd(rows, full_matrices=False).Vh[:k]
        found.append(basis * torch.where(basis @ rows.mean(0) < 0, -1.0, 1.0).unsqueeze(-1))
    return torch.stack(found)


def principal_angles(left: Float[Tensor, "layer k d_model"], right: Float[Tensor, "layer k_2 d_model"]) -> Float[Tensor, "layer angle"]:
    """Cosines of the principal angles between two orthonormal bases by layer, largest first: 1 shared, 0 orthogonal."""
    return torch.linalg.svdvals(left.double() @ right.double().transpose(1, 2)).clamp(0, 1)
