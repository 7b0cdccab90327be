"""EN, LOC and Surgical Steering, built from steering vectors."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mechcla.errors import MechclaError

if TYPE_CHECKING:
    from mechcla.vectors.steering_vectors import SteeringVectors
from mechcla.engine.intervention import Intervention, Operator, Positions, Unit


def _from(
    vectors: SteeringVectors, language: str, layer: int, strength: float, **settings: Any
) -> Intervention:
    vector, norm = vectors.at(language, layer)
    made_with = vectors.record.get("model", {}).get("digest")
    return Intervention(
        vector,
        layer,
        strength,
        site=vectors.site,
        norm=norm,
        label=vectors.name,
        made_with=made_with,
        language=language,
        **settings,
    )


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
    """EN-steering: add v_EN[language, layer]; with `restore_layer`, subtract v_EN there again (restoration).

    restore_strength: default `strength`. The deep subtraction gives the answer's language back.
    Raises MechclaError if the restoration is not deeper than the steering.

    >>> mechcla.en_steering(en, language="es", layer=5, strength=1.0, restore_layer=14)   # doctest: +SKIP
    """
    settings = {"positions": positions, "operator": operator, "unit": unit}
    steps = [_from(en, language, layer, strength, **settings)]
    if restore_layer is not None:
        if operator == "ablate":
            raise MechclaError(
                "restoration adds back what was added; a projection (operator 'ablate') cannot be taken back"
            )
        if restore_layer <= layer:
            raise MechclaError(
                f"restore_layer {restore_layer} must be deeper than the EN layer {layer}"
            )
        back = strength if restore_strength is None else restore_strength
        deep = _from(en, language, restore_layer, -back, **settings)
        steps.append(replace(deep, label=f"{deep.label} restoration"))
    return tuple(steps)


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

    >>> mechcla.loc_steering(loc, language="es", layer=13, strength=2.0)      # doctest: +SKIP
    """
    return (
        _from(loc, language, layer, strength, positions=positions, operator=operator, unit=unit),
    )


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
    """Surgical Steering (SUR): v_EN at one layer and v_LOC at a deeper one, in the same forward pass.

    With `restore_layer`, v_EN is subtracted again there, which may be the LOC layer.
    Source: the idea is arXiv 2510.26024's; its equations are not public, so this is our operationalisation.
    Raises MechclaError if loc_layer is not deeper than en_layer.

    >>> mechcla.surgical_steering(en, loc, language="es", en_layer=5, en_strength=1.0,
    ...                           loc_layer=13, loc_strength=2.0, restore_layer=13)      # doctest: +SKIP
    """
    if loc_layer <= en_layer:
        raise MechclaError(
            f"Surgical Steering adds LOC deeper than EN; got en_layer {en_layer}, loc_layer {loc_layer}. "
            "For other orders, join en_steering(...) + loc_steering(...)"
        )
    first = en_steering(
        en,
        language=language,
        layer=en_layer,
        strength=en_strength,
        restore_layer=restore_layer,
        restore_strength=restore_strength,
        positions=en_positions,
        operator=operator,
        unit=unit,
    )
    return first + loc_steering(
        loc,
        language=language,
        layer=loc_layer,
        strength=loc_strength,
        positions=loc_positions,
        operator=operator,
        unit=unit,
    )
