"""What a checkpoint lacks, has too much of or damaged is said; what loads is transformers' own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, Gemma3Config, Gemma3ForConditionalGeneration
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

import mechcla
from mechcla.errors import MechclaError
from mechcla.models.hooked_model import HookedModel
from mechcla.models.installs import installs, no_installs
from mechcla.models.load import load_model
from tests.conftest import FAMILIES, SIZES, save_tiny, tiny_tokenizer

IDS = torch.tensor([[1, 40, 60, 80, 100]])
LAST = {  # a tensor of each family's last block
    "gemma3_text": "model.layers.3.mlp.down_proj.weight",
    "llama": "model.layers.3.mlp.down_proj.weight",
    "qwen3": "model.layers.3.self_attn.q_norm.weight",
    "gpt2": "transformer.h.3.attn.c_attn.bias",
    "gpt_neox": "gpt_neox.layers.3.mlp.dense_4h_to_h.weight",
}


@pytest.fixture
def llama(tiny_folders: dict[str, Path], tmp_path: Path) -> Path:
    return shutil.copytree(tiny_folders["llama"], tmp_path / "llama")


def edit_weights(folder: Path, drop: str = "", **add: torch.Tensor) -> None:
    path = folder / "model.safetensors"
    tensors = load_file(path)
    tensors = {k: v.clone() for k, v in tensors.items() if k != drop} | add
    save_file(tensors, path, metadata={"format": "pt"})


def edit_json(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def same_as_transformers(model: HookedModel, folder: Path) -> bool:
    hf = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()
    with torch.inference_mode():
        expected = hf(IDS).logits
        return torch.allclose(model.bridge.original_model(IDS).logits, expected, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_whole_checkpoint_loads_and_one_without_a_tensor_is_refused_by_its_name(
    family, tiny_folders, tmp_path
):
    folder = shutil.copytree(tiny_folders[family], tmp_path / family)
    assert same_as_transformers(load_model(folder, device="cpu"), folder)
    edit_weights(folder, drop=LAST[family])
    with pytest.raises(MechclaError, match=f"the checkpoint lacks {LAST[family]}, which a"):
        load_model(str(folder), device="cpu")


def test_an_unembedding_may_be_absent_only_where_it_is_tied(llama, tmp_path):
    edit_weights(llama, drop="lm_head.weight")
    with pytest.raises(MechclaError, match=r"the checkpoint lacks lm_head\.weight"):
        load_model(str(llama), device="cpu")
    tied = save_tiny("llama", tmp_path / "tied", tie_word_embeddings=True)
    assert "lm_head.weight" not in load_file(tied / "model.safetensors")
    assert same_as_transformers(load_model(str(tied), device="cpu"), tied)


def test_tensors_of_another_shape_are_named_with_both_shapes(llama):
    edit_json(llama / "config.json", intermediate_size=40)
    expected = r"mlp\.down_proj\.weight \(\(32, 48\), not \(32, 40\)\)"
    with pytest.raises(MechclaError, match=expected):
        load_model(str(llama), device="cpu")


@pytest.mark.parametrize(
    ("config", "tensors", "named"),
    [
        ({"num_hidden_layers": 3}, {}, r"model\.layers\.3\."),
        ({}, {"model.layers.0.self_attn.q_proj.bias": torch.ones(32)}, r"q_proj\.bias"),
        ({}, {"model.layers.2.self_attn.q_norm.weight": torch.ones(8)}, r"q_norm\.weight"),
        ({}, {"model.layers.0.mlp.up_proj.lora_A.weight": torch.ones(2, 32)}, r"lora_A"),
    ],
)
def test_tensors_of_the_decoder_that_have_no_place_are_refused(config, tensors, named, llama):
    edit_json(llama / "config.json", **config)
    edit_weights(llama, **tensors)
    with pytest.raises(MechclaError, match=named):
        load_model(str(llama), device="cpu")


def test_tensors_outside_the_decoder_are_named_and_left_and_dead_buffers_are_not(
    llama, tiny_folders
):
    edit_weights(
        llama,
        **{
            "v_head.summary.weight": torch.ones(1, 32),
            "model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4),
        },
    )
    with pytest.warns(UserWarning, match=r"decoder: v_head\.summary\.weight$"):
        model = load_model(str(llama), device="cpu")
    assert same_as_transformers(model, tiny_folders["llama"])


def test_pickles_are_refused_with_the_way_to_convert_them_and_that_way_works(llama, tmp_path):
    torch.save(load_file(llama / "model.safetensors"), llama / "pytorch_model.bin")
    load_model(str(llama), device="cpu")  # safetensors beside it: the pickle is not touched
    (llama / "model.safetensors").unlink()
    with pytest.raises(MechclaError, match=r"pickled \(pytorch_model\.bin\).*save_pretrained"):
        load_model(str(llama), device="cpu")
    converted = shutil.copytree(llama, tmp_path / "new")
    AutoModelForCausalLM.from_pretrained(llama).save_pretrained(converted)
    assert same_as_transformers(load_model(str(converted), device="cpu"), llama)
    edit_json(converted / "config.json", transformers_weights="adapter_model.bin")
    with pytest.raises(MechclaError, match=r"'adapter_model\.bin', no safetensors"):
        load_model(str(converted), device="cpu")


def cut(name: str, keep: int):
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:keep])


def write(name: str, text: str):
    return lambda folder: (folder / name).write_text(text)


DAMAGE = {
    "weights cut by 100 bytes": (cut("model.safetensors", -100), r"model\.safetensors.*cut off"),
    "weights cut in the header": (cut("model.safetensors", 10), r"model\.safetensors.*cut off"),
    "weights emptied": (cut("model.safetensors", 0), r"\(0 bytes\) is damaged or cut off"),
    "weights gone": (lambda f: (f / "model.safetensors").unlink(), "has no model.safetensors"),
    "tokenizer {}": (write("tokenizer.json", "{}"), r"tokenizer\.json' holds an empty object"),
    "tokenizer []": (write("tokenizer.json", "[]"), r"tokenizer\.json' holds a list"),
    "tokenizer cut": (cut("tokenizer.json", 900), r"tokenizer\.json' is not JSON"),
    "tokenizer gone": (
        lambda f: (f / "tokenizer.json").unlink(),
        "backend tokenizer from one of: .* ",
    ),
    "tokenizer config []": (write("tokenizer_config.json", "[]"), "config.json' holds a list"),
    "config []": (write("config.json", "[]"), r"config\.json' holds a list"),
    "config {}": (write("config.json", "{}"), r"config\.json' holds an empty object"),
    "config of no model": (write("config.json", '{"model_type": "zzz"}'), "'?`?zzz"),
    "config of wrong types": (
        lambda f: edit_json(f / "config.json", hidden_size="wide"),
        "hidden_size",
    ),
    "generation config []": (write("generation_config.json", "[]"), "config.json' holds a list"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_folder_is_one_message_that_names_the_file(what, llama):
    damage, message = DAMAGE[what]
    damage(llama)
    with pytest.raises(MechclaError, match=message):
        load_model(str(llama), device="cpu")


def test_a_tokenizer_class_that_builds_itself_without_files_has_no_vocabulary(tmp_path):
    folder = tmp_path / "qwen2"
    config = CONFIG_MAPPING["qwen2"](**{k: v for k, v in SIZES.items() if k != "head_dim"})
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    with pytest.raises(MechclaError, match=r"Qwen2Tokenizer\) has no vocabulary"):
        load_model(str(folder), device="cpu")


def test_damage_is_found_before_a_sweep_writes_anything(llama, tmp_path):
    cut("model.safetensors", -100)(llama)
    command = [sys.executable, "-m", "mechcla.sweep", "--model", str(llama)]
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "run")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "damaged or cut off" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()


def test_a_missing_shard_and_a_tensor_missing_from_its_shard(llama):
    model = AutoModelForCausalLM.from_pretrained(llama)
    (llama / "model.safetensors").unlink()
    model.save_pretrained(llama, max_shard_size="40KB")
    shards = sorted(llama.glob("model-*.safetensors"))
    assert len(shards) > 2
    assert same_as_transformers(load_model(str(llama), device="cpu"), llama)
    tensors = load_file(shards[1])
    name = sorted(tensors)[0]
    save_file({k: v for k, v in tensors.items() if k != name}, shards[1], {"format": "pt"})
    with pytest.raises(MechclaError, match=name):
        load_model(str(llama), device="cpu")
    shards[1].unlink()
    with pytest.raises(MechclaError, match=shards[1].name):
        load_model(str(llama), device="cpu")


def test_a_vocabulary_smaller_than_the_tokenizer_is_refused_and_a_stray_added_token_is_not(
    tmp_path,
):
    small = save_tiny("llama", tmp_path / "small", vocab_size=300)
    with pytest.raises(MechclaError, match="20 tokens beyond the model's 300 embeddings"):
        load_model(str(small), device="cpu")
    added = save_tiny("llama", tmp_path / "added")
    tokenizer = tiny_tokenizer()
    tokenizer.add_special_tokens({"extra_special_tokens": ["<image>"]})
    assert tokenizer.convert_tokens_to_ids("<image>") == SIZES["vocab_size"]
    tokenizer.save_pretrained(added)
    assert same_as_transformers(load_model(str(added), device="cpu"), added)


@pytest.fixture(scope="module")
def multimodal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gemma3")
    vision = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    config = Gemma3Config(
        text_config=FAMILIES["gemma3_text"] | {"vocab_size": 330},
        vision_config=vision | {"num_attention_heads": 2, "image_size": 28, "patch_size": 14},
        mm_tokens_per_image=4,
        image_token_index=329,
        boi_token_index=328,
        eoi_token_index=327,
    )
    Gemma3ForConditionalGeneration(config).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


def test_a_multimodal_model_loads_without_a_child_process(multimodal, monkeypatch):
    started: list[object] = []

    def record(*args: object, **_: object) -> None:
        started.append(args)
        raise RuntimeError("recorded, not run")

    for name in ("check_call", "check_output", "run", "call", "Popen"):
        monkeypatch.setattr(subprocess, name, record if name != "Popen" else _Popen(started))
    model = load_model(str(multimodal), device="cpu")
    assert started == []
    hf = AutoModelForCausalLM.from_pretrained(multimodal, attn_implementation="eager").eval()
    with torch.inference_mode():
        assert torch.allclose(model.bridge.original_model(IDS).logits, hf(IDS).logits, atol=1e-5)


def _Popen(started: list[object]) -> type:
    class Recorder(subprocess.Popen):
        def __init__(self, *args: object, **_: object) -> None:
            self.returncode = 1
            started.append(args)
            raise RuntimeError("recorded, not run")

    return Recorder


def test_what_installs_is_refused_while_a_model_loads_and_runs_again_afterwards(monkeypatch):
    command = [sys.executable, "-m", "pip", "install", "--help"]
    with no_installs():
        for start in (subprocess.check_call, subprocess.run, subprocess.Popen):
            with pytest.raises(RuntimeError, match="lets nothing be installed"):
                start(command)
        assert subprocess.run([sys.executable, "-c", "pass"], check=True).returncode == 0
    assert subprocess.run(command, capture_output=True, check=True).returncode == 0
    assert installs("uv pip install torchvision -q")
    assert not installs(["gcc", "pip.c"])
    assert not installs(["install", "-d", "folder"])


def test_what_torchvision_is_truly_needed_for_says_what_to_install(tmp_path, monkeypatch):
    from transformer_lens.model_bridge.supported_architectures import llama as adapter

    folder = save_tiny("llama", tmp_path / "m")
    monkeypatch.setattr(adapter.LlamaArchitectureAdapter, "required_libraries", ["no_such_library"])
    with pytest.raises(MechclaError, match="pip install no_such_library"):
        load_model(str(folder), device="cpu")


def test_a_name_that_is_nothing_is_one_message(tmp_path):
    with pytest.raises(MechclaError, match="there is no such folder"):
        mechcla.load_model(str(tmp_path / "nothing"))
    with pytest.raises(MechclaError, match=r"has no config\.json"):
        mechcla.load_model(tmp_path)
