"""Ray itself: the cluster that is there or one on this machine, and how many workers it holds."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from mechcla.errors import MechclaError
from mechcla.sweep.config import SweepConfig

OBJECTS = 256 << 20  # bytes of Ray's object store on this machine: cells do not go through it


def worker_needs(config: SweepConfig, device: str) -> dict[str, Any]:
    """What Ray reserves for a worker; GPUs by default where the run is on cuda."""
    gpus = config.gpus_per_worker
    if gpus is None:
        gpus = float(config.n_devices or 1) if device.startswith("cuda") else 0.0
    needs: dict[str, Any] = {
        "num_cpus": config.cpus_per_worker,
        "num_gpus": gpus,
        "max_restarts": 0,
    }
    memory = config.memory_per_worker
    return needs if memory is None else needs | {"memory": memory}


def workers_that_fit(has: dict[str, float], needs: dict[str, Any]) -> int:
    """How many workers a cluster has room for; at least one, which is asked for in any case."""
    room = [has.get("CPU", 0.0) // needs["num_cpus"]]
    if needs["num_gpus"]:
        room.append(has.get("GPU", 0.0) // needs["num_gpus"])
    if "memory" in needs:
        room.append(has.get("memory", 0.0) // needs["memory"])
    return max(1, int(min(room)))


def fits_one_machine(nodes: Sequence[dict[str, Any]], needs: dict[str, Any]) -> bool:
    """Whether a machine of a cluster is large enough for a worker."""
    wanted = {"CPU": needs["num_cpus"], "GPU": needs["num_gpus"], "memory": needs.get("memory", 0)}
    return any(
        all(node.get("Resources", {}).get(k, 0.0) >= n for k, n in wanted.items())
        for node in nodes
        if node.get("Alive", True)
    )


@contextmanager
def cluster(config: SweepConfig) -> Iterator[Any]:
    """Ray, connected; a cluster that was started here ends with it."""
    ray = import_ray()
    own = not ray.is_initialized()
    if own:
        _connect(ray, config)
    try:
        yield ray
    finally:
        if own:
            ray.shutdown()


def import_ray() -> Any:
    """Ray. Raises MechclaError with the extra that has it."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise MechclaError(
            f"--runner ray needs Ray, which is not installed ({error}); expected: "
            "pip install 'mechcla[ray]', or --runner local"
        ) from error
    return ray


def _connect(ray: Any, config: SweepConfig) -> None:
    """Join the cluster that RAY_ADDRESS or `ray start` names, or start one on this machine."""
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    try:
        ray.init(address="auto", **quiet)
        return
    except ConnectionError:
        pass  # there is none
    os.environ.setdefault("RAY_worker_niceness", "0")  # Ray's is 15, but workers are the work
    cpus = (config.workers or 1) * config.cpus_per_worker
    for last in (False, True):
        try:
            ray.init(
                address="local",
                num_cpus=max(os.cpu_count() or 1, cpus),
                object_store_memory=OBJECTS,
                include_dashboard=False,
                **quiet,
            )
            return
        except Exception as error:  # Ray gives its processes half a minute
            ray.shutdown()
            if last:
                raise MechclaError(
                    f"Ray did not start on this machine: {error} Expected a machine with time and "
                    "memory left for its processes; --runner local needs none"
                ) from error
