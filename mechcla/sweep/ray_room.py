"""What a worker asks Ray for, and how many such workers a machine or a cluster has room for.

A GPU is counted by Ray in parts of 0.0001. A part of one lies on one GPU, and several lie on one
machine, so room is counted machine by machine. Source: ours, by Ray's rules of placement.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from mechcla.errors import MechclaError
from mechcla.sweep.config import SweepConfig

PARTS = 10_000  # of a GPU, as Ray counts it
GIB = 1 << 30
GPU = re.compile(r"(?:cuda:)?(\d+)")


def likely_device(config: SweepConfig) -> str:
    """Where the model will lie, before it is loaded."""
    return config.device or ("cuda" if torch.cuda.is_available() else "cpu")


def device_in_worker(device: str | None) -> str | None:
    """A run's device as a worker names it: Ray shows it its own GPUs, numbered from 0."""
    return "cuda" if device is not None and device.startswith("cuda:") else device


def check_workers(config: SweepConfig) -> None:
    """Refuse what no worker could do with: before Ray starts, and before a model is loaded."""
    device, several = config.device or "", config.adapters or config.models
    if several and device.startswith("cuda:") and device != "cuda:0":
        raise MechclaError(
            f"--device {device} with --runner ray and several runs: a worker makes whole runs on "
            "the GPU that Ray gives it, which is cuda:0 there; expected --device cuda, and "
            "CUDA_VISIBLE_DEVICES where Ray starts, to keep it off other GPUs"
        )
    worker_needs(config, likely_device(config))


def worker_needs(config: SweepConfig, device: str) -> dict[str, Any]:
    """What Ray reserves for a worker; GPUs by default where the run is on cuda.

    Raises MechclaError where the model's map needs more GPUs than a worker would see, or does not
    say how many.
    """
    gpus, wanted = config.gpus_per_worker, _gpus_of_model(config)
    if gpus is None:
        gpus = _gpus_by_default(config, wanted) if device.startswith("cuda") else 0.0
    elif wanted > max(1, gpus):
        raise MechclaError(
            f"the model is to lie on {wanted} GPUs ({', '.join(config.placed())}), and "
            f"--gpus-per-worker {gpus:g} shows a worker no more than that; expected "
            f"--gpus-per-worker {wanted}, or a map that names fewer (a worker's GPUs are numbered "
            "from 0)"
        )
    elif not gpus and device.startswith("cuda"):
        raise MechclaError(
            f"--gpus-per-worker 0 shows a worker no GPU, and the run is on {device}, whose numbers "
            "are not a CPU's to the last digit; expected --gpus-per-worker 1, or --device cpu"
        )
    needs: dict[str, Any] = {
        "num_cpus": config.cpus_per_worker,
        "num_gpus": gpus,
        "max_restarts": 0,
    }
    memory = config.memory_per_worker
    return needs if memory is None else needs | {"memory": memory}


def _gpus_of_model(config: SweepConfig) -> int:
    """How many GPUs the settings of placement name; 0 for none."""
    places: list[Any] = [*(config.max_memory or ())]
    if isinstance(config.device_map, Mapping):
        places += config.device_map.values()
    named = [n for place in places if (n := _gpu_number(place)) is not None]
    return max([config.n_devices or 0, *(n + 1 for n in named)])  # 0 and 3 need four: 0 to 3


def _gpu_number(place: Any) -> int | None:
    if isinstance(place, int):
        return place
    found = GPU.fullmatch(place)
    return int(found[1]) if found else 0 if place == "cuda" else None


def _gpus_by_default(config: SweepConfig, wanted: int) -> float:
    if wanted:
        return float(wanted)
    if isinstance(config.device_map, str) and config.max_memory is None:
        raise MechclaError(
            f"--device-map {config.device_map} takes every GPU that a process sees, and Ray asks "
            "how many a worker is to see; expected --gpus-per-worker N (or --n-devices N)"
        )
    return 0.0 if config.device_map or config.max_memory else 1.0  # maps that name no GPU


def workers_that_fit(nodes: Sequence[Mapping[str, Any]], needs: Mapping[str, Any]) -> int:
    """How many workers these machines have room for, each machine by itself."""
    alive = (node for node in nodes if node.get("Alive", True))
    return sum(min(_rooms(node.get("Resources", {}), needs).values()) for node in alive)


def _rooms(has: Mapping[str, float], needs: Mapping[str, Any]) -> dict[str, int]:
    """How many workers each of a machine's resources would do for, of those that are asked for."""
    found = {"CPU": int(has.get("CPU", 0.0) // needs["num_cpus"])}
    parts, gpus = round(needs["num_gpus"] * PARTS), int(has.get("GPU", 0.0))
    if parts:  # whole numbers, since 1 // 0.1 is 9
        found["GPU"] = gpus * (PARTS // parts) if parts < PARTS else gpus * PARTS // parts
    if "memory" in needs:
        found["memory"] = int(has.get("memory", 0.0) // needs["memory"])
    return found


def check_machine(has: Mapping[str, float], config: SweepConfig, needs: Mapping[str, Any]) -> None:
    """Refuse workers that this one machine will never have room for.

    has: its resources, by Ray's count.
    """
    rooms, wanted = _rooms(has, needs), config.workers or 1
    lacking = [name for name, room in rooms.items() if room < wanted]
    if not lacking:
        return
    fit = min(rooms.values())
    asked = f"--workers {wanted}: each asks" if config.workers else "a worker asks"
    ways = [f"--workers {fit}"] if fit else []
    if "GPU" in lacking:
        ways += _fewer_gpus(int(has.get("GPU", 0.0)), wanted, needs["num_gpus"])
    if "memory" in lacking:
        share = has.get("memory", 0.0) * 10 // (wanted * GIB) / 10  # rounded down
        ways += [f"--memory-per-worker {share:.1f}GiB" if share >= 0.1 else "more memory"]
    raise MechclaError(
        f"{asked} for {amounts(needs)}, and Ray finds {resources(has, needs)} on this machine, "
        f"where no cluster is joined; expected {' or '.join(ways)}, or a cluster (RAY_ADDRESS)"
    )


def _fewer_gpus(there: int, wanted: int, each: float) -> list[str]:
    if not there:
        return ["--device cpu --gpus-per-worker 0"]
    if wanted > there and each <= 1:  # so many on each card, rounded down
        return [f"--gpus-per-worker {PARTS // -(-wanted // there) / PARTS:g}"]
    return [] if each <= there else [f"--gpus-per-worker {there}"]


def amounts(needs: Mapping[str, Any]) -> str:
    """What a worker asks for, in words.

    >>> amounts({"num_cpus": 4, "num_gpus": 0.5})
    '4 CPUs and 0.5 GPUs'
    """
    asked = {"CPU": needs["num_cpus"], "GPU": needs["num_gpus"], "memory": needs.get("memory", 0)}
    return resources({name: float(n) for name, n in asked.items()}, needs)


def resources(has: Mapping[str, float], needs: Mapping[str, Any]) -> str:
    """What there is, in words, of what workers of these needs ask for."""
    gpus, cpus = has.get("GPU", 0.0), has.get("CPU", 0.0)
    told = [f"{cpus:g} CPU{'s' * (cpus != 1)}"]
    told += [f"{gpus:g} GPU{'s' * (gpus != 1)}"] if needs["num_gpus"] else []
    told += [f"{has.get('memory', 0.0) / GIB:.1f} GiB of memory"] if "memory" in needs else []
    return " and ".join(filter(None, (", ".join(told[:-1]), told[-1])))
