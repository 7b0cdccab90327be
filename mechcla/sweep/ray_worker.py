"""What runs in a worker on Ray, and the pieces of work that it takes."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mechcla.errors import MechclaError
from mechcla.items.item_set import ItemSet, open_jsonl
from mechcla.runs.folder import ITEMS
from mechcla.storage import user_path
from mechcla.sweep.config import make
from mechcla.sweep.runner import Group, Sweep, open_beside
from mechcla.sweep.search import search


@dataclass(frozen=True)
class Task:
    """A piece of work.

    uses: the items whose cached residuals it uses, each by language, kind, split and prompt form.
    group: cells of one batch, with the choice that opened test. run: a whole run by its settings,
    which works in a folder of its own. Neither: the dev search of these languages.
    """

    uses: frozenset[tuple[str, ...]]
    languages: tuple[str, ...] = ()
    group: Group | None = None
    choice: dict[str, Any] | None = None
    run: tuple[Callable[[dict[str, Any]], None], dict[str, Any]] | None = None

    def __str__(self) -> str:
        if self.run is not None:
            return f"the run {self.run[1]['out']}"
        if self.group is None:
            return f"the dev search of {' '.join(self.languages)}"
        return " ".join(min(self.uses))


class Worker:
    """What runs in a worker: a sweep beside the driver's, opened at its first work."""

    def __init__(self, settings: dict[str, Any], out: str, here: str, threads: int) -> None:
        self.settings, self.out, self.here, self.threads = settings, out, here, threads
        self.sweep: Sweep | None = None

    def where(self) -> tuple[int, str]:
        """This worker's process and machine."""
        return os.getpid(), socket.gethostname()

    def work(self, task: Task) -> None:
        """Do a piece of work; its cells are in the folder then."""
        if Path(self.here).is_dir():
            os.chdir(self.here)  # of plugins and vectors, which are named as the driver names them
        torch.set_num_threads(self.threads)  # sums are split by threads: as in the driver
        if task.run is not None:
            function, settings = task.run
            function(settings)
            return
        if self.sweep is None:
            self.sweep = self._open()
        if task.group is None:
            search(self.sweep, task.languages)
            self.sweep.forget()
            return
        if task.choice is not None:
            self.sweep.study.freeze(task.choice)
        jobs, done = task.group
        for _ in self.sweep.compute(jobs, done):
            pass

    def _open(self) -> Sweep:
        config = make({**self.settings, "out": self.out})
        return open_beside(config, _items(self.out))


def _items(out: str) -> ItemSet:
    path = user_path(out) / ITEMS
    if not path.exists():
        raise MechclaError(
            f"no run lies in {out!r} on {socket.gethostname()}; expected a folder that every "
            "worker sees under this name, such as one on a shared file system"
        )
    return open_jsonl(path)
