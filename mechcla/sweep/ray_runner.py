"""Cells on Ray: workers that keep a model and its cached residuals, on this machine or a cluster.

    python -m mechcla.sweep --runner ray --workers 8 --gpus-per-worker 1

The process that was started, the driver, holds the run folder, makes the vectors and the choice,
and writes the tables. A worker is a Ray actor with a model of its own. It takes work whole: the dev
search of languages that choose by themselves, or the cells of one language, kind and prompt form,
which run as one batch; and it takes such work first whose residuals it has. It writes the same
cells, under the same names, as the local runner into the same folder, which all machines must see.

A worker that is lost is replaced, and its work done again: what it had finished is there. So it is
if the driver is lost and started again.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import torch

from mechcla.errors import MechclaError
from mechcla.items.item import KINDS
from mechcla.items.study import Study
from mechcla.models.hooked_model import HookedModel
from mechcla.runs.folder import sweep_out
from mechcla.storage import user_path
from mechcla.sweep.config import SweepConfig
from mechcla.sweep.ray_cluster import Cluster, cluster, import_ray
from mechcla.sweep.ray_pool import Pool
from mechcla.sweep.ray_room import (
    amounts,
    check_machine,
    check_workers,
    device_in_worker,
    likely_device,
    worker_needs,
    workers_that_fit,
)
from mechcla.sweep.ray_worker import Task
from mechcla.sweep.runner import Group, Sweep


class RayWorkers:
    """`mechcla.sweep.runner.Workers` on Ray. `workers_of` opens and closes them.

    device: of the run's model. out: the run folder that workers compute into, if it is one.
    """

    def __init__(
        self,
        there: Cluster,
        config: SweepConfig,
        device: str,
        out: Path,
        say: Callable[[str], None],
    ) -> None:
        needs = worker_needs(config, device)
        fit = workers_that_fit(there.ray.nodes(), needs)
        self.most = config.workers or max(1, fit)
        if not fit:
            say(
                f"no machine of the Ray cluster has room for a worker, which asks for "
                f"{amounts(needs)}; waiting for one. Expected --cpus-per-worker, --gpus-per-worker "
                "and --memory-per-worker that fit a machine"
            )
        elif self.most > fit:
            say(
                f"--workers {self.most}, and the Ray cluster has room for {fit}, of "
                f"{amounts(needs)} each; the others wait for machines, and the work does not"
            )
        threads = torch.get_num_threads()
        if not config.threads and threads > config.cpus_per_worker:
            say(
                f"each worker reserves {config.cpus_per_worker} CPUs (--cpus-per-worker) and "
                f"computes with {threads} threads, as the local runner does; --threads gives both "
                "another number"
            )
        settings = config.model_dump(exclude={"config", "preset", "out"})
        settings["device"] = device_in_worker(config.device)
        arguments = (settings, str(out.resolve()), os.getcwd(), threads)
        self.pool = Pool(there.ray, needs, self.most, arguments, say)

    def compute(self, groups: Sequence[Group], study: Study) -> Iterator[Group]:
        """Compute groups, in whatever order; yields each as its cells are written."""
        tasks = []
        for group in groups:
            first = group[0][0]
            key = (first.language, first.kind, first.split, first.prompt)
            choice = study.choice if first.split == "test" else None
            tasks.append(Task(frozenset({key}), group=group, choice=choice))
        for task in self.pool.done(tasks):
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
        for _ in self.pool.done(tasks):
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
        for task in self.pool.done(tasks):
            if task.run is not None:
                yield task.run[1]["out"]

    def close(self) -> None:
        """End all workers."""
        self.pool.close()


def check_runner(config: SweepConfig, model: HookedModel | None) -> None:
    """Refuse, before a model is loaded, Ray where it is not installed, has no model to load, or
    would give workers what the model does not lie on.
    """
    if config.runner == "ray":
        import_ray()
        if model is not None:
            raise MechclaError(
                f"runner='ray' got a loaded model ({model.name!r}), and each worker loads its own; "
                "expected the model's name or folder"
            )
        check_workers(config)


@contextmanager
def ray_of(config: SweepConfig) -> Iterator[Cluster | None]:
    """The Ray cluster that is there, or one on this machine that lasts as long as this is open;
    None for the local runner.

    It comes before a model is loaded, so that a cluster that does not answer, and workers that this
    machine has no room for, are refused at once.
    """
    if config.runner == "local":
        yield None
        return
    with cluster(config) as there:
        if there.alone:  # it does not grow
            needs = worker_needs(config, likely_device(config))
            check_machine(there.ray.cluster_resources(), config, needs)
        yield there


@contextmanager
def workers_of(sweep: Sweep, there: Cluster | None) -> Iterator[None]:
    """Give a sweep its workers on this cluster, if there is one."""
    if there is None:
        yield
        return

    def say(message: str) -> None:
        sweep.bar.write(f"mechcla.sweep: {message}", file=sys.stderr)

    config, device, out = sweep.config, str(sweep.model.device), sweep.store.folder
    try:
        with closing(RayWorkers(there, config, device, out, say)) as sweep.workers:
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
    with ray_of(config) as there:
        if there is None:
            return False
        device, out = likely_device(config), user_path(config.out)
        with closing(RayWorkers(there, config, device, out, _to_stderr)) as workers:
            if workers.most > len(runs):
                return False
            for folder in workers.run(runs, function):
                say(f"The run {folder}")
    return True


def _to_stderr(message: str) -> None:
    print(f"mechcla.sweep: {message}", file=sys.stderr)
