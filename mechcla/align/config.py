"""From flags, a file or keywords to the AlignConfig of a registered method, checked."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from pydantic_settings import CliApp, SettingsError

from mechcla.align.methods import METHODS
from mechcla.align.settings import AlignConfig
from mechcla.errors import MechclaError, nearest
from mechcla.sweep.config import explain, joined
from mechcla.sweep.config_file import plugins_of, read_config
from mechcla.sweep.plugins import load_plugins


def parse(arguments: list[str]) -> AlignConfig:
    """The config that command-line arguments ask for: flags over the file over the method's own
    defaults over AlignConfig's.

    Raises MechclaError that names the setting, the value given and what was expected.
    """
    try:
        load_plugins(plugins_of(arguments))  # their methods, before the method is checked
        given = CliApp.run(AlignConfig, cli_args=joined(arguments)).model_dump(exclude_unset=True)
        from_file = read_config(given["config"]) if given.get("config") else {}
        return make({**from_file, **given})
    except SettingsError as error:
        raise MechclaError(f"{error}: {error.__cause__ or ''}") from error
    except ValidationError as error:
        raise _as_one(error) from error


def make(settings: dict[str, Any]) -> AlignConfig:
    """The config of these settings over the method's defaults, checked.

    Raises MechclaError that names the setting, the value and what was expected.
    """
    load_plugins(settings.get("plugins"))
    method = METHODS.get(str(settings.get("method", "")))
    try:
        return AlignConfig(**{**method.defaults, **settings})
    except ValidationError as error:
        raise _as_one(error) from error


def _as_one(error: ValidationError) -> MechclaError:
    lines = []
    for one in error.errors():
        if one["loc"] == ("method",) and one["type"] == "missing":
            lines.append(f"which method? {nearest('', METHODS, 40)}; see align --help")
        else:
            lines.append(explain(one, AlignConfig))
    return MechclaError("\n".join(lines))


__all__ = ["AlignConfig", "make", "parse"]
