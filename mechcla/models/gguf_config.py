"""The config of a GGUF model: transformers' reading of it, held against what the file says.

transformers fills what it does not read of a file with its own defaults, and leaves out a tensor
for which it has no place, without a word. Here what decides numbers is compared setting by setting.
What has one meaning is completed; the rest is refused, since the numbers would be another model's.
Source of the meanings: llama.cpp (rotary scaling of Llama 3, attention scale of Gemma, windows).
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Mapping
from typing import Any

from mechcla.errors import MechclaError
from mechcla.models.checkpoint import listed
from mechcla.models.gguf_header import Header

EPSILON = ("rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon", "norm_epsilon", "norm_eps")
# Each setting that decides numbers, and what a config calls it.
SAME: dict[str, tuple[str, ...]] = {
    "attention.head_count": ("num_attention_heads", "n_head"),
    "attention.head_count_kv": ("num_key_value_heads",),
    "attention.layer_norm_rms_epsilon": EPSILON,
    "attention.layer_norm_epsilon": EPSILON,
    "attention.sliding_window": ("sliding_window",),
    "attn_logit_softcapping": ("attn_logit_softcapping",),
    "final_logit_softcapping": ("final_logit_softcapping",),
    "expert_count": ("num_experts", "num_local_experts"),
    "expert_used_count": ("num_experts_per_tok",),
}
# Decided by shapes, which are compared with the tensors; or of no effect on a number.
SHAPES = re.compile(
    r"block_count|embedding_length|(expert_|expert_shared_)?feed_forward_length|vocab_size"
    r"|attention\.(key|value)_length|ssm\.(conv_kernel|state_size|inner_size|time_step_rank)"
    r"|shortconv\.l_cache|context_length|tensor_data_layout|rope\.scaling\.(finetuned|type|factor|original_context_length)"
    r"|rope\.freq_base|rope\.dimension_count"
)
LLAMA_3 = {"low_freq_factor": 1.0, "high_freq_factor": 4.0}
LLAMA_3_BEFORE = 8192  # positions of Llama 3, from which 3.1 and 3.2 are stretched


def checked_config(read: Any, header: Header, what: str) -> Any:
    """A copy of the config that transformers read, with what it left out of the file.

    Raises MechclaError for settings of the file that the config cannot hold.
    """
    config, own = copy.deepcopy(read), header.own()
    _scale(config, own)
    _window(config, own)
    _rotary(config, own, header.frequencies, what)
    other = [
        f"{key}={value!r} (the config has {_held(config, SAME[key])!r})"
        for key, value in own.items()
        if key in SAME and not isinstance(value, list) and not _equal(config, key, value)
    ]
    strange = [
        f"{key}={str(value)[:40]}"
        for key, value in own.items()
        if key not in SAME and not SHAPES.fullmatch(key) and not _plain(config, key, value)
    ]
    if found := other + strange:
        import transformers

        version = f"transformers {transformers.__version__}"
        why = (
            f"{version} does not carry that over, so the numbers would"
            if other
            else f"mechcla does not check whether {version} carries that over, so the numbers may"
        )
        raise MechclaError(
            f"{what}: the GGUF file says {listed(found)} of its {header.architecture!r}, and {why} "
            "be another model's; load the weights that it was quantised from"
        )
    return config


def check_whole(model: Any, header: Header, what: str) -> None:
    """Refuse a file that holds numbers without a place in the model that transformers made of it.

    They are counted, since transformers renames, splits and joins tensors.
    """
    placed: dict[int, int] = {}
    for tensor in model.state_dict().values():
        placed[tensor.data_ptr()] = tensor.numel()
    used = {name: n for name, n in header.sizes.items() if name != "rope_freqs.weight"}
    if sum(used.values()) == sum(placed.values()):
        return
    raise MechclaError(
        f"{what}: the GGUF file holds {sum(used.values())} numbers, and {sum(placed.values())} of "
        f"them have a place in a {type(model).__name__}{_unplaced(model, header, used)}, so its "
        "numbers would be another model's; load the weights that it was quantised from"
    )


def _unplaced(model: Any, header: Header, used: Mapping[str, int]) -> str:
    """The names of tensors that the package gguf knows no place for in this model."""
    import gguf

    known = {name: key for key, name in gguf.MODEL_ARCH_NAMES.items()}
    if header.architecture not in known:
        return ""
    names = gguf.get_tensor_name_map(known[header.architecture], _held(model.config, BLOCKS) or 0)
    ours = set()
    for key in model.state_dict():
        stem, _, kind = key.rpartition(".")
        ours.add(f"{names.get_name(stem)}.{kind}")
    left = sorted(set(used) - ours)
    return f" (not {listed(left)})" if left else ""


BLOCKS = ("num_hidden_layers", "n_layer")


def _held(config: Any, names: tuple[str, ...]) -> Any:
    return next((found for n in names if (found := getattr(config, n, None)) is not None), None)


def _equal(config: Any, key: str, value: Any) -> bool:
    held = _held(config, SAME[key])
    if held is None:
        return not value or (key == "attention.head_count_kv" and _same_heads(config, value))
    return math.isclose(float(held), float(value), rel_tol=1e-6)


def _plain(config: Any, key: str, value: Any) -> bool:
    """Whether a setting that is none of a transformers config asks for nothing besides it."""
    if key == "attention.causal":
        return bool(value)
    if key == "rope.freq_base_swa":
        return "sliding_attention" in (getattr(config, "rope_parameters", None) or {})
    if key == "attention.sliding_window_pattern":
        kinds = getattr(config, "layer_types", None) or []
        every = (
            [(k + 1) % value > 0 for k in range(len(kinds))] if isinstance(value, int) else value
        )
        return [kind == "sliding_attention" for kind in kinds] == [bool(k) for k in every]
    return value in (False, 0)


def _same_heads(config: Any, value: Any) -> bool:
    return bool(value == _held(config, SAME["attention.head_count"]))


def _scale(config: Any, own: Mapping[str, Any]) -> None:
    """Gemma's attention scale: by the head's width, in the models of 27B by hidden width a head."""
    if hasattr(config, "query_pre_attn_scalar") and "attention.key_length" in own:
        large = own["block_count"] == (46 if config.model_type == "gemma2" else 62)
        per_head = own["embedding_length"] // own["attention.head_count"]
        config.query_pre_attn_scalar = per_head if large else own["attention.key_length"]


def _window(config: Any, own: Mapping[str, Any]) -> None:
    """A window for all layers, which transformers reads of Gemma's files only."""
    window = own.get("attention.sliding_window")
    if window and getattr(config, "sliding_window", 0) is None and config.model_type == "phi3":
        config.sliding_window = window


def _rotary(config: Any, own: Mapping[str, Any], frequencies: tuple[float, ...], what: str) -> None:
    """The rotary embedding: base and width as the file has them, its scaling carried over."""
    layers = getattr(config, "rope_parameters", None) or {}
    full = layers.get("full_attention", layers)
    slow = layers.get("sliding_attention")
    for key, parameters in (("rope.freq_base", full), ("rope.freq_base_swa", slow)):
        if key in own and parameters is not None:
            parameters["rope_theta"] = own[key]
    if turned := own.get("rope.dimension_count"):
        per_head = config.hidden_size // own["attention.head_count"]
        width = _held(config, ("head_dim",)) or per_head
        part = full.get("partial_rotary_factor") or _held(config, ("partial_rotary_factor",))
        if turned != int(width * (part or 1.0)):
            raise _no_scaling(f"rope.dimension_count={turned} of a head's {width}", what)
    kind, factor = own.get("rope.scaling.type", "none"), own.get("rope.scaling.factor", 1.0)
    if frequencies:
        full |= _llama_3(frequencies, full["rope_theta"], what)
    elif kind == "linear" and factor != 1.0:
        full |= {"rope_type": "linear", "factor": float(factor)}
    elif kind not in ("none", "linear") or factor != 1.0:
        raise _no_scaling(f"rope.scaling.type={kind!r}", what)


def _llama_3(frequencies: tuple[float, ...], theta: float, what: str) -> dict[str, Any]:
    """The scaling of Llama 3.1 and 3.2 whose divisors are those of the file."""
    asked = {
        **{"rope_type": "llama3", "factor": float(round(max(frequencies), 4))},
        **LLAMA_3,
        "original_max_position_embeddings": LLAMA_3_BEFORE,
    }
    expected = llama_3_divisors(2 * len(frequencies), theta, asked)
    if not all(
        math.isclose(a, b, rel_tol=1e-4) for a, b in zip(frequencies, expected, strict=True)
    ):
        raise _no_scaling("rope_freqs that are not Llama 3's", what)
    return asked


def llama_3_divisors(width: int, theta: float, scaling: Mapping[str, Any]) -> list[float]:
    """By what Llama 3's scaling divides each of a head's frequencies."""
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    found = []
    for k in range(0, width, 2):
        waves = scaling["original_max_position_embeddings"] / (2 * math.pi * theta ** (k / width))
        smooth = min(max((waves - low) / (high - low), 0.0), 1.0)
        found.append(1 / ((1 - smooth) / scaling["factor"] + smooth))
    return found


def _no_scaling(said: str, what: str) -> MechclaError:
    return MechclaError(
        f"{what}: the GGUF file says {said}, which mechcla does not carry over from such files, so "
        "the numbers would be another model's; load the weights that it was quantised from"
    )
