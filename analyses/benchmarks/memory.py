"""The most memory that a sweep, its vectors and the geometry need as items, cells and languages
grow: each size in a process of its own.

    python -m analyses.benchmarks.memory --out docs/reference/memory.json

A small random model and made-up items; nothing is read or downloaded. What is measured is the peak
beyond what the process held before, model and items in it: memory of its own (`anonymous`), and
with the mapped files that the operating system may drop (`resident`).
"""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before any library looks

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

import mechcla
from analyses.benchmarks.peaks import Peak, watched
from analyses.benchmarks.price import commit
from analyses.benchmarks.random_models import checked, wrapped
from analyses.benchmarks.train_cost import machine
from analyses.many_languages import made_up
from mechcla.geometry import convergence
from mechcla.sources.global_mmlu.cues import LANGUAGES
from mechcla.vectors.extract import extract
from mechcla.vectors.residuals import cache_residuals

GROWS = {"items": (16, 64, 256), "cells": (1, 4, 16), "languages": (2, 8, 32)}
LEAST = {name: sizes[0] for name, sizes in GROWS.items()}
WORK = ("sweep", "vectors", "residuals", "separation", "silhouette")
CACHE_MIB = 1  # of a sweep's cached residuals: less than the largest sizes have


def of(work: str, items: int, cells: int, languages: int) -> Peak:
    """The peak of one kind of work at one size, in this process."""
    model = wrapped("tiny-llama", torch.device("cpu"), torch.float32)
    held = made_up([k for k in LANGUAGES if k != "en"][:languages], items)

    def sweep() -> None:
        settings: dict[str, Any] = {
            "layers": [0, 1, 2, 3],
            "en_strengths": [0.3 + 0.01 * k for k in range(cells)],
            "loc_strengths": [2.0 + 0.01 * k for k in range(cells)],
            "dev_items": None,
            "test_items": None,
            "resamples": 100,
            "restore": False,
            "cache_mib": CACHE_MIB,
        }
        with tempfile.TemporaryDirectory() as folder:
            mechcla.run_sweep(model, held, out=f"{folder}/run", **settings)

    def residuals() -> Any:
        return cache_residuals(model, held.universal)

    runs: dict[str, Callable[[], object]] = {
        "sweep": sweep,
        "vectors": lambda: extract(model, held.dev),
        "residuals": residuals,
    }
    if work in runs:
        mechcla.score(model, held.dev.language("en"))  # what is made once, whatever the size
        return watched(runs[work])
    rows = residuals()
    return watched(lambda: convergence(rows, work, resamples=20))


def measured(work: str, **size: int) -> Peak:
    """The same in a process of its own."""
    asked = ["--work", work, *(x for k, n in size.items() for x in (f"--{k}", str(n)))]
    done = subprocess.run(
        [sys.executable, "-m", "analyses.benchmarks.memory", *asked],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(asked)}: {done.stderr.strip()[-2000:]}")
    return Peak(**json.loads(done.stdout.splitlines()[-1]))


def grown(work: str) -> list[dict[str, Any]]:
    """A row per axis and size; vectors and geometry have no cells."""
    rows: list[dict[str, Any]] = []
    for axis, sizes in GROWS.items():
        if axis == "cells" and work != "sweep":
            continue
        for n in sizes:
            size = LEAST | {axis: n}
            rows.append({"work": work, "grows": axis, **size, **asdict(measured(work, **size))})
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    return rows


def main(arguments: list[str] | None = None) -> int:
    """Write the record; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks/memory.json"))
    parser.add_argument("--work", choices=WORK, help="one size of this, in this process")
    for name, n in LEAST.items():
        parser.add_argument(f"--{name}", type=int, default=n)
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    if chosen.work:
        found = of(chosen.work, chosen.items, chosen.cells, chosen.languages)
        print(json.dumps(asdict(found)))
        return 0
    record = {
        "commit": commit(),
        "machine": machine(torch.device("cpu")),
        "cache_mib": CACHE_MIB,
        "rows": [row for work in WORK for row in grown(work)],
    }
    checked(chosen.out).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(record, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
