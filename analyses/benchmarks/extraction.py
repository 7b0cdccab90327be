"""Mean-difference vectors of all layers: mechcla's streaming means against the package
steering-vectors.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from mechcla.items.item_set import ItemSet, pair_ids
from mechcla.models.hooked_model import HookedModel
from mechcla.vectors.extract import en_vectors


def pairs(items: ItemSet, language: str) -> list[tuple[str, str]]:
    """(English prompt, prompt in the language) of every shared universal item."""
    universal = items.universal
    return [
        (a.prompt, b.prompt)
        for a, b in pair_ids(universal.language("en"), universal.language(language))
    ]


def with_mechcla(model: HookedModel, items: ItemSet, language: str) -> list[Tensor]:
    return list(en_vectors(model, items)[language])


def with_steering_vectors(
    hf_model: Any, tokenizer: Any, items: ItemSet, language: str, batch_size: int
) -> list[Tensor]:
    from steering_vectors import train_steering_vector

    made = train_steering_vector(hf_model, tokenizer, pairs(items, language), batch_size=batch_size)
    return [made.layer_activations[layer] for layer in sorted(made.layer_activations)]


def largest_relative_difference(left: list[Tensor], right: list[Tensor]) -> float:
    """Largest over layers of |a - b| / |b|."""
    return max(
        float((a.cpu() - b.cpu()).norm() / b.norm().cpu()) for a, b in zip(left, right, strict=True)
    )
