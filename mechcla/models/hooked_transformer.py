"""A TransformerLens 3 HookedTransformer through the same methods as a bridge.

HookedTransformer holds weights of its own, converted from transformers' and, by default, processed:
norms folded into the layers behind them, what writes to the residual stream centred. Scores are the
same; the residual stream, and so every vector, is another one. It has no place for the engine's
tree of candidates (its positions follow from the padding mask), which `engine.capability` finds and
says: it runs on the plain path.
"""

from __future__ import annotations

import copy
import inspect
import json
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from mechcla.errors import MechclaError
from mechcla.models.beginning import Beginning
from mechcla.models.digests import Weights
from mechcla.models.hooked_model import HookedModel, Unembedding
from mechcla.models.tokens import PROBES, encode, folder_tokenizer

# Of the config, what decides no number.
ELSEWHERE = ("device", "n_devices", "seed", "tokenizer_name", "model_name", "dtype")


def is_hooked_transformer(model: Any) -> bool:
    """Whether an object is TransformerLens' HookedTransformer; 4 has no such class to compare."""
    return any(
        kind.__name__ == "HookedTransformer" and kind.__module__.startswith("transformer_lens")
        for kind in type(model).__mro__
    )


@dataclass(frozen=True, eq=False)
class HookedTransformerModel(HookedModel):
    """A HookedTransformer under HookedModel's methods. Make one with `wrap_model`.

    >>> hooked = HookedTransformer.from_pretrained("gpt2")                # doctest: +SKIP
    >>> model = mechcla.wrap_model(hooked)                                # doctest: +SKIP
    """

    @property
    def roots(self) -> tuple[nn.Module, ...]:
        return (self.bridge,)

    @property
    def mid_is_whole(self) -> bool:
        return True

    @property
    def vocab_size(self) -> int:
        return int(self.bridge.embed.W_E.shape[0])

    @property
    def window(self) -> int | None:
        return int(self.bridge.cfg.n_ctx)

    @property
    def sliding_window(self) -> int | None:
        cfg = self.bridge.cfg
        local = cfg.use_local_attn and "local" in (cfg.attn_types or ())
        return int(cfg.window_size) if local and cfg.window_size else None

    @property
    def attention(self) -> str:
        return "eager"

    @property
    def revision(self) -> str | None:
        return None

    def run_decoder(
        self,
        ids: Int[Tensor, "row seq"],
        mask: Tensor,
        positions: Int[Tensor, "row seq"],
        past: Beginning | None = None,
    ) -> None:
        if past is not None:
            raise MechclaError("a HookedTransformer runs each prompt from its own first token")
        self._forward(ids, mask, positions, None)

    def logits(
        self,
        ids: Int[Tensor, "row seq"],
        mask: Int[Tensor, "row seq"],
        positions: Int[Tensor, "row seq"],
    ) -> Float[Tensor, "row seq vocab"]:
        logits: Tensor = self._forward(ids, mask, positions, "logits")
        return logits

    def _forward(self, ids: Tensor, mask: Tensor, positions: Tensor, wanted: str | None) -> Any:
        if mask.ndim != 2:
            raise MechclaError("a HookedTransformer takes no mask but that of padding, [row, seq]")
        # It is given no positions, and takes those that the mask implies.
        implied = mask.cumsum(1) - 1
        if not torch.equal(implied[mask > 0], positions.expand_as(mask)[mask > 0]):
            raise MechclaError("a HookedTransformer counts positions along a row, past its padding")
        return self.bridge(ids, return_type=wanted, attention_mask=mask)

    def next_logits(
        self,
        ids: Int[Tensor, "row seq"],
        mask: Int[Tensor, "row seen"],
        positions: Int[Tensor, "row seq"],
        past: Any = None,
    ) -> tuple[Float[Tensor, "row vocab"], Any]:
        if past is None:
            cache = import_module("transformer_lens.cache.key_value_cache")
            past = cache.TransformerLensKeyValueCache.init_cache(
                self.bridge.cfg, self.device, len(ids)
            )
        logits = self.bridge(ids, attention_mask=mask[:, -ids.shape[1] :], past_kv_cache=past)
        return logits[:, -1], past

    def embed(self, ids: Int[Tensor, "row seq"]) -> Float[Tensor, "row seq d_model"]:
        rows: Tensor = self.bridge.embed(ids)
        return rows

    def final_norm(self, h: Float[Tensor, "row d_model"]) -> Float[Tensor, "row d_model"]:
        if self.bridge.cfg.normalization_type is None:
            return h
        return super().final_norm(h)

    @property
    def unembedding(self) -> Unembedding:
        cap = self.bridge.cfg.output_logits_soft_cap

        def finish(logits: Tensor) -> Tensor:
            return cap * torch.tanh(logits / cap) if cap and cap > 0 else logits

        bias = self.bridge.b_U
        return Unembedding(self.bridge.W_U.T, bias if bool(bias.any()) else None, finish)

    def block_arguments(self, layer: int) -> tuple[str, ...]:
        block: Any = self.blocks[layer]
        return tuple(inspect.signature(block.forward).parameters)

    @cached_property
    def generation_config(self) -> Any:
        """HookedTransformer keeps none: greedy, and the tokenizer's EOS ends an answer."""
        from transformers import GenerationConfig

        make: Any = GenerationConfig  # untyped in transformers
        eos = self.tokenizer.eos_token_id
        known = eos is not None and 0 <= eos < self.vocab_size
        return make(eos_token_id=eos if known else None)

    def logits_processors(self, ids: Int[Tensor, "row seq"], **settings: Any) -> Any:
        """None: there is no generation config that would ask for any."""
        from transformers import LogitsProcessorList

        return LogitsProcessorList()

    def _weights(self) -> Weights:
        # Without buffers: tables of angles and masks grow with the longest text that was run.
        for name, tensor in sorted(self.bridge.named_parameters()):
            yield name, tensor.data_ptr(), tensor.detach()

    def _config_text(self) -> str:
        config = {k: v for k, v in self.bridge.cfg.to_dict().items() if k not in ELSEWHERE}
        return json.dumps(config, sort_keys=True, default=str)


def wrap_hooked_transformer(
    hooked: Any, name: str | None = None
) -> tuple[HookedTransformerModel, str | None]:
    """The wrapper, and a note where TransformerLens shows other tokens than mechcla takes.

    Raises MechclaError for one without a tokenizer, or that looks both ways along a text.
    """
    if hooked.tokenizer is None:
        raise MechclaError(
            "the HookedTransformer has no tokenizer; give it one: "
            "hooked.set_tokenizer(AutoTokenizer.from_pretrained(...))"
        )
    if hooked.cfg.attention_dir != "causal":
        raise MechclaError(
            f"the HookedTransformer attends {hooked.cfg.attention_dir!r}; mechcla takes decoders, "
            "whose tokens look back only ('causal')"
        )
    tokenizer, note = _own_tokenizer(hooked)
    called = name or str(hooked.cfg.model_name or "hooked transformer")
    return HookedTransformerModel(hooked.eval(), tokenizer, called), note


def _own_tokenizer(hooked: Any) -> tuple[Any, str | None]:
    """The tokenizer as its makers have it: TransformerLens exchanges one that adds no BOS for one
    that does, and `to_tokens` puts BOS in front by a default of its own.
    """
    held = hooked.tokenizer
    own = folder_tokenizer(held)
    used = held
    if own is not None and not _same(held, own):
        used = copy.deepcopy(held)  # what its user set on it, such as a chat template, stays
        used.add_bos_token = False
        if not _same(used, own):
            used = own
    shown = hooked.to_tokens(PROBES[1])[0].tolist()
    taken = list(encode(PROBES[1], used).ids)
    if shown == taken:
        return used, None
    return used, (
        f"HookedTransformer.to_tokens gives {shown} for {PROBES[1]!r} (default_prepend_bos is "
        f"{hooked.cfg.default_prepend_bos}), and its tokenizer's own are {taken}, which mechcla "
        "takes, as mechcla.load_model does"
    )


def _same(one: Any, other: Any) -> bool:
    return all(encode(text, one) == encode(text, other) for text in PROBES)
