"""The engine on a GPU, sized to five minutes: a sweep of a model of a real shape with random
weights against run_with_hooks, the rate of matrix products, a small model against transformers
hooks, and what a shared beginning saves.

    python -m analyses.benchmarks.gpu --device cuda

Everything is made on the device; nothing is downloaded. Peers and engine do the same cells on the
same tokens, and how far their log-likelihoods lie apart is part of the record, as the card is. OUT
is written after every section, so that what was measured stays if time ends.

Targets: 15 times run_with_hooks and 0.5 of the rate of a product for the large model; 4 times
transformers hooks for the small one.
"""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before any library looks

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

import mechcla
from analyses.benchmarks import beginnings, paths
from analyses.benchmarks.counting import count
from analyses.benchmarks.random_models import NAMES, wrapped
from analyses.benchmarks.train_cost import machine
from analyses.benchmarks.workload import Result, Workload, evenly, largest_difference
from analyses.common import one_message, write_record
from mechcla import scoring
from mechcla.engine.batch_size import batch_tokens
from mechcla.models.hooked_model import HookedModel
from mechcla.models.load import DTYPES

STRENGTHS = (0.15, 0.3, 0.6)


def parsed(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", choices=NAMES, default="gemma3-12b", help="the large model")
    parser.add_argument(
        "--small", default="demo", choices=("demo", *NAMES), help="demo: the demo model itself"
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", choices=DTYPES, default="bfloat16", help="of the large model")
    parser.add_argument("--items", type=int, default=24)
    parser.add_argument("--small-items", type=int, default=6)
    parser.add_argument("--rows", type=int, default=128, help="rows per batch of the peers")
    parser.add_argument("--product", type=int, default=8192, help="rows of the matrix product")
    parser.add_argument("--max-tokens", nargs="+", default=["2048", "auto", "32768"])
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument(
        "--compile",
        action=argparse.BooleanOptionalAction,
        default=torch.cuda.is_available(),
        help="the engine on compiled blocks too",
    )
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks/gpu.json"))
    return parser.parse_args(arguments)


def workload(model: HookedModel, n_items: int, rows: int) -> Workload:
    """Every layer and three strengths of an EN vector, on Spanish items of both kinds."""
    items = mechcla.load_items("demo", languages=["es"])
    ids = {item.id for item in evenly(items.universal.dev.language("en"), 30)}
    en = mechcla.en_vectors(model, items.universal.dev.where(lambda item: item.id in ids))
    tested = evenly(items.language("es").test, n_items)
    return Workload(model, tested, en, "es", tuple(range(model.n_layers)), STRENGTHS, rows)


def engine(work: Workload, max_tokens: int) -> Result:
    """The sweep by the engine, in batches of so many tokens."""
    variants = [(work.edit(cell),) for cell in work.cells]
    # fast: the counters of what ran are hooks on the blocks, and no user's.
    prepared = scoring.prepare(
        work.model, work.items, max_tokens=max_tokens, fast=True, prior=False
    )
    tables = dict(scoring.score_many(prepared, variants))
    return [[row.log_likelihood for row in tables[i]] for i in range(len(variants))]


class Device:
    """A device's clock and its memory; the CPU's memory is not counted here."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.cuda = device, device.type == "cuda"

    def wait(self) -> None:
        if self.cuda:
            torch.cuda.synchronize(self.device)

    def timed(
        self, run: Callable[[], Any], repeats: int, warm: bool = False
    ) -> tuple[Any, list[float], float]:
        """What run() gives, the seconds of each repeat, and the peak in GiB. One run more, which is
        not timed, comes first, unless the device is warm.
        """
        found, seconds = None if warm else run(), []
        if self.cuda:
            torch.cuda.reset_peak_memory_stats(self.device)
        for _ in range(repeats):
            self.wait()
            begun = time.perf_counter()
            found = run()
            self.wait()
            seconds.append(time.perf_counter() - begun)
        peak = torch.cuda.max_memory_allocated(self.device) / 2**30 if self.cuda else 0.0
        return found, seconds, peak


def product_rate(device: Device, dtype: torch.dtype, rows: int) -> float:
    """FLOP/s of a square product in the model's dtype, median of nine after two that warm up."""
    left, right = (torch.randn(rows, rows, device=device.device, dtype=dtype) for _ in range(2))
    rates = []
    for _ in range(11):
        device.wait()
        begun = time.perf_counter()
        left @ right
        device.wait()
        rates.append(2 * rows**3 / (time.perf_counter() - begun))
    return statistics.median(rates[2:])


def large(work: Workload, device: Device, args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """run_with_hooks once per cell, the engine at each batch size, and its share of the rate."""
    rate = product_rate(device, work.model.dtype, args.product)
    yield {"product_tflops": rate / 1e12, "cells": len(work.cells), "items": len(work.items)}
    paths.transformer_lens(replace(work, layers=work.layers[:1]))  # warms up
    found, [whole], peak = device.timed(partial(paths.transformer_lens, work), 1, warm=True)
    yield {
        "run_with_hooks": {
            "seconds_per_cell": whole / len(work.cells),
            "peak_gib": peak,
            "rows": work.rows,
        }
    }
    head = work.model.bridge.original_model.get_output_embeddings().weight
    rows = []
    ways = [(asked, work) for asked in args.max_tokens]
    ways += [(args.max_tokens[-1], with_compiled(work))] if args.compile else []
    for asked, work in ways:
        most = batch_tokens(work.model, asked if asked == "auto" else int(asked))
        mine, times, peak = device.timed(partial(engine, work, most), args.repeats)
        flops = count(partial(engine, work, most), work.model.blocks, head).flops
        median = statistics.median(times)
        rows.append(
            {
                "max_tokens": asked,
                "compiled": work.model.compiled,
                "tokens": most,
                "seconds_per_cell": median / len(work.cells),
                "times_run_with_hooks": whole / median,
                "of_product_rate": flops / median / rate,
                "peak_gib": peak,
                "largest_difference": largest_difference(mine, found),
                "same_choice": _same(mine, found),
            }
        )
        yield {"engine": rows}


def small(work: Workload, device: Device, args: argparse.Namespace) -> dict[str, Any]:
    """The best loop over transformers hooks against the engine at its own batch size."""
    hf_model = work.model.bridge.original_model
    peer, seconds, _ = device.timed(lambda: paths.transformer_lens(work), args.repeats)
    plain = _plain_copy(work.model)
    hooks, hook_seconds, _ = device.timed(
        partial(paths.transformers_hooks, work, hf_model=plain), args.repeats
    )
    most = batch_tokens(work.model, "auto")
    mine, times, _ = device.timed(partial(engine, work, most), args.repeats)
    median = statistics.median(times)
    more = {}
    if args.compile:
        made, seconds_compiled, _ = device.timed(
            partial(engine, with_compiled(work), most), args.repeats
        )
        more = {
            "compiled_seconds": statistics.median(seconds_compiled),
            "compiled_largest_difference": largest_difference(made, hooks),
        }
    return more | {
        "model": work.model.name,
        "parameters": sum(p.numel() for p in hf_model.parameters()),
        "cells": len(work.cells),
        "tokens": most,
        "run_with_hooks_seconds": statistics.median(seconds),
        "transformers_hooks_seconds": statistics.median(hook_seconds),
        "engine_seconds": median,
        "times_transformers_hooks": statistics.median(hook_seconds) / median,
        "largest_difference": max(largest_difference(mine, hooks), largest_difference(mine, peer)),
    }


def with_compiled(work: Workload) -> Workload:
    """The same work on a model whose blocks are compiled, of the same weights."""
    return replace(work, model=replace(work.model, compiled=True))


def _plain_copy(model: HookedModel) -> Any:
    """The same weights as transformers alone runs them, without TransformerLens' hook points."""
    from transformers import AutoModelForCausalLM

    config = model.bridge.original_model.config
    with model.device:
        plain = AutoModelForCausalLM.from_config(
            config, dtype=model.dtype, attn_implementation="eager"
        )
    own = {
        name.replace("._original_component", "").replace(".original_component", ""): tensor
        for name, tensor in model.bridge.original_model.state_dict().items()
    }
    plain.load_state_dict({name: own[name] for name in plain.state_dict()})
    return plain.to(model.device).eval()


def _same(left: Result, right: Result) -> float:
    """Share of item-cells whose best candidate is the same."""
    pairs = [(a, b) for x, y in zip(left, right, strict=True) for a, b in zip(x, y, strict=True)]
    return sum(a.index(max(a)) == b.index(max(b)) for a, b in pairs) / len(pairs)


def main(arguments: list[str] | None = None) -> int:
    sys.excepthook = one_message
    args = parsed(arguments)
    device = Device(torch.device(args.device))
    begun = time.perf_counter()
    record: dict[str, Any] = {
        "settings": {k: str(v) if isinstance(v, Path) else v for k, v in vars(args).items()},
        "machine": machine(device.device),
    }

    def keep(section: str, part: dict[str, Any]) -> None:
        record.setdefault(section, {}).update(part)
        record["seconds"] = round(time.perf_counter() - begun, 1)
        write_record(args.out, record)
        print(json.dumps({section: part}), flush=True)

    if args.small == "demo":
        model = mechcla.load_model("demo", device=args.device)
    else:
        model = wrapped(args.small, device.device, torch.float32)
    keep("small", small(workload(model, args.small_items, args.rows), device, args))
    del model
    chatty = wrapped(
        "tiny-llama" if args.shape == "tiny" else "smollm2-135m", device.device, torch.float32
    )
    keep("beginnings", beginnings.measured(chatty, args.items, 6, args.repeats))
    del chatty
    model = wrapped(args.shape, device.device, DTYPES[args.dtype])
    work = workload(model, args.items, args.rows)
    for part in large(work, device, args):
        keep("large", {"shape": args.shape, "dtype": args.dtype, **part})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
