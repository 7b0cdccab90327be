"""What training costs: memory and time per step of each method on random weights of a real shape.

    python -m analyses.benchmarks.train_cost --shape gemma3-12b --device cuda --out cost.json

A model of the shape is made on the device, no checkpoint is read and nothing is downloaded. Data,
plan, losses and Trainer are those of `python -m mechcla align`. One JSON line per method and size
of micro-batch, as soon as it is known; OUT holds all of them.
"""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before any library looks

import argparse
import json
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from analyses.benchmarks.peaks import peak_bytes
from analyses.common import one_message, write_record
from mechcla.align.config import AlignConfig, make
from mechcla.align.data import TrainingData
from mechcla.align.loaders import load_data
from mechcla.align.plan import Plan, make_plan
from mechcla.align.trainer import train
from mechcla.align.training import with_adapter
from mechcla.errors import MechclaError
from mechcla.models.load import DTYPES

# Gemma 3's text decoders; source: the config.json of google/gemma-3-12b-pt and -270m. The 12B has
# 64 rows more in its embedding, which its image tokens take.
GEMMA = {
    "vocab_size": 262_144,
    "head_dim": 256,
    "query_pre_attn_scalar": 256,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "bos_token_id": 2,
    "tie_word_embeddings": True,
}
SHAPES: dict[str, dict[str, Any]] = {
    "gemma3-12b": GEMMA
    | {
        "hidden_size": 3840,
        "intermediate_size": 15_360,
        "num_hidden_layers": 48,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "sliding_window": 1024,
        "max_position_embeddings": 131_072,
    },
    "demo": GEMMA
    | {
        "hidden_size": 640,
        "intermediate_size": 2048,
        "num_hidden_layers": 18,
        "num_attention_heads": 4,
        "num_key_value_heads": 1,
        "sliding_window": 512,
        "max_position_embeddings": 32_768,
    },
    "tiny": GEMMA
    | {
        "vocab_size": 2048,
        "head_dim": 8,
        "query_pre_attn_scalar": 8,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "sliding_window": 64,
        "max_position_embeddings": 512,
    },
}


def parsed(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", choices=SHAPES, default="tiny")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--dtype", choices=("float32", "bfloat16"), default="bfloat16", help="of the base"
    )
    parser.add_argument(
        "--tokenizer",
        default="",
        help="a folder with a tokenizer of at most the shape's vocabulary; 'made' makes a "
        "byte-level one of the data; default: the demo model's, 'made' for tiny",
    )
    parser.add_argument(
        "--data", default="demo", help="texts, as `mechcla align --data` takes them"
    )
    parser.add_argument("--methods", nargs="+", default=["mist", "midalign", "clo"])
    parser.add_argument("--steps", type=int, default=5, help="optimizer steps of each training")
    parser.add_argument("--batch-rows", type=int, default=96)
    parser.add_argument("--batch-tokens", type=int, nargs="+", default=[2048])
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument(
        "--gradient-checkpointing", action=argparse.BooleanOptionalAction, default=True
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks/train_cost.json"))
    return parser.parse_args(arguments)


def random_model(shape: str, device: torch.device, dtype: torch.dtype) -> Any:
    """A Gemma 3 decoder with random weights, made on the device, eager attention as `align` has."""
    from transformers import Gemma3TextConfig

    return of_config(Gemma3TextConfig(**SHAPES[shape]), device, dtype)


def of_config(config: Any, device: torch.device, dtype: torch.dtype) -> Any:
    """A decoder of a config, with random weights from seed 0, made on the device."""
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    with device:
        model = AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation="eager")
    return model.to(device).eval()


def tokenizer_of(args: argparse.Namespace, data: TrainingData) -> Any:
    """The tokenizer asked for. Raises MechclaError for one beyond the shape's vocabulary."""
    from transformers import AutoTokenizer

    rows = SHAPES[args.shape]["vocab_size"]
    name = args.tokenizer or ("made" if args.shape == "tiny" else "demo")
    if name == "made":
        return made_tokenizer(data, rows)
    if name == "demo":
        from mechcla.models.demo import demo_folder

        name = str(demo_folder())
    found = AutoTokenizer.from_pretrained(name, local_files_only=True)
    if max(found.get_vocab().values()) > rows:  # one may lie beyond: Gemma 3's image token
        raise MechclaError(
            f"the tokenizer {name!r} has {len(found)} tokens, the shape {args.shape!r} {rows} "
            "embeddings; name a smaller one, or --tokenizer made"
        )
    return found


def made_tokenizer(data: TrainingData, size: int) -> Any:
    """A byte-level BPE of the data's own texts, with BOS before each text as Gemma's has it."""
    from tokenizers import Tokenizer
    from tokenizers.models import BPE
    from tokenizers.pre_tokenizers import ByteLevel
    from tokenizers.processors import TemplateProcessing
    from tokenizers.trainers import BpeTrainer
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    trainer = BpeTrainer(
        vocab_size=size,
        special_tokens=["<pad>", "<eos>", "<bos>"],
        initial_alphabet=ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([text for *_, text in data.texts()], trainer)
    tokenizer.post_processor = TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 2)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", bos_token="<bos>"
    )


class Clock:
    """When each optimizer step was done, by the device's own time."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.times: list[float] = []

    def now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def __enter__(self) -> Clock:
        self.handle = register_optimizer_step_post_hook(self._stepped)
        self.times = [self.now()]
        return self

    def __exit__(self, *_: object) -> None:
        self.handle.remove()

    def _stepped(self, *_: object) -> None:
        self.times.append(self.now())

    @property
    def seconds(self) -> list[float]:
        """Of each step; the first holds what is made once, too."""
        return [after - before for before, after in zip(self.times, self.times[1:], strict=False)]


def measured(model: Any, plan: Plan, config: AlignConfig, device: torch.device) -> dict[str, Any]:
    """One training of a fresh adapter: its times, tokens and memory. The model is bare after it."""
    torch.manual_seed(config.seed)
    adapted, modules = with_adapter(model, config)
    adapted.to(device)
    clock, held, losses = Clock(device), _held(device), []

    def run() -> None:
        with tempfile.TemporaryDirectory() as work, clock:
            losses.extend(train(adapted, plan, config, Path(work))[0])

    try:
        peak = held + peak_bytes(run, device)
    finally:
        trained = sum(p.numel() for p in adapted.parameters() if p.requires_grad)
        adapted.unload()
        if device.type == "cuda":
            torch.cuda.empty_cache()
    if len(clock.seconds) != len(plan.steps):
        raise MechclaError(f"{len(clock.seconds)} of {len(plan.steps)} steps were timed")
    steps = [
        _step(number, plan, seconds, losses[number]["loss"])
        for number, seconds in enumerate(clock.seconds)
    ]
    return {
        "modules": modules,
        "trained_parameters": trained,
        "micro_batches_per_step": plan.parts,
        "peak_gib": round(peak / 2**30, 3),
        "tasks": {task: _summary(s for s in steps[1:] if s["task"] == task) for task in plan.tasks},
        "steps": steps,
    }


def _held(device: torch.device) -> int:
    """Bytes in use before the training: the base and its adapter."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    import psutil

    return int(psutil.Process().memory_info().rss)


def _step(number: int, plan: Plan, seconds: float, loss: float) -> dict[str, Any]:
    step = plan.steps[number]
    padded = [
        max(row.length for row in part) * sum(len(row.ids) for row in part) for part in step.parts
    ]
    return {
        "task": step.task,
        "seconds": round(seconds, 4),
        "tokens": sum(len(ids) for part in step.parts for row in part for ids in row.ids),
        "padded_tokens": sum(padded),
        "widest_micro_batch": max(padded),
        "loss": loss,
    }


def _summary(steps: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The steps but the first: medians. Empty where a task had the first step alone."""
    found = list(steps)
    if not found:
        return {}
    return {
        "seconds_per_step": round(statistics.median(s["seconds"] for s in found), 4),
        "tokens_per_second": round(statistics.median(s["tokens"] / s["seconds"] for s in found), 1),
        "n": len(found),
    }


def machine(device: torch.device) -> dict[str, Any]:
    cuda = device.type == "cuda"
    names = ("torch", "transformers", "peft", "accelerate")
    return {
        "device": torch.cuda.get_device_name(device) if cuda else platform.machine(),
        "memory_gib": torch.cuda.get_device_properties(device).total_memory / 2**30 if cuda else 0,
        "threads": torch.get_num_threads(),
        "versions": {name: metadata.version(name) for name in names},
    }


def main(arguments: list[str] | None = None) -> int:
    sys.excepthook = one_message
    args = parsed(arguments)
    device = torch.device(args.device)
    given = {"device": args.device, "dtype": args.dtype, "data": args.data}
    began = time.perf_counter()
    model = random_model(args.shape, device, DTYPES[args.dtype])
    record: dict[str, Any] = {
        "settings": {k: str(v) if isinstance(v, Path) else v for k, v in vars(args).items()},
        "machine": machine(device),
        "parameters": sum(p.numel() for p in model.parameters()),
        "model_gib": round(
            sum(p.numel() * p.element_size() for p in model.parameters()) / 2**30, 3
        ),
        "seconds_to_make": round(time.perf_counter() - began, 2),
        "trainings": [],
    }
    tokenizer: Any = None
    for method in args.methods:
        for batch_tokens in args.batch_tokens:
            config = make(
                given
                | {"method": method, "batch_tokens": batch_tokens, "batch_rows": args.batch_rows}
                | {"steps": args.steps, "save_every": args.steps, "rank": args.rank}
                | {"gradient_checkpointing": args.gradient_checkpointing, "seed": args.seed}
            )
            data = load_data(config)
            if tokenizer is None:
                tokenizer = tokenizer_of(args, data)
            window, rows = model.config.max_position_embeddings, model.config.vocab_size
            plan = make_plan(config, data, tokenizer, window, rows, tokenizer.pad_token_id)
            one: dict[str, Any] = {"method": method, "batch_tokens": batch_tokens}
            try:
                one |= measured(model, plan, config, device)
            except torch.cuda.OutOfMemoryError as error:
                one |= {"out_of_memory": str(error).partition(".")[0]}
            record["trainings"].append(one)
            print(json.dumps({k: v for k, v in one.items() if k != "steps"}), flush=True)
            write_record(args.out, record)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
