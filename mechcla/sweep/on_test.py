"""The test part of a sweep: the frozen methods, explicit prompting and the control arms, once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mechcla.metrics.item_values import CellValues, Ids, ItemValues
from mechcla.metrics.metrics import METRICS
from mechcla.statistics.cell_values import cell_values
from mechcla.steering.controls import ARMS, Arm
from mechcla.steering.families import BOTH, FAMILIES, Condition, Family, axes_of
from mechcla.steering.method import Method
from mechcla.sweep.cells import UNSTEERED, Job
from mechcla.sweep.runner import Sweep

US = "us_country"  # the control arm that names the United States
MEASURES = ("share", "accuracy")


def report_test(sweep: Sweep, chosen: Mapping[str, Mapping[str, Method]]) -> dict[str, ItemValues]:
    """Score the chosen methods, {family: {language: method}}, once on test.

    Freezes the choice, which opens the test items. A method with a cell that is not finite is left
    out, since a mean over its other languages would be another number; `sweep.not_finite` has it.
    A method is scored in the languages that it was chosen for, on the kinds that they have.
    Returns the items' values by method name: unsteered, explicit, each family, and its control arms
    ("EN random", ...; that of explicit prompting names the United States). Explicit prompting
    leaves universal items as they are, so its transfer is the unsteered model's. The scores lie in
    the run folder; of each cell no more than its values is kept here.
    """
    described = {family: {k: m.describe() for k, m in by.items()} for family, by in chosen.items()}
    sweep.store.freeze(
        sweep.study.freeze({"methods": described, "settings": sweep.config.resolved()})
    )
    conditions = jobs_of(sweep, chosen)
    everything = list(dict.fromkeys(job for jobs in conditions.values() for job in jobs))
    sweep.bar.total = sweep.bar.n + len(everything)
    names = frozenset((metric, of) for metric in _metrics(chosen) for of in MEASURES)
    done: dict[Job, CellValues] = {}
    known: dict[Ids, Ids] = {}
    for jobs in batches(sweep, everything):
        for job, scores in sweep.run(jobs):
            if job not in sweep.not_finite:
                done[job] = cell_values(scores, names, known)
    sweep.forget()
    sweep.bar.total = sweep.bar.n
    sweep.bar.close()

    def join(parts: list[Job]) -> ItemValues:
        return ItemValues({(job.language, job.kind): done[job] for job in parts}, names)

    finite = {k: v for k, v in conditions.items() if not sweep.not_finite & set(v)}
    sweep.store.name_conditions({k: [sweep.path(j) for j in v] for k, v in finite.items()})
    return {name: join(parts) for name, parts in finite.items()}


def _metrics(families: Iterable[str]) -> list[str]:
    """What the tables of a run have: every metric of a summary, and the families' own axes."""
    summary = (name for name, metric in METRICS.items() if metric.summary)
    return list(dict.fromkeys((*summary, *BOTH, *(axis for f in families for axis in axes_of(f)))))


def jobs_of(sweep: Sweep, chosen: Mapping[str, Mapping[str, Method]]) -> dict[str, list[Job]]:
    """The cells of every condition on test, in the order of the tables."""
    kinds = sweep.axes.kinds
    jobs = [Job(UNSTEERED, lang, kind, "test") for lang in kinds for kind in kinds[lang]]
    explicit = [
        Job(UNSTEERED, lang, "cultural", "test", "explicit")
        for lang in kinds
        if "cultural" in kinds[lang]
    ]
    steered = {
        family: [Job(methods[lang], lang, kind, "test") for lang in methods for kind in kinds[lang]]
        for family, methods in chosen.items()
    }
    for family in (FAMILIES[name] for name in chosen) if sweep.config.controls else ():
        for arm in (ARMS[name] for name in family.arms):
            where = _languages(arm, family, sweep, list(chosen[family.name]))
            methods = {lang: chosen[family.name][lang].with_arm(arm.name) for lang in where}
            if methods:
                steered[str(Condition(family.name, arm.name))] = [
                    Job(methods[lang], lang, kind, "test")
                    for lang in methods
                    for kind in family.kinds
                ]
    if "LOC US" in sweep.vectors:
        steered[str(Condition("explicit", US))] = [
            Job(UNSTEERED, lang, "cultural", "test", "us") for lang in sweep.axes.having("cultural")
        ]
    universal = [j for j in jobs if j.kind == "universal"]
    named = {"explicit": universal + explicit} if explicit else {}
    return {"unsteered": jobs, **named, **steered}


def batches(sweep: Sweep, jobs: list[Job]) -> list[list[Job]]:
    """The cells of test in the order in which they run: together, since what runs as one batch
    rounds as one batch; where languages stand apart, those arms last that one language could not
    have.
    """
    if not sweep.config.apart:
        return [jobs]
    across = {
        arm.name
        for arm in ARMS.values()
        if arm.possible(sweep.vectors, sweep.languages)
        and not all(arm.possible(sweep.vectors, [k]) for k in sweep.languages)
    }
    later = [job for job in jobs if job.method.arm in across]
    return [[job for job in jobs if job.method.arm not in across], later]


def _languages(arm: Arm, family: Family, sweep: Sweep, languages: list[str]) -> list[str]:
    """Those of a family's languages in which an arm has every vector that the family needs."""
    if not arm.possible(sweep.vectors, languages):
        return []
    made = arm.vectors(sweep.vectors, sweep.config.seed)
    return [k for k in languages if all(k in made[name].languages for name in family.vectors)]
