"""What a command is: its name, a line about it, and flags that are checked before it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from pydantic import ValidationError
from pydantic_settings import (
    CliApp,
    SettingsConfigDict,
    SettingsError,
)

from mechcla.errors import MechclaError
from mechcla.registry import Registry
from mechcla.sweep.setting_types import Given, command_line


@dataclass(frozen=True)
class Command:
    """A command: run takes its arguments and returns its exit code; about is its line in `--help`.

    run raises MechclaError for bad input, which `python -m mechcla` prints, with exit code 2.
    """

    run: Callable[[list[str]], int]
    about: str


COMMANDS: Registry[Command] = Registry("command")


def flags(name: str) -> SettingsConfigDict:
    """The `model_config` of a command's `Flags`."""
    return command_line(f"mechcla {name}", SettingsConfigDict(cli_exit_on_error=False))


class Flags(Given):
    """A command's flags and arguments."""


F = TypeVar("F", bound=Flags)


def parse(name: str, flags: type[F], arguments: list[str]) -> F:
    """The flags that these arguments give. Raises MechclaError with what was given and expected."""
    try:
        return CliApp.run(flags, cli_args=arguments)
    except SettingsError as error:
        said = str(error.__cause__ or error).removeprefix("error parsing CLI: ")
    except ValidationError as error:
        said = "; ".join(f"{e['loc'][0]!r}: {e['msg']}" for e in error.errors())
    raise MechclaError(f"{name} {' '.join(arguments)}: {said}; see {name} --help")
