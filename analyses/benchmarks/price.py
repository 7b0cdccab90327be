"""What --dry-run says against what the run then takes, stage by stage, in one process.

    python -m analyses.benchmarks.price --preset quick --out docs/reference/price.json

Seconds are the process's own CPU time where the model is on the CPU and runs in one thread, so that
others on the machine do not count; else time on the wall.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

import mechcla
from analyses.common import write_record
from mechcla.models.hooked_model import HookedModel
from mechcla.runs.run import read_run
from mechcla.sweep import rates
from mechcla.sweep.config import SweepConfig, parse
from mechcla.sweep.held import find_items, find_model
from mechcla.sweep.on_test import report_test
from mechcla.sweep.price import price_of
from mechcla.sweep.ready import make_ready
from mechcla.sweep.report import draw, tabulate, write_tables
from mechcla.sweep.runner import open_sweep
from mechcla.sweep.search import choose
from mechcla.sweep.sweep import draw_page, telling


def measured(
    config: SweepConfig, model: HookedModel, items: mechcla.ItemSet, clock: Callable[[], float]
) -> dict[str, tuple[float, int]]:
    """Seconds and cells of each stage of a run."""
    marks = [clock()]
    with closing(open_sweep(config, model, items)) as sweep, telling(sweep.store):
        marks.append(clock())
        choices = choose(sweep)
        dev = len(sweep.counted)
        marks.append(clock())
        values = report_test(sweep, choices.methods())
        marks.append(clock())
        tables = tabulate(sweep, choices, values)
        write_tables(sweep, choices, tables)
        draw(sweep, choices, tables)
        cells = {"vectors": 0, "dev": dev, "test": len(sweep.counted) - dev}
    draw_page(read_run(config.out), lambda text: None)
    marks.append(clock())
    spent = [end - begin for begin, end in pairwise(marks)]
    names = ("vectors", "dev", "test", "tables and figures")
    return {n: (s, cells.get(n, 0)) for n, s in zip(names, spent, strict=True)}


def main(arguments: list[str] | None = None) -> int:
    """Write the record; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, help="a JSON file; default: none")
    chosen, settings = parser.parse_known_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        config = parse([*settings, "--out", f"{folder}/run"])
        if config.threads:
            torch.set_num_threads(config.threads)
        items, model = find_items(config), find_model(config)
        clock, named = clock_of(model.device)
        rates.CLOCK = clock
        begun = clock()
        price = price_of(make_ready(config, model, items))
        asked = clock() - begun
        found = measured(config, model, items, clock)
    rows: list[dict[str, Any]] = []
    for stage in price.stages:
        seconds, cells = found[stage.name]
        rows.append(
            {
                "stage": stage.name,
                "cells_said": stage.work.cells,
                "cells": cells,
                "said": stage.seconds,
                "measured": seconds,
            }
        )
    said, took = price.seconds, sum(seconds for seconds, _ in found.values())
    rows.append(
        {
            "stage": "whole",
            "cells_said": sum(s.work.cells for s in price.stages),
            "cells": sum(cells for _, cells in found.values()),
            "said": said,
            "measured": took,
        }
    )
    record = {
        "model": config.model,
        "preset": config.preset,
        "clock": named,
        "threads": torch.get_num_threads(),
        "device": str(model.device),
        "platform": platform.platform(),
        "commit": commit(),
        "price_took": asked,
        "off": said / took - 1,
        "rows": rows,
    }
    print(price)
    print(json.dumps(record, indent=1))
    if chosen.out:
        write_record(chosen.out, record)
    return 0


def clock_of(device: torch.device) -> tuple[Callable[[], float], str]:
    """The process's own CPU time where it says what the work takes, else time on the wall; and its
    name.
    """
    alone = device.type == "cpu" and torch.get_num_threads() == 1
    return (time.process_time, "cpu") if alone else (time.perf_counter, "wall")


def commit() -> str:
    """The commit that ran, short."""
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


if __name__ == "__main__":
    raise SystemExit(main())
