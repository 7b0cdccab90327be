"""Transfer, localization, English bias and the plane, each with an interval and its n."""

from mechcla.metrics.estimates import POOLED, Estimate
from mechcla.metrics.metrics import (
    collision_aware_bias,
    difference,
    english_bias,
    localization,
    metric,
    recoverable_fraction,
    transfer,
)
from mechcla.metrics.plane_point import PlanePoint, plane

__all__ = [
    "POOLED",
    "Estimate",
    "PlanePoint",
    "collision_aware_bias",
    "difference",
    "english_bias",
    "localization",
    "metric",
    "plane",
    "recoverable_fraction",
    "transfer",
]
