"""HookedModel: one frozen wrapper over a TransformerLens bridge.

The wrapper adds no numerics. It knows where the sites are, which tokenizer goes with the weights, and a
digest of both, which is part of every result's identity.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import nn

from mechcla.errors import MechclaError, nearest
from mechcla.models.sites import SITES, faults


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
        """The shortest attention window of any block, if some blocks see only that far back.

        A chunk counts as one: blocks of chunked attention (Llama 4) see nothing before their own
        chunk's beginning.
        """
        config = self._text_config
        types = getattr(config, "layer_types", None)
        named = [  # GPT-Neo's window_size, RecurrentGemma's attention_window_size
            getattr(config, name, None)
            for name in ("sliding_window", "window_size", "attention_window_size")
            if types is None or "sliding_attention" in types or name == "attention_window_size"
        ]
        if types is None or "chunked_attention" in types:
            named.append(getattr(config, "attention_chunk_size", None))
        return min((int(value) for value in named if value), default=None)

    @property
    def attention(self) -> str:
        """The attention backend that runs, part of a result's identity."""
        return str(getattr(self._text_config, "_attn_implementation", "unknown"))

    def hook_name(self, layer: int, site: str) -> str:
        """TransformerLens' name of a site, e.g. 'blocks.3.hook_resid_post'.

        Raises MechclaError for an unknown site, a layer out of range, or a site that this family
        lacks or that does not do there what its name says (`mechcla.models.sites`), found by one
        small pass at the first use.
        """
        if site not in SITES:
            raise MechclaError(f"unknown site {site!r}; {nearest(site, SITES)}")
        if not isinstance(layer, int) or not 0 <= layer < self.n_layers:
            raise MechclaError(
                f"layer {layer!r} is not in {self.name}, whose {self.n_layers} blocks are 0 to {self.n_layers - 1}"
            )
        why = faults(self, layer)
        if why[site] is None:
            return f"blocks.{layer}.hook_{site}"
        fault = why[site]
        if f"blocks.{layer}.hook_{site}" not in self.bridge.hook_dict:
            fault = "this block has no such place"
            if site == "resid_mid" and why["attn_out"] is None and why["mlp_out"] is None:
                fault = (
                    "attention and MLP read the same residual in parallel blocks, so there is "
                    "nothing between them"
                )
        works = [s for s in SITES if why[s] is None] or ["another block"]
        named = " or ".join(filter(None, (", ".join(works[:-1]), works[-1])))
        raise MechclaError(f"{self.name} has no {site!r} at block {layer}: {fault}; use {named}")

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
    for (
        block
    ) in bridge.blocks:  # TransformerLens' own hooks, which it would install at the first pass
        getattr(block, "_maybe_wire_capture_hooks", lambda: None)()
    return HookedModel(
        bridge, bridge.tokenizer, name or str(getattr(bridge.cfg, "model_name", "bridge"))
    )
