"""The most memory that a sweep, its vectors and the geometry need as items, cells and languages
grow: each size in a process of its own.

    python -m analyses.benchmarks.memory --out docs/reference/memory.json

A small random model and made-up items; nothing is read or downloaded. What is measured is the peak
beyond what the process held before, model and items in it: memory of its own (`anonymous`), and
with the mapped files that the operating system may drop (`resident`). The figure, of the same name,
lies beside the record.
"""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before any library looks

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure

from analyses.benchmarks.peaks import Peak, watched
from analyses.benchmarks.price import commit
from analyses.benchmarks.random_models import wrapped
from analyses.benchmarks.train_cost import machine
from analyses.common import write_record
from analyses.many_languages import made_up
from mechcla import ItemSet, plots, run_sweep
from mechcla.geometry import convergence
from mechcla.plots.style import new_figure
from mechcla.sources.global_mmlu.cues import LANGUAGES
from mechcla.vectors.extract import extract
from mechcla.vectors.residuals import cache_residuals

GROWS = {
    "items": (32, 64, 128, 256),
    "cells": (1, 4, 8, 16),
    "languages": (2, 4, 8, 16),
}
LEAST = {name: sizes[0] for name, sizes in GROWS.items()}
LABELS = {
    "items": "items per kind, split and language",
    "cells": "strengths of each family",
    "languages": "steered languages",
}
# The figure leaves residuals out: what the sweep before them left at hand is not counted again.
COLOURS = {
    "sweep": "#4477AA",
    "vectors": "#228833",
    "separation": "#CCBB44",
    "silhouette": "#EE6677",
}
CACHE_MIB = 1  # of a sweep's cached residuals: less than the larger sizes have
MAX_TOKENS = 512  # of a sweep's batch: fewer than the smallest size has


def of(items: int, cells: int, languages: int) -> dict[str, Peak]:
    """The peak of each kind of work at one size, in this process."""
    model = wrapped("tiny-llama", torch.device("cpu"), torch.float32)
    names = [k for k in LANGUAGES if k != "en"][:languages]
    held = made_up(names, items)

    def sweep(over: ItemSet, cells: int) -> None:
        settings: dict[str, Any] = {
            "layers": [0, 1, 2, 3],
            "en_strengths": [0.3 + 0.01 * k for k in range(cells)],
            "loc_strengths": [2.0 + 0.01 * k for k in range(cells)],
            "dev_items": None,
            "test_items": None,
            "resamples": 100,
            "restore": False,
            "cache_mib": CACHE_MIB,
            "max_tokens": MAX_TOKENS,
        }
        with tempfile.TemporaryDirectory() as folder:
            run_sweep(model, over, out=f"{folder}/run", **settings)

    sweep(made_up(names[:1], 2), 1)  # what is loaded and measured once, whatever the size
    found = {"sweep": watched(lambda: sweep(held, cells))}
    found["vectors"] = watched(lambda: extract(model, held.dev))
    found["residuals"] = watched(lambda: cache_residuals(model, held.universal))
    with tempfile.TemporaryDirectory() as folder:
        spill = partial(cache_residuals, model, held.universal, folder=folder)
        found["residuals in a folder"] = watched(spill)
        rows = spill()  # read back
        for measure in ("separation", "silhouette"):
            found[measure] = watched(partial(convergence, rows, measure, resamples=20))
    return found


def measured(size: dict[str, int]) -> list[dict[str, Any]]:
    """The same in a process of its own, a row per kind of work."""
    asked = ["--one", *(x for k, n in size.items() for x in (f"--{k}", str(n)))]
    done = subprocess.run(
        [sys.executable, "-m", "analyses.benchmarks.memory", *asked],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(asked)}: {done.stderr.strip()[-2000:]}")
    found: dict[str, dict[str, int]] = json.loads(done.stdout.splitlines()[-1])
    print(json.dumps(size | {"peaks": found}), file=sys.stderr, flush=True)
    return [{"work": work, **size, **peak} for work, peak in found.items()]


def sizes() -> list[dict[str, int]]:
    """The least size, and each axis by itself from there."""
    more = [LEAST | {axis: n} for axis, grown in GROWS.items() for n in grown[1:]]
    return [LEAST, *more]


def figure_of(rows: list[dict[str, Any]]) -> Figure:
    """A panel per axis: the peak of each kind of work against the size, the others at their least.

    Kinds of work that do not know an axis are not drawn on it.
    """
    figure, panels = new_figure(10.0, 3.4, len(GROWS), sharey=True)
    for panel, (axis, grown) in zip(panels, GROWS.items(), strict=True):
        for work in dict.fromkeys(row["work"] for row in rows):
            if work not in COLOURS or (axis == "cells" and work != "sweep"):
                continue
            by_size = {
                row[axis]: row["anonymous"] / 2**20
                for row in rows
                if row["work"] == work
                and all(row[other] == n for other, n in LEAST.items() if other != axis)
            }
            peaks = [by_size[n] for n in grown]
            panel.plot(grown, peaks, "o-", ms=3.5, label=work, color=COLOURS[work])
        panel.set(xlabel=LABELS[axis], xlim=(0, None), ylim=(0, None), xticks=grown[1:])
    panels[0].set_ylabel("peak beyond model and items, MiB")
    panels[1].legend(*panels[0].get_legend_handles_labels(), frameon=False, loc="lower right")
    return figure


def main(arguments: list[str] | None = None) -> int:
    """Write the record; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks/memory.json"))
    parser.add_argument("--one", action="store_true", help="one size, in this process")
    for name, n in LEAST.items():
        parser.add_argument(f"--{name}", type=int, default=n)
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    if chosen.one:
        found = of(chosen.items, chosen.cells, chosen.languages)
        print(json.dumps({work: asdict(peak) for work, peak in found.items()}))
        return 0
    record = {
        "commit": commit(),
        "machine": machine(torch.device("cpu")),
        "cache_mib": CACHE_MIB,
        "max_tokens": MAX_TOKENS,
        "rows": [row for size in sizes() for row in measured(size)],
    }
    write_record(chosen.out, record)
    print(plots.save(figure_of(record["rows"]), chosen.out.with_suffix("")), file=sys.stderr)
    print(json.dumps(record, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
