"""python -m mechcla merge RUN RUN ... --out RUN: parts over different languages as one run."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import CliPositionalArg

from mechcla.commands.command import COMMANDS, Command, Flags, flags, parse
from mechcla.sweep.merge import merge_runs


class MergeConfig(Flags):
    """Join complete runs over different languages into the run that one sweep over all of them
    makes: cells, vectors, choice, pooled rows, tests, control arms and figures."""

    model_config = flags("merge")

    runs: CliPositionalArg[list[str]] = Field(
        description="two or more run folders of the same settings, each of other languages"
    )
    out: str = Field(description="the joined run's folder; the same command again goes on there")


def main(arguments: list[str]) -> int:
    """Join the parts and say what the joined run says. Raises MechclaError for bad input."""
    config = parse("merge", MergeConfig, arguments)
    merge_runs(config.runs, config.out)
    return 0


ABOUT = "parts over different languages as the run over all of them"
COMMANDS.register("merge", Command(main, ABOUT))
