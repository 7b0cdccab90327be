"""SweepConfig: one typed config for the command line, the YAML or TOML file and the run folder's record."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BeforeValidator, Field, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    CliApp,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from mechcla.engine.intervention import POSITIONS
from mechcla.errors import MechclaError, nearest
from mechcla.models.chat import DATE, Chat

PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    "quick": {
        "languages": ["es", "ko"],
        "coarse_step": 6,
        "refine": 0,
        "restore": False,
        "dev_items": 10,
        "test_items": 20,
        "pair_layers": 1,
        "en_strengths": [0.3],
        "loc_strengths": [2.0],
        "controls": False,
        "out": "runs/quick",
    },
}


def _commas(value: Any) -> Any:
    """'es,ko' and '[es, ko]' are lists; so are repeated flags, which arrive joined by commas."""
    if isinstance(value, list) and "" in value:
        value = ",".join(map(str, value))
    return (
        [part.strip() for part in value.strip("[]").split(",") if part.strip()]
        if isinstance(value, str)
        else value
    )


def _json(value: Any) -> Any:
    """A JSON object on the command line; YAML and TOML give the mapping itself."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise ValueError(
            f"it is not JSON ({error}); expected e.g. '{{\"enable_thinking\": false}}'"
        ) from error


Variables = Annotated[dict[str, Any], NoDecode, BeforeValidator(_json)]
Words = Annotated[list[str], NoDecode, BeforeValidator(_commas)]
Numbers = Annotated[list[float], NoDecode, BeforeValidator(_commas)]
Layers = Annotated[list[int], NoDecode, BeforeValidator(_commas)]


class SweepConfig(BaseSettings):
    """Sweep steering over layers and strengths on dev, choose there, report on test."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        cli_prog_name="python -m mechcla.sweep",
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_enforce_required=False,
        protected_namespaces=(),
    )

    config: Path | None = Field(
        None, description="YAML or TOML file with any of these settings; flags win over it"
    )
    preset: Literal["default", "quick"] = Field(
        "default", description="quick: two languages, coarse layers"
    )
    out: str = Field(
        "runs/demo", description="run folder; the same command again does only what is missing"
    )
    model: str = Field("demo", description="'demo', a Hugging Face id, or a folder")
    revision: str | None = Field(None, description="git revision of a Hugging Face model")
    dtype: Literal["float32", "bfloat16", "float16"] = Field(
        "float32", description="weights' dtype"
    )
    device: str | None = Field(None, description="cpu, cuda, mps, ...; default: cuda if present")
    items: str = Field(
        "demo",
        description="'demo', another source, or a file or folder of items (.jsonl, .csv, .parquet)",
    )
    languages: Words | None = Field(
        None, description="languages beside English, as es,ko; default: all of the items'"
    )
    site: Literal["resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out"] = Field(
        "resid_post", description="where vectors are read and added"
    )
    operator: Literal["add", "add_norm", "ablate"] = Field("add", description="how a vector acts")
    unit: Literal["raw", "relative"] = Field(
        "raw", description="strength: multiples of v, or of the mean norm there"
    )
    en_positions: Literal[
        "last_prompt_token", "prompt", "prompt_and_answer", "answer", "last_and_answer"
    ] = Field("prompt", description="tokens that EN-steering edits")
    loc_positions: Literal[
        "last_prompt_token", "prompt", "prompt_and_answer", "answer", "last_and_answer"
    ] = Field("prompt", description="tokens that LOC-steering edits")
    en_strengths: Numbers = Field([0.3], description="strengths of v_EN")
    loc_strengths: Numbers = Field([2.0, 4.0], description="strengths of v_LOC")
    layers: Layers | None = Field(
        None, description="layers to sweep, as 3,9,15; default: coarse to fine"
    )
    coarse_step: int = Field(
        4, ge=1, description="coarse pass: every so many layers, and the last; 1 is every layer"
    )
    refine: int = Field(
        1, ge=0, description="fine pass: so many layers on either side of the best coarse one"
    )
    restore: bool = Field(True, description="also try EN with restoration, alone and within SUR")
    restore_strength: float | None = Field(
        0.6, description="EN strength with restoration; null: the largest of en_strengths"
    )
    pair_layers: int = Field(
        2,
        ge=1,
        description="SUR: how many of the best layers of either vector (by the sum of gains) are paired",
    )
    dev_items: int | None = Field(
        24, ge=2, description="dev items a kind and language in sweep cells; null: all"
    )
    test_items: int | None = Field(
        63, ge=2, description="test items a kind and language; null: all"
    )
    choose: Literal["language", "pooled"] = Field(
        "language", description="one choice a language, or one for all"
    )
    measure: Literal["share", "accuracy"] = Field(
        "share", description="what selection maximises on dev"
    )
    tolerance: float = Field(0.01, ge=0, description="how much of either gain SUR may lose on dev")
    controls: bool = Field(
        True,
        description="also score control arms on test: random, shuffled, swapped, same layer, ...",
    )
    try_positions: Words = Field(
        [], description="other positions to try, on dev, at the chosen layers and strengths"
    )
    recipe: Literal["mean_difference", "pca_difference", "logistic", "lda"] = Field(
        "mean_difference", description="how vectors are made from residuals"
    )
    chat: bool = Field(
        False,
        description="prompts in the model's chat template, for vectors and scores: for instruction-tuned models",
    )
    chat_template_args: Variables = Field(
        {},
        description="variables of the chat template's own, as JSON: '{\"enable_thinking\": false}'",
    )
    system_prompt: str | None = Field(
        None, description="text of a system turn in the chat template"
    )
    chat_date: str = Field(
        DATE, description="the day that a chat template which writes today's date is told"
    )
    resamples: int = Field(2000, ge=100, description="bootstrap resamples")
    seed: int = Field(0, ge=0, description="seed of the bootstrap, the tests and the control arms")
    max_tokens: int = Field(2048, ge=1, description="tokens a batch")
    cache_mib: int = Field(
        2048, ge=0, description="MiB of cached residuals held in memory; the rest lies on disk"
    )
    threads: int | None = Field(None, ge=1, description="CPU threads; default: PyTorch's")

    @field_validator("en_strengths", "loc_strengths", "restore_strength")
    @classmethod
    def _finite(cls, values: Any) -> Any:
        for value in values if isinstance(values, list) else [] if values is None else [values]:
            if value != value or value in (float("inf"), float("-inf")):
                raise ValueError(
                    f"strength {value!r} is not finite; expected finite numbers such as 0.3,0.6"
                )
        return values

    @field_validator("try_positions")
    @classmethod
    def _known(cls, values: list[str]) -> list[str]:
        for value in values:
            if value not in POSITIONS:
                raise ValueError(f"unknown positions {value!r}; {nearest(value, POSITIONS)}")
        return values

    @field_validator("en_strengths", "loc_strengths", "languages", "layers")
    @classmethod
    def _some(cls, values: Any) -> Any:
        if values is not None and not values:
            raise ValueError("it is empty; expected at least one value, or leave the setting out")
        return values

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)  # flags and file only: no setting comes from the environment unseen

    @property
    def chat_form(self) -> bool | Chat:
        """What `chat=` of `mechcla.score` and of the vectors takes."""
        if not self.chat:
            return False
        return Chat(self.system_prompt, self.chat_template_args, self.chat_date)

    def resolved(self) -> dict[str, Any]:
        """What decides the results: every setting but where they are written and how fast."""
        return self.model_dump(
            mode="json", exclude={"config", "preset", "out", "threads", "cache_mib"}
        )


def _read_file(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        data = tomllib.loads(text) if path.suffix == ".toml" else yaml.safe_load(text)
    except OSError as error:
        raise MechclaError(f"cannot read the config {str(path)!r}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise MechclaError(f"the config {path} is not UTF-8 at byte {error.start}") from error
    except (tomllib.TOMLDecodeError, yaml.YAMLError) as error:
        raise MechclaError(
            f"{path} is not valid {path.suffix.lstrip('.') or 'YAML'}: {error}"
        ) from error
    if not isinstance(data, dict) or not all(isinstance(key, str) for key in data):
        raise MechclaError(
            f"{path} holds {type(data).__name__}; expected settings such as 'model: demo'"
        )
    return data


def parse(arguments: list[str]) -> SweepConfig:
    """The config that command-line arguments ask for: flags over the file over the preset over defaults.

    Raises MechclaError that names the setting, the value given and what was expected.
    """
    try:
        given = CliApp.run(SweepConfig, cli_args=arguments).model_dump(exclude_unset=True)
        from_file = _read_file(given["config"]) if given.get("config") else {}
        preset = given.get("preset") or from_file.get("preset") or "default"
        if preset not in PRESETS:
            raise MechclaError(f"unknown preset {preset!r}; {nearest(preset, PRESETS)}")
        return make({**PRESETS[preset], **from_file, **given})
    except SettingsError as error:
        raise MechclaError(f"{error}: {error.__cause__ or ''}") from error
    except ValidationError as error:
        raise MechclaError("\n".join(_explain(e) for e in error.errors())) from error


def make(settings: dict[str, Any]) -> SweepConfig:
    """The config of these settings, checked. Raises MechclaError that names the setting, the value and what was expected."""
    try:
        config = SweepConfig(**settings)
    except ValidationError as error:
        raise MechclaError("\n".join(_explain(e) for e in error.errors())) from error
    if config.operator == "ablate" and (config.restore or config.unit != "raw"):
        raise MechclaError(
            "operator 'ablate' has no restoration and no unit; add --no-restore and leave --unit raw"
        )
    if not config.chat and (config.chat_template_args or config.system_prompt is not None):
        raise MechclaError(
            "chat_template_args and system_prompt are the chat template's, which is not used; add --chat"
        )
    _ = config.chat_form  # a date or variables that it could not take
    return config


def _explain(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"unknown setting {where!r}; {nearest(where, SweepConfig.model_fields, 40)}"
    if not where:
        return str(error["msg"]).removeprefix("Value error, ")
    expected = error.get("ctx", {}).get("expected") if error["type"] == "literal_error" else None
    known = re.findall(r"'([^']*)'", str(expected)) if expected else []
    given = error["input"]
    given = ",".join(map(str, given)) if isinstance(given, list) else given
    return f"setting {where!r} is {given!r}: " + (
        nearest(given, known) if known else error["msg"].removeprefix("Value error, ")
    )
