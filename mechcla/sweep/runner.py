"""Opens a sweep and computes its cells: load, extract, score on dev and on test.

Everything here is idempotent over a Store: a cell that lies in the folder is read, one that does
not is computed and written before the next begins.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from tqdm import tqdm

from mechcla import progress
from mechcla.engine.intervention import Intervention
from mechcla.engine.memory import give_back, limit
from mechcla.engine.offload import ResidualCache
from mechcla.errors import MechclaError
from mechcla.items.item import KINDS, PIVOT, PromptForm
from mechcla.items.item_set import ItemSet
from mechcla.items.study import Study
from mechcla.metrics.item_values import Column, Ids, ItemValues
from mechcla.models.chat import chat_settings
from mechcla.models.hooked_model import HookedModel
from mechcla.runs.parts import Parts
from mechcla.runs.store import Store
from mechcla.scoring.prepared import KnownPriors, Prepared, behind, prepare, way
from mechcla.scoring.scorer import score_many
from mechcla.scoring.scores import Scores
from mechcla.steering.method import Method
from mechcla.sweep.axes import Axes
from mechcla.sweep.cells import UNSTEERED, Job, sample
from mechcla.sweep.checks import check_one_model, note_threads
from mechcla.sweep.config import SweepConfig
from mechcla.sweep.dev_point import DevPoint, base_values, changes, point_of
from mechcla.sweep.finite import check_unsteered, remark
from mechcla.sweep.making import families_of, make, vector_names
from mechcla.sweep.projecting import dev_prompts, projection
from mechcla.sweep.ready import make_ready
from mechcla.vectors.steering_vectors import SteeringVectors

Group = tuple[tuple[Job, ...], frozenset[Job]]  # cells that run as one batch, and which are done
Decides = dict[str, Any]


@runtime_checkable
class Workers(Protocol):
    """Processes that compute cells into the same run folder (`mechcla.sweep.ray_runner`)."""

    def compute(self, groups: Sequence[Group], study: Study) -> Iterator[Group]:
        """Compute groups, in whatever order; yields each as its cells are written."""

    def search(self, languages: Sequence[Sequence[str]]) -> None:
        """The dev search of these languages, each list by itself."""


@dataclass
class Sweep:
    """What a run holds while it goes: the model, the items, the store, the vectors."""

    config: SweepConfig
    model: HookedModel
    items: ItemSet
    store: Store
    study: Study
    axes: Axes
    vectors: dict[str, SteeringVectors]
    bar: tqdm
    cache: ResidualCache
    kept: dict[tuple[str, str, str, str], Prepared] = field(default_factory=dict)
    counted: set[Job] = field(default_factory=set)
    asked: set[Job] = field(default_factory=set)
    priors: KnownPriors = field(default_factory=dict)
    base: dict[Job, ItemValues] = field(default_factory=dict)
    ways: dict[tuple[str, str, str, str], tuple[Decides, Decides]] = field(default_factory=dict)
    samples: dict[tuple[str, str, str], ItemSet] = field(default_factory=dict)
    not_finite: set[Job] = field(default_factory=set)
    held: ExitStack = field(default_factory=ExitStack)
    parts: Parts | None = None
    workers: Workers | None = None

    def close(self) -> None:
        """Let go of the progress bar, of workers and of the run folder; PyTorch's threads are as
        they were.
        """
        self.bar.close()
        self.held.close()

    @property
    def languages(self) -> list[str]:
        """The steered languages."""
        return self.axes.steered

    def items_of(self, job: Job) -> ItemSet:
        """A job's items. Those of test are shut until the choice is frozen."""
        part = self.study.dev if job.split == "dev" else self.study.test
        key = (job.language, job.kind, job.split)
        if key not in self.samples:
            self.samples[key] = sample(part, self.config, *key)
        return self.samples[key]

    def run(self, jobs: Iterable[Job]) -> Iterator[tuple[Job, Scores]]:
        """Scores of all jobs, one at a time: read if they are there, computed together by items
        where they are not.

        Cells that run as one batch round as one batch. So a group of which a cell is missing runs
        as a whole, as it would have in an unbroken run, and only what was missing is written.
        Nothing is kept here, so memory does not grow with the number of cells. Raises MechclaError
        at the first unsteered cell that is not finite; a steered one is said, and noted in
        `not_finite`.
        """
        groups: dict[tuple[str, str, str, PromptForm], list[Job]] = {}
        for job in dict.fromkeys(jobs):
            groups.setdefault((job.language, job.kind, job.split, job.prompt), []).append(job)
        away: list[Group] = []
        for group in groups.values():
            done: set[Job] = set()
            for job in group:
                found = self.read(job)
                if found is not None:
                    self._check(job, found)
                    self._count(job)
                    done.add(job)
                    yield job, found
            fresh = [job for job in group if job not in self.asked or job not in done]
            self.asked.update(fresh)
            if done.issuperset(fresh):
                continue
            if self.workers is not None:
                away.append((tuple(fresh), frozenset(done)))
            else:
                yield from self.compute(fresh, done)
        if self.workers is not None and away:
            yield from self._returned(self.workers, away)

    def compute(
        self, jobs: Sequence[Job], done: Collection[Job] = ()
    ) -> Iterator[tuple[Job, Scores]]:
        """Cells of one language, kind, split and prompt form as one batch; writes, and yields, what
        is not done.
        """
        prepared = self._prepare(jobs[0])
        for index, scores in score_many(prepared, [self.edits(job) for job in jobs]):
            job = jobs[index]
            if job not in done:
                self._check(job, scores)
                self.store.write(self.path(job), scores)
                self._count(job)
                yield job, scores
        give_back()

    def _returned(self, workers: Workers, away: Sequence[Group]) -> Iterator[tuple[Job, Scores]]:
        """The cells that workers computed, read back; what cannot be seen here is computed here."""
        for jobs, done in workers.compute(away, self.study):
            lacking = []
            for job in (j for j in jobs if j not in done):
                scores = self.read(job)
                if scores is None:
                    lacking.append(job)
                    continue
                self._check(job, scores)
                self._count(job)
                yield job, scores
            if lacking:
                yield from self.compute(jobs, {*jobs} - {*lacking})

    def _check(self, job: Job, scores: Scores) -> None:
        if job.method == UNSTEERED:
            check_unsteered(scores, str(job), self.model)
        elif scores.not_finite and job not in self.not_finite:
            self.not_finite.add(job)
            self.bar.write(f"mechcla.sweep: {remark(scores, str(job))}", file=sys.stderr)

    def unsteered(self, language: str, kind: str) -> ItemValues:
        """The values of the unsteered dev cell of a language and kind, which gains are taken
        against. Held until `forget`.
        """
        job = Job(UNSTEERED, language, kind, "dev")
        for _, scores in self.run([job] if job not in self.base else []):
            self.base[job] = base_values(scores, self.config.measure, {})
        return self.base[job]

    def edits(self, job: Job) -> tuple[Intervention, ...]:
        """The interventions of a job; none for the unsteered model."""
        return job.method.interventions(self.vectors, job.language, self.config.manner)

    def _count(self, job: Job) -> None:
        """A cell is counted once, however often it is asked for; the total is a guess until the
        fine layers are known.
        """
        if job not in self.counted:
            self.counted.add(job)
            self.bar.total = max(self.bar.total or 0, len(self.counted))
            self.bar.update()

    def _prepare(self, job: Job) -> Prepared:
        self.bar.set_postfix_str(f"{job.split} {job.language} {job.kind}")
        key = (job.language, job.kind, job.split, job.prompt)
        if key in self.kept and self.kept[key].max_tokens > limit(
            self.model, self.kept[key].max_tokens
        ):
            del self.kept[
                key
            ]  # it was too large for the memory, and would be made again at every call
        if key not in self.kept:
            if job.split == "test":
                self.kept.clear()  # dev is over; a test group is used once
            items = self.items_of(job).held
            self.kept[key] = prepare(
                self.model,
                items,
                job.prompt,
                max_tokens=self.config.max_tokens,
                cache=self.cache,
                prior=job.split == "test",
                known=self.priors,
                chat=self.config.chat_form,
            )
        return self.kept[key]

    def read(self, job: Job) -> Scores | None:
        """The scores of a finished cell, or None. One of a part that this run joins is written."""
        path = self.path(job)
        found = self.store.read(path)
        if found is None and self.parts is not None:
            found = self.parts.cell(*self._place(job))
            if found is not None:
                self.store.write(path, found)
        return found

    def path(self, job: Job) -> Path:
        """Where a job's cell lies, but for the digest of its bytes."""
        return self.store.cell_path(*self._place(job))

    def _place(self, job: Job) -> tuple[str, str, str, dict[str, Any]]:
        """Split, language and name of a job's cell, and all that decides it beside the run."""
        edits = self.edits(job)
        decides = {
            "items": self.items_of(job).digest,
            "prompt": job.prompt,
            "edits": [e.describe() for e in edits],
            "max_tokens": self.config.max_tokens,
            **chat_settings(self.config.chat_form, self.model.tokenizer),
            **self._way(job, edits),
        }
        name = f"{job.method.name}-{job.kind}-{job.prompt}"
        return job.split, job.language, name, decides

    def _way(self, job: Job, edits: Sequence[Intervention]) -> Decides:
        """How a job's items run: known before they are prepared, since it is in their name."""
        key = (job.language, job.kind, job.split, job.prompt)
        if key not in self.ways:
            self.ways[key] = way(self.model, self.items_of(job), job.prompt, self.config.chat_form)
        return self.ways[key][not behind(edits)]

    def lost(self, split: str) -> list[Job]:
        """The steered cells of a split that are not finite, in an order of their own."""
        return sorted((j for j in self.not_finite if j.split == split), key=str)

    def forget(self) -> None:
        """Let go of prepared items and unsteered values: what comes next needs others."""
        self.kept.clear()
        self.base.clear()

    def dev_points(
        self, methods: Sequence[Method], languages: Sequence[str], kinds: Sequence[str] = KINDS
    ) -> list[DevPoint]:
        """Gains of methods on dev, averaged over the languages that have the kind."""
        groups = [(k, n) for k in languages for n in kinds if n in self.axes.kinds[k]]
        wanted = [Job(m, k, kind, "dev") for k, kind in groups for m in methods]
        base = {(k, kind): self.unsteered(k, kind) for k, kind in groups}
        measure = self.config.measure
        found: dict[Method, dict[tuple[str, str], dict[str, Column]]] = {m: {} for m in methods}
        known: dict[Ids, Ids] = {}
        for j, scores in self.run(wanted):  # of each cell no more than its items' gains is kept
            gains = changes(j.method.family, scores, base[j.language, j.kind], j.kind, measure)
            kept = {axis: Column.of(column, known) for axis, column in gains.items()}
            found[j.method][j.language, j.kind] = kept
        return [
            point_of(
                m,
                {
                    group: {axis: column.to_dict() for axis, column in found[m][group].items()}
                    for group in groups
                },
            )
            for m in methods
        ]


def open_sweep(
    config: SweepConfig,
    model: HookedModel | None = None,
    items: ItemSet | None = None,
    parts: Parts | None = None,
) -> Sweep:
    """Load model and items, check the config against them, open the run folder, make or read the
    vectors.

    model, items: those to use instead of what the config names. parts: runs over some of the
    languages each, whose vectors and cells are taken where they are this run's.
    """
    with ExitStack() as held:  # closed by Sweep.close, or here by what is refused
        if config.threads:
            held.callback(torch.set_num_threads, torch.get_num_threads())
            torch.set_num_threads(config.threads)
        sweep = _opened(config, model, items, held, parts)
        sweep.held = held.pop_all()
        return sweep


def _opened(
    config: SweepConfig,
    model: HookedModel | None,
    items: ItemSet | None,
    held: ExitStack,
    parts: Parts | None,
) -> Sweep:
    check_one_model(config)
    Store.check(config.out)  # before a model is loaded for a folder that is not to be had
    ready = make_ready(config, model, items)
    config, model, items = ready.config, ready.model, ready.items
    if parts is not None:
        parts.check(ready.identity)
    store = Store.open(config.out, config.resolved() | config.recorded(), ready.identity)
    held.callback(store.close)
    note_threads(store.folder)
    store.keep_items(items.to_jsonl)
    for message in ready.axes.lacking(families_of(config)):
        print(f"mechcla.sweep: {message}", file=sys.stderr)
    vectors = _vectors(model, items, config, store, parts)
    bar = progress.bar("sweep", 0, "cell", kept=True)
    cache = ResidualCache(config.cache_mib << 20, str(store.folder))
    sweep = Sweep(config, model, items, store, Study(items), ready.axes, vectors, bar, cache)
    sweep.parts = parts
    return sweep


def open_beside(config: SweepConfig, items: ItemSet) -> Sweep:
    """A sweep that computes cells into a run folder that another process holds.

    Raises MechclaError where this process would compute other numbers: another model, code or
    version than the folder's.
    """
    ready = make_ready(config, None, items)
    store = Store.beside(config.out, ready.identity)

    def lacking() -> dict[str, SteeringVectors]:
        raise MechclaError(f"the run folder {config.out!r} lacks vectors; its holder makes them")

    vectors = store.vectors(vector_names(items, ready.config), lacking)
    cache = ResidualCache(config.cache_mib << 20)
    bar = tqdm(disable=True)
    study = Study(items)
    return Sweep(ready.config, ready.model, items, store, study, ready.axes, vectors, bar, cache)


def _vectors(
    model: HookedModel, items: ItemSet, config: SweepConfig, store: Store, parts: Parts | None
) -> dict[str, SteeringVectors]:
    """EN and LOC, and their shuffled controls if arms are asked for: read from the run folder, or
    made and written; with them the projection of the prompts that they are made of.
    """
    lacking = sum(not i.prompt_us for i in items.cultural if i.language != PIVOT)
    if config.controls and lacking:
        print(
            f"mechcla.sweep: {lacking} cultural items are without 'prompt_us' (docs/items.md), so "
            "there is no control with the United States named, and no contrast",
            file=sys.stderr,
        )
    names, dev = vector_names(items, config), items.dev.held
    shown = dev_prompts(dev, model.n_layers)
    vectors = store.vectors(
        names, lambda: parts.vectors(dev) if parts else make(model, dev, config, shown.see)
    )
    store.keep_projection(lambda: projection(model, dev, config, shown))
    give_back()
    return vectors
