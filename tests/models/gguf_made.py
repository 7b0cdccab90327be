"""Tiny models of several families with tokenizers of both kinds, and what their GGUF files are held
against.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.gemma.tokenization_gemma import GemmaTokenizer
from transformers.models.llama.tokenization_llama import LlamaTokenizer

import mechcla
from mechcla.models.load import load_model
from tests.conftest import FAMILIES, SIZES, TEXT, save_tiny, tiny_tokenizer

SPACED = "▁"


def pieces() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """A vocabulary as SentencePiece makes one, bytes included, and every merge that it implies."""
    words = sorted({SPACED + w for text in TEXT for w in text.split()})
    letters = sorted({letter for word in words for letter in word})
    joined = sorted({w[:n] for w in words for n in range(2, len(w) + 1)}, key=lambda t: (len(t), t))
    tokens = [
        "<unk>",
        "<bos>",
        "<eos>",
        "<pad>",
        "<mask>",
        *(f"<0x{k:02X}>" for k in range(256)),
        *letters,
    ]
    vocabulary = {token: k for k, token in enumerate([*tokens, *joined])}
    merges = [
        (token[:n], token[n:])
        for token in joined
        for n in range(1, len(token))
        if token[:n] in vocabulary and token[n:] in vocabulary
    ]
    return vocabulary, merges


def piece_tokenizer(kind: type, **settings: Any) -> Any:
    vocabulary, merges = pieces()
    names = {"unk_token": "<unk>", "bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>"}
    return kind(vocab=vocabulary, merges=merges, **names, add_bos_token=True, **settings)


def without_bos() -> Any:
    tokenizer = tiny_tokenizer()
    tokenizer.add_bos_token = False
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}\n{% endfor %}"
    return tokenizer


def save(family: str, folder: Path, tokenizer: Any, **changes: Any) -> Path:
    """A random model of a family with a tokenizer of its own."""
    torch.manual_seed(0)
    rows = max(tokenizer.get_vocab().values()) + 1
    sizes = {**FAMILIES.get(family, SIZES), "vocab_size": rows, **changes}
    if family == "qwen2":
        sizes.pop("head_dim")
    model = AutoModelForCausalLM.from_config(CONFIG_MAPPING[family](**sizes))
    for name, parameter in model.named_parameters():
        parameter.data.normal_(float("norm" in name and "gemma" not in family), 0.15)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


MADE = {
    "llama": lambda folder: save_tiny("llama", folder, tie_word_embeddings=True),
    "llama, pieces": lambda f: save("llama", f, piece_tokenizer(LlamaTokenizer)),
    "llama, no space": lambda f: save(
        "llama", f, piece_tokenizer(LlamaTokenizer, add_prefix_space=False)
    ),
    "qwen2": lambda folder: save("qwen2", folder, without_bos()),
    "qwen3": lambda folder: save("qwen3", folder, without_bos(), head_dim=128),
    "phi3": lambda f: save("phi3", f, without_bos(), sliding_window=8, pad_token_id=0),
    "gemma2": lambda folder: save(
        *("gemma2", folder, piece_tokenizer(GemmaTokenizer)),
        **{"query_pre_attn_scalar": 8, "sliding_window": 8},
    ),
    "gemma3": lambda folder: save(
        "gemma3_text",
        folder,
        piece_tokenizer(GemmaTokenizer),
        **{"num_hidden_layers": 6, "layer_types": None, "sliding_window": 8},
    ),
}


def kept(tmp_path: Path) -> list[str]:
    return sorted(p.name for p in (tmp_path / "cache").glob("*"))


def load(path: Path | str, **settings: Any) -> Any:
    return load_model(str(path), device="cpu", **settings)


@torch.no_grad()
def whole(raw: Any, tokenizer: Any, prompt: str, answer: str) -> float:
    """The log-likelihood of an answer behind its prompt, in one plain forward pass."""
    asked, ids = tokenizer(prompt).input_ids, tokenizer(f"{prompt} {answer}").input_ids
    assert ids[: len(asked)] == asked
    logits = raw(torch.tensor([ids])).logits[0, len(asked) - 1 : -1]
    log_p = logits.double().log_softmax(-1)
    return float(log_p.gather(1, torch.tensor(ids[len(asked) :])[:, None]).sum())


def same_scores(model: Any, raw: Any, tokenizer: Any, items: Any) -> None:
    for row, item in zip(mechcla.score(model, items), items, strict=True):
        expected = [whole(raw, tokenizer, item.prompt, c.text) for c in item.candidates]
        assert row.log_likelihood == pytest.approx(expected, abs=1e-4)
