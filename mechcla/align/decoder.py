"""A model under training: logits at labels, pooled residuals, the base's own answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mechcla.align.label_head import frozen_head_log_probs
from mechcla.align.losses import label_log_probs, mean_pooled
from mechcla.align.rows import MicroBatch
from mechcla.errors import MechclaError


class Decoder:
    """A transformers decoder with an adapter in it, and the passes that losses need.

    model: a PeftModel. The unembedding runs at label positions only, where that is found to be what
    the model itself does; else the model's own logits are read there.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.base = model.get_base_model()
        self.core = _core(self.base)
        self.head = "unknown"

    @property
    def device(self) -> torch.device:
        device: torch.device = next(self.base.parameters()).device
        return device

    @property
    def n_layers(self) -> int:
        return int(self.base.config.get_text_config().num_hidden_layers)

    def residuals(self, batch: MicroBatch) -> Float[Tensor, "text seq d"]:
        """What the unembedding reads, for every token."""
        found: Tensor = self.core(
            input_ids=batch.ids, attention_mask=batch.real.long(), use_cache=False
        ).last_hidden_state
        return found

    def logits(self, batch: MicroBatch) -> Float[Tensor, "label vocab"]:
        """Logits at the label positions, in the order of `batch.labels`."""
        if self.head == "unknown":
            self.head = self._how(batch)
        if self.head == "whole":
            return self._whole(batch)
        return self._at_labels(batch, self.head)

    def label_log_probs(self, batch: MicroBatch) -> Float[Tensor, " label"]:
        """Log-probability of each label, in nats.

        Under a frozen linear head a part of the labels at a time, so that no logits of all labels
        lie in memory; under another head from `logits`.
        """
        head = self.base.get_output_embeddings()
        if self.head == "unknown":
            self.head = self._how(batch)
        if self.head == "whole" or not _is_frozen_linear(head):
            return label_log_probs(self.logits(batch), batch.labels)
        read = self.residuals(batch)[batch.label_row, batch.label_place]
        return frozen_head_log_probs(read, head.weight, batch.labels, self._cap)

    def text_log_probs(self, batch: MicroBatch) -> Float[Tensor, " text"]:
        """The summed log-probability of each text's labels, in nats."""
        log_probs = self.label_log_probs(batch)
        zeros = torch.zeros(batch.n_texts, device=log_probs.device)
        return zeros.index_add(0, batch.label_row, log_probs)

    def reference_log_probs(self, batch: MicroBatch) -> Float[Tensor, " text"]:
        """The same of the base, with the adapter switched off; no gradient."""
        with torch.no_grad(), self.model.disable_adapter():
            return self.text_log_probs(batch)

    def pooled(
        self, batch: MicroBatch, layer: int, pool: Literal["written", "all"] = "written"
    ) -> Float[Tensor, "text d"]:
        """The residual stream after block `layer`, mean over a text's tokens.

        pool: "written" leaves out what the tokenizer added: its BOS has the same vector in every
        text, and in some models one so long that all means point its way. Blocks
        above do not run. Raises MechclaError for a block that the model does not have.
        """
        if not 0 <= layer < self.n_layers:
            raise MechclaError(
                f"layer {layer} is not in the model, whose {self.n_layers} blocks are 0 to "
                f"{self.n_layers - 1}"
            )
        seen: list[Tensor] = []

        def keep(module: nn.Module, inputs: Any, output: Any) -> None:
            seen.append(output[0] if isinstance(output, tuple) else output)

        with self._up_to(layer) as block:
            handle = block.register_forward_hook(keep)
            try:
                self.residuals(batch)
            finally:
                handle.remove()
        return mean_pooled(seen[0], batch.written if pool == "written" else batch.real)

    @contextmanager
    def _up_to(self, layer: int) -> Iterator[nn.Module]:
        """The blocks up to `layer` alone are the model's, for as long as this lasts."""
        parent, name, blocks = _blocks(self.core, self.n_layers)
        setattr(parent, name, nn.ModuleList(blocks[: layer + 1]))
        try:
            yield blocks[layer]
        finally:
            setattr(parent, name, blocks)

    def _whole(self, batch: MicroBatch) -> Float[Tensor, "label vocab"]:
        out = self.base(input_ids=batch.ids, attention_mask=batch.real.long(), use_cache=False)
        found: Tensor = out.logits[batch.label_row, batch.label_place]
        return found

    def _at_labels(self, batch: MicroBatch, head: str) -> Float[Tensor, "label vocab"]:
        read = self.residuals(batch)[batch.label_row, batch.label_place]
        found: Tensor = self.base.get_output_embeddings()(read)
        if head == "capped" and self._cap:
            found = torch.tanh(found / self._cap) * self._cap
        return found

    @property
    def _cap(self) -> float | None:
        """The bound of a model that caps its logits softly."""
        config = self.base.config.get_text_config()
        found: float | None = getattr(config, "final_logit_softcapping", None)
        return found

    @torch.no_grad()
    def _how(self, batch: MicroBatch) -> str:
        """Which head gives the model's own logits, on two texts of the batch."""
        texts = batch.label_row < 2
        few = replace(
            batch,
            ids=batch.ids[:2],
            real=batch.real[:2],
            written=batch.written[:2],
            label_row=batch.label_row[texts],
            label_place=batch.label_place[texts],
            labels=batch.labels[texts],
        )
        way = "capped" if self._cap else "plain"
        with self._evaluated():
            own, ours = self._whole(few), self._at_labels(few, way)
        near = 1e-4 if own.dtype == torch.float32 else 0.1
        return way if torch.allclose(ours, own, rtol=near, atol=near) else "whole"

    @contextmanager
    def _evaluated(self) -> Iterator[None]:
        """Without dropout, and without a draw that a training which goes on would make again."""
        modes = [(module, module.training) for module in self.model.modules()]
        with torch.random.fork_rng():
            self.model.eval()
            try:
                yield
            finally:
                for module, mode in modes:
                    module.training = mode


def _is_frozen_linear(head: Any) -> bool:
    """Whether it is a plain matrix that training does not change, and not one with LoRA on it."""
    return type(head) is nn.Linear and head.bias is None and not head.weight.requires_grad


def _core(base: Any) -> Any:
    """The decoder below the unembedding."""
    found = base.get_decoder() if hasattr(base, "get_decoder") else None
    if found is None or found is base:
        found = getattr(base, base.base_model_prefix)
    return found


def _blocks(core: nn.Module, count: int) -> tuple[nn.Module, str, nn.ModuleList]:
    """The list of blocks: the first list of `count` modules, and where it hangs."""
    for name, module in core.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) == count:
            parent, _, last = name.rpartition(".")
            return core.get_submodule(parent), last, module
    raise MechclaError(
        f"the blocks of a {type(core).__name__} cannot be found: no list of {count} modules is in "
        "it, so midalign has no block to align"
    )
