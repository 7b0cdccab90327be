"""Surgical Steering (SUR): v_EN at a layer and v_LOC at a deeper one, in the same forward pass.

What dev tries, and the registration. The interventions are made in `method.py`, by `parts`.
"""

from __future__ import annotations

from mechcla.engine.intervention import Intervention, Operator, Positions, Unit
from mechcla.errors import MechclaError
from mechcla.steering import grid
from mechcla.steering.families import BOTH, FAMILIES, DevSearch, Family
from mechcla.steering.method import Manner, Method
from mechcla.vectors.steering_vectors import SteeringVectors


def surgical_steering(
    en: SteeringVectors,
    loc: SteeringVectors,
    *,
    language: str,
    en_layer: int,
    en_strength: float,
    loc_layer: int,
    loc_strength: float,
    restore_layer: int | None = None,
    restore_strength: float | None = None,
    en_positions: Positions = "prompt",
    loc_positions: Positions = "prompt",
    operator: Operator = "add",
    unit: Unit = "raw",
) -> tuple[Intervention, ...]:
    """Surgical Steering (SUR): v_EN at one layer and v_LOC at a deeper one, in the same forward
    pass.

    With `restore_layer`, v_EN is subtracted again there, which may be the LOC layer.
    Source: the idea is arXiv 2510.26024's; its equations and numbers are not known to us, so this
    is our operationalisation. Raises MechclaError for a language or layer that the vectors lack,
    and if loc_layer is not deeper than en_layer.

    >>> steps = mechcla.surgical_steering(en, loc, language="es", en_layer=5, en_strength=1.0,
    ...                           loc_layer=13, loc_strength=2.0, restore_layer=13)
    """
    for vectors, layer in ((en, en_layer), (loc, loc_layer)):
        vectors.at(language, layer)  # what is not there is said first
    if loc_layer <= en_layer:
        raise MechclaError(
            f"Surgical Steering adds LOC deeper than EN; got en_layer {en_layer}, "
            f"loc_layer {loc_layer}. For other orders, join en_steering(...) + loc_steering(...)"
        )
    method = Method(en_layer, en_strength, restore_layer, loc_layer, loc_strength)
    manner = Manner(operator, unit, en_positions, loc_positions, restore_strength)
    return method.interventions({"EN": en, "LOC": loc}, language, manner)


def _search(dev: DevSearch) -> None:
    """Pairs of the best layers of either vector by the sum of gains; half with restored EN."""
    en, loc = (dev.ranked(family, dev.n_layers, by="sum") for family in ("EN", "LOC"))
    most = dev.pair_layers**2
    couples = grid.pairs(en, loc, most)
    if kept := dev.ranked("EN+restore", dev.pair_layers):
        half = (most + 1) // 2
        couples = couples[:half] + grid.pairs(kept, loc, most - half)
    dev.score(couples)


ARMS = ("random", "swapped", "same_layer")
FAMILIES.register(
    "SUR",
    Family("SUR", BOTH, ("EN", "LOC"), ARMS, _search, guarded=True, mark="D", colour="#009E73"),
)
