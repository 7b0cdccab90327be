"""Ray itself: the cluster that is there, or one on this machine."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from mechcla.errors import MechclaError
from mechcla.sweep.config import SweepConfig

OBJECTS = 256 << 20  # bytes of Ray's object store on this machine: cells do not go through it
ADDRESS = "RAY_ADDRESS"
ANSWER = 10.0  # seconds for a cluster's machine to take a connection; Ray tries for minutes
QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}


@dataclass(frozen=True)
class Cluster:
    """Ray, connected. alone: it was started here, on this machine, and no other one joins it."""

    ray: Any
    alone: bool


@contextmanager
def cluster(config: SweepConfig) -> Iterator[Cluster]:
    """The cluster that RAY_ADDRESS or `ray start` names, or one on this machine, which ends with
    this.

    Raises MechclaError where RAY_ADDRESS names one that cannot be joined.
    """
    ray = import_ray()
    if ray.is_initialized():
        yield Cluster(ray, alone=False)
        return
    try:
        alone = not _join(ray)
        if alone:
            _start(ray, config)
        yield Cluster(ray, alone)
    finally:
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


def _join(ray: Any) -> bool:
    """Join a cluster; False where there is none and the variable names none."""
    address = os.environ.get(ADDRESS, "").strip()
    if address == "local":  # Ray's own word for a machine by itself
        return False
    named = address not in ("", "auto")
    if named:
        _check_address(address)
    try:
        ray.init(address="auto", **QUIET)
    except Exception as error:  # whatever Ray says of a cluster of another version, or a proxy
        if isinstance(error, ConnectionError) and not address:
            return False
        whose = f"{ADDRESS}={address!r} names" if named else "`ray start` started here"
        raise MechclaError(
            f"the Ray cluster that {whose} cannot be joined: {error} Expected one that runs, of "
            f"the same Ray and Python; without {ADDRESS}, and after `ray stop`, Ray starts on this "
            "machine alone"
        ) from error
    return True


def _check_address(address: str) -> None:
    """Refuse an address that is none, or where nothing listens: Ray tries that for minutes."""
    if "://" in address and not address.startswith("ray://"):
        return  # of a service, which its own package for Ray knows
    try:
        parts = urlsplit(address if "://" in address else f"//{address}")
        host, port = parts.hostname, parts.port
    except ValueError:  # of a port that is no number
        host, port = None, None
    if host is None or port is None:
        raise MechclaError(
            f"{ADDRESS} is {address!r}; expected HOST:PORT of a Ray cluster, such as "
            "10.0.0.1:6379 (`ray start --head` prints it), or no such variable for Ray on this "
            "machine alone"
        )
    try:
        socket.create_connection((host, port), timeout=ANSWER).close()
    except OSError as error:
        raise MechclaError(
            f"{ADDRESS} is {address!r}, and no Ray cluster answers there ({error}); expected one "
            "that runs, or no such variable for Ray on this machine alone"
        ) from error


def _start(ray: Any, config: SweepConfig) -> None:
    """Start a cluster on this machine, of as many CPUs as its workers ask for."""
    os.environ.setdefault("RAY_worker_niceness", "0")  # Ray's is 15, but workers are the work
    cpus = (config.workers or 1) * config.cpus_per_worker
    for last in (False, True):
        try:
            ray.init(
                address="local",
                num_cpus=max(os.cpu_count() or 1, cpus),
                object_store_memory=OBJECTS,
                include_dashboard=False,
                **QUIET,
            )
            return
        except Exception as error:  # Ray gives its processes half a minute
            ray.shutdown()
            if last:
                raise MechclaError(
                    f"Ray did not start on this machine: {error} Expected a machine with time and "
                    "memory left for its processes; --runner local needs none"
                ) from error
