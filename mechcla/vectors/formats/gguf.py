"""llama.cpp's control vectors: a GGUF file of architecture controlvector, a tensor direction.N per
block.

llama.cpp adds direction.N, times the scale of `--control-vector-scaled`, to the output of block N
(counted from 0, `l_out` in its graph) at every token. It has no direction for block 0. repeng reads
and writes the same files, with the same numbers. Read in llama.cpp's src/llama-adapter.cpp
(`llama_adapter_cvec::apply`) and common/common.cpp, and in repeng 0.4.0's extract.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mechcla.errors import MechclaError
from mechcla.vectors.formats.added import Added
from mechcla.vectors.formats.exchange import FORMATS, Format, gathered
from mechcla.vectors.steering_vectors import SteeringVectors

ARCHITECTURE = "controlvector"
FIRST = 1  # llama.cpp has no direction.0
NOTE = (
    "llama.cpp adds it at every token, BOS, template and answer included, in its own arithmetic; "
    "mechcla leaves added tokens alone and steers the positions that are asked for"
)


def write(added: Added, path: Path, options: Mapping[str, Any]) -> None:
    """One file. options: hint, the text of controlvector.model_hint; default: the model's name."""
    gguf = _package()
    if min(added.vectors, default=FIRST) < FIRST:
        raise MechclaError(
            "llama.cpp has no direction for block 0 (direction.1 is the first); leave it out, with "
            f"layers={[k for k in added.vectors if k] or [1]}"
        )
    writer = gguf.GGUFWriter(str(path), ARCHITECTURE)
    writer.add_string(
        f"{ARCHITECTURE}.model_hint", str(options.get("hint") or added.model or "unknown")
    )
    writer.add_uint32(f"{ARCHITECTURE}.layer_count", len(added.vectors))
    for block, vector in added.vectors.items():
        writer.add_tensor(f"direction.{block}", vector.numpy().astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def read(path: Path) -> dict[str | None, dict[int, Tensor]]:
    """The directions by block. Raises MechclaError for another kind of file."""
    gguf = _package()
    try:
        reader = gguf.GGUFReader(str(path))
        field = reader.get_field("general.architecture")
        architecture = "" if field is None else bytes(field.parts[-1]).decode("utf-8", "replace")
        tensors = {t.name: torch.from_numpy(np.array(t.data)) for t in reader.tensors}
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise MechclaError(f"{str(path)!r} is no GGUF file that can be read: {error}") from error
    if architecture != ARCHITECTURE:
        raise MechclaError(
            f"{str(path)!r} is a GGUF file of architecture {architecture!r}; expected "
            f"{ARCHITECTURE!r}"
        )
    found: dict[int, Tensor] = {}
    for name, tensor in tensors.items():
        kind, _, block = name.partition(".")
        if kind != "direction" or not block.isdecimal():
            raise MechclaError(f"{str(path)!r} holds {name!r}; expected direction.1, direction.2")
        found[int(block)] = tensor
    return {None: found}


def from_control_vector(
    vector: Any, name: str, language: str, n_layers: int | None = None
) -> SteeringVectors:
    """SteeringVectors of a repeng.ControlVector, whose directions are numbered as blocks are here.

    Raises MechclaError for another kind of object.
    """
    held = getattr(vector, "directions", None)
    if not isinstance(held, Mapping):
        raise MechclaError(
            f"expected a repeng.ControlVector, with directions, got a {type(vector).__name__}"
        )
    blocks = {int(k): torch.from_numpy(np.array(v, dtype=np.float32)) for k, v in held.items()}
    return gathered({language: blocks}, name, None, n_layers, "the ControlVector")


def _package() -> Any:
    try:
        import gguf
    except ImportError as error:
        raise MechclaError("GGUF files need the package 'gguf': pip install gguf") from error
    return gguf


FORMATS.register(
    "gguf",
    Format(
        "llama.cpp's control vectors, and repeng's", ".gguf", NOTE, write, read, ("hint",), FIRST
    ),
)
