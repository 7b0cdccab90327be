"""What a GGUF file says of itself: settings and tensors, read before any library believes it.

Each file that cannot be a model (none at all, a pointer in its place, a part of several, one that
is cut off) ends in one message. Source of the format: llama.cpp's, as the package gguf reads it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from mechcla.errors import MechclaError, nearest
from mechcla.models.checkpoint import first_line
from mechcla.storage import file_sha256, user_path

SUFFIX, MAGIC, POINTER = ".gguf", b"GGUF", b"vers"  # of Git LFS: "version https://git-lfs..."
PART = re.compile(r"(.*)-(\d{5})-of-(\d{5})\.gguf", re.IGNORECASE)
WORD = r"[\w-]+"
LEAST = 24  # bytes of magic, version and two counts
LONG = re.compile(r"tokenizer\.ggml\.(tokens|scores|token_type|merges|precompiled_charsmap)")
CONTROL, USER_DEFINED = 3, 4  # in tokenizer.ggml.token_type
INSTALL = "pip install 'mechcla[gguf]'"


@dataclass(frozen=True)
class Header:
    """settings: what the file says, by its own names, without the long lists of the vocabulary.
    sizes: how many numbers each tensor has. frequencies: divisors of the rotary embedding's
    frequencies, where the file has them as a tensor (Llama 3's). whole: id and text of each token
    that is one wherever its text stands: those that the file marks as control or user-defined.
    """

    settings: Mapping[str, Any]
    sizes: Mapping[str, int]
    frequencies: tuple[float, ...] = ()
    whole: tuple[tuple[int, str], ...] = ()

    @property
    def architecture(self) -> str:
        return str(self.settings.get("general.architecture"))

    def own(self) -> dict[str, Any]:
        """The architecture's settings: "llama.rope.freq_base" as "rope.freq_base"."""
        begin = f"{self.architecture}."
        return {k.removeprefix(begin): v for k, v in self.settings.items() if k.startswith(begin)}


def is_gguf(name: str) -> bool:
    """Whether a model's name is that of a file, or would be if the file were there.

    A plain word stays the name of a model or an adapter that comes with mechcla.
    """
    path = user_path(name)
    if path.suffix.lower() == SUFFIX:
        return not path.is_dir()
    return path.is_file() and not re.fullmatch(WORD, name)


def check_gguf(name: str) -> Path:
    """The file of this name. Refuses what can be seen to be no GGUF model, or a part of one."""
    path, what = user_path(name), f"cannot load the model {name!r}"
    if not path.is_file():
        beside = sorted(p.name for p in path.parent.glob(f"*{SUFFIX}"))
        known = f"; {nearest(path.name, beside)}" if beside else ""
        raise MechclaError(f"{what}: there is no such file; expected a GGUF file{known}")
    if path.suffix.lower() != SUFFIX and (path.parent / "config.json").exists():
        raise MechclaError(
            f"{what}: it is a file of a model; name its folder: {str(path.parent)!r}"
        )
    if (part := PART.fullmatch(path.name)) and int(part[3]) > 1:
        raise _split(what, path, part[3])
    with path.open("rb") as file:
        begin = file.read(LEAST)
    if begin[:4] == POINTER:
        raise MechclaError(
            f"{what}: it is a pointer of Git LFS in the place of the file; fetch that: git lfs pull"
        )
    if begin[:4] != MAGIC:
        raise MechclaError(
            f"{what}: it is no GGUF file (it begins with {begin[:4]!r}, not {MAGIC!r}); expected "
            "a GGUF file, a folder with config.json and safetensors, or a Hugging Face id"
        )
    if len(begin) < LEAST:
        raise _damaged(what, path, "it ends within its header")
    return path


def read_header(path: Path, name: str) -> Header:
    """What a file says. Raises MechclaError for one that is damaged, cut off, or one of several."""
    what = f"cannot load the model {name!r}"
    try:
        import gguf
    except ImportError as error:
        raise MechclaError(
            f"{what}: a GGUF file needs the package {error.name!r}; install it with: {INSTALL}"
        ) from error
    try:
        reader = gguf.GGUFReader(str(path))
        settings = {k: f.contents() for k, f in reader.fields.items() if not LONG.fullmatch(k)}
        end = max((t.data_offset + t.n_bytes for t in reader.tensors), default=0)
        sizes = {t.name: int(t.n_elements) for t in reader.tensors}
        held = [t for t in reader.tensors if t.name == "rope_freqs.weight"]
        frequencies = tuple(map(float, held[0].data.reshape(-1))) if held else ()
        whole = _whole(reader.fields)
    except Exception as error:  # gguf raises whatever numpy and Python do over wrong bytes
        raise _damaged(what, path, first_line(error)) from error
    if (size := path.stat().st_size) < end:
        raise _damaged(what, path, f"its tensors end at byte {end}")
    if int(settings.get("split.count", 0)) > 1:
        raise _split(what, path, str(settings["split.count"]))
    if "general.architecture" not in settings or not sizes:
        raise MechclaError(
            f"{what}: the GGUF file ({size} bytes) holds no model (general.architecture is "
            f"{settings.get('general.architecture')!r}, and there are {len(sizes)} tensors); "
            "expected a whole model, not an adapter, a vocabulary or control vectors"
        )
    return Header(settings, sizes, frequencies, whole)


def _whole(fields: Mapping[str, Any]) -> tuple[tuple[int, str], ...]:
    tokens, kinds = (fields.get(f"tokenizer.ggml.{key}") for key in ("tokens", "token_type"))
    if tokens is None or kinds is None:
        return ()
    marked = [k for k, kind in enumerate(kinds.contents()) if kind in (CONTROL, USER_DEFINED)]
    texts = [bytes(tokens.parts[tokens.data[k]]).decode("utf-8") for k in marked]
    return tuple((k, text) for k, text in zip(marked, texts, strict=True) if text)


def gguf_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, which one command asks for several times."""
    return _digest(path.resolve(), state(path))


@lru_cache(maxsize=64)
def _digest(path: Path, _state: tuple[int, ...]) -> str:
    return file_sha256(path)


def state(path: Path) -> tuple[int, ...]:
    """What differs where a file was replaced, or written to."""
    held = path.stat()
    return (held.st_dev, held.st_ino, held.st_size, held.st_mtime_ns)


def _damaged(what: str, path: Path, why: str) -> MechclaError:
    return MechclaError(
        f"{what}: the GGUF file ({path.stat().st_size} bytes) is damaged or cut off: {why}; copy "
        "or download it again"
    )


def _split(what: str, path: Path, count: str) -> MechclaError:
    part = PART.fullmatch(path.name)
    first = f"{part[1]}-00001-of-{part[3]}{SUFFIX}" if part else "FIRST_PART.gguf"
    return MechclaError(
        f"{what}: it is one of {int(count)} parts of a model, and transformers reads whole GGUF "
        f"files only; join them with llama.cpp: llama-gguf-split --merge {first} whole.gguf"
    )
