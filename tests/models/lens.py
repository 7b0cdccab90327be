"""A HookedTransformer of a folder: TransformerLens 3 itself takes official names only, whose sizes
it knows by heart, so its own converters are called one by one.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from tests.engine.families import Oracle, save, tokenizer

CONVERTERS = {"gpt2": "gpt2", "gpt_neox": "neox", "mistral": "mistral", "qwen3": "qwen3"}


def save_for_lens(family: str, folder: Path, **tokens: Any) -> Path:
    """A tiny random model, with what TransformerLens 3 looks for in a config."""
    more = {"n_ctx": 192} if family == "gpt2" else {}
    return save(family, folder, tokenizer(**tokens), scale=0.15, **more)


def hooked_transformer(family: str, folder: Path, processed: bool = False) -> Any:
    """The folder's weights as a HookedTransformer; processed: folded and centred, its default."""
    from transformer_lens import HookedTransformer
    from transformer_lens import loading_from_pretrained as loading
    from transformer_lens.pretrained import weight_conversions

    oracle = Oracle(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecation
        cfg = loading.get_pretrained_model_config(str(folder), device="cpu", fold_ln=processed)
        hooked = HookedTransformer(cfg, oracle.tokenizer, move_to_device=False)
    convert = getattr(weight_conversions, f"convert_{CONVERTERS[family]}_weights")
    hooked.load_and_process_state_dict(
        convert(oracle.model, cfg),
        fold_ln=processed,
        center_writing_weights=processed,
        center_unembed=processed,
        fold_value_biases=processed,
    )
    return hooked
