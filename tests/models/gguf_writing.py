"""Tiny random models as GGUF files: what llama.cpp's converter makes of a folder, in short.

Written by the package gguf: tensors by llama.cpp's names, queries and keys of Llama with the halves
of a head interleaved, Gemma's norms with one added.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

SAME = ("llama", "qwen2", "qwen3", "gemma2", "phi3")
ARCHITECTURES = {**{name: name for name in SAME}, "gemma3_text": "gemma3"}
GEMMA = ("gemma2", "gemma3")
NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6


def write_gguf(
    folder: Path,
    path: Path,
    kind: gguf.GGMLQuantizationType | None = None,
    *,
    settings: Mapping[str, Any] | None = None,
    tensors: Mapping[str, np.ndarray] | None = None,
    leave_out: tuple[str, ...] = (),
) -> Path:
    """The model in a folder as a GGUF file; kind: of matrices that it fits, else float32.

    settings: besides or instead of the model's own, by GGUF's names; None leaves one out. tensors:
    besides the model's. leave_out: names of tensors.
    """
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    architecture = ARCHITECTURES[model.config.model_type]
    writer = gguf.GGUFWriter(str(path), architecture)
    own = _settings(model.config, architecture) | _vocabulary(tokenizer) | dict(settings or {})
    for key, value in own.items():
        if value is not None:
            _add(writer, key.replace("ARCH", architecture), value)
    held = _tensors(model, architecture) | dict(tensors or {})
    for name, values in held.items():
        if name in leave_out:
            continue
        if kind is not None and values.ndim == 2 and values.shape[1] % 32 == 0:
            writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)
        else:
            writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add(writer: gguf.GGUFWriter, key: str, value: Any) -> None:
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    else:
        writer.add_array(key, value)


def _settings(config: Any, architecture: str) -> dict[str, Any]:
    rope = config.rope_parameters
    found = {
        "general.name": "tiny",
        "ARCH.context_length": config.max_position_embeddings,
        "ARCH.embedding_length": config.hidden_size,
        "ARCH.block_count": config.num_hidden_layers,
        "ARCH.feed_forward_length": config.intermediate_size,
        "ARCH.attention.head_count": config.num_attention_heads,
        "ARCH.attention.head_count_kv": config.num_key_value_heads,
        "ARCH.attention.layer_norm_rms_epsilon": config.rms_norm_eps,
        "ARCH.rope.freq_base": float(rope.get("full_attention", rope)["rope_theta"]),
        "ARCH.vocab_size": config.vocab_size,
    }
    per_head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    if architecture in ("llama", "phi3"):
        found["ARCH.rope.dimension_count"] = per_head
    if architecture in ("qwen3", *GEMMA):
        found["ARCH.attention.key_length"] = found["ARCH.attention.value_length"] = per_head
    if architecture in ("phi3", *GEMMA):
        found["ARCH.attention.sliding_window"] = config.sliding_window
    if architecture == "gemma2":
        found["ARCH.attn_logit_softcapping"] = config.attn_logit_softcapping
        found["ARCH.final_logit_softcapping"] = config.final_logit_softcapping
    return found


def _vocabulary(tokenizer: Any) -> dict[str, Any]:
    """Of a byte-level BPE, or of one as SentencePiece writes it: with scores and no merges."""
    model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    byte_level = not model["byte_fallback"]
    tokens = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)
    special = set(tokenizer.all_special_tokens)
    found: dict[str, Any] = {
        "tokenizer.ggml.model": "gpt2" if byte_level else "llama",
        "tokenizer.ggml.pre": "gpt-2" if byte_level else "default",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [_type(t, special, byte_level) for t in tokens],
        "tokenizer.ggml.add_bos_token": tokenizer("a").input_ids[0] == tokenizer.bos_token_id,
        "tokenizer.ggml.bos_token_id": tokenizer.bos_token_id,
        "tokenizer.ggml.eos_token_id": tokenizer.eos_token_id,
        "tokenizer.ggml.padding_token_id": tokenizer.pad_token_id,
        "tokenizer.chat_template": tokenizer.chat_template,
    }
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    if byte_level:
        return found | {"tokenizer.ggml.merges": merges}
    ranks = {"".join(pair.split(" ")): -float(n) for n, pair in reversed([*enumerate(merges)])}
    spaced = tokenizer.tokenize("a")[0].startswith("▁")
    return found | {
        "tokenizer.ggml.scores": [ranks.get(token, -1e6) for token in tokens],
        "tokenizer.ggml.unknown_token_id": tokenizer.unk_token_id,
        "tokenizer.ggml.add_space_prefix": spaced,
    }


def _type(token: str, special: set[str], byte_level: bool) -> int:
    if token == "<unk>":
        return UNKNOWN
    if token in special:
        return CONTROL
    return BYTE if not byte_level and token.startswith("<0x") else NORMAL


def _tensors(model: Any, architecture: str) -> dict[str, np.ndarray]:
    kind = next(k for k, name in gguf.MODEL_ARCH_NAMES.items() if name == architecture)
    names = gguf.get_tensor_name_map(kind, model.config.num_hidden_layers)
    state = model.state_dict()
    if model.config.tie_word_embeddings:
        state.pop("lm_head.weight", None)
    found = {}
    for key, values in state.items():
        stem, _, end = key.rpartition(".")
        values = values.float()
        if architecture == "llama" and "q_proj" in key:
            values = interleaved(values, model.config.num_attention_heads)
        if architecture == "llama" and "k_proj" in key:
            values = interleaved(values, model.config.num_key_value_heads)
        if architecture in GEMMA and "norm" in key:
            values = values + 1
        found[f"{names.get_name(stem)}.{end}"] = values.numpy().copy()
    return found


def interleaved(values: torch.Tensor, heads: int) -> torch.Tensor:
    """The rows of each head with its halves interleaved, for llama.cpp's rotary embedding."""
    rows, columns = values.shape
    by_half = values.reshape(heads, 2, rows // heads // 2, columns)
    return by_half.transpose(1, 2).reshape(rows, columns)
