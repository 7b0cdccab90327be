"""A checkpoint in a folder or on the hub: checked before it is believed, never unpickled.

transformers fills a tensor that a checkpoint lacks at random, leaves out one that the architecture
has no place for, and falls back to pickles. Here each of these ends in one message that names the
tensors or the file.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from mechcla.errors import MechclaError
from mechcla.models.quantised import METHOD, asked_of, cast, check_asked, method_of, refused, settle
from mechcla.models.revisions import chain_of
from mechcla.progress import shown

CONVERT = (
    "mechcla unpickles nothing. Convert it once, where you trust it: "
    "AutoModelForCausalLM.from_pretrained(folder).save_pretrained(new_folder), "
    "which writes safetensors, and copy the tokenizer's files beside them"
)
EXPECTED = (
    "Expected 'demo', 'smollm2', a folder with config.json, weights as safetensors and a "
    "tokenizer, a GGUF file, a PEFT adapter, or a Hugging Face id that is in the local cache or "
    "can be downloaded (HF_HUB_OFFLINE forbids downloads)."
)
OF_METHODS = ("transformers.quantizers", "transformers.utils.quantization_config")
OBJECTS = ("tokenizer.json", "tokenizer_config.json", "generation_config.json")
# Buffers that old checkpoints carry; models compute them.
DEAD = re.compile(r"(rotary_emb\.inv_freq|\.position_ids|masked_bias|_extra_state)$")
BLOCK = re.compile(r"(.*?\.\d+)\.")


def first_line(error: BaseException) -> str:
    """The first line of an error's text, with its type where the text alone says little.

    A line that only announces others (it ends in a colon) is joined with them.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    line = next(iter(lines), "")
    if line.endswith(":"):
        line = " ".join(lines)[:300]
    if isinstance(error, OSError | ValueError) and line:
        return line
    return f"{type(error).__name__}: {line}" if line else type(error).__name__


def refused_by_hub(error: BaseException, name: str) -> str:
    """What to do where the hub lets nobody in, or not this user; empty for any other error."""
    seen = list(chain_of(error))
    gated = any(type(one).__name__ == "GatedRepoError" for one in seen)
    codes = {getattr(getattr(one, "response", None), "status_code", 0) for one in seen}
    codes &= {401, 403}
    if not gated and not codes:
        return ""
    page = f"{os.environ.get('HF_ENDPOINT', 'https://huggingface.co').rstrip('/')}/{name}"
    if gated:
        return (
            f"it is gated. Accept its licence at {page} with your account, then log in here: "
            "hf auth login (or set HF_TOKEN to a token of that account)"
        )
    return (
        f"the hub answers {name!r} with {', '.join(map(str, codes))}: there "
        f"is no such model at {page}, or it is private. Mind the spelling, and log in for a "
        "private one: hf auth login (or set HF_TOKEN)"
    )


def read_object(path: Path, what: str, empty: bool = False) -> dict[str, Any]:
    """A JSON file that must hold an object (`empty`: even {}). Raises MechclaError."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise MechclaError(f"cannot load {what}: {str(path)!r} is not JSON: {error}") from error
    if not isinstance(found, dict) or not (found or empty):
        held = "an empty object" if found == {} else f"a {type(found).__name__}"
        raise MechclaError(
            f"cannot load {what}: {str(path)!r} holds {held}; expected the JSON object that "
            "save_pretrained writes"
        )
    return found


def check_folder(folder: Path, what: str) -> None:
    """Refuse a model's folder whose files cannot be a model, before any library reads them."""
    if not (folder / "config.json").exists():
        held = ", ".join(sorted(p.name for p in folder.iterdir())[:5]) or "nothing"
        raise MechclaError(
            f"cannot load {what}: the folder has no config.json (it holds {held}); expected what "
            f"save_pretrained writes{_files(folder)}"
        )
    config = read_object(folder / "config.json", what)
    for name in OBJECTS:
        if (folder / name).exists():
            read_object(folder / name, what, empty=name != "tokenizer.json")
    named = str(config.get("transformers_weights") or "model.safetensors")
    index = folder / "model.safetensors.index.json"
    if not named.endswith((".safetensors", ".safetensors.index.json")):
        raise MechclaError(
            f"cannot load {what}: its config.json names the weights {named!r}, no safetensors. "
            f"{CONVERT}"
        )
    if (folder / named).exists() and not named.endswith(".json"):
        check_safetensors(folder / named, what)
    elif (folder / named).exists() or index.exists():
        _check_shards(folder / named if named.endswith(".json") else index, what)
    else:
        pickles = sorted(p.name for p in folder.iterdir() if p.suffix in (".bin", ".pt", ".pth"))
        pickled = f"its weights are pickled ({', '.join(pickles[:3])}). {CONVERT}"
        raise MechclaError(
            f"cannot load {what}: "
            + (pickled if pickles else f"the folder has no {named}{_files(folder)}. {EXPECTED}")
        )


def _files(folder: Path) -> str:
    """The GGUF files that a folder without a model's weights holds, to be named instead of it."""
    found = sorted(str(path) for path in folder.glob("*.gguf"))
    one = f"; to load a GGUF file, name it: load_model({found[0]!r})" if found else ""
    others = f" (also there: {listed(Path(path).name for path in found[1:])})"
    return one + (others if found[1:] else "")


def _check_shards(index: Path, what: str) -> None:
    shards = read_object(index, what).get("weight_map")
    if not isinstance(shards, dict):
        raise MechclaError(f"cannot load {what}: {str(index)!r} has no 'weight_map' of shards")
    for shard in sorted(set(map(str, shards.values()))):
        if not (index.parent / shard).exists():
            raise MechclaError(
                f"cannot load {what}: the shard {shard!r} that {index.name} names is not there"
            )
        check_safetensors(index.parent / shard, what)


def check_safetensors(path: Path, what: str) -> None:
    """Refuse a safetensors file that is cut off or is none; reads the header only."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt"):
            pass
    except (SafetensorError, OSError) as error:
        raise MechclaError(
            f"cannot load {what}: {str(path)!r} ({path.stat().st_size} bytes) is damaged or cut "
            f"off: {error}; copy or download it again"
        ) from error


def load_weights(
    path: str, what: str, dtype: torch.dtype, options: dict[str, Any], plain_only: bool = True
) -> Any:
    """The transformers model of a checkpoint, every tensor of it read from safetensors.

    plain_only: refuse quantised weights altogether, else those that mechcla does not run. Raises
    MechclaError for that, and for a tensor that is missing, of another shape, or in the checkpoint
    without a place in the decoder. Tensors outside the decoder (a value head, a vision tower) are
    named in a warning.
    """
    from transformers import AutoModelForCausalLM

    asked = asked_of(path, options)
    other = bool(asked) and method_of(asked) != METHOD
    if asked and not other:
        check_asked(asked, what, plain_only)
        # A map even for one device: else transformers would choose a GPU by itself.
        options = {"device_map": {"": "cpu"}} | options
    model: Any
    info: dict[str, Any]
    try:
        with without_report():
            model, info = AutoModelForCausalLM.from_pretrained(  # type: ignore[misc]
                path,
                dtype=dtype,
                attn_implementation="eager",
                use_safetensors=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # so that all of them are named, here
                adapter_kwargs={"subfolder": "mechcla-applies-adapters-itself"},
                **options,
            )
    except Exception as error:  # a package or a GPU that the method wants
        if other and _of_method(error):
            raise refused(method_of(asked), what) from error
        raise
    _check_info(model, info, what)
    if getattr(model, "is_quantized", False) and (other or not asked):
        raise refused(method_of(asked), what)
    if asked:
        cast(model, dtype)
    settle(model, what)
    return model


def _of_method(error: BaseException) -> bool:
    """Whether an error says that the method of quantisation cannot be run here.

    Those are a package that is missing, and what transformers' code for the methods raises itself
    (no GPU, settings that it does not take). A full disk, memory that is used up or a hub that
    does not answer are none, and stay what they are.
    """
    if isinstance(error, ImportError):
        return True
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    if frame is None or isinstance(error, OSError | MemoryError | torch.OutOfMemoryError):
        return False
    return str(frame.tb_frame.f_globals.get("__name__")).startswith(OF_METHODS)


def _check_info(model: Any, info: dict[str, Any], what: str) -> None:
    own = "; to use it all the same, boot it yourself and give the bridge to mechcla.wrap_model"
    if missing := sorted(info["missing_keys"]):
        raise MechclaError(
            f"cannot load {what}: the checkpoint lacks {listed(missing)}, which a "
            f"{type(model).__name__} of its config.json has; transformers would fill them at "
            f"random. Copy or download it again, or mend config.json{own}"
        )
    if mismatched := sorted(info["mismatched_keys"]):
        shapes = [f"{name} ({tuple(has)}, not {tuple(wants)})" for name, has, wants in mismatched]
        raise MechclaError(
            f"cannot load {what}: shapes differ from those that config.json asks for: "
            f"{listed(shapes)}; the config and the weights are not of one model"
        )
    stray = sorted(k for k in info["unexpected_keys"] if not DEAD.search(k))
    inside = [k for k in stray if _in_decoder(k, model)]
    if inside:
        raise MechclaError(
            f"cannot load {what}: the checkpoint holds {listed(inside)}, for which a "
            f"{type(model).__name__} of its config.json has no place, so its numbers would be "
            f"another model's. Mend config.json (num_hidden_layers, biases, model_type){own}"
        )
    if stray:
        import warnings

        warnings.warn(
            f"{what}: not used, as they lie outside the decoder: {listed(stray)}", stacklevel=4
        )


def _in_decoder(key: str, model: Any) -> bool:
    """Whether a tensor would act on the numbers: like one of the model's, or in a block."""
    ours = {_starred(k) for k in model.state_dict()}
    blocks = {m.group(1) for k in ours if (m := re.match(r"(.*?\.\*)\.", k))}
    block = BLOCK.match(key)
    parent = _starred(key).rpartition(".")[0]
    return (
        _starred(key) in ours
        or any(k.rpartition(".")[0] == parent for k in ours)
        or (block is not None and _starred(block.group(1)) in blocks)
        or "lora_" in key
    )


def _starred(key: str) -> str:
    return re.sub(r"(?<=\.)\d+(?=\.|$)", "*", key)


def listed(names: Iterable[str], most: int = 5) -> str:
    """The first names, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


@contextmanager
def without_report() -> Iterator[None]:
    """transformers prints a table of keys as a warning; what matters of it is an error here.

    Its bar is shown where ours would be.
    """
    from transformers.utils import logging as of_transformers

    bars: Any = of_transformers
    hidden = bars.is_progress_bar_enabled() and not shown()
    logger = logging.getLogger("transformers.modeling_utils")

    def quiet(record: logging.LogRecord) -> bool:
        return "LOAD REPORT" not in record.getMessage()

    logger.addFilter(quiet)
    if hidden:
        bars.disable_progress_bar()
    try:
        yield
    finally:
        logger.removeFilter(quiet)
        if hidden:
            bars.enable_progress_bar()


def check_tokenizer(tokenizer: Any, model: Any, what: str) -> None:
    """Refuse a tokenizer without a vocabulary, or with one that reaches beyond the embedding.

    Added tokens may lie beyond it, as Gemma 3's image token does in the text-only models.
    """
    added = set(tokenizer.get_added_vocab())
    ordinary = {token: i for token, i in tokenizer.get_vocab().items() if token not in added}
    if not ordinary:
        raise MechclaError(
            f"cannot load {what}: its tokenizer ({type(tokenizer).__name__}) has no vocabulary; "
            "expected tokenizer.json, or the files that its class reads, beside the weights"
        )
    rows = int(model.get_input_embeddings().weight.shape[0])
    beyond = sorted((i, token) for token, i in ordinary.items() if i >= rows)
    if beyond:
        index, token = beyond[0]
        raise MechclaError(
            f"cannot load {what}: its tokenizer has {len(beyond)} tokens beyond the model's "
            f"{rows} embeddings (the first is {token!r}, id {index}); tokenizer and weights are "
            "not of one model"
        )
