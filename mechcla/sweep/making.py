"""The vectors of a sweep: EN and LOC by the recipe that the config asks for, and those of the
control arms.
"""

from __future__ import annotations

from typing import Any

from mechcla.items.item_set import ItemSet
from mechcla.models.hooked_model import HookedModel
from mechcla.steering.controls import shuffled_vectors
from mechcla.sweep.cells import PIVOT
from mechcla.sweep.config import SweepConfig
from mechcla.sweep.finite import check_vectors
from mechcla.vectors.extract import make_vectors
from mechcla.vectors.recipes import en_vectors_by, loc_vectors_by
from mechcla.vectors.residuals import cache_residuals
from mechcla.vectors.steering_vectors import SteeringVectors


def names_us(items: ItemSet, config: SweepConfig) -> bool:
    """The United States as a control: every cultural item outside English says what its prompt is
    with them named.
    """
    return config.controls and all(i.prompt_us for i in items.cultural if i.language != PIVOT)


def shuffles(config: SweepConfig) -> bool:
    """Shuffled vectors are differences of means, so they are a control of those alone."""
    return config.controls and config.recipe == "mean_difference"


def make(model: HookedModel, dev: ItemSet, config: SweepConfig) -> dict[str, SteeringVectors]:
    """EN and LOC, and what the control arms need. Raises MechclaError for one that is not finite."""
    made = _made(model, dev, config)
    check_vectors(made, model)
    return made


def _made(model: HookedModel, dev: ItemSet, config: SweepConfig) -> dict[str, SteeringVectors]:
    how: dict[str, Any] = {"site": config.site, "chat": config.chat_form}
    if config.recipe == "mean_difference":
        return (
            shuffled_vectors(model, dev, seed=config.seed, **how)
            if shuffles(config)
            else make_vectors(model, dev, us=names_us(dev, config), **how)
        )
    universal = cache_residuals(model, dev.universal, **how)
    implicit, explicit = (
        cache_residuals(model, dev.cultural, form, **how) for form in ("implicit", "explicit")
    )
    made = {
        "EN": en_vectors_by(config.recipe, universal),
        "LOC": loc_vectors_by(config.recipe, explicit, implicit),
    }
    if names_us(dev, config):
        steered = dev.cultural.where(lambda i: i.language != PIVOT)
        implicit, us = (cache_residuals(model, steered, form, **how) for form in ("implicit", "us"))
        made["LOC US"] = loc_vectors_by(config.recipe, us, implicit)
    return made
