"""The price of a run before it begins: cells, tokens, FLOPs, memory, disk and time, by stage.

The cells are those of a rehearsal (`mechcla.sweep.rehearsal`), and each group of them is counted as
the engine runs it: blocks below an edit once, edits that begin alike together, a beginning that
prompts share once wherever no edit reaches it, the unembedding at scored positions. Seconds are
these counts at rates that are measured on this machine, with this model and some of these items,
for a few seconds. Source: ours. Limits: which layers the fine search adds is guessed; what
attention reads of a shared beginning is not counted, only the tokens that run; a machine that
others use, and shapes that the rates were not measured at, are not seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from mechcla.engine.batch_size import batch_tokens
from mechcla.engine.capability import fits, plain_rows
from mechcla.engine.intervention import Intervention
from mechcla.engine.memory import limit
from mechcla.engine.packing import Packed, collate, pack
from mechcla.engine.variants import steps
from mechcla.items.item import PIVOT
from mechcla.items.item_set import ItemSet
from mechcla.models.chat import prompt_tokens
from mechcla.models.tokens import Tokens, start_token
from mechcla.scoring.prepared import (
    beginnings_of,
    behind,
    behind_nothing,
    offered_by,
    planned,
)
from mechcla.sweep.cells import Job
from mechcla.sweep.choosing import RULES
from mechcla.sweep.rates import FIGURES, Rates, measure
from mechcla.sweep.ready import Ready
from mechcla.sweep.rehearsal import Rehearsal, rehearse
from mechcla.sweep.steering_settings import fits_maps
from mechcla.sweep.work import Price, Stage, Work, busiest, clock, sum_of
from mechcla.vectors import activations


def price_of(ready: Ready, workers: int = 1) -> Price:
    """The price of a run on so many workers. Loads nothing and writes nothing.

    ready: what `mechcla.sweep.ready.make_ready` gave.
    """
    sweep = rehearse(ready)
    shapes: dict[tuple[str, str, str, str], Shape] = {}
    units: dict[str, dict[tuple[str, ...], Work]] = {"dev": {}, "test": {}}
    together = RULES.get(ready.config.choose).together
    recorded: set[Shape] = set()
    for jobs in sweep.calls:
        first = jobs[0]
        key = (first.language, first.kind, first.split, first.prompt)
        if key not in shapes:
            shapes[key] = Shape.of(sweep, first)
        # A group of test is prepared for each of its batches.
        work = work_of(sweep, jobs, shapes[key], recorded if first.split == "dev" else set())
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
    tables = rates.tables * (len(sweep.languages) + 1) * (conditions + 1)
    tables += FIGURES * ready.config.figures
    stages.append(Stage("tables and figures", Work(), 0.0, tables, tables, Work(), 0.0))
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
    def flops(work: Work) -> float:
        return work.block_tokens * rates.flops_per_token + work.rows * rates.flops_per_row

    seconds = [rates.seconds(w.block_tokens, w.passes, w.rows, w.cells, w.items) for w in works]
    last = busiest(seconds, workers)
    total, most = sum_of(works), sum_of(works[k] for k in last)
    until = sum(seconds[k] for k in last)
    return Stage(name, total, flops(total), sum(seconds), until, most, flops(most))


@dataclass(frozen=True, eq=False)
class Shape:
    """A group's items as the engine runs them. tokens: of one pass, padding too; rows: positions
    that are unembedded; begun: tokens of the beginnings that run once before them, with a pass
    each. priors: the candidates without a prompt. shorter: the same items for edits of tokens that
    lie in these beginnings.
    """

    items: ItemSet
    tokens: int
    batches: int
    rows: int
    priors: Shape | None = None
    begun: int = 0
    beginnings: int = 0
    shorter: Shape | None = None

    @classmethod
    def of(cls, sweep: Rehearsal, job: Job) -> Shape:
        """Of the items of a job, tokenised and packed."""
        model, config, items = sweep.model, sweep.config, sweep.items_of(job)
        packed = [
            pack(i, model.tokenizer, job.prompt, model.window, config.chat_form, model.vocab_size)
            for i in items
        ]
        long, short = beginnings_of(model, packed) if fits(model) else ((), ())
        most = batch_tokens(model, config.max_tokens)
        other = cls._shared(items, packed, short, most, model.pad_id) if long != short else None
        whole = cls._shared(items, packed, long, most, model.pad_id)
        first = start_token(model.tokenizer, model.vocab_size)
        # Forms of a prompt offer the same candidates, which are measured once.
        if job.split != "test" or job.prompt != "implicit" or first is None:
            return replace(whole, shorter=other)
        alone = behind_nothing(model, offered_by(packed), first, most)
        priors = cls._shared(items, alone, (), most, model.pad_id)
        return replace(whole, shorter=other, priors=priors)

    @classmethod
    def _shared(
        cls, items: ItemSet, packed: Sequence[Packed], shared: Sequence[int], most: int, pad: int
    ) -> Shape:
        sizes = [p.n_tokens for p in packed]
        parts = planned(packed, sizes, shared, most)
        batches = [collate([packed[i] for i in g], pad, beginning=begin) for begin, g in parts]
        begun = {b.beginning for b in batches if b.beginning}
        return cls(
            items,
            sum(b.layout.ids.numel() for b in batches),
            len(batches),
            sum(len(b.scored[0]) for b in batches),
            begun=sum(map(len, begun)),
            beginnings=len(begun),
        )

    def recording(self, n: int) -> Work:
        """The pass through all n blocks that cells go on from, and that of the candidates without a
        prompt, which alone is unembedded.
        """
        tokens = self.tokens + self.begun
        passes = n * (self.batches + self.beginnings)
        work = Work(tokens=tokens, block_tokens=n * tokens, passes=passes)
        if self.priors is not None:
            work += self.priors.recording(n)
            work += Work(rows=self.priors.rows)
        return work


def work_of(sweep: Rehearsal, jobs: Sequence[Job], shape: Shape, recorded: set[Shape]) -> Work:
    """Cells of one batch, as `mechcla.engine.variants` runs them, with the recording passes before
    them. recorded: shapes whose pass was made for earlier cells, added to here.
    """
    n = sweep.model.n_layers
    work = Work(cells=len(jobs), items=len(jobs) * len(shape.items))
    suited: dict[Shape, list[tuple[Intervention, ...]]] = {shape: []}
    for job in jobs:
        edits = sweep.edits(job)
        mine = shape.shorter if shape.shorter and not behind(edits) else shape
        suited.setdefault(mine, []).append(edits)
    most = batch_tokens(sweep.model, sweep.config.max_tokens)
    for mine, variants in suited.items():
        if mine not in recorded:
            work += mine.recording(n)
            recorded.add(mine)
        work += steered_work(mine, variants, n, most)
    return work


def steered_work(
    shape: Shape, variants: Sequence[tuple[Intervention, ...]], n: int, most: int
) -> Work:
    """What variants of the same items run beyond the recording pass, in batches of `most`
    tokens.
    """
    work = Work()
    reached: dict[tuple[Any, ...], int] = {}  # by the edits that variants begin with alike
    depth = 0
    for edits in variants:
        if not edits:  # the recording pass ran it already
            work += Work(rows=shape.rows)
        done: tuple[Any, ...] = ()
        entered = None
        for layer, step in steps(edits):
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
    together = max(1, most // max(1, shape.tokens // shape.batches))
    work += Work(passes=-(-len(variants) // together) * shape.batches * depth)
    return work


def vectors_work(ready: Ready) -> Work:
    """The prompts of the vectors, each once; and once more for a gate."""
    config, model, dev = ready.config, ready.model, ready.items.dev
    texts: dict[str, Tokens] = {}
    for item in dev:
        forms = ["implicit"]
        if item.kind == "cultural":
            forms += ["explicit", *(["us"] if item.prompt_us and config.controls else [])]
        for form in forms:
            text = item.prompt_text(form)
            if text not in texts:
                texts[text] = prompt_tokens(text, model.tokenizer, config.chat_form)
    rows = list(texts.values())
    once = plain_rows(model) == "padded"
    begin = activations.beginnings_of(model, rows) if once else [0] * len(rows)
    begun = {row.ids[:b] for row, b in zip(rows, begin, strict=True) if b}
    groups = activations.planned(rows, begin, limit(model, activations.MAX_TOKENS))
    tokens = sum(len(g) * max(len(rows[i].ids) - begin[i] for i in g) for g in groups)
    tokens, n = tokens + sum(map(len, begun)), model.n_layers
    passes = n * (len(groups) + len(begun))
    times = (0 if config.vectors else 1) + bool(config.gated)
    fitted = 0
    if fits_maps(config.en_operator) and not config.vectors:  # a pass of their own
        fitted = sum(len(texts[i.prompt_text("implicit")].ids) for i in dev.universal)
    tokens = times * tokens + fitted
    return Work(tokens=tokens, block_tokens=n * tokens, passes=times * passes)


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
