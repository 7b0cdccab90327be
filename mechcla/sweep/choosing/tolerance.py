"""Neither gain, as measured, may fall below -tolerance; the sum of both is maximised."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mechcla.sweep.choosing.constraint import CONSTRAINTS, Constraint, Limits

if TYPE_CHECKING:
    from mechcla.sweep.rule import DevPoint


def admits(point: DevPoint, limits: Limits) -> bool:
    """Whether neither gain falls below -tolerance."""
    return min(point.d_transfer, point.d_localization) >= -limits.tolerance


CONSTRAINTS.register("tolerance", Constraint("neither gain below -tolerance", admits))
