"""What workers on Ray ask for, what a machine has room for, and what is refused before Ray starts
and before a model is loaded.
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import mechcla
from mechcla.errors import MechclaError
from mechcla.sweep import ray_cluster, ray_runner
from mechcla.sweep.__main__ import main
from mechcla.sweep.config import make, parse
from mechcla.sweep.ray_room import (
    amounts,
    check_machine,
    check_workers,
    device_in_worker,
    worker_needs,
    workers_that_fit,
)

GIB = 1 << 30


def machine(cpus: float, gpus: float = 0, memory: float = 8 * GIB, alive: bool = True) -> Any:
    resources = {"CPU": cpus, "memory": memory} | ({"GPU": gpus} if gpus else {})
    return {"Alive": alive, "Resources": floats(resources)}


def floats(has: dict[str, float]) -> dict[str, float]:
    """As Ray counts."""
    return {name: float(n) for name, n in has.items()}


def test_workers_are_sized_by_what_one_needs() -> None:
    config = make({"runner": "ray", "cpus_per_worker": 4})
    assert worker_needs(config, "cpu") == {"num_cpus": 4, "num_gpus": 0.0, "max_restarts": 0}
    assert worker_needs(config, "cuda:0")["num_gpus"] == 1.0
    assert workers_that_fit([machine(9)], worker_needs(config, "cpu")) == 2
    assert workers_that_fit([machine(3), machine(3)], worker_needs(config, "cpu")) == 0
    assert workers_that_fit([machine(9), machine(8, alive=False)], worker_needs(config, "cpu")) == 2


def test_a_worker_without_a_gpu_is_refused_where_the_run_is_on_one() -> None:
    config = make({"runner": "ray", "gpus_per_worker": 0})
    assert worker_needs(config, "cpu")["num_gpus"] == 0
    with pytest.raises(MechclaError, match=r"--gpus-per-worker 0 .*run is on cuda:0"):
        worker_needs(config, "cuda:0")


@pytest.mark.parametrize(
    ("each", "gpus", "fit"),
    [
        (0.5, (8,), 16),
        (0.1, (1,), 10),  # 1 // 0.1 is 9
        (0.6, (2,), 2),  # each lies on one GPU: the two rests do not make one more
        (2, (3, 3), 2),  # nor do GPUs of two machines
        (2, (1, 1), 0),
        (1, (0,), 0),
    ],
)
def test_gpus_are_counted_as_ray_places_workers(
    each: float, gpus: tuple[int, ...], fit: int
) -> None:
    needs = worker_needs(make({"gpus_per_worker": each}), "cuda")
    assert workers_that_fit([machine(64, n) for n in gpus], needs) == fit


def test_a_worker_may_reserve_memory_too() -> None:
    sized = {"--memory-per-worker=24GiB": 24 << 30, "--memory-per-worker=1000000": 1_000_000}
    for flag, size in sized.items():
        assert worker_needs(parse([flag]), "cpu")["memory"] == size
    assert "memory" not in worker_needs(make({}), "cpu")
    needs = worker_needs(make({"memory_per_worker": "1.5 GB"}), "cpu")
    assert needs["memory"] == 1_500_000_000
    assert workers_that_fit([machine(8, memory=4e9)], needs) == 2
    assert workers_that_fit([machine(1, memory=4e9)], needs) == 1
    assert workers_that_fit([machine(8, memory=1e9), machine(8, memory=2e9)], needs) == 1
    assert amounts(needs) == "1 CPU and 1.4 GiB of memory"


@pytest.mark.parametrize("size", ["24 gigabytes", "0", "0GiB", "-1", "1TiB", ""])
def test_a_size_that_is_none_is_refused(size: str) -> None:
    with pytest.raises(MechclaError, match="setting 'memory_per_worker' is"):
        parse([f"--memory-per-worker={size}"])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("1.5", "is '1.5': several GPUs are whole ones; expected 1, 2, or a part of one such as"),
        ("0.00001", "Ray counts GPUs in parts of 0.0001"),
        ("-1", "setting 'gpus_per_worker' is '-1'"),
        ("nan", "setting 'gpus_per_worker' is 'nan'"),
    ],
)
def test_parts_of_gpus_that_ray_does_not_take_are_refused(given: str, message: str) -> None:
    with pytest.raises(MechclaError, match=message):
        parse([f"--gpus-per-worker={given}"])
    assert [parse([f"--gpus-per-worker={n}"]).gpus_per_worker for n in (0, 0.5, 1, 8)] == [
        *(0, 0.5, 1, 8)
    ]


@pytest.mark.parametrize(
    ("placed", "gpus"),
    [
        ({"n_devices": 2}, 2),
        ({"n_devices": 1, "device_map": "auto"}, 1),
        ({"n_devices": 2, "device_map": "balanced"}, 2),
        ({"device_map": {"": 0, "lm_head": "cuda:1"}}, 2),
        ({"device_map": {"": "3", "lm_head": "cuda"}}, 4),  # numbers 0 to 3 are seen
        ({"device_map": {"": "cpu", "lm_head": "disk"}}, 0),
        ({"device_map": "auto", "max_memory": {0: "70GiB", 1: "70GiB", "cpu": "1GiB"}}, 2),
        ({"device_map": "auto", "max_memory": {"cpu": "1GiB"}}, 0),
        ({"device_map": "auto", "gpus_per_worker": 4}, 4),
        ({"device_map": {"": 1}, "gpus_per_worker": 4}, 4),
        ({}, 1),
    ],
)
def test_a_worker_has_the_gpus_that_its_model_lies_on(placed: dict[str, Any], gpus: int) -> None:
    assert worker_needs(make(placed), "cuda:0")["num_gpus"] == gpus
    assert worker_needs(make(placed), "cpu")["num_gpus"] == (placed.get("gpus_per_worker") or 0)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--device-map", "auto"], "--device-map auto takes every GPU .* --gpus-per-worker N"),
        (["--device-map", "balanced"], "--device-map balanced takes every GPU"),
        (["--n-devices", "2", "--gpus-per-worker", "1"], r"on 2 GPUs \(n_devices\), and --gpus-pe"),
        (["--max-memory", '{"0": "9GiB", "1": "9GiB"}', "--gpus-per-worker", "0.5"], "worker 2, "),
        (["--device", "cuda:1", "--models", "a,b"], "--device cuda:1 .* expected --device cuda,"),
        (["--device", "cuda:1", "--adapters", "mist"], "--device cuda:1 .* several runs"),
    ],
)
def test_what_no_worker_could_do_with_is_refused_before_a_model_is_loaded(
    flags: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(MechclaError, match=message):
        check_workers(parse(flags))
    asked = [*flags, "--runner", "ray", "--out", str(tmp_path / "run"), "--dry-run"]
    assert main(asked) == 2  # what the run refuses, its rehearsal does
    assert "Traceback" not in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_gpu_by_its_number_is_the_drivers_alone() -> None:
    check_workers(make({"device": "cuda:1"}))
    check_workers(make({"device": "cuda:0", "models": ["a", "b"]}))
    given = [None, "cpu", "cuda", "cuda:0", "cuda:1", "mps"]
    assert [device_in_worker(d) for d in given] == [None, "cpu", "cuda", "cuda", "cuda", "mps"]


@pytest.mark.parametrize(
    ("settings", "has", "message"),
    [
        (
            {"workers": 2},
            {"CPU": 8, "GPU": 1},
            "--workers 2: each asks for 1 CPU and 1 GPU, and Ray finds 8 CPUs and 1 GPU on this "
            "machine, where no cluster is joined; expected --workers 1 or --gpus-per-worker 0.5, "
            r"or a cluster \(RAY_ADDRESS\)",
        ),
        (
            {"gpus_per_worker": 1},
            {"CPU": 8},
            "^a worker asks for 1 CPU and 1 GPU, and Ray finds 8 CPUs and 0 GPUs .* expected "
            "--device cpu --gpus-per-worker 0, or",
        ),
        ({"n_devices": 4}, {"CPU": 8, "GPU": 2}, "4 GPUs, and .* 2 GPUs on .*--gpus-per-worker 2"),
        ({"n_devices": 2, "workers": 3}, {"CPU": 8, "GPU": 4}, "expected --workers 2, or a clust"),
        ({"workers": 7}, {"CPU": 8, "GPU": 2}, "--workers 2 or --gpus-per-worker 0.25,"),
        ({"workers": 3}, {"CPU": 8, "GPU": 1}, "--workers 1 or --gpus-per-worker 0.3333,"),
        (
            {"workers": 4, "memory_per_worker": "4GiB", "device": "cpu"},
            {"CPU": 8, "memory": 10.3 * GIB},
            "1 CPU and 4.0 GiB of memory, and Ray finds 8 CPUs and 10.3 GiB of memory .* expected "
            "--workers 2 or --memory-per-worker 2.5GiB",
        ),
    ],
)
def test_what_this_machine_never_has_room_for_is_refused_at_once(
    settings: dict[str, Any], has: dict[str, float], message: str
) -> None:
    config = make(settings)
    with pytest.raises(MechclaError, match=message):
        check_machine(floats(has), config, worker_needs(config, config.device or "cuda"))


def test_what_this_machine_has_room_for_is_not_refused() -> None:
    for settings, has in (
        ({"workers": 2}, {"CPU": 2, "GPU": 2}),
        ({"workers": 2, "gpus_per_worker": 0.5}, {"CPU": 2, "GPU": 1}),
        ({}, {"CPU": 1, "GPU": 8}),
        ({"n_devices": 2, "workers": 4}, {"CPU": 8, "GPU": 8}),
    ):
        config = make(settings)
        check_machine(floats(has), config, worker_needs(config, "cuda"))


def test_without_ray_the_extra_is_named_before_anything_is_done(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MechclaError, match=r"pip install 'mechcla\[ray\]'"):
        mechcla.run_sweep("no such model", "demo", out=tmp_path / "run", runner="ray")
    assert not (tmp_path / "run").exists()


def ray_that(*ends: Exception | None) -> Any:
    """A Ray whose `init` ends like this, call by call. asked: the addresses that it was asked for;
    the last one's settings.
    """
    ending, ray = iter(ends), SimpleNamespace(asked=[], settings={}, ends=0)

    def init(**settings: Any) -> None:
        ray.asked.append(settings["address"])
        ray.settings = settings
        if (error := next(ending)) is not None:
            raise error

    def shutdown() -> None:
        ray.ends += 1

    ray.init, ray.shutdown, ray.is_initialized = init, shutdown, lambda: False
    return ray


def opened(ray: Any, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> bool:
    """Whether the cluster that this Ray gives is this machine alone."""
    monkeypatch.setattr(ray_cluster, "import_ray", lambda: ray)
    with ray_cluster.cluster(make({"runner": "ray", **settings})) as there:
        assert there.ray is ray
        return there.alone


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--gpus-per-worker", "1"], "a worker asks for 1 CPU and 1 GPU, and Ray finds 2 CPUs and"),
        (["--workers", "3", "--memory-per-worker", "1GiB"], "--workers 3: each asks for 1 CPU and"),
    ],
)
def test_a_sweep_without_room_here_is_refused_before_a_model_is_loaded(
    flags: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "local")
    ray, out = ray_that(None), str(tmp_path / "run")
    ray.cluster_resources = lambda: {"CPU": 2.0, "memory": 2.0 * GIB}
    for module in (ray_cluster, ray_runner):
        monkeypatch.setattr(module, "import_ray", lambda: ray)
    assert main(["--model", "no/such", "--runner", "ray", "--out", out, *flags]) == 2
    assert capsys.readouterr().err.startswith(f"mechcla.sweep: {message}")
    assert ray.ends == 1
    assert not (tmp_path / "run").exists()


def test_the_cluster_that_is_there_is_joined_else_one_is_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    ray = ray_that(None)
    assert not opened(ray, monkeypatch)
    assert (ray.asked, ray.ends) == (["auto"], 1)
    ray = ray_that(ConnectionError("there is none"), None)
    assert opened(ray, monkeypatch, workers=512, cpus_per_worker=2)
    assert (ray.asked, ray.settings["num_cpus"]) == (["auto", "local"], 1024)
    monkeypatch.setenv("RAY_ADDRESS", "local")
    ray = ray_that(None)
    assert opened(ray, monkeypatch)
    assert ray.asked == ["local"]


def test_a_named_cluster_that_does_not_answer_is_refused_and_none_is_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setenv("RAY_ADDRESS", address)
        ray = ray_that(ConnectionError("Failed to connect to Ray cluster"))
        with pytest.raises(MechclaError, match=f"'{address}' names cannot be joined: Failed to"):
            opened(ray, monkeypatch)
        assert ray.asked == ["auto"]
    ray = ray_that()  # nothing listens there any more: Ray itself is not asked
    with pytest.raises(MechclaError, match=f"is '{address}', and no Ray cluster answers there"):
        opened(ray, monkeypatch)
    assert ray.asked == []


@pytest.mark.parametrize("address", ["nonsense", "host:port", "10.0.0.1:99999", ":6379", "ray://x"])
def test_an_address_that_is_none_is_refused(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", address)
    ray = ray_that()
    with pytest.raises(MechclaError, match=f"RAY_ADDRESS is '{address}'; expected HOST:PORT of"):
        opened(ray, monkeypatch)
    assert ray.asked == []


def test_an_address_of_a_service_is_left_to_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "service://mine")
    ray = ray_that(None)
    assert not opened(ray, monkeypatch)
    assert ray.asked == ["auto"]


def test_a_cluster_of_another_ray_is_refused_in_one_message(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    ray = ray_that(RuntimeError("Version mismatch: the cluster was started with Ray 2.50."))
    with pytest.raises(MechclaError, match=r"`ray start` started here cannot .* 2\.50\. Expected"):
        opened(ray, monkeypatch)
    assert ray.asked == ["auto"]


def test_a_ray_that_does_not_start_is_tried_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "local")
    late = RuntimeError("The node did not register in time.")
    ray = ray_that(late, None)
    assert opened(ray, monkeypatch)
    ray = ray_that(late, late)
    with pytest.raises(MechclaError, match="Ray did not start on this machine: The node did not"):
        opened(ray, monkeypatch)
    assert ray.asked == ["local", "local"]
