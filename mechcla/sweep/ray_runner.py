"""Cells on Ray: workers that keep a model and its cached residuals, on this machine or a cluster.

    python -m mechcla.sweep --runner ray --workers 8 --gpus-per-worker 1

The process that was started, the driver, holds the run folder, makes the vectors and the choice,
and writes the tables. A worker is a Ray actor with a model of its own. It takes work whole: the dev
search of languages that choose by themselves, or the cells of one language, kind and prompt form,
which run as one batch; and it takes such work first whose residuals it has. It writes the same
cells, under the same names, as the local runner into the same folder, which all machines must see.

A worker that is lost is replaced, and its work done again: what it had finished is there. So it is
if the driver is lost and started again. Ray places actors and moves calls; what is taken next, and
what is lost, is decided here (ours).
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from mechcla.errors import MechclaError
from mechcla.items.item import KINDS
from mechcla.items.item_set import ItemSet, open_jsonl
from mechcla.items.study import Study
from mechcla.models.hooked_model import HookedModel
from mechcla.runs.folder import ITEMS, sweep_out
from mechcla.storage import user_path
from mechcla.sweep.config import SweepConfig, make
from mechcla.sweep.ray_cluster import (
    cluster,
    fits_one_machine,
    import_ray,
    worker_needs,
    workers_that_fit,
)
from mechcla.sweep.runner import Group, Sweep, open_beside
from mechcla.sweep.search import search

LOSSES = 3  # so often may one piece of work lose its worker


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


@dataclass(eq=False)
class _Actor:
    """A worker as the driver knows it. has: the items whose residuals it has cached."""

    handle: Any
    process: int = 0
    machine: str = ""
    has: set[tuple[str, ...]] = field(default_factory=set)

    def __str__(self) -> str:
        return f"worker {self.process} on {self.machine}" if self.process else "a worker"


class RayWorkers:
    """`mechcla.sweep.runner.Workers` on Ray. `workers_of` opens and closes them.

    device: of the run's model. out: the run folder that workers compute into, if it is one.
    """

    def __init__(
        self, ray: Any, config: SweepConfig, device: str, out: Path, say: Callable[[str], None]
    ) -> None:
        self.ray, self.say = ray, say
        self.how = worker_needs(config, device)
        threads = torch.get_num_threads()
        settings = config.model_dump(exclude={"config", "preset", "out"})
        self.arguments = (settings, str(out.resolve()), os.getcwd(), threads)
        fit = workers_that_fit(ray.cluster_resources(), self.how)
        self.most = config.workers or fit
        if self.most > fit:
            say(
                f"--workers {self.most}, and the Ray cluster has room for {fit} of {self.how}; the "
                "others wait for machines, and so does the work that they were given"
            )
        if not config.threads and threads > config.cpus_per_worker:
            say(
                f"each worker reserves {config.cpus_per_worker} CPUs (--cpus-per-worker) and "
                f"computes with {threads} threads, as the local runner does; --threads gives both "
                "another number"
            )
        self.idle: list[_Actor] = []
        self.all: list[_Actor] = []
        self.starting: dict[Any, _Actor] = {}

    def compute(self, groups: Sequence[Group], study: Study) -> Iterator[Group]:
        """Compute groups, in whatever order; yields each as its cells are written."""
        tasks = []
        for group in groups:
            first = group[0][0]
            key = (first.language, first.kind, first.split, first.prompt)
            choice = study.choice if first.split == "test" else None
            tasks.append(Task(frozenset({key}), group=group, choice=choice))
        for task in self._done(tasks):
            if task.group is not None:
                yield task.group

    def search(self, languages: Sequence[Sequence[str]]) -> None:
        """The dev search of these languages, each list by itself."""
        tasks = [
            Task(
                frozenset((k, kind, "dev", "implicit") for k in some for kind in KINDS), tuple(some)
            )
            for some in languages
        ]
        for _ in self._done(tasks):
            pass

    def run(
        self, runs: Sequence[SweepConfig], function: Callable[[dict[str, Any]], None]
    ) -> Iterator[str]:
        """Whole runs, each by one worker: function(settings). Yields the folder of each as it ends.

        A run that lost its worker goes on in another one, from what is there.
        """
        tasks = []
        for config in runs:
            own = {"out": str(user_path(config.out).resolve()), "runner": "local"}
            settings = config.model_dump(exclude={"config", "preset"}) | own
            tasks.append(Task(frozenset(), run=(function, settings)))
        for task in self._done(tasks):
            if task.run is not None:
                yield task.run[1]["out"]

    def close(self) -> None:
        """End all workers."""
        for actor in self.all:
            self.ray.kill(actor.handle)
        self.all, self.idle, self.starting = [], [], {}

    def _done(self, tasks: Sequence[Task]) -> Iterator[Task]:
        """Tasks as they are done, whoever is lost on the way."""
        waiting, lost = list(tasks), {id(task): 0 for task in tasks}
        running: dict[Any, tuple[_Actor, Task]] = {}
        while waiting or running:
            while waiting and (actor := self._free()) is not None:
                task = next_task(waiting, actor.has, [a.has for a in self.all if a is not actor])
                waiting.remove(task)
                actor.has = set() if task.group is None else actor.has | task.uses
                running[actor.handle.work.remote(task)] = (actor, task)
            (reference,), _ = self.ray.wait([*self.starting, *running], num_returns=1)
            if reference in self.starting:
                self._started(reference)
                continue
            actor, task = running.pop(reference)
            try:
                self.ray.get(reference)
            except self.ray.exceptions.RayTaskError as error:
                cause = error.cause
                raise (cause if isinstance(cause, MechclaError) else error) from None
            except self.ray.exceptions.RayError as error:
                self.all.remove(actor)
                lost[id(task)] += 1
                if lost[id(task)] >= LOSSES:
                    raise MechclaError(
                        f"{actor} was lost, loss {LOSSES} over {task}: {error}. If "
                        "memory ran out there, give fewer --workers, a smaller --max-tokens or "
                        "--cache-mib; the same command goes on from what is there"
                    ) from error
                self.say(f"{actor} was lost; another one takes its work ({task})")
                waiting.insert(0, task)
                continue
            self.idle.append(actor)
            yield task

    def _free(self) -> _Actor | None:
        """A worker without work, started if there may be one more; None while all have some."""
        if self.idle:
            return self.idle.pop(0)
        if len(self.all) >= self.most:
            return None
        if not self.all and not fits_one_machine(self.ray.nodes(), self.how):
            self.say(
                f"no machine of the Ray cluster has room for a worker of {self.how}; waiting for "
                "one. Expected --cpus-per-worker, --gpus-per-worker and --memory-per-worker that "
                "fit a machine"
            )
        actor = _Actor(self.ray.remote(**self.how)(Worker).remote(*self.arguments))
        self.all.append(actor)
        self.starting[actor.handle.where.remote()] = actor
        return actor

    def _started(self, reference: Any) -> None:
        """Note where a worker runs, and say it."""
        actor = self.starting.pop(reference)
        try:
            actor.process, actor.machine = self.ray.get(reference)
        except self.ray.exceptions.RayError:
            return  # lost already, which its work will tell
        self.say(f"{actor} has started")


def next_task(
    waiting: Sequence[Task], mine: set[tuple[str, ...]], others: Sequence[set[tuple[str, ...]]]
) -> Task:
    """What a free worker takes: work whose residuals it has, else such as nobody has, else any."""
    known: set[tuple[str, ...]] = set().union(*others)
    return next(
        (t for t in waiting if t.uses & mine),
        next((t for t in waiting if not t.uses & known), waiting[0]),
    )


def check_runner(config: SweepConfig, model: HookedModel | None) -> None:
    """Refuse, before a model is loaded, Ray where it is not installed or has no model to load."""
    if config.runner == "ray":
        import_ray()
        if model is not None:
            raise MechclaError(
                f"runner='ray' got a loaded model ({model.name!r}), and each worker loads its own; "
                "expected the model's name or folder"
            )


@contextmanager
def workers_of(sweep: Sweep) -> Iterator[None]:
    """Give a sweep its workers, if it asks for any: of the Ray cluster that is there, or of one on
    this machine that lasts as long as the sweep needs it.
    """
    if sweep.config.runner == "local":
        yield
        return

    def say(message: str) -> None:
        sweep.bar.write(f"mechcla.sweep: {message}", file=sys.stderr)

    config, device, out = sweep.config, str(sweep.model.device), sweep.store.folder
    with cluster(config) as ray:
        try:
            with closing(RayWorkers(ray, config, device, out, say)) as sweep.workers:
                yield
        finally:
            sweep.workers = None
    sweep_out(out)  # what lost workers had begun to write


def side_by_side(
    config: SweepConfig,
    runs: Sequence[SweepConfig],
    function: Callable[[dict[str, Any]], None],
    say: Callable[[str], None],
) -> bool:
    """Whole runs on workers, one per run, if there are no more workers than runs; else False, and
    nothing is done: each run then shares its languages out by itself.

    function: makes the run of these settings, in a worker.
    """
    device = config.device or ("cuda" if torch.cuda.is_available() else "cpu")
    with cluster(config) as ray:
        out = user_path(config.out)
        with closing(RayWorkers(ray, config, device, out, _to_stderr)) as workers:
            if workers.most > len(runs):
                return False
            for folder in workers.run(runs, function):
                say(f"The run {folder}")
    return True


def _to_stderr(message: str) -> None:
    print(f"mechcla.sweep: {message}", file=sys.stderr)
