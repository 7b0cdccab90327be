"""LOC-steering: v_LOC added at one layer."""

from __future__ import annotations

from mechcla.engine.intervention import Intervention, Operator, Positions, Unit
from mechcla.steering import grid
from mechcla.steering.families import FAMILIES, DevSearch, Family
from mechcla.steering.method import Manner, Method
from mechcla.vectors.steering_vectors import SteeringVectors


def loc_steering(
    loc: SteeringVectors,
    *,
    language: str,
    layer: int,
    strength: float,
    positions: Positions = "prompt",
    operator: Operator = "add",
    unit: Unit = "raw",
) -> tuple[Intervention, ...]:
    """LOC-steering: add v_LOC[language, layer].

    >>> steps = mechcla.loc_steering(loc, language="es", layer=13, strength=2.0)
    """
    method = Method(loc_layer=layer, loc_strength=strength)
    manner = Manner(operator, unit, loc_positions=positions)
    return method.interventions({"LOC": loc}, language, manner)


def _search(dev: DevSearch) -> None:
    dev.score(grid.loc_grid(dev.layers, dev.strengths("LOC")))
    for best in dev.ranked("LOC", 1):  # none, where nothing of the family is finite
        dev.score(grid.loc_grid(dev.fine(best.loc_layer or 0), dev.strengths("LOC")))


ARMS = ("random", "shuffled", "orthogonal", "us_country", "other_country")
FAMILIES.register(
    "LOC", Family("LOC", ("localization",), ("LOC",), ARMS, _search, mark="s", colour="#E66100")
)
