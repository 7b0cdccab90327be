"""A user's GGUF file becomes a folder of plain weights in the cache folder, once per file.

The folder's name holds the file's SHA-256, so a file that was changed is converted anew.
"""

from __future__ import annotations

import json
import shutil
import warnings
from functools import lru_cache
from pathlib import Path
from typing import Any

from mechcla.errors import MechclaError
from mechcla.models.checkpoint import first_line
from mechcla.models.conversion import (
    announce,
    converted,
    dequantised,
    gguf_tokenizer,
    plain_config,
    save_plain,
    saved_tokenizer,
)
from mechcla.models.gguf_config import check_whole, checked_config
from mechcla.models.gguf_header import Header, check_gguf, read_header
from mechcla.models.gguf_tokens import check_saved, check_tokenizer, doubts, mend
from mechcla.storage import cache_folder, file_sha256, write_json

VERSION = 1  # of the conversion: another one makes another folder
DOUBTS = "doubts.json"  # in the folder: what is warned of whenever the model is loaded
GIB = 1 << 30
ENDS = ("eos_token_id", "eot_token_id", "eom_token_id")


def gguf_folder(name: str) -> Path:
    """The folder of plain float32 weights of the GGUF file that a model's name is.

    Made now if it is not there: transformers dequantises the file. Raises MechclaError for a file
    that is no whole GGUF model, that transformers cannot read, or of which it would make another
    model or other tokens than the file says; and where the package gguf is missing.
    """
    path = check_gguf(name)
    held = path.resolve().stat()
    folder = f"gguf-{_digest(path.resolve(), held.st_size, held.st_mtime_ns)}-v{VERSION}"
    what = f"the model {name!r}"

    def make(work: Path) -> None:
        header = read_header(path, name)
        _check_room(header, what)
        announce(folder, what)
        _convert(_alone(path, work / "gguf"), header, work / "model", f"cannot load {what}")

    found = converted(folder, what, make)
    for doubt in json.loads((found / DOUBTS).read_text("utf-8")):
        warnings.warn(f"{what}: {doubt}", stacklevel=2)
    return found


def _check_room(header: Header, what: str) -> None:
    needed, free = 4 * sum(header.sizes.values()), shutil.disk_usage(cache_folder()).free
    if free < needed:
        raise MechclaError(
            f"cannot load {what}: as plain float32 weights it takes {needed / GIB:.1f} GiB, and "
            f"{str(cache_folder())!r} has {free / GIB:.1f} GiB free; make room, or set "
            "MECHCLA_CACHE to a folder with more"
        )


@lru_cache(maxsize=64)
def _digest(path: Path, _size: int, _changed: int) -> str:
    """SHA-256 of a file's bytes, which one command asks for several times."""
    return file_sha256(path)


def _alone(path: Path, folder: Path) -> Path:
    """The file in a folder by itself: transformers would read a tokenizer that lies beside it."""
    folder.mkdir()
    alone = folder / "model.gguf"
    try:
        alone.symlink_to(path.resolve())
    except OSError:  # a system without links
        shutil.copyfile(path, alone)
    return alone


def _convert(source: Path, header: Header, folder: Path, what: str) -> None:
    try:
        model = dequantised(source, what)
        check_whole(model, header, what)
        save_plain(model, checked_config(plain_config(model), header, what), folder)
        tokenizer = gguf_tokenizer(source)
        mend(tokenizer, header.settings)
        saved = saved_tokenizer(tokenizer, folder)
        check_saved(tokenizer, saved, what)
        check_tokenizer(saved, header.settings, what)
        _end_of_answers(folder, header)
        write_json(folder / DOUBTS, doubts(saved, header.settings))
    except MechclaError:
        raise
    except Exception as error:  # transformers and gguf raise whatever their readers do
        raise _refused(header, what, error) from error


def _refused(header: Header, what: str, error: BaseException) -> MechclaError:
    import transformers

    return MechclaError(
        f"{what}: transformers {transformers.__version__} cannot read this GGUF file, whose "
        f"architecture is {header.architecture!r}: {first_line(error)}; load the weights that it "
        "was quantised from, or a file of another architecture"
    )


def _end_of_answers(folder: Path, header: Header) -> None:
    """Write each token that ends an answer into the generation config: a turn's end, too."""
    from transformers import GenerationConfig

    named = [header.settings.get(f"tokenizer.ggml.{end}") for end in ENDS]
    ends: list[Any] = sorted({int(end) for end in named if end is not None})
    if len(ends) > 1:
        config = GenerationConfig.from_pretrained(folder)
        config.eos_token_id = ends
        config.save_pretrained(folder)
