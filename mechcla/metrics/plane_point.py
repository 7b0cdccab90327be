"""The transfer-localization plane: one point per method and language.

Each point is absolute and as a difference.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mechcla.errors import MechclaError
from mechcla.metrics.estimates import RESAMPLES, Estimate
from mechcla.metrics.item_values import ItemTable
from mechcla.metrics.metrics import Measure, difference, metric


@dataclass(frozen=True)
class PlanePoint:
    """A (method, language) on the transfer-localization plane, absolute and against the first
    method.

    Where d_localization is below 0 the method erased culture on these items; whether by more than
    chance is for a test to say that counts all points: `mechcla.compare`, or the tests.csv of a
    sweep.
    """

    method: str
    language: str
    transfer: Estimate
    localization: Estimate
    d_transfer: Estimate
    d_localization: Estimate
    measure: str


def plane(
    methods: Mapping[str, ItemTable],
    measure: Measure = "share",
    normalisation: str = "sum",
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> tuple[PlanePoint, ...]:
    """Points of the plane; the first method is what the differences are taken against.

    >>> points = mechcla.plane({"unsteered": base, "SUR": steered})
    """
    if not methods:
        raise MechclaError(
            "plane needs at least one method, e.g. plane({'unsteered': base, 'SUR': scores})"
        )
    base = next(iter(methods.values()))
    points = []
    for name, scores in methods.items():
        t = metric(scores, "transfer", measure, normalisation, resamples=resamples, seed=seed)
        loc = metric(scores, "localization", measure, normalisation, resamples=resamples, seed=seed)
        dt = difference(
            scores, base, "transfer", measure, normalisation, resamples=resamples, seed=seed
        )
        dl = difference(
            scores, base, "localization", measure, normalisation, resamples=resamples, seed=seed
        )
        for language in (k for k in t if k in loc and k in dt and k in dl):
            points.append(
                PlanePoint(
                    name, language, t[language], loc[language], dt[language], dl[language], measure
                )
            )
    return tuple(points)
