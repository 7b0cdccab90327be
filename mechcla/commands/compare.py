"""python -m mechcla compare RUN RUN ...: runs on one plane, paired by item."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from pydantic_settings import CliPositionalArg

from mechcla.commands.command import COMMANDS, Command, Flags, flags, parse
from mechcla.metrics.estimates import RESAMPLES
from mechcla.runs.compare import SUMMARY, compare_runs
from mechcla.storage import user_path
from mechcla.sweep.models import write_compared
from mechcla.sweep.setting_types import Words


class CompareConfig(Flags):
    """Compare runs: each run's values over the items that all scored, and differences to the first
    run."""

    model_config = flags("compare")

    runs: CliPositionalArg[list[str]] = Field(
        description="two or more run folders; the first is what the others are compared with"
    )
    out: str | None = Field(
        None, description="folder for compare.csv and the figure; default: none"
    )
    measure: Literal["share", "accuracy"] = Field("share", description="of every value")
    conditions: Words | None = Field(
        None, description="these only, such as unsteered,SUR; default: all but the control arms"
    )
    metrics: Words | None = Field(
        None,
        description="registered metrics, such as localization,collision_aware_bias; default: "
        + ", ".join(SUMMARY),
    )
    resamples: int = Field(RESAMPLES, ge=100, le=100_000, description="bootstrap resamples")
    seed: int = Field(0, ge=0, description="seed of the bootstrap and the tests")


def main(arguments: list[str]) -> int:
    """Print what `mechcla.compare_runs` finds, and write it to --out. Raises MechclaError for bad
    input."""
    config = parse("compare", CompareConfig, arguments)
    found = compare_runs(
        config.runs,
        config.measure,
        conditions=config.conditions,
        metrics=SUMMARY if config.metrics is None else config.metrics,
        resamples=config.resamples,
        seed=config.seed,
    )
    print(found)
    if config.out is not None:
        write_compared(found, user_path(config.out), config.measure, print)
    return 0


ABOUT = "two or more runs on one plane, paired by item: models, or a base and its adapters"
COMMANDS.register("compare", Command(main, ABOUT))
