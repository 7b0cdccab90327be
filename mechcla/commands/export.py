"""python -m mechcla export: vectors, or what a choice adds, as a file that another tool reads."""

from __future__ import annotations

from typing import Any

from pydantic import Field
from pydantic_settings import CliPositionalArg

from mechcla.commands.chosen import SteeringFlags, chosen
from mechcla.commands.command import COMMANDS, Command, flags, parse
from mechcla.errors import MechclaError
from mechcla.runs.run import read_run
from mechcla.scoring.samples import write_samples
from mechcla.scoring.scores import Scores
from mechcla.steering.families import FAMILIES
from mechcla.storage import user_path
from mechcla.sweep.config import joined
from mechcla.sweep.setting_types import Layers
from mechcla.vectors.formats.added import Added
from mechcla.vectors.formats.exchange import FORMATS, export_vectors
from mechcla.vectors.steering_vectors import SteeringVectors


class ExportConfig(SteeringFlags):
    """Write the vectors of one language for another tool: all blocks of one file, or what a
    steering adds, from --run and --method or from layers and strengths."""

    model_config = flags("export")

    vectors: CliPositionalArg[list[str]] = Field(
        [], description="files of SteeringVectors.save: one, or EN and LOC with their layers"
    )
    format: str = Field("gguf", description=", ".join(FORMATS))
    out: str | None = Field(None, description="the file; default: NAME-LANGUAGE and the suffix")
    layers: Layers | None = Field(
        None, description="of one file: these blocks only, such as 12,13; default: all it has"
    )
    strength: float = Field(
        1.0, allow_inf_nan=False, description="of one file: vectors are multiplied by it"
    )
    module: str | None = Field(
        None, description="lm-eval: a block's name; default: layers.{layer}; GPT-2: h.{layer}"
    )
    condition: str | None = Field(
        None,
        description="with --run: the test scores of this condition, such as SUR, as lm-eval's "
        "samples (JSON lines), and no vectors",
    )
    hint: str | None = Field(None, description="gguf: text of controlvector.model_hint")


def main(arguments: list[str]) -> int:
    """Write the file and say what it holds. Raises MechclaError for bad input."""
    config = parse("export", ExportConfig, joined(arguments))
    if config.condition is not None:
        return _samples(config)
    kind = FORMATS.get(config.format)
    options: dict[str, Any] = {
        k: v for k in ("module", "hint") if (v := getattr(config, k)) is not None
    }
    languages = config.languages or []
    if len(languages) > 1:
        raise MechclaError(
            f"--languages {','.join(languages)}: a file holds one language; export them apart"
        )
    layered = config.en_layer is not None or config.loc_layer is not None
    if config.run is None and not layered:
        if len(config.vectors) != 1:
            raise MechclaError(
                f"{len(config.vectors)} files of vectors; expected one, or --run RUN, or files "
                "with --en-layer and --loc-layer"
            )
        held = SteeringVectors.load(config.vectors[0])
        language = languages[0] if languages else None
        strength, layers = config.strength, config.layers
        if layers is None and kind.first_block:
            whose = language or held.languages[0]
            layers = [k for k in held.layers(whose) if k >= kind.first_block]
        out = _out(config, held.name, language or held.languages[0], kind.suffix)
        added = export_vectors(
            held,
            out,
            config.format,
            language=language,
            layers=layers,
            strength=strength,
            **options,
        )
    else:
        found = chosen(config)
        if len(found.languages) != 1:
            raise MechclaError(
                f"which language? expected --languages {found.languages[0]}, one of "
                f"{', '.join(found.languages)}"
            )
        language = found.languages[0]
        families = [name for name in found.methods if language in found.methods[name]]
        if len(families) > 1 and config.method is None and not layered:
            raise MechclaError(f"which method? expected --method, one of {', '.join(families)}")
        family = "SUR" if "SUR" in families else families[-1]
        for name in FAMILIES[family].vectors:
            if name not in found.vectors:
                raise MechclaError(
                    f"{family} needs {name} vectors, and none of the {len(found.vectors)} files "
                    "given is named so; add the file"
                )
        out = _out(config, family, language, kind.suffix)
        added = export_vectors(found.edits(family, language), out, config.format, **options)
    print(f"Vectors: {out}\n{_said(added)}\nNote: {kind.note}.")
    if config.format == "lm-eval":
        print(f"lm_eval --model steered --model_args pretrained=MODEL,steer_path={out} --tasks ...")
    return 0


def _samples(config: ExportConfig) -> int:
    if config.run is None:
        raise MechclaError("--condition is a run's; expected --run RUN too")
    run = read_run(config.run)
    scores = run.scores(str(config.condition))
    if config.languages:
        scores = Scores(tuple(r for r in scores if r.language in config.languages), scores.settings)
    out = user_path(config.out or f"samples_{str(config.condition).replace(' ', '_')}.jsonl")
    write_samples(scores, out, run.item_set.test)
    print(f"Samples: {out} ({len(scores)} items)")
    return 0


def _out(config: ExportConfig, name: str, language: str, suffix: str) -> str:
    return str(user_path(config.out or f"{name.lower()}-{language}{suffix}"))


def _said(added: Added) -> str:
    blocks = ", ".join(f"{k} (length {float(v.norm()):.3g})" for k, v in added.vectors.items())
    return f"{added.name} of {added.language}, added behind block {blocks}"


ABOUT = "vectors for llama.cpp, lm-eval, steering-vectors, or as plain tensors"
COMMANDS.register("export", Command(main, ABOUT))
