"""Reads a config file, YAML, TOML or JSON, within bounds: a few settings, whoever wrote it."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import yaml

from mechcla.errors import MechclaError
from mechcla.storage import user_path

MOST_BYTES = 1_000_000
MOST_VALUES = 10_000  # with every alias counted as often as it is used
MOST_DEPTH = 20


def read_config(path: Path) -> dict[str, Any]:
    """The settings in a file, by its suffix (.toml, .json, else YAML); a byte-order mark is no part
    of them.

    Raises MechclaError for a file that cannot be read, is not in its format, holds numbers that
    Python does not take, or is larger or deeper than a config can be (aliases and merge keys of
    YAML are counted before they are expanded).
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise MechclaError(f"cannot read the config {str(path)!r}: {error.strerror}") from error
    if len(raw) > MOST_BYTES:
        raise MechclaError(
            f"the config {path} is larger than {MOST_BYTES:,} bytes; expected a few settings such "
            "as 'model: demo'"
        )
    kind = {".toml": "TOML", ".json": "JSON"}.get(path.suffix.lower(), "YAML")
    try:
        data = _parse(raw.decode("utf-8-sig"), kind)
    except UnicodeDecodeError as error:
        raise MechclaError(f"the config {path} is not UTF-8 at byte {error.start}") from error
    except RecursionError as error:
        raise MechclaError(
            f"the config {path} is nested too deeply; expected settings such as 'model: demo'"
        ) from error
    except _Refused as error:
        raise MechclaError(f"the config {path} {error}") from error
    except (ValueError, yaml.YAMLError) as error:  # TOML's and JSON's are ValueErrors
        raise MechclaError(f"{path} is not valid {kind}: {error}") from error
    if not isinstance(data, dict) or not all(isinstance(key, str) for key in data):
        raise MechclaError(
            f"{path} holds {type(data).__name__}; expected settings such as 'model: demo'"
        )
    return data


def plugins_of(arguments: list[str]) -> list[str]:
    """The plugins that command-line arguments name, or else their --config file: they must be there
    before other settings are checked. Raises MechclaError for a file that cannot be read.
    """
    named: Any = ",".join(_flags(arguments, "--plugins"))
    if not named and (files := _flags(arguments, "--config")):
        named = read_config(user_path(files[-1])).get("plugins")
    if isinstance(named, list):
        return [name for name in named if isinstance(name, str)]
    return re.split(r"[\[\],]", named) if isinstance(named, str) else []


def _flags(arguments: list[str], name: str) -> list[str]:
    """A flag's values, as they are written."""
    found = []
    for k, argument in enumerate(arguments):
        if argument.startswith(f"{name}="):
            found.append(argument.removeprefix(f"{name}="))
        elif argument == name and k + 1 < len(arguments):
            found.append(arguments[k + 1])
    return found


class _Refused(Exception):
    """What a config may not be; the message goes after its name."""


def _parse(text: str, kind: str) -> Any:
    if kind == "YAML":
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        _bounded(node)
        _once([key.value for key, _ in node.value] if isinstance(node, yaml.MappingNode) else [])
        return yaml.safe_load(text)
    if kind == "TOML":
        data = tomllib.loads(text)
    else:
        data = json.loads(text, object_pairs_hook=_pairs)
    _bounded(data)
    return data


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    _once([key for key, _ in pairs])
    return dict(pairs)


def _once(keys: list[Any]) -> None:
    for key in keys:
        if keys.count(key) > 1 and key != "<<":
            raise _Refused(f"names {key!r} twice; which of the two is meant cannot be told")


def _bounded(root: Any) -> None:
    """Refuse too many values or too deep a nesting. What stands for several is counted at each
    place.
    """
    count, waiting = 0, [(root, 0)]
    while waiting:
        value, depth = waiting.pop()
        count += 1
        if count > MOST_VALUES or depth > MOST_DEPTH:
            raise _Refused(
                f"holds more than {MOST_VALUES:,} values, or nests them over {MOST_DEPTH} deep, "
                "once its aliases are expanded; expected a few settings such as 'model: demo'"
            )
        waiting += [(inner, depth + 1) for inner in _inside(value)]


def _inside(value: Any) -> list[Any]:
    if isinstance(value, yaml.MappingNode):
        return [part for pair in value.value for part in pair]
    if isinstance(value, yaml.SequenceNode):
        return list(value.value)
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def without_other_models(from_file: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """A file's settings without the model that it names where flags name several, and the reverse,
    since flags win over the file.

    >>> without_other_models({"model": "demo", "seed": 1}, {"models": ["a", "b"]})
    {'seed': 1}
    """
    one = {"model", "revision"}
    gone = one if "models" in given else {"models"} if one & given.keys() else set()
    return {name: value for name, value in from_file.items() if name not in gone}
