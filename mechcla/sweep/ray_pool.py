"""Workers on Ray as the driver knows them: who has started, what is taken next, what is lost.

Ray gives a worker its place when there is one, and may never: a cluster that does not grow has none
to give. So work goes to workers that have started, and the others wait for places while those work.
Ray places actors and moves calls; what is taken next, and what is lost, is decided here (ours).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from mechcla.errors import MechclaError
from mechcla.sweep.ray_room import amounts, resources
from mechcla.sweep.ray_worker import Task, Worker

LOSSES = 3  # so often may one piece of work lose its worker, and so many workers fail to start
PATIENCE = 60.0  # seconds without a new worker, until it is said what is waited for


@dataclass(eq=False)
class _Actor:
    """A worker as the driver knows it. has: the items whose residuals it has cached."""

    handle: Any
    process: int = 0
    machine: str = ""
    has: set[tuple[str, ...]] = field(default_factory=set)

    def __str__(self) -> str:
        return f"worker {self.process} on {self.machine}" if self.process else "a worker"


class Pool:
    """At most so many workers, started as there is work for them.

    needs: what Ray reserves for one. arguments: of `Worker`. clock: seconds, of any origin.
    """

    def __init__(
        self,
        ray: Any,
        needs: dict[str, Any],
        most: int,
        arguments: tuple[Any, ...],
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.ray, self.needs, self.most, self.arguments = ray, needs, most, arguments
        self.say, self.clock = say, clock
        self.idle: list[_Actor] = []
        self.all: list[_Actor] = []
        self.starting: dict[Any, _Actor] = {}
        self.failed = 0  # to start, one after another
        self.since, self.patience = clock(), PATIENCE

    def done(self, tasks: Sequence[Task]) -> Iterator[Task]:
        """Tasks as they are done, whoever is lost on the way."""
        waiting, lost = list(tasks), {id(task): 0 for task in tasks}
        running: dict[Any, tuple[_Actor, Task]] = {}
        while waiting or running:
            while waiting and self.idle:
                actor = self.idle.pop(0)
                task = next_task(waiting, actor.has, [a.has for a in self.all if a is not actor])
                waiting.remove(task)
                actor.has = set() if task.group is None else actor.has | task.uses
                running[actor.handle.work.remote(task)] = (actor, task)
            self._ask_for(len(waiting))
            reference = self._next([*self.starting, *running])
            if reference is None:
                continue
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

    def close(self) -> None:
        """End all workers."""
        for actor in self.all:
            self.ray.kill(actor.handle)
        self.all, self.idle, self.starting = [], [], {}

    def _ask_for(self, more: int) -> None:
        """Ask Ray for workers: as many as have work waiting, and no more than may be."""
        for _ in range(min(self.most - len(self.all), more - len(self.starting))):
            if not self.starting:  # the first one that is waited for
                self.since, self.patience = self.clock(), PATIENCE
            actor = _Actor(self.ray.remote(**self.needs)(Worker).remote(*self.arguments))
            self.all.append(actor)
            self.starting[actor.handle.where.remote()] = actor

    def _next(self, references: list[Any]) -> Any:
        """The next that has happened; None where it is time to say that workers are waited for."""
        if not self.starting:
            return self.ray.wait(references, num_returns=1)[0][0]
        left = self.since + self.patience - self.clock()
        happened, _ = self.ray.wait(references, num_returns=1, timeout=max(0.1, left))
        if happened:
            return happened[0]
        self._say_what_is_waited_for()
        return None

    def _say_what_is_waited_for(self) -> None:
        started, waited = len(self.all) - len(self.starting), self.clock() - self.since
        free = resources(self.ray.available_resources(), self.needs)
        whole = resources(self.ray.cluster_resources(), self.needs)
        last = "the others wait, and the work goes on without them"
        self.say(
            f"{started or 'none'} of {len(self.all)} workers started, and no other for "
            f"{waited:.0f} s: each asks for {amounts(self.needs)}, and the Ray cluster has {free} "
            f"free of {whole}; {last if started else 'the run waits until there is room'} (less is "
            "asked for by --workers, --cpus-per-worker, --gpus-per-worker, --memory-per-worker)"
        )
        self.patience = 2 * waited  # less and less often

    def _started(self, reference: Any) -> None:
        """Note where a worker runs, and say it. One that did not start is asked for again."""
        actor = self.starting.pop(reference)
        self.since, self.patience = self.clock(), PATIENCE
        try:
            actor.process, actor.machine = self.ray.get(reference)
        except self.ray.exceptions.RayError as error:
            self.all.remove(actor)
            self._did_not_start(error)
            return
        self.failed = 0
        self.idle.append(actor)
        self.say(f"{actor} has started")

    def _did_not_start(self, error: Exception) -> None:
        self.failed += 1
        if self.failed < LOSSES:
            self.say(f"a worker did not start; another one is asked for ({error})")
            return
        started = len(self.all) - len(self.starting)
        if not started:
            raise MechclaError(
                f"no worker starts on Ray; the last of {self.failed} failed with: {error} "
                "Expected the same Python, packages and mechcla on every machine, and memory left "
                "there; the same command goes on from what is there"
            ) from error
        self.most = started
        self.say(
            f"workers do not start ({error}); the work goes on with the {started} that have started"
        )


def next_task(
    waiting: Sequence[Task], mine: set[tuple[str, ...]], others: Sequence[set[tuple[str, ...]]]
) -> Task:
    """What a free worker takes: work whose residuals it has, else such as nobody has, else any."""
    known: set[tuple[str, ...]] = set().union(*others)
    return next(
        (t for t in waiting if t.uses & mine),
        next((t for t in waiting if not t.uses & known), waiting[0]),
    )
