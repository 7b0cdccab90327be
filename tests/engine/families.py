"""Tiny random models of many families and tokenizers of many kinds, and transformers as the oracle
of both.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from mechcla.items.item import Item

LINES = [
    "The capital of Japan is Tokyo",
    "The capital of Peru is Lima and far away",
    "Lisboa by the sea, Tokyo city hall and more",
    "In our country we drink green tea",
    "En nuestro país bebemos té verde",
]
ROWS = 340
P = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
BASE = P | {
    "vocab_size": ROWS,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "max_position_embeddings": 192,
}
S = BASE | {"num_key_value_heads": 2}
H = S | {"head_dim": 8}
GPT = P | {"vocab_size": ROWS, "n_embd": 32, "n_layer": 4, "n_head": 4, "n_positions": 192}
OTHER = P | {"vocab_size": ROWS, "hidden_size": 32}
LINEAR = {
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "linear_conv_kernel_dim": 4,
    "layer_types": ["linear_attention", "full_attention"] * 2,
}
MAMBA = {
    "mamba_n_heads": 8,
    "mamba_d_head": 8,
    "mamba_d_state": 8,
    "mamba_n_groups": 1,
    "mamba_chunk_size": 8,
    "mamba_d_conv": 4,
    "mamba_expand": 2,
}
SCALED = {
    "residual_multiplier": 0.22,
    "attention_multiplier": 0.3,
    "embedding_multiplier": 2.0,
    "logits_scaling": 3.0,
}
EXPERTS = {"num_local_experts": 2, "num_experts_per_tok": 1}
GEMMA_LAYERS = ["sliding_attention", "full_attention"] * 2

ATTENTION = {  # masked attention, which the engine packs
    "llama": H,
    "qwen3": H,
    "mistral": H | {"sliding_window": 64},
    "gemma2": H | {"sliding_window": 64, "query_pre_attn_scalar": 8},
    "gemma3_text": H
    | {"sliding_window": 64, "query_pre_attn_scalar": 8, "layer_types": GEMMA_LAYERS},
    "olmo2": S,
    "phi3": S,
    "granite": S | SCALED,
    "gpt2": GPT,
    "opt": OTHER
    | {
        "ffn_dim": 48,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "max_position_embeddings": 192,
        "word_embed_proj_dim": 32,
    },
    "gpt_neo": OTHER
    | {
        "num_layers": 4,
        "num_heads": 4,
        "max_position_embeddings": 192,
        "window_size": 64,
        "attention_types": [[["global", "local"], 2]],
    },
    "mixtral": S | EXPERTS,
    "llama4_text": H
    | EXPERTS
    | {"intermediate_size_mlp": 48, "attention_chunk_size": 64, "moe_layers": [1, 3]},
}
PARALLEL = {  # attention and MLP read the same residual
    "gpt_neox": BASE,
    "cohere": S,
    "falcon": OTHER
    | {"num_hidden_layers": 4, "num_attention_heads": 4, "max_position_embeddings": 192},
    "gptj": GPT | {"rotary_dim": 8},
    "phi": S,
}
NO_TREE = {  # a state along the row, or places instead of positions
    "bloom": OTHER | {"n_layer": 4, "n_head": 4},
    "mpt": P
    | {
        "vocab_size": ROWS,
        "d_model": 32,
        "n_layers": 4,
        "n_heads": 4,
        "max_seq_len": 192,
        "expansion_ratio": 2,
    },
    "lfm2": S | {"layer_types": ["conv", "full_attention"] * 2, "block_ff_dim": 48},
    "falcon_h1": H | MAMBA | {"mamba_d_ssm": 64},
    "bamba": S | MAMBA | {"attn_layer_indices": [1, 3]},
    "jamba": S
    | {
        "attn_layer_period": 2,
        "attn_layer_offset": 1,
        "expert_layer_period": 2,
        "expert_layer_offset": 1,
        "num_experts": 2,
        "num_experts_per_tok": 1,
        "mamba_d_state": 8,
        "mamba_d_conv": 4,
        "mamba_expand": 2,
        "mamba_dt_rank": 4,
        "use_mamba_kernels": False,
    },
    "qwen3_next": H
    | LINEAR
    | {
        "num_experts": 2,
        "num_experts_per_tok": 1,
        "moe_intermediate_size": 16,
        "shared_expert_intermediate_size": 16,
    },
    "nemotron_h": H
    | {
        "hybrid_override_pattern": "M-*-",
        "mamba_num_heads": 8,
        "mamba_head_dim": 8,
        "ssm_state_size": 8,
        "n_groups": 1,
        "chunk_size": 8,
    },
    "mamba": OTHER | {"num_hidden_layers": 4, "state_size": 8},
    "mamba2": OTHER
    | {
        "num_hidden_layers": 4,
        "state_size": 8,
        "num_heads": 8,
        "head_dim": 8,
        "n_groups": 1,
        "chunk_size": 8,
    },
    "olmo_hybrid": S | LINEAR,
    "recurrent_gemma": S
    | {
        "attention_window_size": 64,
        "lru_width": 32,
        "block_types": ["recurrent", "attention"],
    },
}
FAMILIES = ATTENTION | PARALLEL | NO_TREE
# What mechcla is tried on from vectors to generation (docs/models.md): a family, or a variant of
# one with settings of its own.
LLAMA3 = {
    "rope_theta": 500000.0,
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
VARIANTS: dict[str, tuple[str, dict[str, object]]] = {
    "llama3": ("llama", H | {"rope_parameters": LLAMA3}),
    "qwen2.5": ("qwen2", S),
    "gemma3": (  # with a vision tower: Gemma3ForConditionalGeneration, of which texts need nothing
        "gemma3",
        P
        | {
            "text_config": ATTENTION["gemma3_text"],
            "vision_config": {
                "hidden_size": 16,
                "intermediate_size": 16,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
                "image_size": 28,
                "patch_size": 14,
            },
            "mm_tokens_per_image": 1,
        },
    ),
}
DECODERS = (
    *("gemma2", "gemma3_text", "gemma3", "llama3", "llama4_text", "qwen2.5", "qwen3", "mistral"),
    *("gpt2", "gpt_neox", "bloom", "olmo2", "phi3", "cohere", "granite", "lfm2", "mamba"),
)


def tokenizer(
    bos: bool = True,
    adds_bos: bool = True,
    adds_eos: bool = False,
    eos: bool = True,
    pad: bool = True,
    added: tuple[str, ...] = (),
    byte_fallback: bool = False,
) -> PreTrainedTokenizerFast:
    """A BPE with merges: byte-level, or over characters with bytes for what it does not know
    (`byte_fallback`).
    """
    special = ["<pad>", "<bos>", "<eos>"]
    if byte_fallback:
        bytes_ = [f"<0x{b:02X}>" for b in range(256)]
        learnt = Tokenizer(models.BPE())
        learnt.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
        learnt.train_from_iterator(
            LINES * 3, trainers.BpeTrainer(vocab_size=60, show_progress=False)
        )
        import json

        made = json.loads(learnt.to_str())["model"]
        names = special + bytes_ + sorted(made["vocab"], key=made["vocab"].get)
        vocab = {token: i for i, token in enumerate(names)}
        merges = [tuple(m) if isinstance(m, list) else tuple(m.split(" ")) for m in made["merges"]]
        t = Tokenizer(models.BPE(vocab, merges, byte_fallback=True))
        t.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
        t.decoder = decoders.Sequence(
            [decoders.Metaspace(prepend_scheme="never"), decoders.ByteFallback(), decoders.Fuse()]
        )
        t.add_special_tokens([AddedToken(s, special=True, normalized=False) for s in special])
    else:
        t = Tokenizer(models.BPE())
        t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        t.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(
            vocab_size=320, special_tokens=special, initial_alphabet=alphabet, show_progress=False
        )
        t.train_from_iterator(LINES * 3, trainer)
    t.add_special_tokens([AddedToken(a, special=True, normalized=False) for a in added])
    ids = {name: t.token_to_id(name) for name in special}
    parts = ["<bos>"] * (bos and adds_bos) + ["$A"] + ["<eos>"] * (eos and adds_eos)
    if len(parts) > 1:
        t.post_processor = processors.TemplateProcessing(
            single=" ".join(parts), special_tokens=list(ids.items())
        )
    roles = {"bos_token": bos, "eos_token": eos, "pad_token": pad}
    named = {role: f"<{role.split('_')[0]}>" for role, there in roles.items() if there}
    return PreTrainedTokenizerFast(tokenizer_object=t, **named)


def save(
    family: str,
    folder: Path,
    tok: PreTrainedTokenizerFast,
    scale: float = 0.3,
    seed: int = 0,
    **changes: object,
) -> Path:
    """A random model of a family and a tokenizer, saved as a user's own folder would be."""
    torch.manual_seed(seed)
    kind, settings = VARIANTS.get(family) or (family, FAMILIES[family])
    config = CONFIG_MAPPING[kind](**settings | changes)
    model = AutoModelForCausalLM.from_config(config)
    for parameter in model.parameters():  # larger than the initialisation, so that blocks matter
        if parameter.ndim > 1:
            parameter.data.normal_(0, scale)
    model.save_pretrained(folder)
    tok.save_pretrained(folder)
    return folder


class Oracle:
    """transformers alone: the folder's own tokens, one row per text."""

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.tokenizer = AutoTokenizer.from_pretrained(str(folder))
            self.model = AutoModelForCausalLM.from_pretrained(
                str(folder), attn_implementation="eager"
            ).eval()

    def ids(self, text: str) -> list[int]:
        """The tokens of a text that goes on: an EOS that the tokenizer puts behind it is no part of
        it.
        """
        ids = self.tokenizer(text)["input_ids"]
        eos = self.tokenizer.eos_token_id
        return ids[:-1] if len(ids) > 1 and eos is not None and ids[-1] == eos else ids

    def layers(self) -> torch.nn.ModuleList:
        """The decoder's blocks: the longest list of modules in it."""
        lists = [m for m in self.model.modules() if isinstance(m, torch.nn.ModuleList)]
        return max(lists, key=len)

    def logits(self, ids: list[int]) -> torch.Tensor:
        with torch.no_grad():
            return self.model(torch.tensor([ids])).logits[0].float()

    def candidates(self, item: Item) -> list[float]:
        """Log-likelihoods of the candidates: the tokens behind what the prompt and all of them
        share.
        """
        prompt = self.ids(item.prompt)
        full = [self.ids(item.prompt + item.separator + c.text) for c in item.candidates]
        cut = 0
        while cut < len(prompt) and all(cut < len(f) and f[cut] == prompt[cut] for f in full):
            cut += 1
        found = []
        for f in full:
            lp = self.logits(f).log_softmax(-1)
            found.append(sum(float(lp[i - 1, f[i]]) for i in range(cut, len(f))))
        return found
