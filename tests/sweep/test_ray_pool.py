"""Who takes what work, and what is lost: under a small Ray that starts workers as a test says.

The pool is mechcla's own and whole; only the module `ray` is stood in for, and time is its own.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import mechcla
from mechcla.errors import MechclaError
from mechcla.items.item_set import ItemSet
from mechcla.runs.store import Store
from mechcla.sweep.config import make
from mechcla.sweep.ray_pool import LOSSES, PATIENCE, Pool, next_task
from mechcla.sweep.ray_room import worker_needs
from mechcla.sweep.ray_worker import Task, Worker
from mechcla.sweep.runner import open_beside
from tests.conftest import tiny_items


class RayError(Exception):
    """As ray.exceptions.RayError."""


class RayTaskError(RayError):
    """As Ray's: what went wrong in a worker's own code."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


class Ray:
    """As the module `ray`: has room for so many workers, one call of each at a time.

    room: workers that find a place; the others are pending. dies: whether the worker of this number
    is lost over a task. fails: what the code of a task raises. grows: by time, the room from then
    on. starts: whether the worker of this number comes up where it has a place.
    """

    def __init__(
        self,
        room: int,
        dies: Callable[[int, Task], bool] = lambda worker, task: False,
        fails: Callable[[Task], Exception | None] = lambda task: None,
        grows: dict[float, int] | None = None,
        starts: Callable[[int], bool] = lambda worker: True,
    ) -> None:
        self.room, self.dies, self.fails, self.grows, self.starts = room, dies, fails, grows, starts
        self.exceptions = SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError)
        self.now, self.asked, self.placed, self.gone = 0.0, 0, set(), set()
        self.did: list[tuple[int, Task]] = []
        self.calls: dict[int, tuple[int, Task | None]] = {}

    def remote(self, **needs: Any) -> Callable[[type], Any]:
        return lambda kind: SimpleNamespace(remote=self._actor)

    def _actor(self, *arguments: Any) -> Any:
        self.asked += 1
        number = self.asked

        def call(task: Task | None = None) -> int:
            self.calls[len(self.calls)] = (number, task)
            return len(self.calls) - 1

        method = SimpleNamespace(remote=call)
        return SimpleNamespace(where=method, work=method, number=number)

    def wait(
        self, references: list[int], num_returns: int, timeout: float | None = None
    ) -> tuple[list[int], list[int]]:
        assert references, "waits for nothing"
        for reference in references:
            number, _ = self.calls[reference]
            if number not in self.placed and len(self.placed - self.gone) < self.room:
                self.placed.add(number)
            if number in self.placed:
                return [reference], [r for r in references if r != reference]
        assert timeout is not None, "hangs"
        self.now += timeout
        self.room = max([self.room, *(n for at, n in (self.grows or {}).items() if at <= self.now)])
        return [], references

    def get(self, reference: int) -> Any:
        number, task = self.calls[reference]
        if task is None:
            if not self.starts(number):
                self.gone.add(number)
                raise RayError(f"worker {number} has no mechcla")
            return 100 + number, "here"
        assert number in self.placed, "work went to a worker that has no place"
        if self.dies(number, task):
            self.gone.add(number)
            raise RayError("out of memory")
        self.did.append((number, task))
        if (error := self.fails(task)) is not None:
            raise RayTaskError(error)

    def kill(self, handle: Any) -> None:
        self.gone.add(handle.number)

    def available_resources(self) -> dict[str, float]:
        return {"CPU": 3.0}

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 4.0, "GPU": 1.0}


def pool(ray: Ray, most: int) -> tuple[Pool, list[str]]:
    said: list[str] = []
    needs = worker_needs(make({"gpus_per_worker": 1}), "cuda")
    return Pool(ray, needs, most, (), said.append, clock=lambda: ray.now), said


def work(n: int) -> list[Task]:
    return [Task(frozenset({(f"l{k}", "universal", "dev", "implicit")})) for k in range(n)]


def test_a_worker_takes_work_whose_residuals_it_has() -> None:
    keys = {k: (k, "universal", "dev", "implicit") for k in ("es", "ko", "pt")}
    es, ko, pt = (Task(frozenset({key})) for key in keys.values())
    assert next_task([es, ko], {keys["ko"]}, [{keys["es"]}]) is ko
    assert next_task([es, ko, pt], set(), [{keys["es"]}, {keys["ko"]}]) is pt
    assert next_task([es, ko], set(), [{keys["es"]}, {keys["ko"]}]) is es


@pytest.mark.parametrize("room", [1, 2, 3, 9])
def test_workers_without_a_place_hold_nothing_up(room: int) -> None:
    ray = Ray(room)
    workers, _said = pool(ray, 4)
    tasks = work(6)
    assert sorted(map(str, workers.done(tasks))) == sorted(map(str, tasks))
    assert ray.asked == 4
    assert {number for number, _ in ray.did} <= ray.placed
    again = work(2)  # a later stage goes to those that are there
    assert len([*workers.done(again)]) == 2
    assert ray.asked == 4
    workers.close()
    assert ray.gone == {1, 2, 3, 4}


def test_no_more_workers_are_asked_for_than_there_is_work() -> None:
    ray = Ray(9)
    workers, _ = pool(ray, 9)
    assert [*workers.done([])] == []
    assert ray.asked == 0
    assert len([*workers.done(work(2))]) == 2
    assert ray.asked == 2


def test_where_no_worker_finds_a_place_it_is_said_what_is_waited_for() -> None:
    ray = Ray(0, grows={PATIENCE * 3.5: 1})
    workers, said = pool(ray, 2)
    assert len([*workers.done(work(2))]) == 2
    assert said[0] == (
        "none of 2 workers started, and no other for 60 s: each asks for 1 CPU and 1 GPU, and the "
        "Ray cluster has 3 CPUs and 0 GPUs free of 4 CPUs and 1 GPU; the run waits until there is "
        "room (less is asked for by --workers, --cpus-per-worker, --gpus-per-worker, "
        "--memory-per-worker)"
    )
    assert "no other for 120 s" in said[1]  # less and less often
    assert said[3] == "worker 101 on here has started"
    assert len(said) == 4


def test_what_is_waited_for_is_said_once_where_it_was_waited_for_before() -> None:
    ray = Ray(1)
    workers, said = pool(ray, 2)
    done = workers.done(work(2))
    next(done)  # by the first worker, beside which the other one waits
    ray.now += 100 * PATIENCE
    before = len(said)
    workers._say_what_is_waited_for()
    assert workers.since + workers.patience == 200 * PATIENCE
    assert len([*done]) == 1
    assert len(said) == before + 1


def test_workers_that_wait_beside_working_ones_are_said_too() -> None:
    ray = Ray(1)
    workers, said = pool(ray, 2)
    done = workers.done(work(3))
    next(done)
    workers._say_what_is_waited_for()
    assert "1 of 2 workers started" in said[-1]
    assert "the others wait, and the work goes on without them" in said[-1]
    assert len([*done]) == 2


def test_work_that_lost_its_worker_is_done_by_another() -> None:
    tasks = work(4)
    ray = Ray(2, dies=lambda worker, task: worker == 1 and task is tasks[0])
    workers, said = pool(ray, 2)
    assert {id(t) for t in workers.done(tasks)} == set(map(id, tasks))
    assert said.count(f"worker 101 on here was lost; another one takes its work ({tasks[0]})") == 1
    assert ray.asked == 3
    assert all(number != 1 for number, _ in ray.did)


def test_whole_runs_that_lost_their_worker_are_done_by_another() -> None:
    runs = [Task(frozenset(), run=(lambda settings: None, {"out": out})) for out in ("a", "b")]
    ray = Ray(2, dies=lambda worker, task: worker == 2)
    workers, said = pool(ray, 2)
    assert {task.run[1]["out"] for task in workers.done(runs) if task.run} == {"a", "b"}
    assert "worker 102 on here was lost; another one takes its work (the run b)" in said


def test_the_third_loss_over_the_same_work_ends_the_run() -> None:
    tasks = work(3)
    ray = Ray(2, dies=lambda worker, task: task is tasks[1])
    workers, said = pool(ray, 2)
    message = rf"worker \d+ on here was lost, loss 3 over {tasks[1]}: out of memory. If memory ran"
    with pytest.raises(MechclaError, match=message):
        [*workers.done(tasks)]
    assert len([s for s in said if "was lost; another one takes its work" in s]) == LOSSES - 1


def test_losses_over_different_work_are_counted_apart() -> None:
    tasks, lost = work(5), set()

    def dies(worker: int, task: Task) -> bool:  # every task costs a worker once
        return task not in lost and not lost.add(task)

    ray = Ray(2, dies=dies)
    workers, _ = pool(ray, 2)
    assert len([*workers.done(tasks)]) == 5
    assert ray.asked >= 6


def test_what_a_worker_refuses_is_raised_here_as_it_was() -> None:
    refusal = MechclaError("would compute other numbers")
    workers, _ = pool(Ray(1, fails=lambda task: refusal), 1)
    with pytest.raises(MechclaError) as error:
        [*workers.done(work(1))]
    assert error.value is refusal
    workers, _ = pool(Ray(1, fails=lambda task: ValueError("a bug")), 1)
    with pytest.raises(RayTaskError, match="a bug"):
        [*workers.done(work(1))]


def test_where_no_worker_comes_up_the_run_ends_with_the_cause() -> None:
    ray = Ray(9, starts=lambda worker: False)
    workers, _ = pool(ray, 2)
    with pytest.raises(MechclaError, match=r"no worker starts on Ray; the last of 3 failed with: "):
        [*workers.done(work(4))]


def test_where_some_workers_do_not_come_up_the_others_do_the_work() -> None:
    ray = Ray(9, starts=lambda worker: worker == 1)
    workers, said = pool(ray, 3)
    assert len([*workers.done(work(8))]) == 8
    assert {number for number, _ in ray.did} == {1}
    assert [s for s in said if "the work goes on with the 1 that have started" in s]
    assert ray.asked <= 1 + LOSSES + 1


def test_a_worker_that_does_not_see_the_run_folder_says_so(tmp_path: Path) -> None:
    folder = str(tmp_path / "elsewhere")
    worker = Worker({}, folder, str(tmp_path), torch.get_num_threads())
    with pytest.raises(MechclaError, match=f"no run lies in '{folder}' on .* every worker sees un"):
        worker.work(Task(frozenset(), ("es",)))
    assert not Path(folder).exists()
    with pytest.raises(MechclaError, match=f"no run lies in '{folder}' on .* every worker sees un"):
        Store.beside(folder, {})


def test_a_run_folder_without_vectors_is_not_computed_into(
    tmp_path: Path, tiny_folders: dict[str, Path], one_thread: None
) -> None:
    items: ItemSet = tiny_items()
    given = {"layers": [0, 2], "restore": False, "controls": False, "resamples": 100}
    model, out = str(tiny_folders["llama"]), str(tmp_path / "run")
    run = mechcla.run_sweep(model, items, out=out, device="cpu", figures=False, **given)
    config = make({"model": model, "out": out, "device": "cpu", **given})
    open_beside(config, items).close()
    for path in run.folder.glob("vectors/*"):
        path.unlink()
    with pytest.raises(MechclaError, match=f"the run folder '{out}' lacks vectors; its holder mak"):
        open_beside(config, items)
