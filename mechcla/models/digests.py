"""A model's digest: over every weight's bytes, its config and its tokenizer.

That takes as long as to read and hash all weights, so for a large model that was read from files
the digest is kept in mechcla's cache folder, by those files. A file is known by the hub's own
SHA-256 of it where it lies in the hub's cache, else by path, size and time of last change. Such a
time can lie: after a copy that keeps it, say. So what was loaded is summed as well, tensor by
tensor, as whole numbers: one look at memory, and no hash. Where a sum differs, what was kept is not
used. Source: ours.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mechcla.models.placement import brought
from mechcla.progress import track
from mechcla.storage import cache_folder, write_json

Weights = Iterator[tuple[str, int, Tensor]]
PLACES = ("name_or_path", "vocab_file", "tokenizer_file", "is_local", "local_files_only")
LEAST = 1 << 26  # bytes of weights from which a digest is kept; below, it is had in a moment
BLOB = re.compile(r"[0-9a-f]{64}")
READERS = ("torch", "transformers", "peft")  # what decides how files become weights
INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
PIECE = 1 << 24


def digest_of(weights: Weights, *texts: bytes) -> str:
    """SHA-256 over every tensor's name, dtype, shape and bytes, and then over the texts."""
    sha = hashlib.sha256()
    seen: set[int] = set()
    for name, place, tensor in track(weights, "digest", unit="tensor"):
        sha.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        if place in seen:  # tied weights: the bytes are in already
            continue
        seen.add(place)
        flat = tensor.detach().contiguous().view(-1).view(torch.uint8)
        for start in range(0, flat.numel(), 1 << 28):
            sha.update(flat[start : start + (1 << 28)].cpu().numpy().data)
    for text in texts:
        sha.update(text)
    return sha.hexdigest()


def weights_of(model: Any, tied: bool) -> Weights:
    """Every tensor of a transformers model, in the order of its name: name, place, tensor.

    Tensors of one place are one tensor. One that lies on disk is brought while it is looked at;
    tied: embedding and unembedding are then known to be one.
    """
    ends = [model.get_input_embeddings(), model.get_output_embeddings()]
    ends = [getattr(end, "original_component", end) for end in ends]
    for name, tensor in sorted(model.state_dict(keep_vars=True).items()):
        if tensor.device.type != "meta":
            yield name, tensor.data_ptr(), tensor.detach()
            continue
        owner, _, own = name.rpartition(".")
        module = model.get_submodule(owner)
        shared = tied and own == "weight" and any(module is end for end in ends)
        with brought(module):
            yield name, -1 if shared else -id(tensor), getattr(module, own).detach()


def tokenizer_bytes(tokenizer: Any) -> bytes:
    """What decides a tokenizer's ids: its backend or vocabulary, and the roles of its special
    tokens.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        whole = json.loads(backend.to_str())
        # Padding and truncation are what the last call asked for, and each call sets them anew.
        whole |= {"padding": None, "truncation": None}
    else:
        whole = {"vocabulary": tokenizer.get_vocab(), "settings": tokenizer.init_kwargs}
        whole["settings"] = {k: v for k, v in whole["settings"].items() if k not in PLACES}
    roles = {k: str(v) for k, v in sorted(tokenizer.special_tokens_map.items())}
    return json.dumps([whole, roles], sort_keys=True, default=str).encode()


def source_of(
    folders: Sequence[Path | None], dtype: torch.dtype, remote_code: bool
) -> dict[str, Any] | None:
    """What decides a model's weights: the files in the folders, the dtype, and who reads them.

    None where a folder is not known or the model comes with code of its own.
    """
    known = [folder for folder in folders if folder is not None]
    if remote_code or len(known) < len(folders):
        return None
    try:
        files = [identify(path) for folder in known for path in weight_files(folder)]
    except OSError:
        return None
    return {"files": files, "dtype": str(dtype), "readers": {r: _version(r) for r in READERS}}


def weight_files(folder: Path) -> list[Path]:
    """The files of a folder that hold weights, or say which do."""
    indices = (*folder.glob("*.index.json"), *folder.glob("adapter_config.json"))
    return sorted((*folder.glob("*.safetensors"), *indices))


def identify(path: Path) -> dict[str, Any]:
    """What tells a file from another: the hub's SHA-256 of its bytes, or path, size and time."""
    real = path.resolve()
    size = real.stat().st_size
    if BLOB.fullmatch(real.name) and real.parent.name == "blobs":
        return {"sha256": real.name, "size": size}
    return {"path": str(real), "size": size, "mtime_ns": real.stat().st_mtime_ns}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def sums(weights: Weights) -> tuple[int, str]:
    """Bytes of all tensors, and SHA-256 over the name, dtype, shape and sum of each.

    A sum is of a tensor's words as whole numbers, so it is the same on every device. Two tensors of
    one sum may differ, as where values changed places: it guards a file's identity and replaces
    none.
    """
    sha, size = hashlib.sha256(), 0
    for name, _, tensor in weights:
        total = 0
        flat = tensor.contiguous().view(-1).view(INTEGERS[tensor.element_size()])
        for begin in range(0, flat.numel(), PIECE):
            total += int(flat[begin : begin + PIECE].sum(dtype=torch.int64))
        size += tensor.numel() * tensor.element_size()
        sha.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} {total}\n".encode())
    return size, sha.hexdigest()


def kept(
    source: Mapping[str, Any],
    weights: Callable[[], Weights],
    compute: Callable[[], str],
    *texts: bytes,
) -> str:
    """compute(), or what it gave when it was last asked for this source, these texts and sums.

    A cache that cannot be read or written is none.
    """
    size, summed = sums(weights())
    if size < LEAST:
        return compute()
    parts = [hashlib.sha256(text).hexdigest() for text in texts]
    asked = {"source": dict(source), "texts": parts, "sums": summed}
    name = hashlib.sha256(json.dumps(asked["source"], sort_keys=True).encode()).hexdigest()
    place = cache_folder() / "digests" / f"{name[:32]}.json"
    try:
        found = json.loads(place.read_text("utf-8"))
        if {k: found[k] for k in asked} == asked and BLOB.fullmatch(found["digest"]):
            return str(found["digest"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    digest = compute()
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        write_json(place, asked | {"digest": digest})
    except (OSError, ValueError):
        pass
    return digest
