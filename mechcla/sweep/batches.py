"""How many tokens a batch of a run has: chosen once, recorded, and kept by whoever resumes it."""

from __future__ import annotations

from mechcla.engine.batch_size import AUTO, batch_tokens
from mechcla.models.hooked_model import HookedModel
from mechcla.runs.folder import RECORD
from mechcla.storage import read_sealed, user_path
from mechcla.sweep.config import SweepConfig


def with_batches(config: SweepConfig, model: HookedModel) -> SweepConfig:
    """The config with a number for max_tokens: its own, the run folder's, or what is measured now.

    A run's batches decide the last bits of its numbers, so a folder that has a number keeps it,
    also on a device that would be given another.
    """
    if config.max_tokens != AUTO:
        return config
    record = user_path(config.out) / RECORD
    held = read_sealed(record, "config") if record.is_file() else None
    found = (held or {}).get("config", {}).get("max_tokens")
    most = found if isinstance(found, int) else batch_tokens(model, AUTO, beside(config))
    return config.model_copy(update={"max_tokens": most})


def beside(config: SweepConfig) -> int:
    """How many processes with the model may share a GPU with this one.

    The driver measures for its workers, and its own GPU may be one of theirs. A run that a worker
    makes whole has no workers, but the worker's share of a GPU.

    >>> from mechcla.sweep.config import make
    >>> half = {"gpus_per_worker": 0.5}
    >>> [beside(make(s)) for s in ({}, {"runner": "ray"}, half, {"runner": "ray", **half})]
    [0, 1, 1, 2]
    """
    share = config.gpus_per_worker or 1.0
    workers = max(1, int(1 / share + 1e-9))
    workers = min(workers, config.workers or workers)
    return workers if config.runner == "ray" else workers - 1
