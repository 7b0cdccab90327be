"""SweepConfig: one typed config for the command line, the YAML or TOML file and the run folder's
record.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, CliApp, SettingsConfigDict, SettingsError

from mechcla.engine.intervention import POSITIONS
from mechcla.engine.operators import acting
from mechcla.errors import MechclaError, nearest, unknown
from mechcla.models.chat import DATE, Chat
from mechcla.models.packaged import PACKAGED
from mechcla.sources import SOURCES
from mechcla.steering.grid import NAMED
from mechcla.steering.method import Manner
from mechcla.storage import user_path
from mechcla.sweep.choosing import CONSTRAINTS, RULES, Limits
from mechcla.sweep.config_file import plugins_of, read_config, without_other_models
from mechcla.sweep.placement_settings import check_place
from mechcla.sweep.plugins import load_plugins
from mechcla.sweep.presets import PRESETS
from mechcla.sweep.scale_settings import PLACES
from mechcla.sweep.setting_types import (
    MINUS,
    MOST_SEED,
    MOST_THREADS,
    LayersOrName,
    Numbers,
    TokensOrAuto,
    Variables,
    Where,
    Words,
    command_line,
    whole_path,
)
from mechcla.sweep.steering_settings import SteeringSettings, check_operators, with_defaults
from mechcla.vectors.recipes import RECIPES

WHERE_AND_HOW_FAST = {"config", "preset", "out", "threads", "cache_mib", *PLACES}


class SweepConfig(SteeringSettings):
    """Sweep steering over layers and strengths on dev, choose there, report on test."""

    model_config = command_line(
        "mechcla.sweep", SettingsConfigDict(cli_enforce_required=False, protected_namespaces=())
    )

    config: Path | None = Field(
        None, description="YAML, TOML or JSON file with any of these settings; flags win over it"
    )
    preset: Literal["default", "quick", "fine"] = Field(
        "default",
        description="quick: two languages, coarse layers; fine: small strengths too, at every "
        "layer of the upper two thirds",
    )
    out: str = Field(
        "runs/demo", description="run folder; the same command again does only what is missing"
    )
    model: str = Field(
        "demo", description="'demo', 'smollm2', a Hugging Face id, a folder or a GGUF file"
    )
    adapters: Words = Field(
        [],
        description="adapters of the model, as adapters/mist,adapters/clo: a run each beside the "
        "model's own, in OUT/base and OUT/NAME, and one comparison of all in OUT",
    )
    with_adapters: bool = Field(
        False,
        description="after the run, the shipped aligned models of this base beside it on one plane "
        "in OUT-aligned: unsteered, and under Surgical Steering as recorded",
    )
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
    operator: str = Field("add", description=f"how a vector acts: {', '.join(acting())}")
    unit: Literal["raw", "relative"] = Field(
        "raw", description="strength: multiples of v, or of the mean norm there"
    )
    en_positions: Where = Field("prompt", description="tokens that EN-steering edits")
    loc_positions: Where = Field("prompt", description="tokens that LOC-steering edits")
    en_strengths: Numbers = Field([0.3], description="strengths of v_EN")
    loc_strengths: Numbers = Field([2.0, 4.0], description="strengths of v_LOC")
    layers: LayersOrName | None = Field(
        None,
        description=f"layers to sweep, as 3,9,15, or {' or '.join(NAMED)} (upper: the upper two "
        "thirds); default: coarse to fine",
    )
    coarse_step: int = Field(
        4, ge=1, le=1_000, description="coarse pass: every so many layers, and the last"
    )
    refine: int = Field(
        1,
        ge=0,
        le=1_000,
        description="fine pass: so many layers on either side of the best coarse one",
    )
    restore: bool = Field(True, description="also try EN with restoration, alone and within SUR")
    gated: bool = Field(
        False, description="also try gated SUR: a gate tells universal prompts from cultural ones"
    )
    restore_strength: float | None = Field(
        0.6, description="EN strength with restoration; null: the largest of en_strengths"
    )
    pair_layers: int = Field(
        2,
        ge=1,
        le=1_000,
        description="SUR: how many of the best layers of either vector (by the sum of gains) are "
        "paired",
    )
    dev_items: int | None = Field(
        24,
        ge=2,
        le=1_000_000,
        description="dev items per kind and language in sweep cells; null: all",
    )
    test_items: int | None = Field(
        63, ge=2, le=1_000_000, description="test items per kind and language; null: all"
    )
    choose: str = Field(
        "language", description=f"whose dev gains decide for a language: {', '.join(RULES)}"
    )
    constraint: str = Field(
        "tolerance",
        description=f"what SUR may lose on dev: {', '.join(CONSTRAINTS)} (bounded: most "
        "localization, transfer's lower bound above -max_loss)",
    )
    max_loss: float = Field(
        0.01,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="bounded: how much transfer may be lost",
    )
    confidence: float = Field(
        0.9, gt=0, lt=1, description="bounded: of the one-sided bound of transfer"
    )
    measure: Literal["share", "accuracy"] = Field(
        "share", description="what selection maximises on dev"
    )
    tolerance: float = Field(
        0.01,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="how much of either gain SUR may lose on dev",
    )
    controls: bool = Field(
        True,
        description="also score control arms on test: random, shuffled, swapped, same layer, ...",
    )
    try_positions: Words = Field(
        [], description="other positions to try, on dev, at the chosen layers and strengths"
    )
    recipe: str = Field(
        "mean_difference",
        description=f"how vectors are made from residuals: {', '.join(RECIPES.names())}",
    )
    vectors: Words = Field(
        [],
        description="vector files to use instead of making them, one named EN and one named LOC: "
        "en.safetensors,loc.safetensors",
    )
    plugins: Words = Field(
        [],
        description="Python files or modules that register sources, recipes, operators, families, "
        "metrics, control arms, choice rules, constraints",
    )
    chat: bool = Field(
        False,
        description="prompts in the model's chat template, for vectors and scores: for "
        "instruction-tuned models",
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
    resamples: int = Field(2000, ge=100, le=100_000, description="bootstrap resamples")
    seed: int = Field(
        0, ge=0, le=MOST_SEED, description="seed of the bootstrap, the tests and the control arms"
    )
    max_tokens: TokensOrAuto = "auto"
    cache_mib: int = Field(
        2048,
        ge=0,
        le=2**24,
        description="MiB of cached residuals held in memory; the rest lies on disk",
    )
    threads: int | None = Field(
        None, ge=1, description="CPU threads, at most 4 per core; default: PyTorch's"
    )

    @field_validator("threads")
    @classmethod
    def _few_threads(cls, value: int | None) -> int | None:
        if value is not None and value > MOST_THREADS:
            raise ValueError(
                f"more threads than a process can have; expected at most {MOST_THREADS}, 4 for "
                "each of this machine's cores"
            )
        return value

    @field_validator("model", "items", "out", "device", "revision")
    @classmethod
    def _no_null(cls, value: str | None) -> str | None:
        if value is not None and "\0" in value:
            raise ValueError("it holds a null character; expected a name or a path")
        return value

    @field_validator("model", "models")
    @classmethod
    def _whole_names(cls, value: Any) -> Any:
        if isinstance(value, list):
            return [whole_path(one, PACKAGED) for one in value]
        return whole_path(value, PACKAGED)

    @field_validator("items")
    @classmethod
    def _one_source(cls, value: str) -> str:
        return whole_path(value, SOURCES)

    @field_validator("en_strengths", "loc_strengths", "layers")
    @classmethod
    def _in_order(cls, values: Any) -> Any:
        """Sorted, each once: in which order they were given decides nothing."""
        return sorted(set(values)) if isinstance(values, list) else values

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
                raise unknown("positions", value, POSITIONS)
        return values

    @field_validator("out", "model", "items", "config")
    @classmethod
    def _home(cls, value: Any) -> Any:
        return type(value)(user_path(value)) if str(value).startswith("~") else value

    @field_validator("operator")
    @classmethod
    def _acts(cls, value: str) -> str:
        if value not in acting():
            raise ValueError(nearest(value, acting()))
        return value

    @field_validator("recipe", "choose", "constraint")
    @classmethod
    def _registered(cls, value: str, info: Any) -> str:
        known: dict[str | None, Iterable[str]]
        known = {"recipe": RECIPES, "choose": RULES, "constraint": CONSTRAINTS}
        if value not in (names := known[info.field_name]):
            raise ValueError(nearest(value, names))
        return value

    @field_validator("en_strengths", "loc_strengths", "languages", "layers")
    @classmethod
    def _some(cls, values: Any) -> Any:
        if values is not None and not values:
            raise ValueError("it is empty; expected at least one value, or leave the setting out")
        return values

    @property
    def manner(self) -> Manner:
        """How this run's vectors are added."""
        where = (self.en_positions, self.loc_positions)
        en = self.en_operator
        return Manner(self.operator, self.unit, *where, seed=self.seed, en_operator=en)

    @property
    def limits(self) -> Limits:
        """What SUR may lose on dev."""
        return Limits(self.tolerance, self.constraint, self.max_loss, self.confidence)

    @property
    def chat_form(self) -> bool | Chat:
        """What `chat=` of `mechcla.score` and of the vectors takes."""
        if not self.chat:
            return False
        return Chat(self.system_prompt, self.chat_template_args, self.chat_date)

    def resolved(self) -> dict[str, Any]:
        """What decides the results: every setting but where they are written and how fast.

        Nor adapters and models: each is the model of a run of its own.
        """
        several = ("adapters", "with_adapters", "models")
        return self.model_dump(mode="json", exclude={*WHERE_AND_HOW_FAST, *several})


def joined(arguments: list[str]) -> list[str]:
    """Arguments with `--setting -0.3,0.6` as one, since argparse takes a value that begins with a
    minus for a flag.
    """
    joined: list[str] = []
    for argument in arguments:
        before = joined[-1] if joined else ""
        if before.startswith("--") and "=" not in before and MINUS.match(argument):
            joined[-1] = f"{before}={argument}"
        else:
            joined.append(argument)
    return joined


def parse(arguments: list[str]) -> SweepConfig:
    """The config that command-line arguments ask for: flags over the file over the preset over
    defaults.

    Raises MechclaError that names the setting, the value given and what was expected.
    """
    try:
        load_plugins(plugins_of(arguments))
        given = CliApp.run(SweepConfig, cli_args=joined(arguments)).model_dump(exclude_unset=True)
        from_file = read_config(given["config"]) if given.get("config") else {}
        from_file = without_other_models(from_file, given)
        preset = given.get("preset") or from_file.get("preset") or "default"
        if preset not in PRESETS:
            raise unknown("preset", preset, PRESETS)
        return make({**PRESETS[preset], **from_file, **given})
    except SettingsError as error:
        raise MechclaError(f"{error}: {error.__cause__ or ''}") from error
    except ValidationError as error:
        raise MechclaError("\n".join(explain(e) for e in error.errors())) from error


def make(settings: dict[str, Any]) -> SweepConfig:
    """The config of these settings, checked. Raises MechclaError that names the setting, the value
    and what was expected.
    """
    load_plugins(settings.get("plugins"))
    try:
        config = SweepConfig(**with_defaults(settings))
    except ValidationError as error:
        raise MechclaError("\n".join(explain(e) for e in error.errors())) from error
    asked = {"restored": config.restore, "relative": config.unit != "raw", "gated": config.gated}
    check_operators(config.operator, config, **asked)
    if not config.chat and (config.chat_template_args or config.system_prompt is not None):
        raise MechclaError(
            "chat_template_args and system_prompt are the chat template's, which is not used; add "
            "--chat"
        )
    check_place(config.device, config)
    _ = config.chat_form  # a date or variables that it could not take
    return config


def explain(error: Any, config: type[BaseSettings] = SweepConfig) -> str:
    """One of pydantic's errors as a line: the setting, the value given, what was expected."""
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return str(unknown("setting", where, config.model_fields, 40))
    if not where:
        return str(error["msg"]).removeprefix("Value error, ")
    expected = error.get("ctx", {}).get("expected") if error["type"] == "literal_error" else None
    known = re.findall(r"'([^']*)'", str(expected)) if expected else []
    given = error["input"]
    given = ",".join(map(str, given)) if isinstance(given, list) else given
    shown = repr(given)
    shown = shown if len(shown) <= 120 else f"{shown[:100]}... ({len(shown):,} characters)"
    return f"setting {where!r} is {shown}: " + (
        nearest(given, known) if known else error["msg"].removeprefix("Value error, ")
    )
