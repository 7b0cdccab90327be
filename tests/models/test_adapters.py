"""An adapter is applied, or refused by name; applied, it is what peft makes of it."""

from __future__ import annotations

import importlib.metadata
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

import mechcla
from mechcla.errors import MechclaError
from mechcla.models.hooked_model import HookedModel
from mechcla.models.load import load_model
from tests.conftest import FAMILIES, save_tiny, tiny_tokenizer

peft = pytest.importorskip("peft", reason="the extra `align` is not installed")
IDS = torch.tensor([[1, 40, 60, 80, 100], [1, 90, 70, 50, 30]])
TARGETS = {
    "gpt2": ["c_attn", "c_proj"],
    "gpt_neox": ["query_key_value", "dense_4h_to_h"],
    "llama": ["q_proj", "v_proj", "down_proj"],
}


def save_adapter(base: Path, folder: Path, config: peft.PeftConfig, seed: int = 1) -> Path:
    """An adapter with random values, as trained ones have; peft's own begin as no change."""
    torch.manual_seed(seed)
    model = peft.get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and "norm" not in name:
            parameter.data.normal_(0, 0.2)
    model.save_pretrained(folder)
    return folder


def lora(family: str = "llama", **changes: object) -> peft.LoraConfig:
    targets = TARGETS.get(family, TARGETS["llama"])
    settings = {"r": 4, "lora_alpha": 8, "target_modules": targets, "task_type": "CAUSAL_LM"}
    return peft.LoraConfig(**(settings | changes))


@pytest.fixture
def base(tiny_folders: dict[str, Path], tmp_path: Path) -> Path:
    return shutil.copytree(tiny_folders["llama"], tmp_path / "base")


@pytest.fixture
def adapter(base: Path, tmp_path: Path) -> Path:
    return save_adapter(base, tmp_path / "adapter", lora())


def logits(model: HookedModel) -> torch.Tensor:
    with torch.inference_mode():
        return model.bridge.original_model(IDS).logits


def peft_logits(base: Path, adapter: Path) -> torch.Tensor:
    """The adapter as peft runs it, unmerged: side by side with the base's weights."""
    hf = AutoModelForCausalLM.from_pretrained(base, attn_implementation="eager")
    with torch.inference_mode():
        return peft.PeftModel.from_pretrained(hf, str(adapter)).eval()(IDS).logits


def merged_folder(base: Path, adapter: Path, folder: Path) -> Path:
    hf = AutoModelForCausalLM.from_pretrained(base)
    peft.PeftModel.from_pretrained(hf, str(adapter)).merge_and_unload().save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


@pytest.mark.parametrize("family", FAMILIES)
def test_both_ways_equal_the_merged_checkpoint_to_the_last_bit(family, tiny_folders, tmp_path):
    base = tiny_folders[family]
    folder = save_adapter(base, tmp_path / "a", lora(family))
    named = load_model(base, adapter=folder, device="cpu")
    alone = load_model(str(folder), device="cpu")
    merged = load_model(merged_folder(base, folder, tmp_path / "merged"), device="cpu")
    assert torch.equal(logits(named), logits(merged))
    assert torch.equal(logits(alone), logits(merged))
    assert torch.allclose(logits(named), peft_logits(base, folder), atol=1e-4)
    plain = load_model(base, device="cpu")
    assert not torch.allclose(logits(plain), logits(named), atol=1e-2)
    assert named.digest == alone.digest == merged.digest != plain.digest
    assert named.name == alone.name == f"{base}+{folder}"
    assert named.describe()["name"] == named.name


def test_scores_are_those_of_the_merged_checkpoint(base, adapter, small_items, tmp_path):
    items = small_items.universal.test
    merged = load_model(merged_folder(base, adapter, tmp_path / "merged"), device="cpu")
    adapted = load_model(adapter, device="cpu")
    assert mechcla.score(adapted, items).rows == mechcla.score(merged, items).rows


PARTS = (
    "model.embed_tokens",
    "model.rotary_emb",
    *(f"model.layers.{k}" for k in range(4)),
    "model.norm",
    "lm_head",
)
HERE = dict.fromkeys(PARTS, "cpu")


def placed_logits(model: HookedModel) -> torch.Tensor:
    with torch.inference_mode():
        return model.logits(IDS, torch.ones_like(IDS), torch.arange(5).expand(2, 5))


@pytest.mark.parametrize("away", ["model.embed_tokens", "model.layers.1"])  # the first tensor, too
def test_a_base_on_disk_is_refused_and_what_the_message_says_works(
    away, base, adapter, tmp_path, monkeypatch
):
    places = HERE | {away: "disk", "model.layers.3": "disk"}
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    with pytest.raises(MechclaError, match=rf"base', whose map leaves .*{away}.* Merge it first"):
        load_model(base, adapter=adapter, device_map=places)
    assert not list((tmp_path / "empty").iterdir())  # peft would write a copy of the weights here
    merged = load_model(merged_folder(base, adapter, tmp_path / "merged"), device_map=places)
    assert {p.device.type for p in merged.bridge.parameters()} == {"cpu", "meta"}
    plain = load_model(base, adapter=adapter, device="cpu")
    assert torch.equal(placed_logits(merged), placed_logits(plain))


def test_an_adapter_over_a_map_of_one_place_is_merged_there(base, adapter):
    model = load_model(base, adapter=adapter, device_map=HERE)
    plain = load_model(base, adapter=adapter, device="cpu")
    assert {p.device.type for p in model.bridge.parameters()} == {"cpu"}
    assert torch.equal(placed_logits(model), placed_logits(plain))
    assert model.digest == plain.digest


KINDS: dict[str, Callable[[], peft.PeftConfig]] = {
    "dora": lambda: lora(use_dora=True),
    "rslora": lambda: lora(use_rslora=True),
    "biases of none": lambda: lora(bias="lora_only"),
    "a trained norm": lambda: lora(modules_to_save=["norm"]),
    "a trained head": lambda: lora(modules_to_save=["lm_head"]),
    "embedding": lambda: lora(target_modules=["embed_tokens", "q_proj"]),
    "unembedding": lambda: lora(target_modules=["lm_head", "q_proj"]),
    "some layers": lambda: lora(layers_to_transform=[1, 2]),
    "ia3": lambda: peft.IA3Config(
        task_type="CAUSAL_LM",
        target_modules=["k_proj", "down_proj"],
        feedforward_modules=["down_proj"],
    ),
    "loha": lambda: peft.LoHaConfig(task_type="CAUSAL_LM", target_modules=["q_proj"]),
}


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_that_merges_is_what_peft_runs(kind, tied, tmp_path):
    """Also where embedding and unembedding are one tensor and the adapter changes one."""
    base = save_tiny("llama", tmp_path / "base", tie_word_embeddings=tied)
    folder = save_adapter(base, tmp_path / "adapter", KINDS[kind]())
    assert torch.allclose(
        logits(load_model(folder, device="cpu")), peft_logits(base, folder), atol=2e-4
    )


def test_an_adapter_folder_that_also_holds_the_bases_weights_is_applied_once(
    base, adapter, tmp_path
):
    both = shutil.copytree(base, tmp_path / "both")
    shutil.copytree(adapter, both, dirs_exist_ok=True)
    model = load_model(both, device="cpu")
    assert torch.equal(logits(model), logits(load_model(base, adapter=adapter, device="cpu")))
    same = load_model(both, adapter=both, device="cpu")
    assert same.digest == model.digest
    with pytest.raises(MechclaError, match="holds an adapter already"):
        load_model(both, adapter=adapter, device="cpu")


def test_where_peft_is_absent_the_adapter_is_refused_by_name(base, adapter, tmp_path, monkeypatch):
    both = shutil.copytree(base, tmp_path / "both")
    shutil.copytree(adapter, both, dirs_exist_ok=True)
    monkeypatch.setitem(sys.modules, "peft", None)
    for load in (
        lambda: load_model(adapter, device="cpu"),
        lambda: load_model(base, adapter=adapter, device="cpu"),
        lambda: load_model(both, device="cpu"),
    ):
        with pytest.raises(
            MechclaError, match=r"adapter '.*' needs.*pip install 'mechcla\[align\]'"
        ):
            load()
    assert "align" in importlib.metadata.metadata("mechcla").get_all("Provides-Extra", []) or (
        'align = ["peft' in (Path(__file__).parents[2] / "pyproject.toml").read_text()
    )


def test_the_adapters_own_tokenizer_is_the_one_it_was_trained_with(base, adapter):
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = "{{ messages[0]['content'] }}!"
    assert load_model(adapter, device="cpu").tokenizer.chat_template is None
    tokenizer.save_pretrained(adapter)
    for model in (load_model(adapter), load_model(base, adapter=adapter)):
        assert model.tokenizer.chat_template == tokenizer.chat_template


def test_an_adapter_of_another_base_is_one_message(base, adapter, tiny_folders, tmp_path):
    wide = save_tiny("llama", tmp_path / "wide", intermediate_size=64)
    config = adapter / "adapter_config.json"
    with pytest.raises(MechclaError, match=r"was trained on '.*base', not on '.*wide'"):
        load_model(wide, adapter=adapter, device="cpu")
    edit(config, base_model_name_or_path=None)
    with pytest.raises(MechclaError, match=r"size mismatch for .*down_proj.*another base"):
        load_model(wide, adapter=adapter, device="cpu")
    with pytest.raises(MechclaError, match=r"Target modules .* another base"):
        load_model(tiny_folders["gpt2"], adapter=adapter, device="cpu")
    with pytest.raises(MechclaError, match="does not say what its base is"):
        load_model(adapter, device="cpu")
    deeper = save_tiny("llama", tmp_path / "deeper", num_hidden_layers=6)
    with pytest.raises(MechclaError, match=r"differ in .*layers\.4\..*is not whole"):
        load_model(deeper, adapter=adapter, device="cpu")
    shallow = save_tiny("llama", tmp_path / "shallow", num_hidden_layers=2)
    with pytest.raises(MechclaError, match=r"differ in .*layers\.2\."):
        load_model(shallow, adapter=adapter, device="cpu")


def test_a_base_that_was_moved_or_copied_is_no_contradiction(base, adapter, tmp_path):
    expected = logits(load_model(adapter, device="cpu"))
    copy = shutil.copytree(base, tmp_path / "copy")
    assert torch.equal(logits(load_model(copy, adapter=adapter, device="cpu")), expected)
    edit(adapter / "adapter_config.json", base_model_name_or_path="/a/machine/far/away")
    assert torch.equal(logits(load_model(copy, adapter=adapter, device="cpu")), expected)
    with pytest.raises(MechclaError, match=r"base '/a/machine/far/away' .* is not here"):
        load_model(adapter, device="cpu")
    edit(adapter / "adapter_config.json", base_model_name_or_path="org/a-base")
    assert torch.equal(logits(load_model(copy, adapter=adapter, device="cpu")), expected)
    with pytest.raises(MechclaError, match="was trained on 'org/a-base', not on 'org/another'"):
        load_model("org/another", adapter=adapter, device="cpu")


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def lacking(folder: Path) -> None:
    tensors = load_file(folder / "adapter_model.safetensors")
    del tensors[sorted(tensors)[0]]
    save_file(tensors, folder / "adapter_model.safetensors")


def pickled(folder: Path) -> None:
    path = folder / "adapter_model.safetensors"
    torch.save(load_file(path), folder / "adapter_model.bin")
    path.unlink()


def cut(folder: Path) -> None:
    path = folder / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-50])


def not_finite(folder: Path) -> None:
    tensors = load_file(folder / "adapter_model.safetensors")
    next(iter(tensors.values()))[0] = float("nan")
    save_file(tensors, folder / "adapter_model.safetensors")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lacking, r"lora_A.*is not whole"),
        (pickled, r"pickled \(adapter_model\.bin\).*save_pretrained"),
        (cut, "adapter_model.safetensors.*damaged or cut off"),
        (not_finite, "cannot be merged"),
        (lambda f: (f / "adapter_model.safetensors").unlink(), "no adapter_model.safetensors"),
        (lambda f: (f / "adapter_config.json").write_text("[]"), "config.json' holds a list"),
        (lambda f: edit(f / "adapter_config.json", peft_type="NO_SUCH"), "NO_SUCH"),
        (lambda f: edit(f / "adapter_config.json", r="four"), "does not fit"),
    ],
)
def test_a_damaged_adapter_is_one_message(damage, message, base, adapter):
    damage(adapter)
    with pytest.raises(MechclaError, match=message):
        load_model(base, adapter=adapter, device="cpu")


def test_a_kind_that_cannot_be_merged_is_named(base, tmp_path):
    config = peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3)
    folder = save_adapter(base, tmp_path / "prompt", config)
    with pytest.raises(MechclaError, match="'PROMPT_TUNING', which cannot be merged"):
        load_model(folder, device="cpu")


def test_no_adapter_where_one_is_named_is_one_message(base, tmp_path):
    with pytest.raises(MechclaError, match=r"no adapter_config\.json \(it holds"):
        load_model(base, adapter=base, device="cpu")
    with pytest.raises(MechclaError, match="cannot load the adapter 'org/nothing'"):
        load_model(base, adapter="org/nothing", device="cpu")
