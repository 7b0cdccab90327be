"""Residuals beyond memory: a safetensors file per language and a manifest, filled as prompts run,
and mapped where they are read.

    FOLDER/residuals-000.safetensors    "residuals", float32 [item, layer, d_model], a language each
    FOLDER/residuals.json               which file is which language's, its items, and the digests

What is mapped lies on the disk, and the operating system may drop it from memory at any time, so a
process needs no more than what it works on. The manifest is written last: without it a folder is
not whole. Source: ours.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mechcla.errors import MechclaError
from mechcla.storage import file_sha256, read_sealed, write_sealed, writing

MANIFEST = "residuals.json"
SCHEMA = 1
NAME = "residuals"
Values = dict[str, Float[Tensor, "item layer d_model"]]


def opened(folder: Path, shapes: Mapping[str, Sequence[int]]) -> Values:
    """A mapped tensor per language, of zeros, in a new file each; what is written into it is
    written to the file.

    shapes: [item, layer, d_model] by language. Raises MechclaError where there is no room.
    """
    with writing(folder / MANIFEST):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MANIFEST).unlink(missing_ok=True)
        return {k: _new(folder / _file(n), shape) for n, (k, shape) in enumerate(shapes.items())}


def close(folder: Path, ids: Mapping[str, Sequence[str]], about: Mapping[str, Any]) -> None:
    """Write the manifest of files that `opened` made, in that order of languages.

    ids: of the items, by language. about: what the residuals are of.
    """
    files = {}
    for n, (language, mine) in enumerate(ids.items()):
        path = folder / _file(n)
        files[language] = {"file": path.name, "sha256": file_sha256(path), "ids": list(mine)}
    write_sealed(folder / MANIFEST, {"schema": SCHEMA, **about, "languages": files})


def read(folder: Path) -> tuple[Values, dict[str, tuple[str, ...]], dict[str, Any]]:
    """Mapped tensors and items by language, and what they are of; every file is verified.

    Raises MechclaError for a folder without residuals, and for a file that is damaged.
    """
    if not (folder / MANIFEST).is_file():
        raise MechclaError(
            f"no residuals lie in {str(folder)!r}; expected a folder of cache_residuals(..., "
            f"folder=...), with its {MANIFEST}"
        )
    about = read_sealed(folder / MANIFEST, "schema", "languages")
    if about is None or about["schema"] != SCHEMA:
        raise MechclaError(
            f"{MANIFEST} in {str(folder)!r} is damaged, or of another version of mechcla; remove "
            "the folder, and the same call makes it again"
        )
    values, ids = {}, {}
    for language, held in about["languages"].items():
        path = folder / held["file"]
        if not path.is_file() or file_sha256(path) != held["sha256"]:
            raise MechclaError(
                f"{held['file']} in {str(folder)!r} is damaged or gone; remove the folder, and the "
                "same call makes it again"
            )
        values[language], ids[language] = _mapped(path, "c"), tuple(held["ids"])
    return values, ids, about


def _file(n: int) -> str:
    return f"{NAME}-{n:03d}.safetensors"


def _new(path: Path, shape: Sequence[int]) -> Tensor:
    """A safetensors file of one tensor of zeros, mapped."""
    size = 4 * int(np.prod(shape))
    entry = {"dtype": "F32", "shape": list(shape), "data_offsets": [0, size]}
    head = json.dumps({NAME: entry}, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)  # the format's own: what follows is aligned
    with path.open("wb") as file:
        file.write(len(head).to_bytes(8, "little") + head)
        file.flush()
        # Reserve the space, so that a full disk is an error here and not a crash at a later write.
        reserve = getattr(os, "posix_fallocate", lambda h, begin, n: os.truncate(h, begin + n))
        reserve(file.fileno(), 8 + len(head), size)
    return _mapped(path, "r+")


def _mapped(path: Path, mode: str) -> Tensor:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        shape = tuple(json.loads(file.read(length))[NAME]["shape"])
    made: Any = np.memmap(path, "<f4", mode, 8 + length, shape)  # type: ignore[call-overload]
    return torch.from_numpy(made)
