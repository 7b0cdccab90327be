"""Models of real shapes with random weights, wrapped for the engine, and a tokenizer for them."""

from __future__ import annotations

import tempfile
from typing import Any

import torch

import mechcla
from analyses.benchmarks.train_cost import SHAPES, of_config, random_model
from mechcla.models.hooked_model import HookedModel

# Source: the config.json of HuggingFaceTB/SmolLM2-135M-Instruct.
LLAMA = {
    "vocab_size": 49_152,
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "max_position_embeddings": 8192,
    "tie_word_embeddings": True,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "bos_token_id": 2,
}
LLAMAS: dict[str, dict[str, Any]] = {
    "smollm2-135m": LLAMA,
    "tiny-llama": LLAMA
    | {
        "vocab_size": 2048,
        "hidden_size": 36,
        "intermediate_size": 48,
        "num_hidden_layers": 4,
        "max_position_embeddings": 1024,
    },
}
NAMES = (*SHAPES, *LLAMAS)
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TURNS = ["<|im_start|>", "<|im_end|>"]


def wrapped(shape: str, device: torch.device, dtype: torch.dtype) -> HookedModel:
    """A model of a shape behind the engine: made on the device, nothing is read or downloaded."""
    from transformer_lens.model_bridge import TransformerBridge
    from transformers import AutoTokenizer

    hf_model = (_llama if shape in LLAMAS else random_model)(shape, device, dtype)
    tokenizer = chat_tokenizer(hf_model.config.vocab_size)
    hf_model.config.architectures = [type(hf_model).__name__]
    with tempfile.TemporaryDirectory() as folder:  # TransformerLens reads a config by its place
        hf_model.config.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        bridge = TransformerBridge.boot_transformers(folder, hf_model=hf_model, tokenizer=tokenizer)
    return mechcla.wrap_model(bridge.requires_grad_(False), shape)


def _llama(shape: str, device: torch.device, dtype: torch.dtype) -> Any:
    from transformers import LlamaConfig

    return of_config(LlamaConfig(**LLAMAS[shape]), device, dtype)


def chat_tokenizer(size: int) -> Any:
    """A byte-level BPE of the demo items' texts with BOS in front, and ChatML's turns."""
    from tokenizers import Tokenizer
    from tokenizers.decoders import ByteLevel as Decoder
    from tokenizers.models import BPE
    from tokenizers.pre_tokenizers import ByteLevel
    from tokenizers.processors import TemplateProcessing
    from tokenizers.trainers import BpeTrainer
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = ByteLevel(add_prefix_space=False), Decoder()
    trainer = BpeTrainer(
        vocab_size=min(size, 8192),
        special_tokens=["<pad>", "<eos>", "<bos>", *TURNS],
        initial_alphabet=ByteLevel.alphabet(),
        show_progress=False,
    )
    items = mechcla.load_items("demo", languages=["es"])
    texts = [item.prompt for item in items] + [c.text for item in items for c in item.candidates]
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 2)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="<eos>",
        bos_token="<bos>",
        additional_special_tokens=TURNS,
        chat_template=CHATML,
    )
