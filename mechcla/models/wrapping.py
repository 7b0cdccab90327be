"""wrap_model: a TransformerLens model that its user holds becomes a HookedModel."""

from __future__ import annotations

import warnings
from typing import Any

from mechcla.errors import MechclaError
from mechcla.models.hooked_model import HookedModel
from mechcla.models.hooked_transformer import is_hooked_transformer, wrap_hooked_transformer
from mechcla.models.hooking import wired
from mechcla.models.quantised import settle
from mechcla.models.tokens import bridge_tokenizer


def wrap_model(bridge: Any, name: str | None = None) -> HookedModel:
    """Wrap a TransformerLens model that you hold: a `TransformerBridge`, or a `HookedTransformer`
    of TransformerLens 3. Its weights are used as they are.

    Texts of a bridge become the tokens that `bridge.to_tokens` shows. Where these are not the
    tokens of the tokenizer's own folder (TransformerLens puts a BOS in front of texts that the
    tokenizer itself leaves without one), a warning says so; `load_model` takes the folder's. Texts
    of a HookedTransformer become its tokenizer's own tokens, whatever its default_prepend_bos says,
    and docs/models.md tells where else the two differ. Raises MechclaError for anything else, for
    a model without a tokenizer, and for quantised weights that a pass has packed anew.

    >>> model = mechcla.wrap_model(TransformerBridge.boot_transformers("gpt2"))   # doctest: +SKIP
    """
    if isinstance(bridge, HookedModel):
        return bridge
    if is_hooked_transformer(bridge):
        model, note = wrap_hooked_transformer(bridge, name)
        if note:
            warnings.warn(f"{model.name}: {note}", stacklevel=2)
        return model
    for attribute in ("blocks", "cfg", "original_model", "hook_dict"):
        if not hasattr(bridge, attribute):
            raise MechclaError(
                f"wrap_model takes a TransformerLens TransformerBridge or HookedTransformer; a "
                f"{type(bridge).__name__} has no {attribute!r}. For a transformers model: "
                "TransformerBridge.boot_transformers(name, hf_model=model, tokenizer=tokenizer)"
            )
    if getattr(bridge, "tokenizer", None) is None:
        raise MechclaError(
            "the bridge has no tokenizer; boot it with tokenizer=AutoTokenizer.from_pretrained(...)"
        )
    called = name or str(getattr(bridge.cfg, "model_name", "bridge"))
    settle(bridge.original_model, f"the model {called!r}")
    tokenizer, note = bridge_tokenizer(bridge)
    if note:
        warnings.warn(f"{called}: {note}", stacklevel=2)
    return HookedModel(wired(bridge), tokenizer, called)
