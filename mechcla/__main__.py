"""python -m mechcla, and the console script mechcla: a command, then its own arguments.

    python -m mechcla sweep --preset quick
    python -m mechcla lint items.jsonl --languages es,ko

Exit codes: 0 done (`lint`: clean), 1 `lint` found faults, 2 bad input, 130 interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    CliApp,
    CliPositionalArg,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from mechcla.align.__main__ import main as align_main
from mechcla.errors import MechclaError
from mechcla.items.lint import lint
from mechcla.registry import Registry
from mechcla.sources import unlinted_items
from mechcla.sweep.__main__ import main as sweep_main

Command = Callable[[list[str]], int]
COMMANDS: Registry[Command] = Registry("command")
COMMANDS.register("sweep", sweep_main)
COMMANDS.register("align", align_main)
_ABOUT = {
    "sweep": "from a model to the transfer-localization plane (also: python -m mechcla.sweep)",
    "align": "trains a LoRA adapter with an alignment method, or a control",
    "lint": "faults in a file of items: prompts that name their country, equal answers, ...",
}


def main(arguments: list[str] | None = None) -> int:
    """Run the command that the first argument names; returns the exit code.

    >>> main(["lint", "items.jsonl"])
    387 items in es: no faults
    ...
    0
    """
    given = sys.argv[1:] if arguments is None else arguments
    if not given or given[0] in ("-h", "--help"):
        print(_usage(), file=sys.stdout if given else sys.stderr)
        return 0 if given else 2
    try:
        return COMMANDS.get(given[0])(given[1:])
    except MechclaError as error:
        print(f"mechcla: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nmechcla: interrupted", file=sys.stderr)
        return 130


@COMMANDS.register("lint")
def lint_main(arguments: list[str]) -> int:
    """Print what `mechcla.lint` finds in items; 0 if nothing, 1 otherwise. Raises MechclaError for
    bad input."""
    config = _parse(arguments)
    report = lint(unlinted_items(config.items), config.languages, config.rules)
    print(report.text(shown=len(report.findings)))
    return 0 if report.clean else 1


def _split(value: Any) -> Any:
    """'es,ko' is a list; so are repeated flags, which arrive joined by commas."""
    parts = value.split(",") if isinstance(value, str) else value
    return [part.strip() for part in parts if part.strip()] if isinstance(parts, list) else parts


Words = Annotated[list[str], NoDecode, BeforeValidator(_split)]


class LintConfig(BaseSettings):
    """Check items: the implicit prompt must not name its country, answers and prompts must differ,
    ..."""

    model_config = SettingsConfigDict(
        extra="forbid", frozen=True, cli_prog_name="python -m mechcla lint", cli_exit_on_error=False
    )

    items: CliPositionalArg[str] = Field(
        description="a .jsonl, .csv or .parquet file, a folder of them, or a source's name (demo)"
    )
    languages: Words | None = Field(None, description="check these only, such as es,ko")
    rules: Words | None = Field(None, description="hold these only, such as country-in-prompt")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)  # flags only: no setting comes from the environment unseen


def _parse(arguments: list[str]) -> LintConfig:
    try:
        return CliApp.run(LintConfig, cli_args=arguments)
    except SettingsError as error:
        said = str(error.__cause__ or error).removeprefix("error parsing CLI: ")
        raise MechclaError(f"lint {' '.join(arguments)}: {said}; see lint --help") from error
    except ValidationError as error:
        said = "; ".join(f"{e['loc'][0]!r}: {e['msg']}" for e in error.errors())
        raise MechclaError(f"lint {' '.join(arguments)}: {said}; see lint --help") from error


def _usage() -> str:
    lines = ["usage: python -m mechcla COMMAND ...   (COMMAND --help lists its settings)", ""]
    return "\n".join(lines + [f"  {name:8}{_ABOUT.get(name, '')}" for name in COMMANDS])


if __name__ == "__main__":
    raise SystemExit(main())
