"""Training: transformers' Trainer over a plan, with a stop at what is not finite."""

from __future__ import annotations

import json
import logging
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from mechcla import progress
from mechcla.align.decoder import Decoder
from mechcla.align.dev import DevLooks
from mechcla.align.methods import Losses
from mechcla.align.plan import Plan
from mechcla.align.rows import MicroBatch
from mechcla.align.settings import AlignConfig
from mechcla.errors import MechclaError

ENTRIES = ("trainer_state.json", "optimizer.pt", "scheduler.pt", "adapter_model.safetensors")


def train(
    adapted: Any, plan: Plan, config: AlignConfig, work: Path, stop_after: int | None = None
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Train the adapter in place; returns the losses by step, and the looks at dev.

    Checkpoints lie in `work`; the last whole one is gone on from. stop_after: a step of the plan
    after which to stop; the schedule is still that of the whole plan. Raises MechclaError for a
    loss or a weight that is not finite, naming step and row, and the checkpoint that stays.
    """
    from torch.utils.data import SequentialSampler
    from transformers import Trainer, TrainerCallback, TrainingArguments

    decoder = Decoder(adapted)

    class Aligner(Trainer):
        """The plan's order, the method's losses, every step's numbers in the log."""

        parts: list[Any]

        def _get_train_sampler(self, *_: Any) -> Any:
            return SequentialSampler(plan)

        def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
            if self.lr_scheduler is None:
                assert self.optimizer is not None  # Trainer makes it first
                self.lr_scheduler = scheduler(config, self.optimizer, num_training_steps)
            return self.lr_scheduler

        def compute_loss(self, model: Any, inputs: Any, *_: Any, **__: Any) -> Any:
            batch = inputs["batch"].to(decoder.device)
            losses = plan.tasks[batch.task].loss(decoder, batch, config)
            check_finite(losses, batch, work)
            self.parts.append((batch.task, batch.scale, losses.parts))
            return losses.total * batch.scale

        def floating_point_ops(self, inputs: Any) -> int:
            return 0  # reckoned from `input_ids`, which a batch here does not have

        def log(self, logs: dict[str, Any], *arguments: Any) -> None:
            if "loss" in logs:
                logs |= {"task": self.parts[-1][0]} | _mean_parts(self.parts)
                self.parts.clear()
            super().log(logs, *arguments)

    class Finite(TrainerCallback):
        def on_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            for name, weight in adapted.named_parameters():
                if weight.requires_grad and not bool(torch.isfinite(weight).all()):
                    raise _stopped(f"{name} is not finite after step {state.global_step + 1}", work)

    class Progress(TrainerCallback):
        began = 0.0

        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.began, self.first = time.monotonic(), state.global_step
            self.bar = progress.bar("align", len(plan.steps), "step", kept=True)
            self.bar.update(state.global_step)

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            if logs and "loss" in logs and progress.shown():
                self.bar.set_postfix_str(f"{logs['task']} loss {logs['loss']:.4f}")
                self.bar.update(state.global_step - self.bar.n)
            elif logs and "loss" in logs and not progress.hushed():
                each = (time.monotonic() - self.began) / max(1, state.global_step - self.first)
                print(
                    f"align: step {state.global_step} of {len(plan.steps)}: {logs['task']} loss "
                    f"{logs['loss']:.4f}, {each:.1f} s per step",
                    file=sys.stderr,
                )

        def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.bar.close()

    looks = DevLooks(adapted, config, work) if config.dev_items else None

    class Dev(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if looks is not None and (
                state.global_step % config.dev_every == 0 or state.global_step == len(plan.steps)
            ):
                control.should_training_stop |= looks.look(state.global_step)

    class Stop(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            control.should_training_stop |= state.global_step == stop_after

    arguments = TrainingArguments(
        output_dir=str(work),
        per_device_train_batch_size=1,  # one micro-batch of the plan
        gradient_accumulation_steps=plan.parts,
        max_steps=len(plan.steps),
        learning_rate=config.lr,
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        optim="adamw_torch",
        logging_steps=1,
        logging_nan_inf_filter=False,
        save_strategy="steps",
        save_steps=config.save_every,
        save_total_limit=2,
        seed=config.seed,
        data_seed=config.seed,
        use_cpu=decoder.device.type == "cpu",
        **_checkpointing(config.gradient_checkpointing, TrainingArguments),
        remove_unused_columns=False,
        dataloader_num_workers=0,
        dataloader_pin_memory=False,
        disable_tqdm=True,
        report_to=[],
    )
    # Trainer takes a batch per GPU that it sees, and micro-batches of the plan are one at a time.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    if arguments.world_size > 1:
        raise MechclaError(
            f"align runs in one process, and this is one of {arguments.world_size}; start it "
            "without torchrun or accelerate launch"
        )
    with _quiet():
        trainer = Aligner(
            model=adapted,
            args=arguments,
            train_dataset=plan,
            data_collator=_the_one,
            callbacks=[Finite(), Progress(), Dev(), Stop()],
        )
        trainer.parts = []
        trainer.model_accepts_loss_kwargs = False
        from transformers.trainer_callback import PrinterCallback

        trainer.remove_callback(PrinterCallback)
        last = last_whole(work)
        if looks is not None:
            looks.begin(int(last.name.rpartition("-")[2]) if last else 0)
        trainer.train(resume_from_checkpoint=None if last is None else str(last))
    if looks is not None:
        looks.restore_best()
    kept = ("step", "task", "loss", "learning_rate", "grad_norm")
    losses = [
        {k: row[k] for k in kept if k in row}
        | {k: v for k, v in row.items() if k not in (*kept, "epoch")}
        for row in trainer.state.log_history
        if "loss" in row
    ]
    return losses, looks.rows if looks is not None else []


def scheduler(config: AlignConfig, optimizer: torch.optim.Optimizer, steps: int) -> Any:
    """transformers' schedule, one step ahead where it warms up, so that step 1 learns too."""
    from torch.optim.lr_scheduler import LambdaLR
    from transformers import get_scheduler

    warmup = min(config.warmup, steps)
    name = "constant_with_warmup" if config.schedule == "constant" else config.schedule
    ahead = 1 if warmup else 0
    shown = torch.optim.SGD(
        [torch.zeros(1)], lr=1.0
    )  # get_scheduler sets rates in what it is given
    own = get_scheduler(name, shown, warmup, steps + ahead).lr_lambdas[0]
    return LambdaLR(optimizer, lambda step: own(step + ahead))


def _checkpointing(on: bool, arguments: Any) -> dict[str, Any]:
    """The arguments for it under the name that this version of transformers has."""
    fields = arguments.__dataclass_fields__
    new = "activation_checkpointing" in fields
    name = "activation_checkpointing" if new else "gradient_checkpointing"
    return {name: True, f"{name}_kwargs": {"use_reentrant": False}} if on else {}


def check_finite(losses: Losses, batch: MicroBatch, work: Path) -> None:
    """Raises MechclaError that names step and row if the loss is not finite."""
    if bool(torch.isfinite(losses.total)):
        return
    bad = [k for k, ok in enumerate(torch.isfinite(losses.rows).tolist()) if not ok]
    per_row = max(1, len(losses.rows) // len(batch.where))
    row = batch.where[bad[0] // per_row] if bad else "no row alone"
    raise _stopped(
        f"the {batch.task} loss is {float(losses.total.detach())} at step {batch.step}, at {row}",
        work,
    )


def _stopped(what: str, work: Path) -> MechclaError:
    last = last_whole(work)
    stays = f"the checkpoint {str(last)!r} stays" if last else "there is no checkpoint yet"
    return MechclaError(f"training stopped: {what}. Try a lower --lr, or --dtype float32; {stays}")


def last_whole(work: Path) -> Path | None:
    """The last checkpoint that is whole; those that are not are removed, as a kill leaves them."""
    found = sorted(
        (int(p.name.rpartition("-")[2]), p)
        for p in work.glob("checkpoint-*")
        if p.name.rpartition("-")[2].isdecimal()
    )
    for _, path in reversed(found):
        if all((path / name).exists() for name in ENTRIES) and _is_json(path / ENTRIES[0]):
            return path
        shutil.rmtree(path, ignore_errors=True)
    return None


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_text("utf-8"))
    except ValueError:
        return False
    return True


def _the_one(batches: list[dict[str, MicroBatch]]) -> dict[str, MicroBatch]:
    [batch] = batches  # more than one would mean that Trainer drops the others
    return batch


def _mean_parts(parts: list[Any]) -> dict[str, float]:
    """Each part of the step's loss, weighed as the micro-batches are."""
    names = dict.fromkeys(name for _, _, part in parts for name in part)
    return {
        name: sum(scale * part[name] for _, scale, part in parts) / len(parts) for name in names
    }


@contextmanager
def _quiet() -> Iterator[None]:
    """transformers and accelerate say nothing below an error while this lasts."""
    names = ("transformers", "accelerate", "peft")
    before = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)
