"""make bench: mechcla's engine against its peers, on one machine, in one run, alternating.

python -m analyses.benchmarks --help
"""

from __future__ import annotations

import argparse
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import date
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm
from transformers import AutoModelForCausalLM

import mechcla
from analyses.benchmarks import extraction, paths, report
from analyses.benchmarks.counting import Counts, count, matmul_rate
from analyses.benchmarks.peaks import peak_bytes
from analyses.benchmarks.price import commit
from analyses.benchmarks.workload import Result, Workload, evenly, largest_difference
from mechcla.models.demo import demo_folder

PATHS = ("TransformerLens run_with_hooks", "transformers hooks", "lm-eval SteeredModel", "mechcla")
SAVINGS = (
    PATHS[0],
    "+ scored positions only",
    "+ shared prompts",
    "+ resume",
    "+ batched strengths",
)


def main() -> int:
    """Run everything that was asked for and write the folder."""
    args = _arguments()
    if args.threads:
        torch.set_num_threads(args.threads)
    dtype = getattr(torch, args.dtype)
    folder = str(demo_folder()) if args.model == "demo" else args.model
    model = mechcla.load_model(args.model, device=args.device, dtype=args.dtype)
    hf_model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).to(model.device).eval()
    items = mechcla.load_items("demo", languages=[args.language])
    en = mechcla.en_vectors(model, evenly_paired(items.universal.dev, args.vector_items))
    every = tuple(range(model.n_layers))
    work = Workload(
        model,
        evenly(items.language(args.language).test, args.items),
        en,
        args.language,
        every[:: args.layer_step],
        tuple(args.strengths),
        args.rows,
    )
    record: dict[str, Any] = {
        "commit": commit(),
        "date": date.today().isoformat(),
        "settings": vars(args) | {"out": str(args.out)},
        "machine": machine(model.device),
        "versions": versions(),
    }
    rate = [matmul_rate(model.device, dtype)]
    if "paths" in args.sections:
        record |= compare(work, hf_model, folder, args, rate)
    rate.append(matmul_rate(model.device, dtype))
    record["matmul_gflops"] = [r / 1e9 for r in rate]
    if "extraction" in args.sections:
        record["extraction"] = compare_extraction(
            model, hf_model, evenly_paired(items.universal.dev, args.vector_items), args
        )
    if "scaling" in args.sections:
        record["scaling"] = scaling(work, items.language(args.language).test)
    if "dtypes" in args.sections:
        record["dtypes"] = dtypes(work, args)
    for path in report.save(args.out, record):
        print(path)
    print((args.out / "tables.md").read_text())
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m analyses.benchmarks", description=__doc__)
    parser.add_argument("--model", default="demo", help="'demo', a folder or a Hugging Face id")
    parser.add_argument("--device", default=None, help="default: cuda if present")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--language", default="es")
    parser.add_argument(
        "--items", type=int, default=6, help="test items of both kinds scored in every cell"
    )
    parser.add_argument("--vector-items", type=int, default=32, help="pairs for the vectors")
    parser.add_argument("--layer-step", type=int, default=1, help="1: every layer")
    parser.add_argument("--strengths", type=float, nargs="+", default=[0.15, 0.3, 0.6])
    parser.add_argument("--rows", type=int, default=15, help="rows per batch of the peers")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument(
        "--sections", nargs="+", default=["paths", "extraction", "scaling", "dtypes"]
    )
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks"))
    return parser.parse_args()


def evenly_paired(items: mechcla.ItemSet, n: int) -> mechcla.ItemSet:
    """n ids spread over the set, in all its languages."""
    ids = {item.id for item in evenly(items.language("en"), n)}
    return items.where(lambda item: item.id in ids)


def compare(
    work: Workload, hf_model: Any, folder: str, args: argparse.Namespace, rate: list[float]
) -> dict[str, Any]:
    """Time all paths in turn, check that they agree, and count what each did."""
    runs: dict[str, tuple[Callable[[Workload], Result], torch.nn.ModuleList, torch.Tensor]] = {}
    bridge = (work.model.blocks, work.model.bridge.original_model.get_output_embeddings().weight)
    plain = (hf_model.model.layers, hf_model.lm_head.weight)
    runs[PATHS[0]] = (paths.transformer_lens, *bridge)
    runs[PATHS[1]] = (partial(paths.transformers_hooks, hf_model=hf_model), *plain)
    lm = _lm_eval(folder, args)
    if lm is not None:
        runs[PATHS[2]] = (
            partial(paths.lm_eval_steered, lm=lm),
            lm.model.model.layers,
            lm.model.lm_head.weight,
        )
    for name, function in zip(
        SAVINGS[1:], (paths.scored_positions, paths.shared_prompts, paths.resume), strict=False
    ):
        runs[name] = (function, *bridge)
    runs[PATHS[3]] = (paths.mechcla_engine, *bridge)
    times: dict[str, list[float]] = {name: [] for name in runs}
    results: dict[str, Result] = {}
    counts: dict[str, Counts] = {}
    with tqdm(total=len(runs) * (args.repeats + 1), unit="run", file=sys.stderr) as bar:
        for repeat in range(args.repeats + 1):
            for name, (run, blocks, head) in runs.items():
                bar.set_postfix_str(name)
                # Counted, not timed: counters cost time, and the first run warms up.
                if repeat == 0:
                    peer = name in PATHS[:3]
                    found = count(partial(run, _one_layer(work) if peer else work), blocks, head)
                    counts[name] = (
                        Counts(*(v * len(work.layers) for v in asdict(found).values()))
                        if peer
                        else found
                    )
                else:
                    begun = time.perf_counter()
                    results[name] = run(work)
                    times[name].append(time.perf_counter() - begun)
                bar.update()
            rate.append(matmul_rate(work.model.device, work.model.dtype))
    mine = statistics.median(times[PATHS[3]])
    slow = statistics.median(times[PATHS[0]])
    machine_rate = statistics.median(rate)

    def row(name: str, label: str, faster: float) -> dict[str, Any]:
        t, c = times[name], counts[name]
        median = statistics.median(t)
        return {
            "path": label,
            "median_s": median,
            "min_s": min(t),
            "max_s": max(t),
            "times_faster": faster,
            "blocks": c.blocks,
            "block_tokens": c.block_tokens,
            "unembedded": c.unembedded,
            "gflop": c.flops / 1e9,
            "of_matmul_rate": c.flops / median / machine_rate,
            "largest_difference": largest_difference(results[name], results[PATHS[0]]),
        }

    named = [n for n in PATHS if n in runs]
    steps = [PATHS[0], *SAVINGS[1:4], PATHS[3]]
    return {
        "paths": [row(n, n, statistics.median(times[n]) / mine) for n in named],
        "savings": [
            row(n, label, slow / statistics.median(times[n]))
            for n, label in zip(steps, SAVINGS, strict=True)
        ],
        "times_s": times,
        "cells": len(work.cells),
        "items": len(work.items),
        "candidates": sum(len(i.candidates) for i in work.items),
    }


def _one_layer(work: Workload) -> Workload:
    """The peers do the same work at every layer: one layer is counted and multiplied."""
    return Workload(
        work.model,
        work.items,
        work.vectors,
        work.language,
        work.layers[:1],
        work.strengths,
        work.rows,
    )


def _lm_eval(folder: str, args: argparse.Namespace) -> Any | None:
    try:
        from lm_eval.models.hf_steered import SteeredModel
    except ImportError as error:
        print(
            f"lm-eval is not installed ({error}); its row is left out: pip install '.[bench]'",
            file=sys.stderr,
        )
        return None
    import tempfile

    with tempfile.NamedTemporaryFile(suffix=".pt") as file:
        torch.save({}, file.name)
        return SteeredModel(
            folder,
            steer_path=file.name,
            device=args.device or ("cuda" if torch.cuda.is_available() else "cpu"),
            dtype=args.dtype,
            batch_size=args.rows,
            add_bos_token=False,
        )


def compare_extraction(
    model: Any, hf_model: Any, items: mechcla.ItemSet, args: argparse.Namespace
) -> list[dict[str, Any]]:
    """Time and peak memory of making the EN vectors of one language at all layers."""
    runs: dict[str, Callable[[], list[torch.Tensor]]] = {
        "steering-vectors": partial(
            extraction.with_steering_vectors,
            hf_model,
            model.tokenizer,
            items,
            args.language,
            args.rows,
        ),
        "mechcla": partial(extraction.with_mechcla, model, items, args.language),
    }
    try:
        import steering_vectors  # noqa: F401
    except ImportError:
        print("steering-vectors is not installed; extraction is left out", file=sys.stderr)
        return []
    times: dict[str, list[float]] = {name: [] for name in runs}
    peaks, made = {}, {}
    for name, run in runs.items():
        peaks[name] = peak_bytes(run)
    for _ in range(args.repeats):
        for name, run in runs.items():
            begun = time.perf_counter()
            made[name] = run()
            times[name].append(time.perf_counter() - begun)
    mine = statistics.median(times["mechcla"])
    gap = extraction.largest_relative_difference(made["mechcla"], made["steering-vectors"])
    return [
        {
            "path": n,
            "median_s": statistics.median(t),
            "min_s": min(t),
            "max_s": max(t),
            "times_faster": statistics.median(t) / mine,
            "peak_mib": peaks[n] / 2**20,
            "largest_relative_difference": gap,
            "pairs": len(items.language("en")),
        }
        for n, t in times.items()
    ]


def scaling(work: Workload, pool: mechcla.ItemSet) -> list[dict[str, Any]]:
    """mechcla alone: items x1, x2, x4, x8 at every layer, and more and more layers at x4."""
    rows = []
    base = len(work.items)
    points = [("items", evenly(pool, base * k), work.layers) for k in (1, 2, 4, 8)]
    points += [
        ("layers", evenly(pool, base * 4), tuple(work.layers[:: len(work.layers) // n])[:n])
        for n in (3, 6, 9, len(work.layers))
    ]
    for grows, items, layers in points:
        part = Workload(
            work.model, items, work.vectors, work.language, layers, work.strengths, work.rows
        )
        begun = time.perf_counter()
        peak = peak_bytes(partial(paths.mechcla_engine, part))
        rows.append(
            {
                "grows": grows,
                "items": len(items),
                "layers": len(layers),
                "item_cells": len(items) * len(part.cells),
                "seconds": time.perf_counter() - begun,
                "peak_mib": peak / 2**20,
            }
        )
    return rows


def dtypes(work: Workload, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Parity by dtype: the engine against run_with_hooks in the same dtype, and against float32's
    own numbers.
    """
    layers = tuple(work.layers[:: max(1, len(work.layers) // 4)])[:4]
    rows, reference = [], None
    for name in ("float32", "bfloat16"):
        model = mechcla.load_model(args.model, device=args.device, dtype=name)
        vectors = replace(work.vectors, record={})  # float32's vectors in both
        part = Workload(
            model, work.items, vectors, work.language, layers, work.strengths, work.rows
        )
        plain, engine = paths.transformer_lens(part), paths.mechcla_engine(part)
        reference = plain if reference is None else reference
        begun = time.perf_counter()
        paths.mechcla_engine(part)
        rows.append(
            {
                "dtype": name,
                "engine_against_run_with_hooks": largest_difference(engine, plain),
                "against_float32": largest_difference(engine, reference),
                "same_choice_as_float32": same_choices(engine, reference),
                "seconds": time.perf_counter() - begun,
            }
        )
    return rows


def same_choices(left: Result, right: Result) -> float:
    """Share of item-cells whose best candidate is the same."""
    pairs = [(a, b) for x, y in zip(left, right, strict=True) for a, b in zip(x, y, strict=True)]
    return sum(a.index(max(a)) == b.index(max(b)) for a, b in pairs) / len(pairs)


def machine(device: torch.device) -> dict[str, Any]:
    """What the numbers were measured on."""
    name = (
        torch.cuda.get_device_name()
        if device.type == "cuda"
        else platform.processor() or platform.machine()
    )
    return {
        "device": str(device),
        "name": name,
        "threads": torch.get_num_threads(),
        "platform": platform.platform(),
    }


def versions() -> dict[str, str]:
    """The peers' versions."""
    found = {"python": platform.python_version()}
    for name in (
        "torch",
        "transformers",
        "transformer-lens",
        "lm-eval",
        "steering-vectors",
        "mechcla",
    ):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


if __name__ == "__main__":
    raise SystemExit(main())
