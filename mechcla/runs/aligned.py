"""compare_aligned: a base and the models aligned from it, each unsteered and under each family.

    compared = mechcla.compare_aligned("runs/base", ["runs/mist", "runs/clo"])
    print(compared)                                       # pooled values, changes, what came back
    compared.rows().where(model="clo", condition="SUR")   # against base and clo, both unsteered

Every row is held against the unsteered base, and a steered row of an aligned model against that
model unsteered too: what steering gives back, and what it costs. It reads folders, and no model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mechcla.errors import MechclaError
from mechcla.items.item import PIVOT
from mechcla.metrics.estimates import POOLED, RESAMPLES, Estimate
from mechcla.metrics.metrics import METRICS, Measure, difference, metric, recoverable_fraction
from mechcla.results import Rows
from mechcla.runs.aligned_values import (
    EXPLICIT,
    LOSS,
    UNSTEERED,
    AlignedComparison,
    AlignedValue,
)
from mechcla.runs.compare import (
    SUMMARY,
    differing_settings,
    each_once,
    left_record,
    read_runs,
    same_questions,
    steered_and_english,
)
from mechcla.runs.run import Run
from mechcla.runs.written import after_holm
from mechcla.scoring.scores import ItemScore, Scores
from mechcla.statistics import minimum_detectable_effect, permutation_test
from mechcla.steering.families import Condition

THAN = "than "


def compare_aligned(
    base: Run | str | Path,
    adapters: Sequence[Run | str | Path],
    measure: Measure = "share",
    *,
    metrics: Sequence[str] = SUMMARY,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> AlignedComparison:
    """A base's run and the runs of models aligned from it: each against the base, and itself.

    For each model and condition (unsteered, explicit, each family; no control arms), each language
    and pooled over all but English: the metric over the test items that all models scored, its
    paired difference to the unsteered base and, for a steered aligned model, to that model
    unsteered, with 95% bootstrap interval, n and sign-flip p-value by question after Holm; and the
    share of the lost localization that comes back. The explicit prompt is each model's ceiling.

    base, adapters: folders, or what `read_run` gave. measure: "share" or "accuracy". Raises
    MechclaError for no adapter, for a run that is not complete or of another schema, for unknown
    names, and for runs whose items of one id differ in their texts. Operationalisation: ours.

    >>> comparison = mechcla.compare_aligned("runs/base", ["runs/midalign"])
    """
    if isinstance(adapters, str | Path | Run) or not adapters:
        given = adapters if isinstance(adapters, str | Path | Run) else list(adapters)
        raise MechclaError(
            f"compare_aligned takes the base's run and one or more others, given {str(base)!r} and "
            f"{given!r}; expected e.g. compare_aligned('runs/base', ['runs/midalign'])"
        )
    read = read_runs([base, *adapters])
    same_questions(read)
    tables = {
        name: {c: run.scores(c) for c in run.conditions if not Condition.parse(c).is_arm}
        for name, run in read.items()
    }
    found = aligned_tables(tables, measure, metrics=metrics, resamples=resamples, seed=seed)
    settings = {"runs": {name: str(run.folder) for name, run in read.items()}, **found.settings}
    return replace(found, settings=settings, differing=differing_settings(read))


def aligned_tables(
    tables: Mapping[str, Mapping[str, Scores]],
    measure: Measure = "share",
    *,
    metrics: Sequence[str] = SUMMARY,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> AlignedComparison:
    """`compare_aligned` of score tables, by model and condition, the base's first.

    Raises MechclaError for a model without unsteered scores, and for models that share no item.

    >>> tables = {"base": {"unsteered": base}, "clo": {"unsteered": scores, "SUR": steered}}
    >>> aligned_tables(tables).models
    ('base', 'clo')
    """
    metrics = each_once(metrics, "metrics")
    for name in metrics:
        METRICS.get(name)
    for model, scored in tables.items():
        if UNSTEERED not in scored:
            raise MechclaError(
                f"{model!r} was not scored unsteered (it has {', '.join(scored) or 'nothing'}), "
                "and every change is against an unsteered model"
            )
    tables, left = _shared(tables)
    values: list[AlignedValue] = []
    conditions = dict.fromkeys(c for scored in tables.values() for c in scored)
    for model in tables:
        for condition in conditions:
            if condition in tables[model]:
                values += _values(tables, model, condition, metrics, measure, resamples, seed)
            else:
                why = f"{model!r} has no such condition"
                left.append(left_record(model, condition, 0, why))
    settings = {
        "against": next(iter(tables)),
        "measure": measure,
        "metrics": metrics,
        "correction": "holm",
        "resamples": resamples,
        "seed": seed,
    }
    rows = Rows(tuple(left), settings)
    return AlignedComparison(_corrected(values), tuple(tables), rows, {}, settings)


def _shared(
    tables: Mapping[str, Mapping[str, Scores]],
) -> tuple[dict[str, dict[str, Scores]], list[dict[str, Any]]]:
    """The rows of the items that every model scored unsteered, and what each has beside them."""
    keys = {model: dict.fromkeys(map(_key, t[UNSTEERED])) for model, t in tables.items()}
    shared = set.intersection(*(set(k) for k in keys.values()))
    if not shared:
        first = dict.fromkeys(language for _, language, _ in next(iter(keys.values())))
        raise MechclaError(
            f"nothing to compare: {', '.join(map(repr, tables))} share no test item; the first "
            f"scored items in {', '.join(first) or 'no language'}"
        )
    left = []
    for model, own in keys.items():
        lacking: dict[tuple[str, str, str], int] = {}
        for key in (k for k in own if k not in shared):
            others = ", ".join(repr(o) for o in keys if key not in keys[o])
            place = (key[1], key[2], f"not scored by {others}")
            lacking[place] = lacking.get(place, 0) + 1
        left += [
            left_record(model, "", n, why, language, kind)
            for (language, kind, why), n in sorted(lacking.items())
        ]
    cut = {
        model: {c: Scores(tuple(r for r in t if _key(r) in shared)) for c, t in scored.items()}
        for model, scored in tables.items()
    }
    return cut, left


def _key(row: ItemScore) -> tuple[str, str, str]:
    return (row.id, row.language, row.kind)


def _values(
    tables: Mapping[str, Mapping[str, Scores]],
    model: str,
    condition: str,
    metrics: Sequence[str],
    measure: Measure,
    resamples: int,
    seed: int,
) -> list[AlignedValue]:
    """Each metric that the items allow, of a model under a condition, against each reference."""
    base = next(iter(tables))
    drawn: dict[str, Any] = {"resamples": resamples, "seed": seed}
    steered = condition != UNSTEERED
    against = ([base] if model != base or steered else []) + ([model] * (model != base and steered))
    # A model may be called "own" or "unsteered" too: those that it is held against have a prefix.
    mine = {"own": tables[model][condition]}
    mine |= {f"{THAN}{name}": tables[name][UNSTEERED] for name in against}
    mine |= {"unsteered base": tables[base][UNSTEERED], "unsteered": tables[model][UNSTEERED]}
    mine |= {EXPLICIT: tables[model][EXPLICIT]} if EXPLICIT in tables[model] else {}
    found = []
    for part in steered_and_english(mine):
        scores = part["own"]
        for name in metrics:
            what = METRICS.get(name)
            if condition == EXPLICIT and what.kind == "universal":
                continue  # explicit prompting leaves universal items as they are
            if not any(row.kind == what.kind and what.role in row.roles for row in scores):
                continue
            values = metric(scores, name, measure, **drawn)
            if PIVOT in values:
                del values[POOLED]  # English alone
            rows = [AlignedValue(model, condition, None, k, name, v) for k, v in values.items()]
            held = []
            for other in against:
                old = part[f"{THAN}{other}"]
                changes = difference(scores, old, name, measure, **drawn)
                tests = permutation_test(scores, old, name, measure, seed=seed)
                least = minimum_detectable_effect(scores, old, name, measure)
                held += [
                    replace(
                        row,
                        against=other,
                        difference=changes[row.language],
                        test=tests[row.language],
                        detectable=least[row.language].value,
                    )
                    for row in rows
                ]
            if steered and name == LOSS:
                held = _with_fractions(held, part, base, condition, measure, drawn)
            found += held or rows
    return found


def _with_fractions(
    rows: Sequence[AlignedValue],
    part: Mapping[str, Scores],
    base: str,
    condition: str,
    measure: Measure,
    drawn: Mapping[str, Any],
) -> list[AlignedValue]:
    """The rows against the model itself with what came back of the loss, and of the ceiling."""
    own, unsteered = part["own"], part["unsteered"]
    back = recoverable_fraction(own, unsteered, part["unsteered base"], measure, **drawn)
    ceiling: dict[str, Estimate] = {}
    if condition != EXPLICIT and len(part.get(EXPLICIT, ())):
        ceiling = recoverable_fraction(own, unsteered, part[EXPLICIT], measure, **drawn)
    return [
        replace(
            row,
            recovered=_stated(back.get(row.language)) if row.model != base else None,
            of_ceiling=_stated(ceiling.get(row.language)),
        )
        if row.against == row.model
        else row
        for row in rows
    ]


def _stated(fraction: Estimate | None) -> Estimate | None:
    return None if fraction is None or math.isnan(fraction.value) else fraction


def _corrected(values: Sequence[AlignedValue]) -> tuple[AlignedValue, ...]:
    """The same with p-values after Holm."""
    p_holm = after_holm([(v.language, v.test) for v in values])
    return tuple(replace(v, p_holm=p) for v, p in zip(values, p_holm, strict=True))
