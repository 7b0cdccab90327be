"""ScaleSettings: on what machines a sweep runs, and at what price; none of them changes a number
but `apart`, in its last digits.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from mechcla.models.placement import SETTINGS
from mechcla.sweep.placement_settings import Bytes, PlacementSettings
from mechcla.sweep.setting_types import Words

PLACES = (  # decide no number
    *("runner", "workers", "cpus_per_worker", "gpus_per_worker", "memory_per_worker"),
    *(
        "dry_run",
        "figures",
        "compile",
        "attention",
    ),  # what the model says of its attention tells both
    *SETTINGS,
)
LEAST_OF_A_GPU = 0.0001


class ScaleSettings(PlacementSettings):
    """Settings of a sweep over many languages or machines."""

    models: Words = Field(
        [],
        description="several models instead of one, as google/gemma-3-270m,google/gemma-3-1b-pt: a "
        "run each in OUT/NAME, and one comparison of all in OUT",
    )
    apart: bool = Field(
        False,
        description="nothing of a language's numbers depends on the run's other languages, not in "
        "the last digit either: what --languages es and --languages ko make by themselves",
    )
    runner: Literal["local", "ray"] = Field(
        "local", description="ray: cells are computed by workers, on this machine or a cluster"
    )
    workers: int | None = Field(
        None, ge=1, le=100_000, description="ray: how many; default: as many as the cluster holds"
    )
    cpus_per_worker: int = Field(1, ge=1, le=10_000, description="ray: CPUs that a worker reserves")
    gpus_per_worker: float | None = Field(
        None,
        ge=0,
        le=1_000,
        description="ray: GPUs of a worker, 0.5 for two workers per GPU; default: on cuda 1, or as "
        "many as n_devices, device_map or max_memory name",
    )
    memory_per_worker: Bytes | None = Field(
        None,
        description="ray: memory that a worker reserves, in bytes or as 24GiB; default: none, so "
        "that CPUs and GPUs alone decide",
    )
    compile: bool = Field(
        False,
        description="blocks run as torch.compile's code, which a GPU is sent in fewer pieces; it "
        "is made first, in a minute or so, and last digits differ",
    )
    attention: Literal["eager", "sdpa"] = Field(
        "eager",
        description="sdpa: torch's fused attention in blocks that nothing is hooked on; last "
        "digits differ",
    )
    dry_run: bool = Field(
        False,
        description="cells, tokens, FLOPs, memory, disk and time of the run, at a rate measured "
        "here in a few seconds; nothing is written",
    )
    figures: bool = Field(
        True,
        description="draw the figures and the run page; without, tables alone, and python -m "
        "mechcla report RUN makes the page later",
    )

    @field_validator("gpus_per_worker")
    @classmethod
    def _as_ray_counts(cls, value: float | None) -> float | None:
        if value is not None and value > 1 and value != int(value):
            raise ValueError(
                f"several GPUs are whole ones; expected {int(value)}, {int(value) + 1}, or a part "
                "of one such as 0.5"
            )
        if value and value < LEAST_OF_A_GPU:
            raise ValueError(f"Ray counts GPUs in parts of {LEAST_OF_A_GPU}; expected no less")
        return value

    def recorded(self) -> dict[str, Any]:
        """What the config of a run's record says of these, so that it can be gone on with."""
        return self.placed() | {
            k: v
            for k, v in (("compile", self.compile), ("attention", self.attention))
            if v not in (False, "eager")
        }
