"""A cell of a sweep: one method on some items."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mechcla.items.item import PIVOT, PromptForm
from mechcla.items.item_set import ItemSet
from mechcla.steering.method import Method
from mechcla.sweep.config import SweepConfig

UNSTEERED = Method()


def pivot(items: ItemSet) -> tuple[str, ...]:
    """English, if the items have it: cultural items alone may do without."""
    return (PIVOT,) if PIVOT in items.languages else ()


@dataclass(frozen=True)
class Job:
    """One method on one language's items of one kind and prompt form: a cell."""

    method: Method
    language: str
    kind: str
    split: str
    prompt: PromptForm = "implicit"

    def describe(self) -> dict[str, Any]:
        """A row of the list of cells that are not finite."""
        where = {"split": self.split, "language": self.language, "kind": self.kind}
        return where | {"prompt": self.prompt} | self.method.describe()

    def __str__(self) -> str:
        form = "" if self.prompt == "implicit" else f" {self.prompt}"
        return f"the cell {self.split} {self.language} {self.kind}{form} {self.method.name}"


def sample(items: ItemSet, config: SweepConfig, language: str, kind: str, split: str) -> ItemSet:
    """The items of a cell: an even sample in file order, which spreads it over the topics.

    dev counts from the first item on, test from the last one back.
    """
    chosen = items.of(language, kind, split)
    limit = config.dev_items if split == "dev" else config.test_items
    if limit is None or len(chosen) <= limit:
        return chosen
    places = [int(k * len(chosen) / limit) for k in range(limit)]
    if split == "test":
        places = [len(chosen) - 1 - k for k in reversed(places)]
    return chosen.at(places)
