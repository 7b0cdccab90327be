"""Neither gain, as measured, may fall below -tolerance; the sum of both is maximised."""

from __future__ import annotations

from mechcla.sweep.choosing.constraint import CONSTRAINTS, Constraint, Limits
from mechcla.sweep.dev_point import DevPoint


def admits(point: DevPoint, limits: Limits) -> bool:
    """Whether neither gain falls below -tolerance."""
    return min(point.d_transfer, point.d_localization) >= -limits.tolerance


CONSTRAINTS.register("tolerance", Constraint("neither gain below -tolerance", admits))
