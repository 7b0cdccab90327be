"""Plan: every micro-batch of a training in its order, decided before the first step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch.utils.data import Dataset

from mechcla.align.data import TrainingData
from mechcla.align.methods import METHODS, Task
from mechcla.align.rows import (
    MicroBatch,
    Row,
    collate,
    cut,
    encode_example,
    parts_needed,
    step_rows,
)
from mechcla.align.settings import AlignConfig
from mechcla.errors import MechclaError


@dataclass(frozen=True)
class Step:
    """One optimizer step: its task, its rows in micro-batches, and what each of these counts."""

    task: str
    parts: tuple[tuple[Row, ...], ...]
    scales: tuple[float, ...]


class Plan(Dataset[dict[str, MicroBatch]]):
    """The micro-batches of all steps, `parts` per step, in the order in which they are trained.

    Which texts are in a step is decided by the seed and the data alone; the number of parts by
    `batch_tokens`. Tensors are made when a micro-batch is asked for.
    """

    def __init__(
        self, steps: Sequence[Step], parts: int, pad_id: int, tasks: dict[str, Task], examples: int
    ) -> None:
        self.steps, self.parts, self.pad_id = tuple(steps), parts, pad_id
        self.tasks, self.n_examples = tasks, examples

    def __len__(self) -> int:
        return len(self.steps) * self.parts

    def __getitem__(self, index: int) -> dict[str, MicroBatch]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        number, part = divmod(index, self.parts)
        step = self.steps[number]
        rows, scale = step.parts[part], step.scales[part]
        fit = sum(row.n_fit_labels for piece in step.parts for row in piece) * scale / self.parts
        return {"batch": collate(rows, self.pad_id, step.task, number + 1, scale, fit)}


def make_plan(
    config: AlignConfig,
    data: TrainingData,
    tokenizer: Any,
    window: int | None,
    vocab_size: int,
    pad_id: int,
) -> Plan:
    """The plan of a training: the method's tasks take turns, step by step.

    Raises MechclaError, naming the row, for texts that the method or the model cannot take.
    """
    method = METHODS.get(config.method)
    turns = list(range(config.steps))
    drawn: list[list[list[Row]]] = []
    examples = 0
    for k, task in enumerate(method.tasks):
        made = task.examples(data, config)
        if not made:
            raise MechclaError(
                f"{data.name} has nothing for the {task.name!r} steps of {config.method!r} in "
                f"{', '.join(data.languages)}; {_WANTS.get(task.name, 'see docs/align.md')}"
            )
        examples += len(made)
        chat = config.chat_form
        rows = [encode_example(one, tokenizer, window, vocab_size, chat) for one in made]
        per_step = max(1, config.batch_rows // len(made[0].texts))
        if task.distinct:
            _check_pairs(config, task, {row.example.fact for row in rows}, per_step)
        mine = len(turns[k :: len(method.tasks)])
        key = f"{config.seed}/{task.name}"
        drawn.append(step_rows(rows, mine, per_step, task.distinct, key) if mine else [])
    parts = max(parts_needed(steps, config.batch_tokens) for steps in drawn if steps)
    for task, rows_of in zip(method.tasks, drawn, strict=True):
        least = 2 if task.distinct else 1  # rows in a part
        parts = min(parts, *(max(1, len(rows) // least) for rows in rows_of))
    steps = []
    for number in turns:
        turn, place = number % len(method.tasks), number // len(method.tasks)
        steps.append(_step(method.tasks[turn], drawn[turn][place], parts))
    return Plan(steps, parts, pad_id, {task.name: task for task in method.tasks}, examples)


def _check_pairs(config: AlignConfig, task: Task, facts: set[str], per_step: int) -> None:
    """Refuse steps of one pair, which has nothing to be told from."""
    if per_step < 2:
        raise MechclaError(
            f"batch_rows {config.batch_rows} gives {per_step} pair per {task.name!r} step of "
            f"{config.method!r}; expected at least 2 pairs, so batch_rows of 4 or more"
        )
    if len(facts) < 2:
        raise MechclaError(
            f"the {task.name!r} steps of {config.method!r} need at least 2 pairs of different "
            f"facts, and the data have {len(facts)}; add rows"
        )


_WANTS = {
    "sft": "expected questions with answers, or sentences",
    "infonce": "expected sentences in English and another language",
    "clo": "expected questions with answers in English and another language, or preference pairs",
}


def _step(task: Task, rows: Sequence[Row], parts: int) -> Step:
    pieces = cut(rows, parts)
    counts = [
        sum(row.n_labels for row in piece) if task.counts == "labels" else len(piece)
        for piece in pieces
    ]
    scales = tuple(len(pieces) * count / sum(counts) for count in counts)
    return Step(task.name, tuple(tuple(piece) for piece in pieces), scales)
