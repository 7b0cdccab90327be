"""What it saves to run a beginning that prompts share once: a sweep and an extraction in a chat
template with a system turn, with and without, in one run.

    python -m analyses.benchmarks.beginnings --shape smollm2-135m --device cpu

Random weights of a real shape; nothing is read or downloaded. The two ways alternate, and their
log-likelihoods are compared. Seconds are the process's own CPU time where the model is on the CPU
and runs in one thread, so that others on the machine do not count; else time on the wall. One JSON
record, printed and written to OUT.
"""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before any library looks

import argparse
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import mechcla
from analyses.benchmarks.price import clock_of, commit
from analyses.benchmarks.random_models import NAMES, wrapped
from analyses.benchmarks.train_cost import machine
from analyses.benchmarks.workload import evenly, largest_difference
from analyses.common import one_message, write_record
from mechcla import scoring
from mechcla.engine.intervention import Intervention
from mechcla.models.hooked_model import HookedModel
from mechcla.models.load import DTYPES
from mechcla.vectors.activations import last_token_residuals

SYSTEM = (
    "You are a careful assistant. Answer the question in the language in which it is asked, with "
    "a single name or word, and add neither an explanation nor a full stop. "
)


def parsed(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", choices=NAMES, default="tiny-llama")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", choices=DTYPES, default="float32")
    parser.add_argument("--items", type=int, default=24)
    parser.add_argument("--layers", type=int, default=6, help="how many, evenly spread")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks/beginnings.json"))
    return parser.parse_args(arguments)


def measured(model: HookedModel, n_items: int, n_layers: int, repeats: int) -> dict[str, Any]:
    """Seconds of both ways, their ratio, the tokens of the beginning, and how far they agree."""
    items = evenly(mechcla.load_items("demo", languages=["es"]).language("es").test, n_items)
    chat = mechcla.Chat(system=SYSTEM)
    generator = torch.Generator().manual_seed(0)
    step = max(1, model.n_layers // n_layers)
    variants: list[list[Intervention]] = [[]]
    for layer in range(0, model.n_layers, step):
        vector = torch.randn(model.d_model, generator=generator)
        for strength in (0.5, 1.0, 2.0):
            variants.append([Intervention(vector, layer, strength, positions="prompt_and_answer")])
    texts = [item.prompt for item in items]
    lengths: list[int] = []

    def sweep(share: bool) -> list[list[tuple[float, ...]]]:
        prepared = scoring.prepare(model, items, chat=chat, prior=False, share=share)
        if share:
            lengths[:] = prepared.suited(tuple(variants[-1])).beginnings
        tables = dict(scoring.score_many(prepared, variants))
        return [[row.log_likelihood for row in tables[i]] for i in range(len(variants))]

    def extraction(share: bool) -> list[list[tuple[float, ...]]]:
        rows = last_token_residuals(model, texts, chat=chat, share=share)
        found = {i: r[:, k] for places, r in rows for k, i in enumerate(places)}
        return [[tuple(found[i].float().flatten().tolist()) for i in sorted(found)]]

    clock, named = clock_of(model.device)
    ways = {
        "sweep": _compared(sweep, repeats, clock),
        "extraction": _compared(extraction, repeats, clock),
    }
    return {
        **ways,
        "clock": named,
        "beginning_tokens": max(lengths, default=0),
        "prompts": len(items),
        "cells": len(variants),
    }


def _compared(
    run: Callable[[bool], list[list[tuple[float, ...]]]], repeats: int, clock: Callable[[], float]
) -> dict[str, float]:
    times: dict[bool, list[float]] = {True: [], False: []}
    found: dict[bool, list[list[tuple[float, ...]]]] = {}
    for repeat in range(repeats + 1):
        for share in (True, False):
            begun = clock()
            found[share] = run(share)
            if repeat:  # the first warms up
                times[share].append(clock() - begun)
    once, whole = (statistics.median(times[share]) for share in (True, False))
    return {
        "seconds_once": once,
        "seconds_whole": whole,
        "times_faster": whole / once,
        "largest_difference": largest_difference(found[True], found[False]),
    }


def main(arguments: list[str] | None = None) -> int:
    sys.excepthook = one_message
    args = parsed(arguments)
    device = torch.device(args.device)
    model = wrapped(args.shape, device, DTYPES[args.dtype])
    record = {
        "settings": {k: str(v) if isinstance(v, Path) else v for k, v in vars(args).items()},
        "machine": machine(device),
        "commit": commit(),
        **measured(model, args.items, args.layers, args.repeats),
    }
    print(write_record(args.out, record))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
