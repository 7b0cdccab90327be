"""HookedModel: one frozen wrapper over a TransformerLens bridge.

The wrapper adds no numerics. It knows where the sites are, which tokenizer goes with the weights,
and a digest of both, which is part of every result's identity. What mechcla asks of a model, it
asks here: no other room knows of the bridge or of the transformers model in it.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from mechcla.errors import MechclaError, unknown
from mechcla.models import quantised
from mechcla.models.beginning import Beginning
from mechcla.models.digests import Weights, digest_of, kept, tokenizer_bytes, weights_of
from mechcla.models.placement import brought, home
from mechcla.models.sites import SITES, faults


@dataclass(frozen=True, eq=False)
class Unembedding:
    """From the final norm to logits: finish(h @ weight.T + bias).

    bias: None where there is none, or only zeros. finish: what the family does to its logits
    afterwards, element by element (a scale, a soft cap).
    """

    weight: Float[Tensor, "vocab d_model"]
    bias: Float[Tensor, " vocab"] | None
    finish: Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class HookedModel:
    """A TransformerBridge, its tokenizer and a name for messages and records.

    source: the files that the weights were read from and nothing has changed since, where there are
    any; the digest is then computed once per machine (`mechcla.models.digests`). compiled: whether
    torch.compile's code runs blocks that nothing is hooked on (`mechcla.engine.native`). sdpa:
    whether torch's fused attention does in them.

    Make one with `load_model` or `wrap_model`. Every method leaves the model with the hooks it had.
    Weights, config and tokenizer are taken as frozen once a digest was asked for, as every run
    does: it is computed once, so after editing weights in place, wrap the model anew.

    >>> ids = torch.tensor([[1, 70, 71], [1, 72, 73]])
    >>> mask, positions = torch.ones_like(ids), torch.arange(3).expand(2, 3)
    >>> model.logits(ids, mask, positions).shape      # [row, seq, vocab]
    torch.Size([2, 3, 320])
    """

    bridge: Any
    tokenizer: Any
    name: str
    source: Mapping[str, Any] | None = None
    compiled: bool = False
    sdpa: bool = False

    @property
    def n_layers(self) -> int:
        return int(self.bridge.cfg.n_layers)

    @property
    def d_model(self) -> int:
        return int(self.bridge.cfg.d_model)

    @property
    def device(self) -> torch.device:
        """Where ids go in; with a device_map, later blocks may lie elsewhere."""
        return home(self.bridge)

    @property
    def dtype(self) -> torch.dtype:
        """Of the residual stream; packed weights have another."""
        return quantised.stream_dtype(self.bridge)

    @cached_property
    def rounds_to(self) -> torch.dtype:
        """The coarsest dtype that a pass computes in: `dtype`, or that of quantised layers."""
        return quantised.coarsest_dtype(self.bridge)

    @cached_property
    def alone_only(self) -> bool:
        """Whether a row has its own numbers only where it runs by itself: weights in 8 bits."""
        return quantised.alone_only(self.bridge)

    @property
    def blocks(self) -> nn.ModuleList:
        blocks: nn.ModuleList = self.bridge.blocks
        return blocks

    @property
    def roots(self) -> tuple[nn.Module, ...]:
        """What holds every module that a hook may be on."""
        return (self.bridge, self.bridge.original_model)

    @property
    def mid_is_whole(self) -> bool:
        """Whether what is written at resid_mid reaches the skip connection, not the MLP alone."""
        return False

    @property
    def pad_id(self) -> int:
        """A token id for padding; padding is masked, so any id that has an embedding serves."""
        pad = self.tokenizer.pad_token_id
        return int(pad) if pad is not None and 0 <= pad < self.vocab_size else 0

    @property
    def vocab_size(self) -> int:
        """How many token ids have an embedding; a tokenizer may name ids beyond them."""
        return int(self.bridge.original_model.get_input_embeddings().weight.shape[0])

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
        """The attention backend that runs, and what blocks run as that nothing is hooked on: they
        decide last digits, so they are part of a result's identity.
        """
        backend = str(getattr(self._text_config, "_attn_implementation", "unknown"))
        backend += ", sdpa where nothing is hooked" if self.sdpa else ""
        return f"{backend}, compiled" if self.compiled else backend

    @property
    def fused(self) -> bool:
        """Whether blocks that nothing is hooked on run as others than those that are."""
        return self.compiled or self.sdpa

    @property
    def revision(self) -> str | None:
        """The commit of the repository that the weights were read from; None for a folder's."""
        commit = getattr(self.bridge.original_model.config, "_commit_hash", None)
        return str(commit) if commit else None

    def hook_name(self, layer: int, site: str) -> str:
        """TransformerLens' name of a site, e.g. 'blocks.3.hook_resid_post'.

        Raises MechclaError for an unknown site, a layer out of range, or a site that this family
        lacks or that does not do there what its name says (`mechcla.models.sites`), found by one
        small pass at the first use.
        """
        if site not in SITES:
            raise unknown("site", site, SITES)
        if not isinstance(layer, int) or not 0 <= layer < self.n_layers:
            raise MechclaError(
                f"layer {layer!r} is not in {self.name}, whose {self.n_layers} blocks are 0 to "
                f"{self.n_layers - 1}"
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

    def hook_point(self, layer: int, site: str) -> nn.Module:
        """TransformerLens' hook point of a site. Raises MechclaError as `hook_name` does."""
        point: nn.Module = self.bridge.hook_dict[self.hook_name(layer, site)]
        return point

    def run_decoder(
        self,
        ids: Int[Tensor, "row seq"],
        mask: Tensor,
        positions: Int[Tensor, "row seq"],
        past: Beginning | None = None,
    ) -> None:
        """All blocks and the final norm, without the unembedding; what comes of it is seen by
        hooks.

        mask: 1 and 0 [row, seq], or an additive one [row, 1, seq, seq] for eager attention. past:
        tokens that all rows look back upon; an additive mask is then wider by these. One that is
        open takes these tokens in.
        """
        given = {} if past is None else {"past_key_values": past}
        self.bridge.original_model.base_model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            use_cache=past is not None,
            **given,
        )

    def logits(
        self,
        ids: Int[Tensor, "row seq"],
        mask: Int[Tensor, "row seq"],
        positions: Int[Tensor, "row seq"],
    ) -> Float[Tensor, "row seq vocab"]:
        """TransformerLens' own forward pass, at every position."""
        logits: Tensor = self.bridge(ids, attention_mask=mask, position_ids=positions)
        return logits

    def next_logits(
        self,
        ids: Int[Tensor, "row seq"],
        mask: Int[Tensor, "row seen"],
        positions: Int[Tensor, "row seq"],
        past: Any = None,
    ) -> tuple[Float[Tensor, "row vocab"], Any]:
        """Logits of the token after these, from a key-value cache, and the cache with these in it.

        mask: over what the cache holds and these. past: what the last call returned; None begins.
        """
        forward = self.bridge.original_model.forward
        last = "logits_to_keep" in inspect.signature(forward).parameters
        out = self.bridge.original_model(
            input_ids=ids,
            position_ids=positions,
            past_key_values=past,
            use_cache=True,
            attention_mask=mask,
            **({"logits_to_keep": 1} if last else {}),
        )
        return out.logits[:, -1], out.past_key_values

    def embed(self, ids: Int[Tensor, "row seq"]) -> Float[Tensor, "row seq d_model"]:
        """What the embedding gives for token ids, positions left out."""
        rows: Tensor = self.bridge.original_model.get_input_embeddings()(ids)
        return rows

    def final_norm(self, h: Float[Tensor, "row d_model"]) -> Float[Tensor, "row d_model"]:
        """The norm between the last block and the unembedding, on the norm's own device."""
        # The bridge may compute it itself, and then nothing brings the stream to its weights.
        there = (p.device for p in self.bridge.ln_final.parameters() if p.device.type != "meta")
        h = h.to(next(there, h.device))
        normed: Tensor = self.bridge.ln_final(h.unsqueeze(0)).squeeze(0)
        return normed

    @property
    def unembedding(self) -> Unembedding:
        """The unembedding's own tensors, not a copy, and what the family does to its logits."""
        head = self.bridge.original_model.get_output_embeddings()
        head = getattr(head, "original_component", head)
        with brought(head):  # what lies on disk is read once here
            weight, bias = head.weight, getattr(head, "bias", None)
        config = self._text_config
        cap = getattr(config, "final_logit_softcapping", None)
        scale = getattr(config, "logit_scale", None) or 1.0 / (
            getattr(config, "logits_scaling", None) or 1.0
        )

        def finish(logits: Tensor) -> Tensor:
            logits = logits * scale if scale != 1.0 else logits
            return cap * torch.tanh(logits / cap) if cap else logits

        return Unembedding(weight, bias if self._has_bias else None, finish)

    @cached_property
    def _has_bias(self) -> bool:
        """Whether the unembedding's bias says anything; asked once, as a GPU is waited for."""
        head = self.bridge.original_model.get_output_embeddings()
        head = getattr(head, "original_component", head)
        with brought(head):
            bias = getattr(head, "bias", None)
            return bias is not None and bool(bias.any())

    def block_arguments(self, layer: int) -> tuple[str, ...]:
        """The names of what a block takes, in order; the first is the residual stream."""
        block: Any = self.blocks[layer]
        return tuple(inspect.signature(block.original_component.forward).parameters)

    @property
    def generation_config(self) -> Any:
        """What the model's makers ask of generation: transformers' GenerationConfig, not a copy."""
        return self.bridge.original_model.generation_config

    @property
    def end_ids(self) -> frozenset[int]:
        """The ids that end an answer in transformers: those of the generation config, or none."""
        eos = getattr(self.generation_config, "eos_token_id", None)
        listed = eos.flatten().tolist() if isinstance(eos, Tensor) else eos
        return frozenset(() if listed is None else [listed] if isinstance(listed, int) else listed)

    def logits_processors(self, ids: Int[Tensor, "row seq"], **settings: Any) -> Any:
        """What `generate(**settings)` of transformers would put its scores through after these ids.

        `generate` itself prepares them, and hands them over where it would begin to decode. Raises
        what transformers raises for settings, or a generation config, that it refuses.
        """
        prepared: list[Any] = []

        def take(_model: Any, input_ids: Tensor, logits_processor: Any, **_: Any) -> Tensor:
            prepared.append(logits_processor)
            return input_ids

        self.bridge.original_model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), custom_generate=take, **settings
        )
        return prepared[0]

    @property
    def digest(self) -> str:
        """SHA-256 over every weight's name, dtype, shape and bytes, config, tokenizer, chat
        template.

        The chat template is read anew each time, since it is set on a tokenizer by assignment.
        """
        template = json.dumps(getattr(self.tokenizer, "chat_template", None), sort_keys=True)
        return hashlib.sha256(f"{self._fixed_digest} {template}".encode()).hexdigest()

    @cached_property
    def _fixed_digest(self) -> str:
        config, tokens = self._config_text().encode(), tokenizer_bytes(self.tokenizer)

        def compute() -> str:
            return digest_of(self._weights(), config, tokens)

        if self.source is None:
            return compute()
        return kept(self.source, self._weights, compute, config, tokens)

    @property
    def weight_bytes(self) -> int:
        """Bytes of all parameters, each counted once, and of what unpacks quantised ones."""
        own: int = sum(p.numel() * p.element_size() for p in self.bridge.parameters())
        return own + quantised.scale_bytes(self.bridge)

    def _weights(self) -> Weights:
        quantised.check_as_stored(self.bridge.original_model, self.name)
        tied = bool(getattr(self._text_config, "tie_word_embeddings", False))
        return weights_of(self.bridge.original_model, tied)

    def _config_text(self) -> str:
        config = {
            k: v
            for k, v in self.bridge.original_model.config.to_dict().items()
            if k not in ("_name_or_path", "_commit_hash")
        }
        return json.dumps(config, sort_keys=True, default=str)

    def describe(self) -> dict[str, Any]:
        """What a record of a run says about its model; "quantised" only where its weights are."""
        packed = quantised.described(self.bridge)
        return {
            "name": self.name,
            "digest": self.digest,
            "n_layers": self.n_layers,
            "d_model": self.d_model,
            "dtype": str(self.dtype).removeprefix("torch."),
            "device": self.device.type,
            "attention": self.attention,
            "tokenizer": type(self.tokenizer).__name__,
            **({} if packed is None else {"quantised": packed}),
        }

    def __repr__(self) -> str:
        return (
            f"HookedModel({self.name!r}, {self.n_layers} blocks, d_model {self.d_model}, "
            f"{self.dtype})"
        )
