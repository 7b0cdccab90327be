"""lm-evaluation-harness' steered model: a .pt file of {module: vector, coefficient, action}.

    lm_eval --model steered --model_args pretrained=MODEL,steer_path=loc-es.pt --tasks ...

The file is what lm-eval reads, a pickle of plain tensors, numbers and texts; mechcla writes it and
never reads one. Format as in lm_eval/models/hf_steered.py of 0.4.13.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from mechcla.errors import MechclaError
from mechcla.vectors.formats.added import Added
from mechcla.vectors.formats.exchange import FORMATS, Format

MODULE = "layers.{layer}"
NOTE = (
    "lm-eval adds it at every token, BOS and answer included; mechcla leaves added tokens alone "
    "and steers the positions that are asked for"
)


def write(added: Added, path: Path, options: Mapping[str, Any]) -> None:
    """One file. options: module, the name of a block in the base model, with {layer} in it; default
    "layers.{layer}", as in Llama, Gemma, Qwen, Mistral; "h.{layer}" in GPT-2."""
    module = str(options.get("module", MODULE))
    if "{layer}" not in module:
        raise MechclaError(f"module {module!r} has no {{layer}}; expected e.g. {MODULE!r}")
    steps = {
        module.replace("{layer}", str(block)): {
            "steering_vector": vector.clone(),
            "steering_coefficient": 1.0,
            "action": "add",
            "bias": None,
            "head_index": None,
        }
        for block, vector in added.vectors.items()
    }
    with path.open("wb") as file:
        torch.save(steps, file)


FORMATS.register(
    "lm-eval", Format("lm-eval's steered model", ".pt", NOTE, write, options=("module",))
)
