"""AlignMethod: a trained alignment method as data; METHODS: all of them, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from jaxtyping import Float
from torch import Tensor

from mechcla.align.data import TrainingData
from mechcla.align.decoder import Decoder
from mechcla.align.rows import Example, MicroBatch
from mechcla.align.settings import AlignConfig
from mechcla.registry import Registry


@dataclass(frozen=True)
class Losses:
    """What a task makes of one micro-batch: the loss, and each row's own share of it.

    total: the mean over what the task counts (label tokens, pairs). rows: one value per row, which
    tells which row made a loss that is not finite. parts: other numbers for the log.
    """

    total: Float[Tensor, ""]
    rows: Float[Tensor, " row"]
    parts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Task:
    """One thing that a method trains: which examples it draws, and its loss on a micro-batch.

    examples: the training data as examples, of which each has `texts` texts (one, or a pair).
    counts: what the loss is a mean over, so that micro-batches weigh in their step what they hold.
    distinct: no two examples of one fact in one step, as where the others are negatives.
    """

    name: str
    examples: Callable[[TrainingData, AlignConfig], list[Example]]
    loss: Callable[[Decoder, MicroBatch, AlignConfig], Losses]
    counts: Literal["labels", "rows"] = "labels"
    distinct: bool = False


@dataclass(frozen=True)
class AlignMethod:
    """A trained alignment method: tasks that take turns step by step, and settings of its own.

    about: one line for `--help`. source: where it comes from, and what of it is ours. defaults:
    settings that differ from AlignConfig's; a file and flags win over them. control: whether it is
    there to be compared with, and no method that anyone proposes.

    >>> METHODS.get("midalign").tasks[1].name
    'infonce'
    """

    name: str
    about: str
    source: str
    tasks: tuple[Task, ...]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    control: bool = False


METHODS: Registry[AlignMethod] = Registry("alignment method")
