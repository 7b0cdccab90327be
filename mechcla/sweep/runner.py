"""Opens a sweep and computes its cells: load, extract, score on dev and on test.

Everything here is idempotent over a Store: a cell that lies in the folder is read, one that does
not is computed and written before the next begins.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import torch
from tqdm import tqdm

from mechcla import progress
from mechcla.engine.capability import fits
from mechcla.engine.intervention import Intervention
from mechcla.engine.memory import limit
from mechcla.engine.offload import ResidualCache
from mechcla.engine.packing import pack
from mechcla.errors import MechclaError
from mechcla.items.item import KINDS, PIVOT, PromptForm
from mechcla.items.item_set import ItemSet
from mechcla.items.study import Study
from mechcla.models.chat import chat_settings
from mechcla.models.hooked_model import HookedModel
from mechcla.runs.identity import DECIDING, code_digest, versions
from mechcla.runs.store import Store
from mechcla.scoring.prepared import KnownPriors, Prepared, plain_because, prepare
from mechcla.scoring.scorer import score_many
from mechcla.scoring.scores import Scores
from mechcla.steering.controls import ARMS, Arm
from mechcla.steering.families import FAMILIES, Condition, Family
from mechcla.steering.method import Method
from mechcla.sweep.axes import Axes
from mechcla.sweep.cells import UNSTEERED, Job, sample
from mechcla.sweep.checks import check_items, check_one_model, note_threads
from mechcla.sweep.config import SweepConfig
from mechcla.sweep.dev_point import DevPoint, changes, point_of
from mechcla.sweep.finite import check_unsteered, remark
from mechcla.sweep.held import DIGEST, find_items, find_model, item_settings, of_model
from mechcla.sweep.making import families_of, gate_names, imported_digests, make, names_us, shuffles
from mechcla.sweep.plugins import plugin_digests, users_code
from mechcla.vectors.steering_vectors import SteeringVectors

US = "us_country"  # the control arm that names the United States


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
    base: dict[Job, Scores] = field(default_factory=dict)
    plain: dict[tuple[str, str, str, str], str] = field(default_factory=dict)
    not_finite: set[Job] = field(default_factory=set)
    held: ExitStack = field(default_factory=ExitStack)

    def close(self) -> None:
        """Let go of the progress bar and of the run folder; PyTorch's threads are as they were."""
        self.bar.close()
        self.held.close()

    @property
    def languages(self) -> list[str]:
        """The steered languages."""
        return self.axes.steered

    def items_of(self, job: Job) -> ItemSet:
        """A job's items. Those of test are shut until the choice is frozen."""
        part = self.study.dev if job.split == "dev" else self.study.test
        return sample(part, self.config, job.language, job.kind, job.split)

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
        for group in groups.values():
            done: set[Job] = set()
            for job in group:
                found = self.store.read(self.path(job))
                if found is not None:
                    self._check(job, found)
                    self._count(job)
                    done.add(job)
                    yield job, found
            fresh = [job for job in group if job not in self.asked or job not in done]
            self.asked.update(fresh)
            if done.issuperset(fresh):
                continue
            prepared = self._prepare(group[0])
            variants = [self.edits(job) for job in fresh]
            for index, scores in score_many(prepared, variants):
                job = fresh[index]
                if job not in done:
                    self._check(job, scores)
                    self.store.write(self.path(job), scores)
                    self._count(job)
                    yield job, scores

    def _check(self, job: Job, scores: Scores) -> None:
        if job.method == UNSTEERED:
            check_unsteered(scores, str(job), self.model)
        elif scores.not_finite and job not in self.not_finite:
            self.not_finite.add(job)
            self.bar.write(f"mechcla.sweep: {remark(scores, str(job))}", file=sys.stderr)

    def unsteered(self, language: str, kind: str) -> Scores:
        """The unsteered dev cell of a language and kind, which gains are taken against. Held until
        `forget`.
        """
        job = Job(UNSTEERED, language, kind, "dev")
        if job not in self.base:
            self.base |= self.run([job])
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
            items = self.items_of(job)
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

    def path(self, job: Job) -> Path:
        """Where a job's cell lies, but for the digest of its bytes."""
        edits = self.edits(job)
        decides = {
            "items": self.items_of(job).digest,
            "prompt": job.prompt,
            "edits": [e.describe() for e in edits],
            "max_tokens": self.config.max_tokens,
            **chat_settings(self.config.chat_form, self.model.tokenizer),
            "path": "plain" if self._plain(job) else "packed",
        }
        name = f"{job.method.name}-{job.kind}-{job.prompt}"
        return self.store.cell_path(job.split, job.language, name, decides)

    def _plain(self, job: Job) -> str:
        """Why a job's items take the plain path, if they do: known before they are prepared, since
        it is in their name.
        """
        key = (job.language, job.kind, job.split, job.prompt)
        if key not in self.plain:
            self.plain[key] = plain_because(
                self.model, self.items_of(job), job.prompt, self.config.chat_form
            )
        return self.plain[key]

    def lost(self, split: str) -> list[Job]:
        """The steered cells of a split that are not finite, in an order of their own."""
        return sorted((j for j in self.not_finite if j.split == split), key=str)

    def forget(self) -> None:
        """Let go of prepared items and unsteered scores: what comes next needs others."""
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
        found = {  # of each cell no more than its items' gains is kept
            j: changes(j.method.family, scores, base[j.language, j.kind], j.kind, measure)
            for j, scores in self.run(wanted)
        }
        return [
            point_of(m, {(j.language, j.kind): found[j] for j in wanted if j.method == m})
            for m in methods
        ]


def open_sweep(
    config: SweepConfig, model: HookedModel | None = None, items: ItemSet | None = None
) -> Sweep:
    """Load model and items, check the config against them, open the run folder, make or read the
    vectors.

    model, items: those to use instead of what the config names.
    """
    with ExitStack() as held:  # closed by Sweep.close, or here by what is refused
        if config.threads:
            held.callback(torch.set_num_threads, torch.get_num_threads())
            torch.set_num_threads(config.threads)
        sweep = _opened(config, model, items, held)
        sweep.held = held.pop_all()
        return sweep


def _opened(
    config: SweepConfig, model: HookedModel | None, items: ItemSet | None, held: ExitStack
) -> Sweep:
    check_one_model(config)
    Store.check(config.out)  # before a model is loaded for a folder that is not to be had
    if items is None:
        items = find_items(config)
        if config.items.startswith(DIGEST):  # of the languages that were asked for
            config = config.model_copy(update=item_settings(items))
    check_items(items, config)
    axes = Axes.of(items)
    pairs = bool(axes.having(*KINDS))
    given = config.layers if isinstance(config.layers, list) else []
    if pairs and given and len(set(given)) < 2:
        raise MechclaError(
            f"Surgical Steering needs EN above LOC, but only layers {given} were to be "
            "swept; give --layers at least two"
        )
    if model is None:
        model = find_model(config)
    if pairs and model.n_layers < 2:
        raise MechclaError(
            f"Surgical Steering needs EN above LOC, but {model.name} has {model.n_layers} block; "
            "expected two or more"
        )
    for layer in given:
        model.hook_name(layer, config.site)
    model.hook_name(0, config.site)
    for item in items:  # whatever a text can do wrong is said before anything is written
        for form in (
            ("implicit", "explicit", *(["us"] if item.prompt_us else []))
            if item.kind == "cultural"
            else ("implicit",)
        ):
            pack(item, model.tokenizer, form, model.window, config.chat_form, model.vocab_size)
    packages = {k: v for k, v in versions().items() if k in DECIDING}
    identity = {
        "model": model.digest,
        **packages,
        "items": items.digest,
        "code": code_digest(),
        **plugin_digests(),
        **users_code(config.recipe, config.operator),
        **imported_digests(config),
        **of_model(model),
        **chat_settings(config.chat_form, model.tokenizer),
        "path": "packed" if fits(model) else "plain",
    }
    store = Store.open(config.out, config.resolved(), identity)
    held.callback(store.close)
    note_threads(store.folder)
    store.keep_items(items.to_jsonl)
    for message in axes.lacking(families_of(config)):
        print(f"mechcla.sweep: {message}", file=sys.stderr)
    vectors = _vectors(model, items, config, store)
    bar = progress.bar("sweep", 0, "cell", kept=True)
    cache = ResidualCache(config.cache_mib << 20, str(store.folder))
    return Sweep(config, model, items, store, Study(items), axes, vectors, bar, cache)


def _languages(arm: Arm, family: Family, sweep: Sweep, languages: list[str]) -> list[str]:
    """Those of a family's languages in which an arm has every vector that the family needs."""
    if not arm.possible(sweep.vectors, languages):
        return []
    made = arm.vectors(sweep.vectors, sweep.config.seed)
    return [k for k in languages if all(k in made[name].languages for name in family.vectors)]


def _vectors(
    model: HookedModel, items: ItemSet, config: SweepConfig, store: Store
) -> dict[str, SteeringVectors]:
    """EN and LOC, and their shuffled controls if arms are asked for: read from the run folder, or
    made and written.
    """
    lacking = sum(not i.prompt_us for i in items.cultural if i.language != PIVOT)
    if config.controls and lacking:
        print(
            f"mechcla.sweep: {lacking} cultural items are without 'prompt_us' (docs/items.md), so "
            "there is no control with the United States named, and no contrast",
            file=sys.stderr,
        )
    real = Axes.of(items).vectors
    names = (
        real
        + (["LOC US"] if names_us(items, config) else [])
        + ([f"{name} shuffled" for name in real] if shuffles(config) else [])
        + gate_names(items, config)
    )
    return store.vectors(names, lambda: make(model, items.dev, config))


def report_test(sweep: Sweep, chosen: Mapping[str, Mapping[str, Method]]) -> dict[str, Scores]:
    """Score the chosen methods, {family: {language: method}}, once on test.

    Freezes the choice, which opens the test items. A method with a cell that is not finite is left
    out, since a mean over its other languages would be another number; `sweep.not_finite` has it.
    A method is scored in the languages that it was chosen for, on the kinds that they have.
    Returns scores by method name: unsteered, explicit, each family, and its control arms ("EN
    random", ...; that of explicit prompting names the United States). Explicit prompting leaves
    universal items as they are, so its transfer is the unsteered model's.
    """
    described = {family: {k: m.describe() for k, m in by.items()} for family, by in chosen.items()}
    sweep.store.freeze(
        sweep.study.freeze({"methods": described, "settings": sweep.config.resolved()})
    )
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
    everything = [*jobs, *explicit, *(j for js in steered.values() for j in js)]
    sweep.bar.total = sweep.bar.n + len(everything)
    done = dict(sweep.run(everything))
    sweep.bar.total = sweep.bar.n
    sweep.bar.close()

    def join(parts: list[Job]) -> Scores:
        return Scores(tuple(row for job in parts for row in done[job]))

    universal = [j for j in jobs if j.kind == "universal"]
    named = {"explicit": universal + explicit} if explicit else {}
    by_condition = {"unsteered": jobs, **named, **steered}
    by_condition = {k: v for k, v in by_condition.items() if not sweep.not_finite & set(v)}
    sweep.store.name_conditions({k: [sweep.path(j) for j in v] for k, v in by_condition.items()})
    return {name: join(parts) for name, parts in by_condition.items()}
