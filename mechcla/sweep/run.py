"""Runs a sweep from config to summary: score, extract, sweep dev, choose, report test.

Everything here is idempotent over a Store: a cell that lies in the folder is read, one that does not is
computed and written before the next begins.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from tqdm import tqdm

from mechcla.errors import MechclaError
from mechcla.items import ItemSet, PromptForm
from mechcla.models import HookedModel, load_model
from mechcla.packing import pack
from mechcla.scores import Scores
from mechcla.scoring import Prepared, prepare, score_many
from mechcla.sources import load_items
from mechcla.spill import Shelf
from mechcla.sweep.config import SweepConfig
from mechcla.sweep.methods import Method, around, coarse_layers, grid, pairs, restorations
from mechcla.sweep.select import DevPoint, best, dev_point, pareto_front, ranked
from mechcla.sweep.store import Store, code_digest, write_json, write_whole
from mechcla.vectors import SteeringVectors, en_requests, make_vectors

PIVOT = "en"
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


@dataclass
class Sweep:
    """What a run holds while it goes: the model, the items, the store, the vectors."""

    config: SweepConfig
    model: HookedModel
    items: ItemSet
    store: Store
    vectors: dict[str, SteeringVectors]
    bar: tqdm
    shelf: Shelf
    kept: dict[tuple[str, str, str, str], Prepared] = field(default_factory=dict)

    @property
    def languages(self) -> list[str]:
        """The steered languages."""
        return [language for language in self.items.languages if language != PIVOT]

    def items_of(self, job: Job) -> ItemSet:
        """A job's items; a limit takes an even sample in file order, which spreads it over the topics."""
        chosen = self.items.where(
            lambda i: i.language == job.language and i.kind == job.kind and i.split == job.split
        )
        limit = self.config.dev_items if job.split == "dev" else self.config.test_items
        if limit is not None and len(chosen) > limit:
            step = len(chosen) / limit
            chosen = ItemSet(tuple(chosen.items[int(k * step)] for k in range(limit)))
        return chosen

    def run(self, jobs: Iterable[Job]) -> dict[Job, Scores]:
        """Scores of all jobs: read if they are there, computed together by items where they are not."""
        done: dict[Job, Scores] = {}
        missing: dict[tuple[str, str, str, PromptForm], list[Job]] = {}
        for job in dict.fromkeys(jobs):
            found = self.store.read(self._path(job))
            if found is not None:
                done[job] = found
                self.bar.update()
            else:
                missing.setdefault((job.language, job.kind, job.split, job.prompt), []).append(job)
        for group in missing.values():
            prepared = self._prepare(group[0])
            variants = [job.method.edits(job.language, self.vectors, self.config) for job in group]
            for index, scores in score_many(prepared, variants):
                job = group[index]
                self.store.write(self._path(job), scores)
                done[job] = scores
                self.bar.update()
        return done

    def _prepare(self, job: Job) -> Prepared:
        self.bar.set_postfix_str(f"{job.split} {job.language} {job.kind}")
        key = (job.language, job.kind, job.split, job.prompt)
        if key not in self.kept:
            if job.split == "test":
                self.kept.clear()  # dev is over; a test group is used once
            items = self.items_of(job)
            self.kept[key] = prepare(self.model, items, job.prompt, max_tokens=self.config.max_tokens, shelf=self.shelf)
        return self.kept[key]

    def _path(self, job: Job) -> Path:
        edits = job.method.edits(job.language, self.vectors, self.config) if job.method != UNSTEERED else ()
        decides = {
            "items": self.items_of(job).digest, "prompt": job.prompt, "edits": [e.describe() for e in edits],
            "max_tokens": self.config.max_tokens,
        }  # fmt: skip
        name = f"{job.method.name}-{job.kind}-{job.prompt}"
        return self.store.cell_path(job.split, job.language, name, decides)

    def dev_points(self, methods: Sequence[Method], kinds: Sequence[str] = KINDS) -> list[DevPoint]:
        """Gains of methods on dev, pooled over languages."""
        done = self.run(Job(m, lang, kind, "dev") for lang in self.languages for kind in kinds for m in (UNSTEERED, *methods))
        points = []
        for method in methods:
            mine = {(j.language, j.kind): s for j, s in done.items() if j.method == method}
            base = {(j.language, j.kind): s for j, s in done.items() if j.method == UNSTEERED}
            points.append(dev_point(method, mine, base, self.config.measure))
        return points


def open_sweep(config: SweepConfig) -> Sweep:
    """Load model and items, check the config against them, open the run folder, make or read the vectors."""
    if config.threads:
        torch.set_num_threads(config.threads)
    items = load_items(config.items, list(config.languages) if config.languages else None)
    _check_items(items)
    model = load_model(config.model, dtype=config.dtype, device=config.device, revision=config.revision)
    for layer in config.layers or ():
        model.hook_name(layer, config.site)
    model.hook_name(0, config.site)
    for item in items:  # whatever a text can do wrong is said before anything is written
        for form in ("implicit", "explicit") if item.kind == "cultural" else ("implicit",):
            pack(item, model.tokenizer, form, model.window)
    identity = {"model": model.digest, "items": items.digest, "code": code_digest(), **_backend(model)}
    store = Store.open(config.out, config.resolved(), identity)
    if not (store.folder / "items.jsonl").exists():
        write_whole(store.folder / "items.jsonl", items.to_jsonl)
    bar = tqdm(total=0, unit="cell", file=sys.stderr, dynamic_ncols=True, desc="sweep", smoothing=0.1)
    return Sweep(config, model, items, store, _vectors(model, items, config, store), bar, Shelf(config.cache_mib << 20))


def _backend(model: HookedModel) -> dict[str, str]:
    described = model.describe()
    return {k: described[k] for k in ("dtype", "device", "attention")}


def _check_items(items: ItemSet) -> None:
    """Refuse, before anything is written, items that a sweep could not finish with."""
    if PIVOT not in items.languages or len(items.languages) < 2:
        raise MechclaError(f"a sweep needs items in English ('en') and in another language; these are {', '.join(items.languages)}")
    for language in items.languages:
        for kind in KINDS:
            for split in ("dev", "test"):
                if not any(i.language == language and i.kind == kind and i.split == split for i in items):
                    raise MechclaError(f"a sweep needs {kind} {split} items in every language; {language!r} has none")
        if language != PIVOT and not any(c.role == "english" for i in items.language(language).cultural.test for c in i.candidates):
            raise MechclaError(f"English bias needs candidates of role 'english'; the cultural test items of {language!r} have none")
    en_requests(items.dev)


def _vectors(model: HookedModel, items: ItemSet, config: SweepConfig, store: Store) -> dict[str, SteeringVectors]:
    folder = store.folder / "vectors"
    if not all((folder / f"{name}.safetensors").exists() for name in ("en", "loc")):
        folder.mkdir(exist_ok=True)
        for name, vectors in make_vectors(model, items.dev, config.site).items():
            vectors.save(folder / f"{name.lower()}.safetensors")
    return {n: SteeringVectors.load(folder / f"{n.lower()}.safetensors") for n in ("EN", "LOC")}


@dataclass(frozen=True)
class Choice:
    """What dev decided, with the evidence it was decided on."""

    points: tuple[DevPoint, ...]
    front: tuple[DevPoint, ...]
    chosen: dict[str, DevPoint]

    def describe(self) -> dict[str, object]:
        return {
            "rule": "mechcla.sweep.select: EN by transfer, LOC by localization, SUR by their sum, on dev",
            "chosen": {name: p.describe() for name, p in self.chosen.items()},
            "pareto_front": [p.describe() for p in self.front],
            "points": [p.describe() for p in self.points],
        }


def choose(sweep: Sweep) -> Choice:
    """Sweep dev, coarse to fine, then restoration and pairs; choose one method a family."""
    config, n = sweep.config, sweep.model.n_layers
    layers = sorted(set(config.layers)) if config.layers else coarse_layers(n, config.coarse_step)
    languages, kinds = len(sweep.languages), len(KINDS)
    strengths = {"EN": config.en_strengths, "LOC": config.loc_strengths}
    per_layer = sum(map(len, strengths.values()))
    back = restorations(layers, max(config.en_strengths), n) if config.restore else []
    fine_layers = 0 if config.layers else 2 * config.refine
    ahead = (1 + (len(layers) + fine_layers) * per_layer + config.pair_layers**2) * kinds + len(back)
    sweep.bar.total = ahead * languages  # about: the fine pass may find fewer layers to add
    points: list[DevPoint] = []
    for family in ("EN", "LOC"):
        points += sweep.dev_points(grid(family, layers, strengths[family]))
    if not config.layers and config.refine:
        for family in ("EN", "LOC"):
            top = best(points, family, config.tolerance).method
            fine = around(layers, [top.en_layer if family == "EN" else top.loc_layer], config.refine, n)  # type: ignore[list-item]
            points += sweep.dev_points(grid(family, fine, strengths[family]))
    en = [p.method for p in ranked(points, "EN", n)]
    loc = [p.method for p in ranked(points, "LOC", n)]
    most = config.pair_layers**2
    couples = pairs(en, loc, most)
    if back:
        restored = sweep.dev_points(back, ("universal",))
        kept = [p.method for p in ranked(restored, "EN+restore", config.pair_layers)]
        points += sweep.dev_points(kept)
        points += [p for p in restored if p.method not in kept]
        half = (most + 1) // 2
        couples = couples[:half] + pairs(kept, loc, most - half)
    if not couples:
        raise MechclaError(
            f"Surgical Steering needs EN above LOC, but only layers {layers} were swept; give --layers at least two"
        )
    points += sweep.dev_points(couples)
    families = list(dict.fromkeys(p.method.family for p in points))
    chosen = {family: best(points, family, config.tolerance) for family in families}
    both = [p for p in points if p.d_transfer == p.d_transfer and p.d_localization == p.d_localization]
    choice = Choice(tuple(points), tuple(pareto_front(both)), chosen)
    write_json(sweep.store.folder / "selection.json", choice.describe())
    return choice


def report_test(sweep: Sweep, choice: Choice) -> dict[str, Scores]:
    """Score the chosen methods once on test, in every language.

    Returns scores by method name: unsteered, explicit, and each family. Explicit prompting leaves universal
    items as they are, so its transfer is the unsteered model's.
    """
    jobs = [Job(UNSTEERED, lang, kind, "test") for lang in sweep.items.languages for kind in KINDS]
    explicit = [Job(UNSTEERED, lang, "cultural", "test", "explicit") for lang in sweep.items.languages]
    steered = {
        family: [Job(p.method, lang, kind, "test") for lang in sweep.languages for kind in KINDS]
        for family, p in choice.chosen.items()
    }
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
