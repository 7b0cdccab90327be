"""What a sweep launches, and where its time goes: the bridge's blocks, the same blocks without hook
points, and compiled ones.

    python -m analyses.benchmarks.launches --device cpu

Operations are counted at torch's dispatcher: each is a kernel on a GPU, or more than one. A profile
of torch says what share of the time is matrix products. The ways alternate in one run, and their
log-likelihoods are compared. Seconds are the process's own CPU time where the model is on the CPU
and runs in one thread. One JSON record, printed and written to OUT.
"""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before any library looks

import argparse
import statistics
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch

import torch

import mechcla
from analyses.benchmarks.counting import Kernels
from analyses.benchmarks.gpu import engine, with_compiled, workload
from analyses.benchmarks.price import clock_of, commit
from analyses.benchmarks.random_models import NAMES, wrapped
from analyses.benchmarks.train_cost import machine
from analyses.benchmarks.workload import Result, Workload, largest_difference
from analyses.common import one_message, write_record
from mechcla.engine import state
from mechcla.engine.packing import collate, pack
from mechcla.models.load import DTYPES

T = TypeVar("T")
PRODUCTS = ("aten::mm", "aten::bmm", "aten::addmm", "aten::baddbmm")


def parsed(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", choices=("demo", *NAMES), default="demo")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", choices=DTYPES, default="float32")
    parser.add_argument("--items", type=int, default=6)
    parser.add_argument("--layers", type=int, default=6, help="how many, evenly spread")
    parser.add_argument("--max-tokens", type=int, default=2048)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--compile", action="store_true", help="compiled blocks as a third way")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks/launches.json"))
    return parser.parse_args(arguments)


def on_the_bridge(run: Callable[[], T]) -> T:
    """run() with the engine on the bridge's own blocks alone."""
    with patch.object(state, "native_blocks", lambda *_: ()):
        return run()


def of_a_block(work: Workload) -> dict[str, int]:
    """Operations that one block in the middle launches, with and without hook points."""
    model = work.model
    packed = [pack(item, model.tokenizer) for item in work.items]
    begun = state.start(model, collate(packed, model.pad_id))
    k = model.n_layers // 2
    native, h, given = begun.native[k], begun.trunk[k], begun.calls[k]
    found = {"bridge": launched(lambda: model.blocks[k](h, **given))}
    if native is not None:
        found["native"] = launched(lambda: native(h, given))
    return found


def launched(run: Callable[[], object]) -> int:
    """Operations that run() launches, views left out."""
    with torch.inference_mode(), Kernels() as kernels:
        run()
    return kernels.launched


def profiled(run: Callable[[], object], cuda: bool) -> dict[str, Any]:
    """The share of the time that is matrix products, and the operations that take the most."""
    activity = torch.profiler.ProfilerActivity
    watched = [activity.CPU, *([activity.CUDA] if cuda else [])]
    with torch.profiler.profile(activities=watched) as profile:
        run()

    def time(event: Any) -> float:
        spent: float = event.self_device_time_total if cuda else event.self_cpu_time_total
        return spent

    events = sorted(profile.key_averages(), key=time, reverse=True)
    whole = sum(time(e) for e in events) or 1.0
    return {
        "products": sum(time(e) for e in events if e.key in PRODUCTS) / whole,
        "most": {e.key: round(time(e) / whole, 4) for e in events[:12]},
    }


def measured(work: Workload, most: int, repeats: int, compiled: bool) -> dict[str, Any]:
    """Every way once to warm up, then in turn; counts, shares and differences beside the times."""
    clock, clock_name = clock_of(work.model.device)
    ways: dict[str, Callable[[], Result]] = {
        "bridge": lambda: on_the_bridge(lambda: engine(work, most))
    }
    ways["native"] = lambda: engine(work, most)
    if compiled:
        other = with_compiled(work)
        ways["compiled"] = lambda: engine(other, most)
    results = {name: run() for name, run in ways.items()}
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, run in ways.items():
            begun = clock()
            run()
            times[name].append(clock() - begun)
    cuda = work.model.device.type == "cuda"
    found: dict[str, Any] = {"clock": clock_name, "cells": len(work.cells), "ways": {}}
    for name, run in ways.items():
        found["ways"][name] = {
            "seconds": statistics.median(times[name]),
            "all_seconds": times[name],
            "times_bridge": statistics.median(times["bridge"]) / statistics.median(times[name]),
            "difference_to_bridge": largest_difference(results[name], results["bridge"]),
            # torch compiles nothing under a counter
            **({} if name == "compiled" else {"launched": launched(run)}),
            **profiled(run, cuda),
        }
    return found


def rows(ways: dict[str, Any]) -> list[dict[str, str]]:
    """The same as a table for the docs."""
    named = {
        "bridge": "TransformerLens' blocks",
        "native": "without hook points",
        "compiled": "compiled",
    }
    return [
        {
            "blocks": named[name],
            "seconds": f"{way['seconds']:.2f} ({min(way['all_seconds']):.2f}-"
            f"{max(way['all_seconds']):.2f})",
            "times as fast": f"{way['times_bridge']:.2f}",
            "operations launched": f"{way['launched']:,}" if "launched" in way else "not counted",
            "share of matrix products": f"{way['products']:.2f}",
            "largest difference in log-likelihood": f"{way['difference_to_bridge']:.1g}",
        }
        for name, way in ways.items()
    ]


def main(arguments: list[str] | None = None) -> int:
    sys.excepthook = one_message
    args = parsed(arguments)
    device, dtype = torch.device(args.device), DTYPES[args.dtype]
    if args.shape == "demo":
        model = mechcla.load_model("demo", device=args.device, dtype=args.dtype)
    else:
        model = wrapped(args.shape, device, dtype)
    work = workload(model, args.items, 15)
    step = max(1, model.n_layers // args.layers)
    work = replace(work, layers=work.layers[::step][: args.layers])
    record = {
        "commit": commit(),
        "settings": {k: str(v) if isinstance(v, Path) else v for k, v in vars(args).items()},
        "machine": machine(device),
        "block": of_a_block(work),
        **measured(work, args.max_tokens, args.repeats, args.compile),
    }
    record["rows"] = rows(record["ways"])
    print(write_record(args.out, record))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
