"""A rehearsal: the cells that a run would compute, found by its own search on guessed gains.

The search goes through as it will, with the families, rules and arms that are registered. Only the
gains are made up: EN does best at two fifths of the depth and LOC at seven tenths, every method
gains a little, and nothing is refused. Which layers are tried is then a guess, how many is close.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from tqdm import tqdm

from mechcla.engine.offload import ResidualCache
from mechcla.items.item import KINDS, PIVOT
from mechcla.items.study import Study
from mechcla.runs.store import Store
from mechcla.scoring.scores import Scores
from mechcla.steering.families import AXIS_OF, axes_of
from mechcla.steering.method import Method
from mechcla.sweep.cells import UNSTEERED, Job
from mechcla.sweep.dev_point import DevPoint
from mechcla.sweep.making import vector_names
from mechcla.sweep.on_test import batches, jobs_of
from mechcla.sweep.ready import Ready
from mechcla.sweep.runner import Sweep
from mechcla.sweep.search import decide
from mechcla.sweep.steering_settings import fits_maps
from mechcla.vectors.gates import GATE, SHUFFLED
from mechcla.vectors.paired_rows import PairedRows
from mechcla.vectors.steering_vectors import SteeringVectors

PEAK = {"EN": 0.4, "LOC": 0.7}  # of the depth, where a guessed gain is largest
GAIN = 0.02
WIDTH = 4  # of stand-in vectors


@dataclass
class Rehearsal(Sweep):
    """A sweep that computes nothing. calls: cells that would run as one batch, in order."""

    calls: list[list[Job]] = field(default_factory=list)

    def run(self, jobs: Iterable[Job]) -> Iterator[tuple[Job, Scores]]:
        """Note the cells, a call per language, kind, split and prompt form; yields none."""
        groups: dict[tuple[str, str, str, str], list[Job]] = {}
        for job in dict.fromkeys(jobs):
            if job not in self.counted:
                self.counted.add(job)
                key = (job.language, job.kind, job.split, job.prompt)
                groups.setdefault(key, []).append(job)
        self.calls += groups.values()
        return iter(())

    def dev_points(
        self, methods: Sequence[Method], languages: Sequence[str], kinds: Sequence[str] = KINDS
    ) -> list[DevPoint]:
        """Guessed gains of methods; their cells are noted."""
        asked = [(k, n) for k in languages for n in kinds if n in self.axes.kinds[k]]
        self.run(Job(UNSTEERED, k, kind, "dev") for k, kind in asked)
        self.run(Job(m, k, kind, "dev") for k, kind in asked for m in methods)
        return [
            self._guess(m, [k for k in languages if any(k == a for a, _ in asked)]) for m in methods
        ]

    def _guess(self, method: Method, languages: Sequence[str]) -> DevPoint:
        n = self.model.n_layers
        gains = [
            GAIN * (2 - abs(layer / n - PEAK[name])) if layer is not None else GAIN
            for name, layer in (("EN", method.en_layer), ("LOC", method.loc_layer))
        ]
        others = [a for a in axes_of(method.family) if a not in AXIS_OF.values()]
        return DevPoint(
            method,
            gains[0],
            gains[1],
            dict.fromkeys(languages, (gains[0], gains[1])),
            others={axis: dict.fromkeys(languages, GAIN) for axis in others},
            covariances={
                axis: {(a, b): 0.0 for a in languages for b in languages}
                for axis in AXIS_OF.values()
            },
        )


def rehearse(ready: Ready) -> Rehearsal:
    """Go through a run's search and test. Writes nothing."""
    config, model, items = ready.config, ready.model, ready.items
    store = Store(Path(config.out), ready.identity, None)
    bar = tqdm(disable=True)
    vectors = stand_ins(ready)
    study, cache = Study(items), ResidualCache(0)
    sweep = Rehearsal(config, model, items, store, study, ready.axes, vectors, bar, cache)
    chosen = decide(sweep).methods()
    study.freeze({"rehearsal": True})
    conditions = jobs_of(sweep, chosen)
    everything = list(dict.fromkeys(job for jobs in conditions.values() for job in jobs))
    for jobs in batches(sweep, everything):
        sweep.run(jobs)
    return sweep


def stand_ins(ready: Ready) -> dict[str, SteeringVectors]:
    """Random vectors of a few numbers, under the names and languages that the run's will have."""
    n, made = ready.model.n_layers, {}
    generator = torch.Generator().manual_seed(0)
    kinds = {"EN": ["universal"], "LOC": ["cultural"], GATE: [*KINDS], SHUFFLED: [*KINDS]}
    for name in vector_names(ready.items, ready.config):
        languages = ready.axes.having(*kinds.get(name, kinds[name.split()[0]]))
        if name.startswith("LOC") and "cultural" in ready.axes.kinds.get(PIVOT, ()):
            languages = [PIVOT, *languages]
        tensors = {k: torch.randn(n, WIDTH, generator=generator) for k in languages}
        made[name] = SteeringVectors.from_tensors(name, tensors)
        if name == "EN" and fits_maps(ready.config.en_operator):
            rows = {k: torch.randn(2, 2, n, WIDTH, generator=generator) for k in languages}
            kept = PairedRows(rows, {k: tuple(range(n)) for k in rows}, dict.fromkeys(rows, (0,)))
            made[name] = replace(made[name], rows=kept)
        if name in (GATE, SHUFFLED):
            lists = {part: {k: [0.0] * n for k in languages} for part in ("thresholds", "accuracy")}
            made[name].record["gate"] = lists
    return made
