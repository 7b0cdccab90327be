"""A choice per language, from gains that are drawn towards the mean over languages by their noise.

Of one method and axis, with g_l the gain in language l (of k), s2_l its sampling variance and c_l
the part of it that the language has in common with the others (the mean covariance of its gain with
theirs: the same questions are asked in all of them):

    mu    = mean of g_l                                  what `pooled` decides by
    o_l   = max(0, s2_l - c_l)                           noise of the language's own
    tau2  = max(0, variance of g_l - mean of o_l)        between languages, by moments
    seen  = mu + tau2 / (tau2 + o_l) (g_l - mu)

With tau2 = 0 every language sees the pooled gain, with o_l = 0 its own. Source: Efron & Morris
(1975) for the shrinkage; tau2 is the unweighted estimator by moments (Hedges & Olkin 1985), which
unlike DerSimonian & Laird (1986) allows a variance of 0 and has `pooled`'s mean at its centre; the
combination, and c_l, are ours. Limits: tau2 is one number from few languages, so it is itself
noisy, most of all at its floor of 0; gains are taken for normal; the noise of mu is left out of the
weight.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from mechcla.steering.families import AXIS_OF
from mechcla.sweep.choosing.choice_rule import RULES, ChoiceRule
from mechcla.sweep.dev_point import DevPoint

Covariances = Mapping[tuple[str, str], float]


@dataclass(frozen=True)
class Shrunken:
    """Gains of one method on one axis by language, drawn together, and the variance of each.

    variances: tau2 o / (tau2 + o) of what is the language's own, the noise in common, and that of
    the mean as far as it is leant on; tau2 is taken for known.
    """

    mean: float
    tau2: float
    gains: Mapping[str, float]
    variances: Mapping[str, float]


def shrink(gains: Mapping[str, float], covariances: Covariances) -> Shrunken:
    """The gains of languages drawn towards their mean, by the formula above.

    covariances: of two languages' gains, {(l, m): value}, the sampling variances at (l, l); a
    variance that is unknown (nan, or not there) draws its language to the mean altogether.

    >>> found = shrink({"es": 0.0, "ko": 0.4}, {("es", "es"): 0.04, ("ko", "ko"): 0.04})
    >>> round(found.tau2, 3), round(found.gains["ko"], 3)
    (0.04, 0.3)
    """
    k = len(gains)
    mean = math.fsum(gains.values()) / k
    own = {one: _own(one, gains, covariances) for one in gains}
    known = [o for o in own.values() if math.isfinite(o)]
    between = math.fsum((g - mean) ** 2 for g in gains.values()) / (k - 1) if k > 1 else 0.0
    tau2 = max(0.0, between - math.fsum(known) / len(known)) if known else 0.0
    of_mean = math.fsum(covariances.get((a, b), 0.0) for a in gains for b in gains) / k**2
    seen, variances = {}, {}
    for one, gain in gains.items():
        if math.isinf(own[one]) or not tau2:
            weight = 0.0
        else:
            weight = tau2 / (tau2 + own[one])
        seen[one] = mean + weight * (gain - mean) if weight < 1 else gain
        lean, common = (1 - weight) ** 2, _common(one, gains, covariances)
        variances[one] = common + lean * (of_mean + tau2 / k - common)
        variances[one] += weight * own[one] if weight else 0.0
    return Shrunken(mean, tau2, seen, variances)


def _common(one: str, gains: Mapping[str, float], covariances: Covariances) -> float:
    """The mean covariance of a language's gain with the other ones'."""
    others = [covariances.get((one, other), 0.0) for other in gains if other != one]
    return math.fsum(others) / len(others) if others else 0.0


def _own(one: str, gains: Mapping[str, float], covariances: Covariances) -> float:
    variance = covariances.get((one, one), math.nan)
    if math.isnan(variance):
        return math.inf
    return max(0.0, variance - _common(one, gains, covariances))


def shrunken(points: Sequence[DevPoint], language: str) -> list[DevPoint]:
    """Dev points as a language sees them: gains on every axis drawn towards the mean."""
    return [_seen(p, language) for p in points if language in p.by_language]


def _seen(point: DevPoint, language: str) -> DevPoint:
    if point.not_finite:
        return point  # never chosen, whatever its other gains
    found: dict[str, float] = {}
    covariances: dict[str, Covariances] = {}
    for axis, gains in point.gains_by_axis.items():
        if language in gains:
            drawn = shrink(gains, point.covariances.get(axis, {}))
            found[axis] = drawn.gains[language]
            covariances[axis] = {(language, language): drawn.variances[language]}
    transfer, localization = (found.get(axis, math.nan) for axis in AXIS_OF.values())
    return replace(
        point,
        d_transfer=transfer,
        d_localization=localization,
        by_language={language: (transfer, localization)},
        others={axis: {language: found[axis]} for axis in point.others if axis in found},
        covariances=covariances,
    )


RULES.register(
    "shrunken",
    ChoiceRule(
        "one choice per language, from gains drawn towards the mean by their noise", seen=shrunken
    ),
)
