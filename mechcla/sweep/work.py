"""What a run computes, counted: by stage, and of the worker that is done last.

Made by `mechcla.sweep.price`. Source: ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from mechcla.results import Rows
from mechcla.runs.tables import in_columns

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
    """A stage of a run. work, flops, seconds: of all of it on one worker. on_workers: seconds until
    the last of those that were asked for is done; busiest, busiest_flops: what that one computes.
    """

    name: str
    work: Work
    flops: float
    seconds: float
    on_workers: float
    busiest: Work
    busiest_flops: float


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
                    "busiest_cells": s.busiest.cells,
                    "busiest_tokens": s.busiest.tokens,
                    "busiest_flops": s.busiest_flops,
                }
                for s in self.stages
            ),
            self.settings,
        )

    def __str__(self) -> str:
        lines = _table("stage", [(s.name, s.work, s.flops, s.seconds) for s in self.stages])
        if self.workers > 1:
            each = [(s.name, s.busiest, s.busiest_flops, s.on_workers) for s in self.stages]
            lines += ["", *_table(f"busiest of {self.workers} workers", each)]
        each_gib = f"memory per process about {self.memory / 2**30:.1f} GiB"
        disk = f"disk about {self.disk / 2**20:,.0f} MiB"
        return "\n".join([*lines, f"{each_gib}; {disk}", self.limit])


def _table(head: str, rows: Sequence[tuple[str, Work, float, float]]) -> list[str]:
    """Name, work, FLOPs and seconds of each stage, and of the whole, as lines."""
    _, works, flops, seconds = zip(*rows, strict=True)
    whole = ("whole", sum_of(works), sum(flops), sum(seconds))
    table = [(head, "cells", "tokens", "FLOPs", "time")]
    for name, work, operations, took in (*rows, whole):
        cells = f"{work.cells:,}" if work.cells else ""
        tokens = f"{work.tokens:,}" if work.tokens else ""
        table.append((name, cells, tokens, f"{operations:.1e}" if operations else "", clock(took)))
    return in_columns(table)


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


def busiest(seconds: Sequence[float], workers: int) -> list[int]:
    """Which pieces the worker takes that is done last, the longest piece being taken first.

    >>> busiest([3.0, 3.0, 2.0, 2.0, 2.0], 2)  # 7 seconds; the other one has 5
    [0, 2, 4]
    """
    busy = [0.0] * workers
    taken: list[list[int]] = [[] for _ in busy]
    for piece in sorted(range(len(seconds)), key=lambda k: -seconds[k]):
        worker = busy.index(min(busy))
        busy[worker] += seconds[piece]
        taken[worker].append(piece)
    return taken[busy.index(max(busy))]
