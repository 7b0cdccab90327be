"""The types of settings: lists from commas, JSON objects, whole paths, and their bounds."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Container
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, WrapValidator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from mechcla.engine.batch_size import AUTO, MOST
from mechcla.errors import nearest
from mechcla.steering.grid import NAMED

Where = Literal["last_prompt_token", "prompt", "prompt_and_answer", "answer", "last_and_answer"]


def command_line(name: str, more: SettingsConfigDict) -> SettingsConfigDict:
    """The `model_config` of settings that are flags too: `python -m NAME --kebab-case`."""
    return (
        SettingsConfigDict(
            extra="forbid",
            frozen=True,
            cli_prog_name=f"python -m {name}",
            cli_kebab_case=True,
            cli_implicit_flags=True,
        )
        | more
    )


class Given(BaseSettings):
    """Settings from flags, a file or a call; none comes from the environment unseen."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


def _commas(value: Any) -> Any:
    """'es,ko' and '[es, ko]' are lists; so are repeated flags, which arrive joined by commas."""
    if isinstance(value, list) and "" in value:
        value = ",".join(map(str, value))
    return (
        [part.strip() for part in value.strip("[]").split(",") if part.strip()]
        if isinstance(value, str)
        else value
    )


LONGEST = 1_000  # of a list
DEEPEST = (
    100_000  # layers that no model has; whether this one has them is checked when it is loaded
)
MOST_SEED = 2**63 - 1  # what both NumPy's and PyTorch's generators take
MOST_THREADS = 4 * (os.cpu_count() or 1)
MINUS = re.compile(r"-(\.?\d|inf|nan)", re.IGNORECASE)
Layer = Annotated[int, Field(ge=0, le=DEEPEST)]


def whole_path(value: str, names: Container[str]) -> str:
    """A folder or file by its whole path, so that ./m, ~/m and /home/me/m are one model in the
    record.
    """
    path = Path(os.path.expanduser(value))
    return str(path.resolve()) if value not in names and path.exists() else value


def json_object(value: Any, example: str) -> Any:
    """A JSON object on the command line; YAML and TOML give the mapping itself.

    Raises ValueError, with the example, for a text that is no JSON.
    """
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is not JSON ({error}); expected e.g. {example}") from error


def _variables(value: Any) -> Any:
    return json_object(value, "'{\"enable_thinking\": false}'")


Variables = Annotated[dict[str, Any], NoDecode, BeforeValidator(_variables)]
Words = Annotated[list[str], NoDecode, BeforeValidator(_commas), Field(max_length=LONGEST)]
Numbers = Annotated[list[float], NoDecode, BeforeValidator(_commas), Field(max_length=LONGEST)]
Layers = Annotated[list[Layer], NoDecode, BeforeValidator(_commas), Field(max_length=LONGEST)]


def _named(value: Any, validated: Callable[[Any], Any]) -> Any:
    """The name of layers as it is, and a word that is none refused; numbers as a list."""
    one = value[0] if isinstance(value, list) and len(value) == 1 else value  # a flag's is a list
    name = one.strip(" []'\"") if isinstance(one, str) else None
    if name and name.isalpha():
        if name not in NAMED:
            raise ValueError(f"{nearest(name, NAMED)}, or blocks such as 3,9,15")
        return name
    return validated(value)


def _auto(value: Any, validated: Callable[[Any], Any]) -> Any:
    """`auto` as it is, another word refused; a number as one."""
    if isinstance(value, str) and (word := value.strip()).isalpha():
        if word != AUTO:
            raise ValueError(f"{nearest(word, [AUTO])}, or a number of tokens such as 2048")
        return word
    return validated(value)


if TYPE_CHECKING:
    LayersOrName = list[int] | str
    TokensOrAuto = int | str
else:  # a list whose errors name its place, and beside it the names
    LayersOrName = Annotated[Layers, WrapValidator(_named), PlainSerializer(lambda value: value)]
    TokensOrAuto = Annotated[
        int,
        Field(ge=1, le=MOST, description="tokens per batch; auto: 2048, on a GPU as many as pay"),
        WrapValidator(_auto),
        PlainSerializer(lambda value: value),
    ]
