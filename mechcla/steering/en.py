"""EN-steering: v_EN added at one layer, with restoration subtracted again at a deeper one."""

from __future__ import annotations

from mechcla.engine.intervention import Intervention, Operator, Positions, Unit
from mechcla.steering import grid
from mechcla.steering.families import FAMILIES, DevSearch, Family
from mechcla.steering.method import Manner, Method
from mechcla.vectors.steering_vectors import SteeringVectors


def en_steering(
    en: SteeringVectors,
    *,
    language: str,
    layer: int,
    strength: float,
    restore_layer: int | None = None,
    restore_strength: float | None = None,
    positions: Positions = "prompt",
    operator: Operator = "add",
    unit: Unit = "raw",
) -> tuple[Intervention, ...]:
    """EN-steering: add v_EN[language, layer]; with `restore_layer`, subtract v_EN there again
    (restoration).

    restore_strength: default `strength`. The deep subtraction gives the answer's language back.
    Raises MechclaError if the restoration is not deeper than the steering.

    >>> steps = mechcla.en_steering(en, language="es", layer=5, strength=1.0, restore_layer=14)
    """
    method = Method(en_layer=layer, en_strength=strength, restore_layer=restore_layer)
    manner = Manner(operator, unit, en_positions=positions, restore_strength=restore_strength)
    return method.interventions({"EN": en}, language, manner)


def _search(dev: DevSearch) -> None:
    dev.score(grid.en_grid(dev.layers, dev.strengths("EN")))
    for best in dev.ranked("EN", 1):  # none, where nothing of the family is finite
        dev.score(grid.en_grid(dev.fine(best.en_layer or 0), dev.strengths("EN")))


def _search_restored(dev: DevSearch) -> None:
    """All on the axis that they are for, the best on both."""
    dev.score(dev.restored(), ("universal",))
    dev.score(dev.ranked("EN+restore", dev.pair_layers))


FAMILIES.register(
    "EN",
    Family(
        "EN", ("transfer",), ("EN",), ("random", "shuffled"), _search, mark="^", colour="#5D3A9B"
    ),
)
FAMILIES.register(
    "EN+restore",
    Family("EN+restore", ("transfer",), ("EN",), (), _search_restored, mark="v", colour="#0072B2"),
)
