"""What transformers would read of a GGUF file as another model, or as other tokens, is completed,
refused or warned of.
"""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

pytest.importorskip("gguf", reason="the extra `gguf` is not installed")

from mechcla.errors import MechclaError
from mechcla.models.gguf_config import checked_config, llama_3_divisors
from mechcla.models.gguf_header import Header
from tests.conftest import tiny_tokenizer
from tests.models.gguf_made import kept, load, same_scores, save
from tests.models.gguf_writing import write_gguf

pytestmark = pytest.mark.usefixtures("gguf_cache")


UNREADABLE = {
    "architecture": ({"general.architecture": "zebra"}, (), r"architecture is 'zebra'.*quantised"),
    "a tensor left out": ({}, ("blk.2.ffn_up.weight",), r"not find model\.layers\.2\.mlp\.up_proj"),
    "experts": ({"llama.expert_count": 4}, (), "says expert_count=4"),
    "yarn": ({"llama.rope.scaling.type": "yarn"}, (), r"rope\.scaling\.type='yarn'"),
    "scale": ({"llama.attention.scale": 0.5}, (), r"attention\.scale=0\.5"),
    "window": ({"llama.attention.sliding_window": 64}, (), "sliding_window=64"),
    "both ways": ({"llama.attention.causal": False}, (), "attention.causal=False"),
    "half turned": (
        {"llama.rope.dimension_count": 4},
        (),
        r"find .*q_proj\.weight \(\(32, 32\), not",
    ),
    "parts": ({"split.count": 2}, (), "one of 2 parts"),
    "no tokenizer": ({"tokenizer.ggml.model": "rwkv"}, (), "rwkv"),
}


@pytest.mark.parametrize("what", UNREADABLE)
def test_what_transformers_would_read_as_another_model_is_refused(what, gguf_folders, tmp_path):
    settings, leave_out, said = UNREADABLE[what]
    path = write_gguf(
        gguf_folders["llama"], tmp_path / "tiny.gguf", settings=settings, leave_out=leave_out
    )
    with pytest.raises(MechclaError, match=rf"cannot load the model '.*tiny\.gguf': .*{said}"):
        load(path)
    assert kept(tmp_path) == []


def test_a_tensor_without_a_place_is_refused_by_its_name(gguf_folders, tmp_path):
    bias = {"blk.1.attn_q.bias": torch.ones(32).numpy()}
    path = write_gguf(gguf_folders["llama"], tmp_path / "tiny.gguf", tensors=bias)
    with pytest.raises(MechclaError, match=r"\(not blk\.1\.attn_q\.bias\)"):
        load(path)


LLAMA_3 = {
    **{"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0},
    **{"original_max_position_embeddings": 8192, "rope_theta": 500000.0},
}


def test_the_rotary_scaling_of_llama_3_is_carried_over(tmp_path, small_items):
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    folder = save("llama", tmp_path / "llama3", tiny_tokenizer(), rope_parameters=LLAMA_3)
    raw = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()
    scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](raw.config, torch.device("cpu"))
    plain = torch.tensor([500000.0 ** -(k / 8) for k in range(0, 8, 2)])
    divisors = llama_3_divisors(8, 500000.0, LLAMA_3)
    assert torch.allclose(plain / scaled, torch.tensor(divisors), rtol=1e-4)
    tensors = {"rope_freqs.weight": (plain / scaled).numpy()}
    path = write_gguf(folder, tmp_path / "tiny.gguf", tensors=tensors)
    model = load(path)
    same_scores(model, raw, AutoTokenizer.from_pretrained(folder), small_items[:3])
    tensors = {"rope_freqs.weight": torch.tensor([1.0, 1.5, 3.0, 8.0]).numpy()}
    path = write_gguf(folder, tmp_path / "other.gguf", tensors=tensors)
    with pytest.raises(MechclaError, match="rope_freqs that are not Llama 3's"):
        load(path)


def test_a_linear_scaling_is_carried_over(gguf_folders, tmp_path):
    settings = {"gemma3.rope.scaling.type": "linear", "gemma3.rope.scaling.factor": 8.0}
    load(write_gguf(gguf_folders["gemma3"], tmp_path / "tiny.gguf", settings=settings))
    [folder] = kept(tmp_path)
    config = json.loads((tmp_path / "cache" / folder / "config.json").read_text())
    rope = config["rope_parameters"]
    full = {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6}
    assert rope == {
        "full_attention": full,
        "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
    }
    assert config["query_pre_attn_scalar"] == 8


@pytest.mark.parametrize(
    ("family", "blocks", "width", "heads", "head", "scale"),
    [
        ("gemma3_text", 62, 5376, 32, 128, 168),  # 27B, as released
        ("gemma3_text", 34, 2560, 8, 256, 256),  # 4B
        ("gemma2", 46, 4608, 32, 128, 144),  # 27B
        ("gemma2", 42, 3584, 16, 256, 256),  # 9B
    ],
)
def test_gemmas_attention_scale_is_that_of_its_size(family, blocks, width, heads, head, scale):
    architecture = family.removesuffix("_text")
    said = {
        "block_count": blocks,
        "embedding_length": width,
        "attention.head_count": heads,
        "attention.key_length": head,
    }
    settings = {f"{architecture}.{key}": value for key, value in said.items()}
    header = Header(settings | {"general.architecture": architecture}, {})
    sizes = {"num_hidden_layers": blocks, "hidden_size": width, "num_attention_heads": heads}
    read = CONFIG_MAPPING[family](**sizes, head_dim=head, query_pre_attn_scalar=1)
    assert checked_config(read, header, "the model").query_pre_attn_scalar == scale


BOS = {
    "a gpt-2 file that does not say": ({"tokenizer.ggml.add_bos_token": None}, False),
    "a llama 3 file that does not say": (
        {"tokenizer.ggml.add_bos_token": None, "tokenizer.ggml.pre": "llama-bpe"},
        True,
    ),
    "a file that says no": ({"tokenizer.ggml.add_bos_token": False}, False),
    "a file that says yes": ({"tokenizer.ggml.add_bos_token": True}, True),
}


@pytest.mark.parametrize("what", BOS)
def test_a_bos_is_added_exactly_where_the_file_or_llama_cpp_says_so(what, gguf_folders, tmp_path):
    settings, adds = BOS[what]
    path = write_gguf(gguf_folders["llama"], tmp_path / "tiny.gguf", settings=settings)
    model = load(path)
    ids = model.tokenizer("The capital").input_ids
    assert (ids[0] == model.tokenizer.bos_token_id) == adds
    assert ids[adds:] == model.tokenizer("The capital", add_special_tokens=False).input_ids
    assert model.tokenizer.backend_tokenizer.model.ignore_merges == (
        settings.get("tokenizer.ggml.pre") == "llama-bpe"
    )


def test_digits_stand_alone_where_the_file_says_so_and_an_unknown_rule_is_a_warning(
    gguf_folders, tmp_path
):
    rule = {"tokenizer.ggml.pre": "smollm"}
    model = load(write_gguf(gguf_folders["llama"], tmp_path / "a.gguf", settings=rule))
    assert model.tokenizer.tokenize("a  12") == ["a", "Ġ", "Ġ", "1", "2"]
    path = write_gguf(
        gguf_folders["llama"], tmp_path / "b.gguf", settings={"tokenizer.ggml.pre": "zz"}
    )
    for _ in range(2):  # when it is converted, and whenever it is loaded
        with pytest.warns(UserWarning, match=r"b\.gguf': its GGUF file splits .* the rule 'zz'"):
            load(path)


def test_texts_that_the_tokenizer_cannot_write_are_warned_of(gguf_folders, tmp_path):
    """As of a vocabulary without bytes."""
    tokenizer = AutoTokenizer.from_pretrained(gguf_folders["llama, pieces"])
    tokens = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)
    other = [f"unused{k}" if t.startswith("<0x") else t for k, t in enumerate(tokens)]
    settings = {"tokenizer.ggml.tokens": other}
    path = write_gguf(gguf_folders["llama, pieces"], tmp_path / "tiny.gguf", settings=settings)
    with pytest.warns(UserWarning, match="does not give back 'The capital.*and 4 more.*can write"):
        load(path)


def test_a_disk_without_room_is_one_message(gguf_file, tmp_path, monkeypatch):
    small = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: small)
    with pytest.raises(MechclaError, match=r"it takes 0\.0 GiB, .* has 0\.0 GiB free; make room"):
        load(gguf_file)
    assert kept(tmp_path) == []


def test_a_class_of_transformers_that_splits_in_its_own_way_is_refused(gguf_folders, tmp_path):
    """A model of the type qwen2 is always given Qwen2Tokenizer, which leaves digits alone."""
    vocabulary = AutoTokenizer.from_pretrained(gguf_folders["qwen2"]).get_vocab()
    tokens = sorted(vocabulary, key=vocabulary.get)
    tokens[300:303] = ["18", "186", "1868"]
    numbers = {
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.merges": ["1 8", "18 6", "186 8"],
    }
    path = write_gguf(gguf_folders["qwen2"], tmp_path / "tiny.gguf", settings=numbers)
    with pytest.raises(MechclaError, match="its own way of splitting texts"):
        load(path)


def test_every_end_of_an_answer_is_one(gguf_folders, tmp_path):
    turn = {"tokenizer.ggml.eot_token_id": 40}
    model = load(write_gguf(gguf_folders["qwen2"], tmp_path / "tiny.gguf", settings=turn))
    assert {2, 40} <= set(model.end_ids)
