"""What `compare_aligned` found: values of models aligned from a base, the plane, the text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mechcla.metrics.estimates import POOLED, Estimate
from mechcla.results import Rows
from mechcla.runs.tables import in_columns
from mechcla.runs.written import change_text, columns, not_compared, p_text, pooled_alike, tested
from mechcla.statistics import TestResult
from mechcla.steering.families import BOTH

if TYPE_CHECKING:
    import pandas as pd

UNSTEERED, EXPLICIT, LOSS = "unsteered", "explicit", "localization"
LIMIT = (
    "an aligned model is one training on one seed, and its vectors, layers and strengths are its "
    "own dev's choice: a steered row compares training, choice and vectors together"
)


@dataclass(frozen=True)
class AlignedValue:
    """A metric of one model under one condition in one language, against an unsteered model.

    against: the model, unsteered, that the difference is to; None for the unsteered base itself.
    difference, test, detectable, p_holm: paired by item; p_holm is corrected over all pooled
    differences of the comparison, or over those of single languages; detectable is the smallest
    difference that this many questions would have shown (power 0.8, alpha 0.05, uncorrected).
    recovered: the share of the localization that the alignment lost which this condition gives
    back, (steered - unsteered) / (base - unsteered); None where no loss was measured, which is
    where its 95% interval holds 0. of_ceiling: the same with the model's own explicit prompt in
    the base's place; None where naming the country does not raise localization.
    """

    model: str
    condition: str
    against: str | None
    language: str
    metric: str
    value: Estimate
    difference: Estimate | None = None
    test: TestResult | None = None
    detectable: float | None = None
    p_holm: float | None = None
    recovered: Estimate | None = None
    of_ceiling: Estimate | None = None

    def flat(self) -> dict[str, Any]:
        """The numbers as one record of a table."""
        return {
            "model": self.model,
            "condition": self.condition,
            "against": self.against,
            "language": self.language,
            "metric": self.metric,
            "measure": self.value.measure,
            **columns("value", self.value),
            "n": self.value.n,
            **columns("difference", self.difference),
            **tested(self.test, self.p_holm, self.detectable),
            **columns("recovered", self.recovered),
            **columns("of_ceiling", self.of_ceiling),
        }


@dataclass(frozen=True)
class AlignedPoint:
    """A model under one condition in one language on the transfer-localization plane."""

    model: str
    condition: str
    language: str
    transfer: Estimate
    localization: Estimate


@dataclass(frozen=True)
class AlignedComparison:
    """What `compare_aligned` found; `print` it, or take `rows()`, `to_pandas()`, `plane()`.

    models: their names here, the base's first. left_out: what one model scored and another did
    not, counted; 0 items: a condition that a model lacks. differing: the settings in which the
    runs differ, with each run's value. limit: what the numbers do not say.
    """

    values: tuple[AlignedValue, ...] = field(repr=False)
    models: tuple[str, ...]
    left_out: Rows = field(repr=False)
    differing: Mapping[str, tuple[Any, ...]] = field(repr=False)
    settings: Mapping[str, Any]
    limit: str = LIMIT

    @property
    def conditions(self) -> tuple[str, ...]:
        """Every condition that any of the models was scored under, the unsteered one first."""
        return tuple(dict.fromkeys(v.condition for v in self.values))

    def rows(self) -> Rows:
        """One record per model, condition, model that it is held against, language and metric."""
        return Rows(tuple(v.flat() for v in self.values), self.settings)

    def to_pandas(self) -> pd.DataFrame:
        """`rows()` as a data frame."""
        return self.rows().to_pandas()

    def value(self, model: str, condition: str, language: str, name: str) -> Estimate | None:
        """A metric of a model under a condition in a language ("all" is the pool), or None."""
        found = (v for v in self.values if (v.model, v.condition) == (model, condition))
        return next((v.value for v in found if (v.language, v.metric) == (language, name)), None)

    def plane(self) -> tuple[AlignedPoint, ...]:
        """Every model under every condition on one plane, where it has both axes.

        Explicit prompting leaves universal items as they are, so its point has the unsteered
        model's transfer. The pooled point is left out where the two axes are not measured in the
        same languages.
        """
        axes: dict[tuple[str, str], dict[str, dict[str, Estimate]]] = {}
        for v in self.values:
            found = axes.setdefault((v.model, v.condition), {})
            found.setdefault(v.metric, {})[v.language] = v.value
        points = []
        for (model, condition), both in axes.items():
            here = axes.get((model, UNSTEERED), {}) if condition == EXPLICIT else both
            x, y = here.get(BOTH[0], {}), both.get(BOTH[1], {})
            for language in x:
                if language in y and pooled_alike(x, y, language):
                    points.append(
                        AlignedPoint(model, condition, language, x[language], y[language])
                    )
        return tuple(points)

    def __str__(self) -> str:
        base, measure = self.models[0], self.settings["measure"]
        lines = [self._summary(model) for model in self.models[1:]]
        lines += [
            f"\n{measure}, pooled over languages, 95% interval, n items; differences paired by "
            f"item, to {base!r} unsteered and to the model itself unsteered; p: sign-flip test by "
            "question, after Holm"
        ]
        head = ("model", "condition", "metric", "value", f"to {base}", "p", "to itself", "p")
        table = [head]
        pooled = [v for v in self.values if v.language == POOLED]
        for v in pooled:
            if v.against not in (None, base):
                continue
            same = (v.model, v.condition, v.metric)
            own = [o for o in pooled if (o.model, o.condition, o.metric) == same and o is not v]
            changes = [(change_text(o.difference), p_text(o.p_holm)) for o in (v, *own)]
            flat = [cell for pair in changes for cell in pair] + [""] * (4 - 2 * len(changes))
            table.append((*same, str(v.value), flat[0], flat[1], flat[2], flat[3]))
        lines += in_columns(table)
        lines += not_compared(self.differing, self.left_out)
        return "\n".join([*lines, f"Limit: {self.limit}."])

    def _summary(self, model: str) -> str:
        """What the alignment changed, and what each family on top of it gives back."""
        mine = [v for v in self.values if v.model == model and v.language == POOLED]
        changed = {v.metric: v for v in mine if v.condition == UNSTEERED}
        parts = [f"{k} {change_text(v.difference)}" for k, v in changed.items()]
        text = f"{model} against {self.models[0]}: {', '.join(parts)}"
        back = [v for v in mine if v.against == model and v.metric == LOSS]
        given = [f"{v.condition} {_fraction(v.recovered)}" for v in back if v.recovered is not None]
        if not given:
            return f"{text}; no loss of localization was measured"
        return f"{text}; of the lost localization come back: {', '.join(given)}"


def _fraction(found: Estimate) -> str:
    return f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"
