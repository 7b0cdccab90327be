"""A GGUF file becomes a folder of plain weights in the user's cache folder, once.

The folder appears by one rename, so a killed conversion is never mistaken for a model. Of two
processes one converts and the other waits for its folder; where a file system has no locks both do,
one is first, and the other takes its folder. Nothing reaches the network.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from mechcla.errors import MechclaError
from mechcla.models.checkpoint import listed, without_report
from mechcla.storage import cache_folder


def converted(folder: str, what: str, make: Callable[[Path], None]) -> Path:
    """The folder of this name in the cache folder; made now if it is not there (minutes).

    make: writes the model into `model` in the empty folder that it gets. Raises MechclaError where
    the cache folder cannot be written, and what `make` raises; nothing is left behind then.
    """
    target = cache_folder() / folder
    if target.is_dir():
        return target
    with _writing(target.parent, what):
        target.parent.mkdir(parents=True, exist_ok=True)
        # Without rights to write a lock waits for ever on Windows.
        tempfile.TemporaryFile(dir=target.parent).close()
    with _one_process(target, what):
        if target.is_dir():  # by another process, meanwhile
            return target
        with _writing(target.parent, what):
            work = Path(tempfile.mkdtemp(prefix=f".{folder}-", dir=target.parent))
        try:
            make(work)
            try:
                (work / "model").rename(target)
            except OSError:
                if not target.is_dir():  # else another process was first, with the same bytes
                    raise
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return target


@contextmanager
def _writing(folder: Path, what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise MechclaError(
            f"cannot write {what} into {str(folder)!r}: {error.strerror}; set "
            "MECHCLA_CACHE to a folder"
        ) from error


@contextmanager
def _one_process(target: Path, what: str) -> Iterator[None]:
    """Let one process at a time convert into a folder: two would take the memory twice.

    The lock's file is removed when the lock is given back, and left by a killed process, whose lock
    is free. Whoever took a removed one converts too, which costs time alone.
    """
    path = target.parent / f".{target.name}.lock"
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"mechcla: waiting for another process that converts {what}", file=sys.stderr)
        with suppress(OSError, NotImplementedError):  # as below, if its folder went away meanwhile
            lock.acquire()
    except (OSError, NotImplementedError):
        pass  # a file system without locks: both convert, and one rename is first
    try:
        yield
    finally:
        if lock.is_locked:
            with suppress(OSError):  # Windows removes it itself
                path.unlink(missing_ok=True)
            lock.release()


def announce(folder: str, what: str) -> None:
    """Say that the model is being converted, and into which folder."""
    target = cache_folder() / folder
    print(f"mechcla: converting {what} once into {target}", file=sys.stderr, flush=True)


def dequantised(source: Path, what: str) -> Any:
    """A GGUF file's model as transformers dequantises it to float32.

    Raises MechclaError for a weight that transformers does not find in the file, or finds in
    another shape: it would be filled at random.
    """
    import torch
    import transformers
    from transformers import AutoModelForCausalLM

    # Of some architectures 5.23 would keep the weights packed, for kernels from the hub.
    kind: Any = getattr(transformers, "GgufConfig", None)  # older versions always dequantise
    asked = {} if kind is None else {"quantization_config": kind(dequantize=True)}
    model: Any
    info: dict[str, Any]
    with without_report():
        model, info = AutoModelForCausalLM.from_pretrained(  # type: ignore[misc]
            str(source.parent),
            gguf_file=source.name,
            dtype=torch.float32,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # so that all of them are named, here
            **asked,
        )
    shapes = [f"{k} ({tuple(has)}, not {tuple(asks)})" for k, has, asks in info["mismatched_keys"]]
    if lacking := sorted([*info["missing_keys"], *shapes]):
        raise MechclaError(
            f"{what}: transformers does not find {listed(lacking)} in the GGUF file, which a "
            f"{type(model).__name__} has; load the weights that it was quantised from"
        )
    return model


def save_plain(model: Any, config: Any, folder: Path) -> None:
    """Save a dequantised model's weights as a plain model's of this config.

    The weights are in memory once: the plain model takes the dequantised one's tensors.
    """
    import torch
    from transformers import AutoModelForCausalLM

    blank: Callable[..., Any] = AutoModelForCausalLM.from_config  # untyped in transformers
    with torch.device("meta"):
        plain = blank(config, dtype=torch.float32)
    plain.load_state_dict(model.state_dict(), assign=True)
    plain.tie_weights()
    plain.save_pretrained(folder)


def plain_config(model: Any) -> Any:
    """The config of what is saved, which is no longer quantised."""
    import copy

    config = copy.deepcopy(model.config)
    if hasattr(config, "quantization_config"):  # transformers drops it where it dequantised
        del config.quantization_config
    return config


def gguf_tokenizer(source: Path) -> Any:
    """The tokenizer that transformers makes of a GGUF file."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(str(source.parent), gguf_file=source.name)


def saved_tokenizer(tokenizer: Any, folder: Path) -> Any:
    """The tokenizer as it is read from the folder into which it is saved here."""
    from transformers import AutoTokenizer

    tokenizer.save_pretrained(folder)
    return AutoTokenizer.from_pretrained(folder)
