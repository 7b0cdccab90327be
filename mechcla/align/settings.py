"""AlignConfig: every setting of a training, one typed config for flags, file and record.

What a method is called is checked where a config is made (`mechcla.align.config`), since methods
are written in terms of these settings.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator
from pydantic_settings import CliPositionalArg, SettingsConfigDict

from mechcla.align.losses import Detached, Directions
from mechcla.models.chat import Chat
from mechcla.models.packaged import PACKAGED
from mechcla.storage import user_path
from mechcla.sweep.setting_types import (
    DEEPEST,
    MOST_SEED,
    MOST_THREADS,
    Given,
    Words,
    command_line,
    whole_path,
)

WHERE_AND_HOW_FAST = {"config", "out", "threads", "save_every", "plugins"}


class AlignConfig(Given):
    """Train a LoRA adapter with a cross-lingual alignment method, or a control."""

    model_config = command_line(
        "mechcla align", SettingsConfigDict(cli_enforce_required=False, protected_namespaces=())
    )

    method: CliPositionalArg[str] = Field(
        description="mist, midalign, clo, a control (english_only, broken_pairing), or one of a "
        "plug-in's"
    )
    config: Path | None = Field(
        None, description="YAML, TOML or JSON file with any of these settings; flags win over it"
    )
    out: str = Field(
        "", description="the adapter's folder, which must not exist yet; default: adapters/METHOD"
    )
    model: str = Field(
        "demo",
        description="the base: 'demo', 'smollm2', a Hugging Face id, a folder or a GGUF file",
    )
    revision: str | None = Field(None, description="git revision of a Hugging Face model")
    device: str | None = Field(None, description="cpu, cuda, mps, ...; default: cuda if present")
    dtype: Literal["float32", "bfloat16"] = Field(
        "float32", description="dtype of the base's weights; the adapter trains in float32"
    )
    data: str = Field(
        "demo",
        description=(
            "'demo' (shipped facts), "
            "a file (.jsonl, .csv, .tsv, .parquet) or a Hugging Face data set; see docs/align.md"
        ),
    )
    data_config: str | None = Field(None, description="config of a Hugging Face data set")
    data_split: str = Field("train", description="split of a Hugging Face data set")
    data_revision: str | None = Field(
        None, description="git revision of a Hugging Face data set; default: the newest"
    )
    columns: Words | None = Field(
        None, description="language=column of parallel text: en=source,es=target"
    )
    languages: Words | None = Field(
        None, description="languages beside English, as es,ko; default: all of the data's"
    )
    task_languages: Literal["all", "english"] = Field(
        "all", description="midalign: languages of the task steps"
    )
    steps: int = Field(36, ge=1, le=10_000_000, description="optimizer steps")
    batch_rows: int = Field(
        96, ge=1, le=1_000_000, description="texts per step; half as many pairs"
    )
    batch_tokens: int = Field(
        2048, ge=1, le=2**24, description="padded tokens per micro-batch, which bounds memory"
    )
    lr: float = Field(2e-4, gt=0, le=10, allow_inf_nan=False, description="peak learning rate")
    warmup: int = Field(
        10, ge=0, le=1_000_000, description="steps of linear warm-up, whose first is above 0"
    )
    schedule: Literal["linear", "cosine", "constant", "inverse_sqrt"] = Field(
        "linear", description="of the learning rate after warm-up, as transformers has it"
    )
    weight_decay: float = Field(0.0, ge=0, le=1, allow_inf_nan=False, description="AdamW's")
    max_grad_norm: float = Field(1.0, gt=0, allow_inf_nan=False, description="gradient clipping")
    rank: int = Field(8, ge=1, le=65_536, description="of LoRA")
    alpha: float = Field(16.0, gt=0, allow_inf_nan=False, description="of LoRA")
    dropout: float = Field(0.0, ge=0, lt=1, description="of LoRA; the base's own is off")
    adapter_dtype: Literal["float32", "bfloat16"] = Field(
        "float32",
        description="dtype of the saved adapter, which trains in float32; bfloat16 halves the file",
    )
    modules: Words = Field(
        ["all"],
        description="what LoRA adapts: all (projections), attention, "
        "or names such as q_proj,v_proj",
    )
    separator: str = Field("\n", description="between a question and its answer, without --chat")
    chat: bool = Field(False, description="questions in the model's chat template")
    layer: int | None = Field(
        None, ge=0, le=DEEPEST, description="midalign: the block aligned; default: the middle one"
    )
    pool: Literal["written", "all"] = Field(
        "written", description="midalign: tokens in a mean; written leaves out added ones (BOS)"
    )
    temperature: float = Field(
        0.1, gt=0, allow_inf_nan=False, description="midalign: of the contrast"
    )
    directions: Directions = Field("one", description="midalign: English to others, or both ways")
    detached: Detached = Field("none", description="midalign: the side that gets no gradient")
    align_weight: float = Field(
        1.0, gt=0, allow_inf_nan=False, description="midalign: weight of the contrast"
    )
    sft_weight: float = Field(
        0.5, ge=0, le=1, description="clo: lambda, weight of fine-tuning against preference"
    )
    beta: float = Field(0.1, gt=0, allow_inf_nan=False, description="clo: of the preference")
    gradient_checkpointing: bool = Field(False, description="less memory for a third more time")
    save_every: int = Field(10, ge=1, le=1_000_000, description="steps between checkpoints")
    dev_items: str | None = Field(
        None,
        description="score dev items ('demo', a file) on both axes and stop early; default: no",
    )
    dev_every: int = Field(10, ge=1, le=1_000_000, description="steps between looks at dev")
    patience: int = Field(2, ge=1, le=1_000, description="looks without a gain before stopping")
    seed: int = Field(0, ge=0, le=min(MOST_SEED, 2**32 - 1), description="of adapter and order")
    plugins: Words = Field([], description="Python files or modules that register methods")
    threads: int | None = Field(
        None, ge=1, le=MOST_THREADS, description="CPU threads; default: PyTorch's"
    )

    @field_validator("model")
    @classmethod
    def _one_model(cls, value: str) -> str:
        return whole_path(str(user_path(value)) if value.startswith("~") else value, PACKAGED)

    @field_validator("data")
    @classmethod
    def _one_data(cls, value: str) -> str:
        return whole_path(str(user_path(value)) if value.startswith("~") else value, ("demo",))

    @field_validator("out", "config")
    @classmethod
    def _home(cls, value: Any) -> Any:
        return type(value)(user_path(value)) if str(value).startswith("~") else value

    @field_validator("dtype", mode="before")
    @classmethod
    def _no_float16(cls, value: Any) -> Any:
        if value == "float16":  # gradients by residuals go through the base, in its dtype
            raise ValueError(
                "small gradients are zero in float16, and align does not scale its loss; expected "
                "'bfloat16', whose range is that of float32, or 'float32'"
            )
        return value

    @field_validator("modules", "languages", "columns")
    @classmethod
    def _some(cls, values: Any) -> Any:
        if values is not None and not values:
            raise ValueError("it is empty; expected at least one value, or leave the setting out")
        return values

    @property
    def folder(self) -> Path:
        """Where the adapter goes."""
        return Path(self.out or f"adapters/{self.method}")

    @property
    def chat_form(self) -> Chat | None:
        """How questions are put into the chat template, if they are."""
        return Chat() if self.chat else None

    def resolved(self) -> dict[str, Any]:
        """What decides the adapter: every setting but where it goes and how fast."""
        return self.model_dump(mode="json", exclude=WHERE_AND_HOW_FAST)
