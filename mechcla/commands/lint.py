"""python -m mechcla lint items.jsonl: what `mechcla.lint` finds; 0 clean, 1 faults."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import CliPositionalArg

from mechcla.commands.command import COMMANDS, Command, Flags, flags, parse
from mechcla.items.lint import lint
from mechcla.sources import load, warn_of_left_out
from mechcla.sweep.setting_types import Words


class LintConfig(Flags):
    """Check items: the implicit prompt must not name its country, answers and prompts must differ,
    ..."""

    model_config = flags("lint")

    items: CliPositionalArg[str] = Field(
        description="a .jsonl, .csv or .parquet file, a folder of them, or a source's name (demo)"
    )
    languages: Words | None = Field(None, description="check these only, such as es,ko")
    rules: Words | None = Field(None, description="hold these only, such as country-in-prompt")


def main(arguments: list[str]) -> int:
    """Print what `mechcla.lint` finds in items; 0 if nothing, 1 otherwise. Raises MechclaError for
    bad input."""
    config = parse("lint", LintConfig, arguments)
    found = load(config.items)
    warn_of_left_out(found)
    report = lint(found.items, config.languages, config.rules)
    print(report.text(shown=len(report.findings)))
    return 0 if report.clean else 1


ABOUT = "faults in a file of items: prompts that name their country, equal answers, ..."
COMMANDS.register("lint", Command(main, ABOUT))
