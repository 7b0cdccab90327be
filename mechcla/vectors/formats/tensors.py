"""Plain tensors: a safetensors file of block.N, [d_model] each; read also as one tensor [layer,
d_model] per language.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from mechcla.errors import MechclaError
from mechcla.vectors.formats.added import Added
from mechcla.vectors.formats.exchange import FORMATS, Format, tensors_of

BLOCK = re.compile(r"(?:(?P<language>.+)\.)?block\.(?P<block>[0-9]+)")
NOTE = "block.N is to be added to the output of block N, counted from 0, at the tokens you choose"


def write(added: Added, path: Path, options: Mapping[str, Any]) -> None:
    """One file; a language is in front of the names where it is known, as es.block.13."""
    front = f"{added.language}." if added.language else ""
    named = {f"{front}block.{k}": v.clone().contiguous() for k, v in added.vectors.items()}
    save_file(named, str(path))


def read(path: Path) -> dict[str | None, dict[int, Tensor]]:
    """block.N or es.block.N, a vector each; or es, one row per block. Raises MechclaError."""
    tensors = tensors_of(path)
    found: dict[str | None, dict[int, Tensor]] = {}
    for key, tensor in tensors.items():
        match = BLOCK.fullmatch(key)
        if match:
            found.setdefault(match["language"], {})[int(match["block"])] = tensor
        elif tensor.ndim == 2:
            found[key] = dict(enumerate(tensor))
        else:
            raise MechclaError(
                f"{str(path)!r} holds {key!r}, {tuple(tensor.shape)}; expected a vector per block, "
                "named block.13 or es.block.13, or [layer, d_model] named by its language"
            )
    return found


FORMATS.register(
    "tensors", Format("plain safetensors, a vector per block", ".safetensors", NOTE, write, read)
)
