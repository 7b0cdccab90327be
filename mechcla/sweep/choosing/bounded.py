"""Most localization at no more than a stated loss of transfer, by the bound and not the point.

A point qualifies if the lower end of the one-sided interval of its transfer gain (normal, from the
paired differences, questions as clusters) lies above -max_loss. A gain of 0 that was measured on
few items is then no proof that nothing is lost. Source: ours, after non-inferiority testing. Limit:
the bound is that of one method taken by itself; of the best of many, it is passed more often.
"""

from __future__ import annotations

from statistics import NormalDist

from mechcla.steering.families import Family
from mechcla.sweep.choosing.constraint import CONSTRAINTS, Constraint, Limits
from mechcla.sweep.dev_point import DevPoint


def lower_bound(gain: float, error: float, confidence: float) -> float:
    """The lower end of a one-sided normal interval; nan where the standard error is unknown.

    >>> round(lower_bound(0.0, 0.01, 0.9), 4)
    -0.0128
    """
    return gain - NormalDist().inv_cdf(confidence) * error


def admits(point: DevPoint, limits: Limits) -> bool:
    """Whether the bound of the transfer gain is above -max_loss; not, where it is unknown."""
    bound = lower_bound(point.d_transfer, point.error("transfer"), limits.confidence)
    return bound > -limits.max_loss


def value(point: DevPoint, family: Family) -> float:
    """The gain on the family's axes but transfer."""
    return sum(point.gains[axis] for axis in family.axes if axis != "transfer")


CONSTRAINTS.register(
    "bounded",
    Constraint("most localization, the bound of transfer above -max_loss", admits, value),
)
