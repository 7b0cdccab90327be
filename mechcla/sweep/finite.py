"""What is not finite is said, and goes no further: vectors, the unsteered pass, steered cells."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch

from mechcla.errors import MechclaError
from mechcla.models.hooked_model import HookedModel
from mechcla.scoring.scores import Scores
from mechcla.vectors.steering_vectors import SteeringVectors

OWN_PASS = (
    "its unsteered pass overflows, or a weight is nan, so no number of it means anything; try "
    "dtype float32 (or bfloat16, whose range is the same), or load the weights again"
)


def check_vectors(vectors: Mapping[str, SteeringVectors], model: HookedModel) -> None:
    """Raises MechclaError for vectors or norms that are not finite, naming the first and its
    layers.
    """
    for name, made in vectors.items():
        for language in made.languages:
            whole = torch.cat([made[language], made.norms[language].unsqueeze(-1)], dim=-1)
            bad = (~torch.isfinite(whole)).any(-1).nonzero().flatten().tolist()
            if bad:
                at = ", ".join(map(str, bad[:6])) + (", ..." if len(bad) > 6 else "")
                raise MechclaError(
                    f"the {name} vector of {language!r} is not finite at {len(bad)} of "
                    f"{len(whole)} layers ({at}) of {model.name} in {model.dtype}: {OWN_PASS}"
                )


def check_unsteered(scores: Scores, cell: str, model: HookedModel) -> None:
    """Raises MechclaError if the unsteered model's own scores are not finite, naming the first
    item.
    """
    if scores.not_finite:
        raise MechclaError(
            f"{model.name} in {model.dtype} is not finite without steering: {cell}, "
            f"{_first(scores)}: {OWN_PASS}"
        )


def remark(scores: Scores, cell: str) -> str:
    """The line of a steered cell that is not finite."""
    return f"{cell} is not finite: {_first(scores)}; it is never chosen and never averaged"


def _first(scores: Scores) -> str:
    bad = scores.not_finite
    values = ", ".join(f"{v:g}" for v in bad[0].log_likelihood)
    return (
        f"{len(bad)} of {len(scores)} items, the first {bad[0].id!r} with log-likelihoods {values}"
    )


def listed(cells: Iterable[Mapping[str, Any]]) -> str:
    """Cells that are not finite as text, a line per method; nothing for none."""
    by_method: dict[tuple[str, str], list[str]] = {}
    for cell in cells:
        where = by_method.setdefault((cell["split"], cell["name"]), [])
        where.append(f"{cell['language']} {cell['kind']}")
    if not by_method:
        return ""
    lines = [f"  {split} {name}: {', '.join(at)}" for (split, name), at in by_method.items()]
    return "\n".join(["Not finite, so neither chosen nor averaged:", *lines])
