"""Opens a sweep and computes its cells: load, extract, score on dev and on test.

Everything here is idempotent over a Store: a cell that lies in the folder is read, one that does not is
computed and written before the next begins.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from mechcla.engine.memory import limit
from mechcla.engine.offload import Shelf
from mechcla.engine.packing import pack
from mechcla.errors import MechclaError
from mechcla.items.item import PromptForm
from mechcla.items.item_set import ItemSet
from mechcla.items.study import Study
from mechcla.models.chat import chat_settings
from mechcla.models.hooked_model import HookedModel
from mechcla.models.load import load_model
from mechcla.runs.identity import DECIDING, code_digest, versions
from mechcla.runs.store import Store
from mechcla.scoring.prepared import Prepared, Priors, prepare
from mechcla.scoring.scorer import score_many
from mechcla.scoring.scores import Scores
from mechcla.sources import load_items
from mechcla.steering.controls import ARMS, AXIS, shuffled_vectors
from mechcla.storage import write_whole
from mechcla.sweep.cells import Method
from mechcla.sweep.config import SweepConfig
from mechcla.sweep.rule import DevPoint, dev_point
from mechcla.vectors.extract import en_requests, make_vectors
from mechcla.vectors.recipes import en_vectors_by, loc_vectors_by
from mechcla.vectors.residuals import cache_residuals
from mechcla.vectors.steering_vectors import SteeringVectors

PIVOT = "en"
US = "us_country"  # the control arm that names the United States
UNSTEERED = Method()
KINDS = ("universal", "cultural")


@dataclass(frozen=True)
class Job:
    """One method on one language's items of one kind and prompt form: a cell."""

    method: Method
    language: str
    kind: str
    split: str
    prompt: PromptForm = "implicit"


def sample(items: ItemSet, config: SweepConfig, language: str, kind: str, split: str) -> ItemSet:
    """The items of a cell: an even sample in file order, which spreads it over the topics.

    dev counts from the first item on, test from the last one back.
    """
    chosen = items.where(lambda i: i.language == language and i.kind == kind and i.split == split)
    limit = config.dev_items if split == "dev" else config.test_items
    if limit is None or len(chosen) <= limit:
        return chosen
    places = [int(k * len(chosen) / limit) for k in range(limit)]
    if split == "test":
        places = [len(chosen) - 1 - k for k in reversed(places)]
    return ItemSet(tuple(chosen.items[k] for k in places))


@dataclass
class Sweep:
    """What a run holds while it goes: the model, the items, the store, the vectors."""

    config: SweepConfig
    model: HookedModel
    items: ItemSet
    store: Store
    study: Study
    vectors: dict[str, SteeringVectors]
    bar: tqdm
    shelf: Shelf
    kept: dict[tuple[str, str, str, str], Prepared] = field(default_factory=dict)
    counted: set[Job] = field(default_factory=set)
    priors: Priors = field(default_factory=dict)

    @property
    def languages(self) -> list[str]:
        """The steered languages."""
        return [language for language in self.items.languages if language != PIVOT]

    def items_of(self, job: Job) -> ItemSet:
        """A job's items. Those of test are shut until the choice is frozen."""
        part = self.study.dev if job.split == "dev" else self.study.test
        return sample(part, self.config, job.language, job.kind, job.split)

    def run(self, jobs: Iterable[Job]) -> dict[Job, Scores]:
        """Scores of all jobs: read if they are there, computed together by items where they are not."""
        done: dict[Job, Scores] = {}
        missing: dict[tuple[str, str, str, PromptForm], list[Job]] = {}
        for job in dict.fromkeys(jobs):
            found = self.store.read(self._path(job))
            if found is not None:
                done[job] = found
                self._count(job)
            else:
                missing.setdefault((job.language, job.kind, job.split, job.prompt), []).append(job)
        for group in missing.values():
            prepared = self._prepare(group[0])
            variants = [job.method.edits(job.language, self.vectors, self.config) for job in group]
            for index, scores in score_many(prepared, variants):
                job = group[index]
                self.store.write(self._path(job), scores)
                done[job] = scores
                self._count(job)
        return done

    def _count(self, job: Job) -> None:
        """A cell is counted once, however often it is asked for; the total is a guess until the fine layers are known."""
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
                shelf=self.shelf,
                prior=job.split == "test",
                known=self.priors,
                chat=self.config.chat_form,
            )
        return self.kept[key]

    def _path(self, job: Job) -> Path:
        edits = (
            job.method.edits(job.language, self.vectors, self.config)
            if job.method != UNSTEERED
            else ()
        )
        decides = {
            "items": self.items_of(job).digest,
            "prompt": job.prompt,
            "edits": [e.describe() for e in edits],
            "max_tokens": self.config.max_tokens,
            **chat_settings(self.config.chat_form, self.model.tokenizer),
        }
        name = f"{job.method.name}-{job.kind}-{job.prompt}"
        return self.store.cell_path(job.split, job.language, name, decides)

    def forget(self) -> None:
        """Let go of prepared items: what comes next needs others."""
        self.kept.clear()

    def dev_points(
        self, methods: Sequence[Method], languages: Sequence[str], kinds: Sequence[str] = KINDS
    ) -> list[DevPoint]:
        """Gains of methods on dev, averaged over languages."""
        done = self.run(
            Job(m, lang, kind, "dev")
            for lang in languages
            for kind in kinds
            for m in (UNSTEERED, *methods)
        )
        points = []
        for method in methods:
            mine = {(j.language, j.kind): s for j, s in done.items() if j.method == method}
            base = {(j.language, j.kind): s for j, s in done.items() if j.method == UNSTEERED}
            points.append(dev_point(method, mine, base, self.config.measure))
        return points


def open_sweep(
    config: SweepConfig, model: HookedModel | None = None, items: ItemSet | None = None
) -> Sweep:
    """Load model and items, check the config against them, open the run folder, make or read the vectors.

    model, items: those to use instead of what the config names.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    if items is None:
        items = load_items(config.items, list(config.languages) if config.languages else None)
    _check_items(items, config)
    if config.layers and len(set(config.layers)) < 2:
        raise MechclaError(
            f"Surgical Steering needs EN above LOC, but only layers {config.layers} were to be swept; give --layers at least two"
        )
    if model is None:
        model = load_model(
            config.model, dtype=config.dtype, device=config.device, revision=config.revision
        )
    for layer in config.layers or ():
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
        **_backend(model),
        **chat_settings(config.chat_form, model.tokenizer),
    }
    store = Store.open(config.out, config.resolved(), identity)
    if not (store.folder / "items.jsonl").exists():
        write_whole(store.folder / "items.jsonl", items.to_jsonl)
    bar = tqdm(
        total=0, unit="cell", file=sys.stderr, dynamic_ncols=True, desc="sweep", smoothing=0.1
    )
    return Sweep(
        config,
        model,
        items,
        store,
        Study(items),
        _vectors(model, items, config, store),
        bar,
        Shelf(config.cache_mib << 20, str(store.folder)),
    )


def _backend(model: HookedModel) -> dict[str, str]:
    described = model.describe()
    return {k: described[k] for k in ("dtype", "device", "attention")}


def _check_items(items: ItemSet, config: SweepConfig) -> None:
    """Refuse, before anything is written, items that a sweep could not finish with."""
    if PIVOT not in items.languages or len(items.languages) < 2:
        raise MechclaError(
            f"a sweep needs items in English ('en') and in another language; these are {', '.join(items.languages)}"
        )
    for language in items.languages:
        for kind in KINDS:
            for split in ("dev", "test"):
                if not any(
                    i.language == language and i.kind == kind and i.split == split for i in items
                ):
                    raise MechclaError(
                        f"a sweep needs {kind} {split} items in every language; {language!r} has none"
                    )
        if language != PIVOT and not any(
            c.role == "english"
            for i in sample(items, config, language, "cultural", "test")
            for c in i.candidates
        ):
            raise MechclaError(
                f"English bias needs candidates of role 'english'; the cultural test items of {language!r} have none"
            )
    en_requests(items.dev)


def _vectors(
    model: HookedModel, items: ItemSet, config: SweepConfig, store: Store
) -> dict[str, SteeringVectors]:
    """EN and LOC, and their shuffled controls if arms are asked for: read from the run folder, or made and written."""
    lacking = sum(not i.prompt_us for i in items.cultural if i.language != PIVOT)
    if config.controls and lacking:
        print(
            f"mechcla.sweep: {lacking} cultural items are without 'prompt_us' (docs/items.md), so there is no control with the "
            "United States named, and no contrast",
            file=sys.stderr,
        )
    names = (
        ["EN", "LOC"]
        + (["LOC US"] if _names_us(items, config) else [])
        + (["EN shuffled", "LOC shuffled"] if _shuffles(config) else [])
    )
    paths = {
        name: store.folder / "vectors" / f"{name.lower().replace(' ', '_')}.safetensors"
        for name in names
    }
    if not all(path.exists() for path in paths.values()):
        paths["EN"].parent.mkdir(exist_ok=True)
        made = _made(model, items.dev, config)
        for name, path in paths.items():
            made[name].save(path)
    return {name: SteeringVectors.load(path) for name, path in paths.items()}


def _names_us(items: ItemSet, config: SweepConfig) -> bool:
    """The United States as a control: every cultural item outside English says what its prompt is with them named."""
    return config.controls and all(i.prompt_us for i in items.cultural if i.language != PIVOT)


def _shuffles(config: SweepConfig) -> bool:
    """Shuffled vectors are differences of means, so they are a control of those alone."""
    return config.controls and config.recipe == "mean_difference"


def _made(model: HookedModel, dev: ItemSet, config: SweepConfig) -> dict[str, SteeringVectors]:
    how: dict[str, Any] = {"site": config.site, "chat": config.chat_form}
    if config.recipe == "mean_difference":
        return (
            shuffled_vectors(model, dev, seed=config.seed, **how)
            if _shuffles(config)
            else make_vectors(model, dev, us=_names_us(dev, config), **how)
        )
    universal = cache_residuals(model, dev.universal, **how)
    implicit, explicit = (
        cache_residuals(model, dev.cultural, form, **how) for form in ("implicit", "explicit")
    )
    made = {
        "EN": en_vectors_by(config.recipe, universal),
        "LOC": loc_vectors_by(config.recipe, explicit, implicit),
    }
    if _names_us(dev, config):
        steered = dev.cultural.where(lambda i: i.language != PIVOT)
        implicit, us = (cache_residuals(model, steered, form, **how) for form in ("implicit", "us"))
        made["LOC US"] = loc_vectors_by(config.recipe, us, implicit)
    return made


def report_test(sweep: Sweep, chosen: Mapping[str, Mapping[str, Method]]) -> dict[str, Scores]:
    """Score the chosen methods, {family: {language: method}}, once on test.

    Freezes the choice, which opens the test items. Returns scores by method name: unsteered, explicit, each family,
    and its control arms ("EN random", ...; that of explicit prompting names the United States). Explicit prompting leaves universal items as they are, so its transfer is
    the unsteered model's.
    """
    described = {family: {k: m.describe() for k, m in by.items()} for family, by in chosen.items()}
    sweep.store.freeze(
        sweep.study.freeze({"methods": described, "settings": sweep.config.resolved()})
    )
    jobs = [Job(UNSTEERED, lang, kind, "test") for lang in sweep.items.languages for kind in KINDS]
    explicit = [
        Job(UNSTEERED, lang, "cultural", "test", "explicit") for lang in sweep.items.languages
    ]
    steered = {
        family: [
            Job(methods[lang], lang, kind, "test") for lang in sweep.languages for kind in KINDS
        ]
        for family, methods in chosen.items()
    }
    for family, arms in ARMS.items() if sweep.config.controls else ():
        for arm in arms:
            needs = {
                "other_country": len(sweep.languages) > 1,
                "shuffled": _shuffles(sweep.config),
                "us_country": "LOC US" in sweep.vectors,
            }
            if not needs.get(arm, True):
                continue
            methods = {lang: m.arm(arm) for lang, m in chosen.get(family, {}).items()}
            if methods:
                steered[f"{family} {arm}"] = [
                    Job(methods[lang], lang, kind, "test")
                    for lang in sweep.languages
                    for kind in AXIS[family]
                ]
    if "LOC US" in sweep.vectors:
        steered[f"explicit {US}"] = [
            Job(UNSTEERED, lang, "cultural", "test", "us") for lang in sweep.languages
        ]
    everything = [*jobs, *explicit, *(j for js in steered.values() for j in js)]
    sweep.bar.total = sweep.bar.n + len(everything)
    done = sweep.run(everything)
    sweep.bar.total = sweep.bar.n
    sweep.bar.close()

    def join(parts: list[Job]) -> Scores:
        return Scores(tuple(row for job in parts for row in done[job]))

    universal = [j for j in jobs if j.kind == "universal"]
    tables = {"unsteered": join(jobs), "explicit": join(universal + explicit)}
    return tables | {family: join(js) for family, js in steered.items()}
