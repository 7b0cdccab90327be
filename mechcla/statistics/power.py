"""What n questions can show: the minimum detectable effect, and the questions it needs."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.special import ndtri

from mechcla.errors import MechclaError
from mechcla.metrics.item_values import ItemTable
from mechcla.metrics.metrics import Measure
from mechcla.statistics.differences import clustered, paired_differences


@dataclass(frozen=True)
class Effect:
    """The smallest true mean difference that a two-sided test at `alpha` would find with
    probability `power`.

    value  in the metric's unit (a share of items); nan where the sample has no spread to go by
    sd     of the questions' contributions to the mean, so that its standard error is
           sd / sqrt(clusters)
    """

    value: float
    sd: float
    n: int
    clusters: int
    power: float
    alpha: float
    metric: str
    measure: str
    normalisation: str

    def __str__(self) -> str:
        return (
            f"{self.value:.3f} (power {self.power:g}, alpha {self.alpha:.3g}) "
            f"n={self.n} items, {self.clusters} questions"
        )


def _quantiles(power: float, alpha: float) -> float:
    """z(1 - alpha/2) + z(power)"""
    for name, value in (("power", power), ("alpha", alpha)):
        if not 0 < value < 1:
            raise MechclaError(
                f"{name}={value}; expected a number between 0 and 1, without its ends"
            )
    if power <= alpha:
        raise MechclaError(
            f"power={power} is not above alpha={alpha}; "
            "a test finds nothing more rarely than by chance"
        )
    return float(ndtri(1 - alpha / 2) + ndtri(power))


def minimum_detectable_effect(
    scores: ItemTable,
    base: ItemTable,
    metric: str,
    measure: Measure = "share",
    normalisation: str = "sum",
    power: float = 0.8,
    alpha: float = 0.05,
) -> dict[str, Effect]:
    """The smallest difference that a comparison of this size could have shown, by language and
    pooled.

    MDE = (z(1 - alpha/2) + z(power)) * SE, where SE is the standard error of the mean paired
    difference with the languages of a question kept together. It reads a null result: an interval
    around 0 with an MDE of 0.15 says that the sample was too small for anything less, not that
    steering does nothing. It is no power of the effect that was observed, which would only restate
    the p-value.

    Limits: a normal approximation. In simulation, for a power of 0.8, the sign-flip test really had
    0.80 for shares of 40 questions or more and 0.71 for 10; for accuracy, where an exact test is
    conservative, 0.72 to 0.77 with 12 to 100 changed questions and 0.58 with 6. The spread is taken
    from the sample, so it is itself uncertain (in accuracy by about 1 part in 2 sqrt(changed
    questions)), and it is that of this steering: one that changes more answers spreads wider. Where
    the questions do not differ, or there is only one, it is nan. Under a correction for m tests use
    alpha/m. Raises MechclaError as `permutation_test`, and for power or alpha outside (0, 1).
    Source: the textbook formula for a paired mean, with the cluster-robust standard error of survey
    sampling.

    >>> print(minimum_detectable_effect(steered, base, "localization")["ko"])
    0.071 (power 0.8, alpha 0.05) n=66 items, 66 questions
    """
    factor, result = _quantiles(power, alpha), {}
    for language, c in clustered(
        paired_differences(scores, base, metric, measure, normalisation)
    ).items():
        error = c.standard_error or float("nan")
        count = len(c.sums)
        result[language] = Effect(
            factor * error,
            error * math.sqrt(count),
            c.n,
            count,
            power,
            alpha,
            metric,
            measure,
            normalisation,
        )
    return result


def items_needed(effect: float, sd: float, power: float = 0.8, alpha: float = 0.05) -> int:
    """Questions for which `effect` would be the minimum detectable effect: ((z(1-alpha/2) +
    z(power)) sd / effect)^2.

    `sd` is an `Effect.sd`, so questions asked in as many languages as there; the sign of `effect`
    does not matter. A normal approximation, as `minimum_detectable_effect`. Raises MechclaError for
    an effect of 0, an sd that is not positive, or power or alpha outside (0, 1).

    >>> items_needed(0.05, sd=0.4)
    503
    """
    factor = _quantiles(power, alpha)
    if not math.isfinite(effect) or effect == 0 or not math.isfinite(sd) or sd <= 0:
        raise MechclaError(
            f"effect={effect}, sd={sd}; expected an effect other than 0 and an sd above 0"
        )
    # Less a hair, so that an Effect gives back its own questions.
    return max(2, math.ceil((factor * sd / effect) ** 2 - 1e-9))
