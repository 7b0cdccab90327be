"""The price of a run before it begins: cells, tokens, FLOPs, memory, disk and time, by stage.

The cells are those of a rehearsal (`mechcla.sweep.rehearsal`), and each group of them is counted as
the engine runs it: blocks below an edit once, edits that begin alike together, the unembedding at
scored positions. Seconds are these counts at rates that are measured on this machine, with this
model and some of these items, for a few seconds. Source: ours. Limits: which layers the fine search
adds is guessed; a beginning that prompts share is counted with each of them, and so too high; a
machine that others use, and shapes that the rates were not measured at, are not seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from mechcla.engine.batch_size import batch_tokens
from mechcla.engine.packing import collate, pack, plan
from mechcla.engine.variants import steps
from mechcla.items.item import PIVOT
from mechcla.items.item_set import ItemSet
from mechcla.models.chat import prompt_tokens
from mechcla.results import Rows
from mechcla.runs.tables import in_columns
from mechcla.sweep.cells import Job
from mechcla.sweep.choosing import RULES
from mechcla.sweep.rates import FIGURES, Rates, measure
from mechcla.sweep.ready import Ready
from mechcla.sweep.rehearsal import Rehearsal, rehearse
from mechcla.sweep.steering_settings import fits_maps
from mechcla.vectors.activations import MAX_TOKENS

LIMIT = (
    "cells of the fine search are guessed; time is that of this machine with nothing else on it, "
    "and of workers as fast as it"
)


@dataclass
class Work:
    """What is computed, counted. tokens: prompt and answer tokens that are read, padding too.
    block_tokens: tokens times blocks. passes: batches times blocks. rows: unembedded positions.
    """

    cells: int = 0
    tokens: int = 0
    block_tokens: int = 0
    passes: int = 0
    rows: int = 0
    items: int = 0

    def __iadd__(self, other: Work) -> Work:
        for name, value in asdict(other).items():
            setattr(self, name, getattr(self, name) + value)
        return self


@dataclass(frozen=True)
class Stage:
    """A stage of a run. seconds: on one worker; on_workers: with as many as were asked for."""

    name: str
    work: Work
    flops: float
    seconds: float
    on_workers: float


@dataclass(frozen=True)
class Price:
    """What a run will take. Make it with `price_of`; `print` it, or take `rows()`.

    memory: bytes of one process. disk: bytes of the run folder. workers: how many share the cells.
    limit: what the numbers do not say.
    """

    stages: tuple[Stage, ...]
    memory: int
    disk: int
    workers: int
    settings: dict[str, Any] = field(default_factory=dict)
    limit: str = LIMIT

    @property
    def seconds(self) -> float:
        """Of the whole on one worker."""
        return sum(stage.seconds for stage in self.stages)

    @property
    def on_workers(self) -> float:
        """Of the whole with the workers that were asked for."""
        return sum(stage.on_workers for stage in self.stages)

    def rows(self) -> Rows:
        """One record per stage."""
        return Rows(
            tuple(
                {
                    "stage": s.name,
                    **asdict(s.work),
                    "flops": s.flops,
                    "seconds": s.seconds,
                    "seconds_on_workers": s.on_workers,
                }
                for s in self.stages
            ),
            self.settings,
        )

    def __str__(self) -> str:
        many = self.workers > 1
        head = ("stage", "cells", "tokens", "FLOPs", "time", *([f"{self.workers} workers"] * many))
        table = [head]
        whole = Stage(
            "whole",
            sum_of(s.work for s in self.stages),
            sum(s.flops for s in self.stages),
            self.seconds,
            self.on_workers,
        )
        for s in (*self.stages, whole):
            table.append(
                (
                    s.name,
                    f"{s.work.cells:,}" if s.work.cells else "",
                    f"{s.work.tokens:,}" if s.work.tokens else "",
                    f"{s.flops:.1e}" if s.flops else "",
                    clock(s.seconds),
                    *([clock(s.on_workers)] * many),
                )
            )
        each = f"memory per process about {self.memory / 2**30:.1f} GiB"
        return "\n".join(
            [*in_columns(table), f"{each}; disk about {self.disk / 2**20:,.0f} MiB", self.limit]
        )


def sum_of(works: Any) -> Work:
    """All of these together."""
    total = Work()
    for work in works:
        total += work
    return total


def clock(seconds: float) -> str:
    """Seconds for people.

    >>> clock(42.4), clock(4000.0)
    ('42 s', '1 h 07 min')
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def price_of(ready: Ready, workers: int = 1) -> Price:
    """The price of a run on so many workers. Loads nothing and writes nothing.

    ready: what `mechcla.sweep.ready.make_ready` gave.
    """
    sweep = rehearse(ready)
    shapes: dict[tuple[str, str, str, str], Shape] = {}
    units: dict[str, dict[tuple[str, ...], Work]] = {"dev": {}, "test": {}}
    together = RULES.get(ready.config.choose).together
    asked: set[tuple[str, str, str, str]] = set()
    for jobs in sweep.calls:
        first = jobs[0]
        key = (first.language, first.kind, first.split, first.prompt)
        if key not in shapes:
            shapes[key] = Shape.of(sweep, first)
        work = work_of(sweep, jobs, shapes[key], again=key in asked)
        asked.add(key)
        unit = key if first.split == "test" or together else (first.language,)
        units[first.split].setdefault(unit, Work())
        units[first.split][unit] += work
    largest = max((s for k, s in shapes.items() if k[2] == "dev"), key=lambda s: s.tokens)
    rates = measure(ready.model, largest.items, ready.config)
    stages = [_stage("vectors", [vectors_work(ready)], rates, 1)]
    for split in ("dev", "test"):
        stages.append(_stage(split, list(units[split].values()), rates, workers))
    conditions = len({j.method.family for jobs in sweep.calls for j in jobs}) + len(
        {(j.method.family, j.method.arm) for jobs in sweep.calls for j in jobs if j.method.arm}
    )
    tables = rates.tables * (len(sweep.languages) + 1) * (conditions + 1) + FIGURES
    stages.append(Stage("tables and figures", Work(), 0.0, tables, tables))
    rows = sum(s.work.items for s in stages)
    return Price(
        tuple(stages),
        memory_of(ready, shapes.values()),
        int(rows * rates.bytes_per_row + sum(s.work.cells for s in stages) * rates.bytes_per_cell)
        + vectors_bytes(ready, sweep),
        workers,
        {"model": ready.model.name, "device": str(ready.model.device), **asdict(rates)},
    )


def _stage(name: str, works: Sequence[Work], rates: Rates, workers: int) -> Stage:
    seconds = [rates.seconds(w.block_tokens, w.passes, w.rows, w.cells, w.items) for w in works]
    total = sum_of(works)
    flops = total.block_tokens * rates.flops_per_token + total.rows * rates.flops_per_row
    return Stage(name, total, flops, sum(seconds), longest(seconds, workers))


def longest(seconds: Sequence[float], workers: int) -> float:
    """When the last of the workers is done, the longest piece being taken first.

    >>> longest([3.0, 3.0, 2.0, 2.0, 2.0], 2)
    7.0
    """
    busy = [0.0] * workers
    for piece in sorted(seconds, reverse=True):
        busy[busy.index(min(busy))] += piece
    return max(busy)


@dataclass(frozen=True, eq=False)
class Shape:
    """A group's items as the engine runs them. tokens: of one pass, padding too; rows: positions
    that are unembedded; priors: those of candidates without a prompt.
    """

    items: ItemSet
    tokens: int
    batches: int
    rows: int
    prior_tokens: int

    @classmethod
    def of(cls, sweep: Rehearsal, job: Job) -> Shape:
        """Of the items of a job, tokenised and packed."""
        model, config, items = sweep.model, sweep.config, sweep.items_of(job)
        packed = [
            pack(i, model.tokenizer, job.prompt, model.window, config.chat_form, model.vocab_size)
            for i in items
        ]
        sizes = [p.n_tokens for p in packed]
        groups = plan(sizes, batch_tokens(model, config.max_tokens))
        tokens = sum(len(g) * max(sizes[i] for i in g) for g in groups)
        rows = 0
        for group in groups:
            batch = collate([packed[i] for i in group], model.pad_id)
            rows += len(set(zip(batch.edge_row.tolist(), batch.edge_place.tolist(), strict=True)))
        # Forms of a prompt offer the same candidates, which are measured once.
        first = job.split == "test" and job.prompt == "implicit"
        priors = {c for p in packed for c in p.candidates} if first else set()
        return cls(items, tokens, len(groups), rows, sum(map(len, priors)))


def work_of(sweep: Rehearsal, jobs: Sequence[Job], shape: Shape, again: bool) -> Work:
    """Cells of one batch, as `mechcla.engine.variants` runs them; with the recording pass before
    them, unless it was made for earlier ones of the same items.
    """
    n = sweep.model.n_layers
    work = Work(cells=len(jobs), items=len(jobs) * len(shape.items))
    if not again or jobs[0].split == "test":
        blocks = n * shape.tokens + n * shape.prior_tokens
        work += Work(
            tokens=shape.tokens + shape.prior_tokens,
            block_tokens=blocks,
            passes=n * (shape.batches + bool(shape.prior_tokens)),
            rows=shape.rows + shape.prior_tokens,
        )
    reached: dict[tuple[Any, ...], int] = {}  # by the edits that variants begin with alike
    depth = 0
    for job in jobs:
        done: tuple[Any, ...] = ()
        entered = None
        for layer, step in steps(sweep.edits(job)):
            here = layer + 1 if all(e.site == "resid_post" for e in step) else layer
            if entered is not None:
                blocks = max(0, here - reached.get(done, entered))
                reached[done] = max(here, reached.get(done, entered))
                work += Work(block_tokens=blocks * shape.tokens, passes=blocks * shape.batches)
            done = (*done, layer, tuple(str(e.describe()) for e in step))
            entered = here
        if entered is not None:
            depth = max(depth, n - entered)
            work += Work(
                tokens=shape.tokens, block_tokens=(n - entered) * shape.tokens, rows=shape.rows
            )
    most = batch_tokens(sweep.model, sweep.config.max_tokens)
    together = max(1, most // max(1, shape.tokens // shape.batches))
    work += Work(passes=-(-len(jobs) // together) * shape.batches * depth)
    return work


def vectors_work(ready: Ready) -> Work:
    """The prompts of the vectors, each once; and once more for a gate."""
    config, model, dev = ready.config, ready.model, ready.items.dev
    texts: dict[str, int] = {}
    for item in dev:
        forms = ["implicit"]
        if item.kind == "cultural":
            forms += ["explicit", *(["us"] if item.prompt_us and config.controls else [])]
        for form in forms:
            text = item.prompt_text(form)
            texts[text] = len(prompt_tokens(text, model.tokenizer, config.chat_form).ids)
    sizes = list(texts.values())
    groups = plan(sizes, MAX_TOKENS)
    tokens = sum(len(g) * max(sizes[i] for i in g) for g in groups)
    if config.gated:
        tokens = tokens * 2
    if fits_maps(config.en_operator):
        tokens += sum(texts[i.prompt_text("implicit")] for i in dev.universal)
    if config.vectors:
        tokens = 0
    n = model.n_layers
    return Work(tokens=tokens, block_tokens=n * tokens, passes=n * len(groups) * bool(tokens))


def vectors_bytes(ready: Ready, sweep: Rehearsal) -> int:
    """The vector files'."""
    stacks = sum(len(v.languages) for v in sweep.vectors.values())
    each = ready.model.n_layers * (ready.model.d_model + 1) * 4
    if not fits_maps(ready.config.en_operator):
        return stacks * each
    english = {i.id for i in ready.items.universal.dev if i.language == PIVOT}
    asked = (i for i in ready.items.universal.dev if i.language != PIVOT)
    return (stacks + 2 * sum(i.id in english for i in asked)) * each


def memory_of(ready: Ready, shapes: Any) -> int:
    """Bytes of one process: weights, cached residuals, a batch's activations, and the libraries."""
    model, config = ready.model, ready.config
    size = model.dtype.itemsize
    largest = max(s.tokens for s in shapes)
    cached = min(config.cache_mib << 20, 2 * largest * (model.n_layers + 1) * model.d_model * size)
    batch = min(batch_tokens(model, config.max_tokens), 2 * largest) * model.d_model * size * 24
    return int(model.weight_bytes + cached + batch + (600 << 20))


__all__ = ["Price", "Stage", "Work", "clock", "price_of"]
