"""SteeringSettings: how EN acts where not as `operator` says, and how soft a gate is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, field_validator

from mechcla.engine.operators import OPERATORS, acting, check_use
from mechcla.errors import MechclaError, nearest
from mechcla.sweep.scale_settings import ScaleSettings

MAP = "map"  # the one operator that takes a matrix whose matrix a sweep can make


class SteeringSettings(ScaleSettings):
    """Settings of EN's part, and of the gate."""

    en_operator: str | None = Field(
        None,
        description="how EN acts, alone and within SUR and GATED: map (a linear map to English, "
        "whose strength is the share of the way, by default on the last prompt token, where it was "
        "fitted), or as --operator; default: as --operator",
    )
    gate_scale: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="gated: a soft gate's, sigmoid(margin / scale) of each edit, 1 being the "
        "margin at the mean of a kind; default: a hard gate",
    )

    @field_validator("en_operator")
    @classmethod
    def _known_operator(cls, value: str | None) -> str | None:
        if value is not None and value not in (known := (*acting(), MAP)):
            raise ValueError(nearest(value, known))
        return value


def fits_maps(en_operator: str | None) -> bool:
    """Whether EN vectors need the rows that linear maps are fitted on."""
    return en_operator is not None and OPERATORS.get(en_operator).takes_matrix


def with_defaults(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings, with a map's positions where they say none: those that it was fitted on."""
    own = {"en_positions": "last_prompt_token"} if settings.get("en_operator") == MAP else {}
    return {**own, **settings}


def check_operators(
    operator: str, settings: SteeringSettings, *, restored: bool, relative: bool, gated: bool
) -> None:
    """Raises MechclaError for settings that ask of an operator, or of a gate, what it cannot do."""
    check_use(operator, restored=restored and settings.en_operator is None, relative=relative)
    if settings.en_operator is not None:
        check_use(settings.en_operator, restored=restored, relative=relative)
    if settings.gate_scale is not None and not gated:
        raise MechclaError(
            f"gate_scale={settings.gate_scale:g} is the gate's, which is not used; add --gated"
        )
