"""A user's GGUF file becomes a folder of plain weights in the cache folder, once per file.

The folder's name holds the file's SHA-256 and the versions of what converts, so a file is converted
anew where it was changed, and after an upgrade of transformers or gguf.
"""

from __future__ import annotations

import json
import re
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
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
from mechcla.models.gguf_header import INSTALL, Header, check_gguf, gguf_digest, read_header, state
from mechcla.models.gguf_tokens import (
    check_saved,
    check_tokenizer,
    check_whole_tokens,
    doubts,
    mend,
)
from mechcla.models.memory import available
from mechcla.storage import cache_folder, write_json

VERSION = 2  # of mechcla's part of the conversion: another one makes another folder
CONVERTERS = ("transformers", "gguf")
DOUBTS = "doubts.json"  # in the folder: what is warned of whenever the model is loaded
GIB = 1 << 30
# What torch and safetensors say, which have no class of errors for it.
NO_MEMORY = re.compile(r"can't allocate memory|not enough memory|out of memory", re.IGNORECASE)
NO_ROOM = re.compile(r"No space left|os error \d+", re.IGNORECASE)
ENDS = ("eos_token_id", "eot_token_id", "eom_token_id")


def gguf_folder(name: str) -> Path:
    """The folder of plain float32 weights of the GGUF file that a model's name is.

    Made now if it is not there: transformers dequantises the file. Raises MechclaError for a file
    that is no whole GGUF model, that transformers cannot read, or of which it would make another
    model or other tokens than the file says; and where the package gguf is missing.
    """
    path = check_gguf(name)
    held = state(path)  # before its SHA-256
    folder = folder_name(gguf_digest(path))
    what = f"the model {name!r}"

    def make(work: Path) -> None:
        with _unchanged(path, held, what):
            header = read_header(path, name)
            _check_room(header, what)
            announce(folder, what)
            _convert(_alone(path, work / "gguf"), header, work / "model", f"cannot load {what}")

    found = converted(folder, what, make)
    for doubt in _doubts(found, what):
        warnings.warn(f"{what}: {doubt}", stacklevel=2)
    return found


def folder_name(digest: str) -> str:
    """What the folder of a file of this SHA-256 is called, as the installed packages make it."""
    parts = [f"gguf-{digest}-v{VERSION}"]
    for package in CONVERTERS:
        try:
            parts.append(re.sub(r"[^\w.+]", "_", version(package)))
        except PackageNotFoundError:  # converting says what to install
            parts.append("none")
    return "-".join(parts)


@contextmanager
def _unchanged(path: Path, held: tuple[int, ...], what: str) -> Iterator[None]:
    """Refuse what was read of a file that another one replaced meanwhile.

    Its weights would lie under the SHA-256 of the first, for ever.
    """
    try:
        yield
    finally:  # also where reading failed: a file that is being written explains it
        try:
            now = state(path)
        except OSError:
            now = ()
        if now != held:
            raise MechclaError(
                f"cannot load {what}: the file was changed, replaced or removed while it was being "
                "read; load it again when nothing writes to it"
            )


def _doubts(folder: Path, what: str) -> list[str]:
    try:
        return list(map(str, json.loads((folder / DOUBTS).read_text("utf-8"))))
    except (OSError, ValueError, TypeError) as error:
        raise MechclaError(
            f"cannot load {what}: the folder {str(folder)!r}, into which it was converted, has no "
            f"{DOUBTS} that can be read ({first_line(error)}), so it is not whole; delete that "
            "folder, and the file is converted again"
        ) from error


def _check_room(header: Header, what: str) -> None:
    needed, free = 4 * sum(header.sizes.values()), shutil.disk_usage(cache_folder()).free
    if free < needed:
        raise MechclaError(
            f"cannot load {what}: as plain float32 weights it takes {needed / GIB:.1f} GiB, and "
            f"{str(cache_folder())!r} has {free / GIB:.1f} GiB free; make room, or set "
            "MECHCLA_CACHE to a folder with more"
        )
    # Else the system would kill the process without a word, minutes later.
    if (memory := available()) is not None and memory < needed:
        raise MechclaError(
            f"cannot load {what}: as plain float32 weights it takes {needed / GIB:.1f} GiB of "
            f"memory, and {memory / GIB:.1f} GiB are available here; load it on a machine with "
            f"more, copy {str(cache_folder())!r} from there, or load a smaller model"
        )


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
        check_whole_tokens(saved, header, what)
        check_tokenizer(saved, header.settings, what)
        _end_of_answers(folder, header)
        write_json(folder / DOUBTS, doubts(saved, header.settings))
    except MechclaError:
        raise
    except Exception as error:  # transformers and gguf raise whatever their readers do
        raise _refused(header, what, error) from error


def _refused(header: Header, what: str, error: BaseException) -> MechclaError:
    import transformers

    said = f"{what} while converting its GGUF file: "
    one: BaseException | None = error
    while one is not None:  # what it was raised from, not what was tried in vain before it
        text = str(one)
        if isinstance(one, ImportError):
            return MechclaError(
                f"{said}a package is missing ({first_line(one)}); install it, or all that GGUF "
                f"files need: {INSTALL}"
            )
        if isinstance(one, MemoryError) or NO_MEMORY.search(text):
            return MechclaError(
                f"{said}the memory is used up ({first_line(one)}); end other programs, or load it "
                "on a machine with more"
            )
        # transformers raises OSError without a number for what it cannot read.
        if (isinstance(one, OSError) and one.errno is not None) or NO_ROOM.search(text):
            return MechclaError(
                f"{said}the system refuses a file: {first_line(one)}; make room in "
                f"{str(cache_folder())!r} or give rights there, or set MECHCLA_CACHE to a folder"
            )
        one = one.__cause__
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
