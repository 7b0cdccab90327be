"""bitsandbytes' weights in 4 and 8 bits: numbers are transformers' own on the same folder, a digest
disturbs none of them, and what cannot be run is said. transformers is the oracle of all of it.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

import mechcla
from mechcla.engine.capability import fits, plain_because, shares
from mechcla.errors import MechclaError
from mechcla.models.hooked_model import HookedModel
from mechcla.models.load import base_weights, load_model
from mechcla.models.sites import SITES
from mechcla.sweep.held import of_model
from mechcla.vectors.activations import last_token_residuals
from tests.conftest import save_tiny, tiny_items, tiny_tokenizer
from tests.engine.families import Oracle
from tests.models.test_decoders import LAYER, NEW, STRENGTH, en_vector, greedy, pushed, streams

pytest.importorskip("bitsandbytes", reason="the extra `quantised` is not installed")
pytestmark = pytest.mark.usefixtures("one_thread")

NF4 = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}
HOW: dict[str, dict[str, Any]] = {
    "nf4": NF4,
    "double": NF4 | {"bnb_4bit_use_double_quant": True},
    "bfloat16": NF4 | {"bnb_4bit_compute_dtype": "bfloat16"},
    "8 bits": {"load_in_8bit": True},
}
SIZE = {"hidden_size": 64, "intermediate_size": 128, "head_dim": 16}
# Of log-likelihoods against transformers, one row per candidate. What rounds to bfloat16 turns a
# last digit into 1/256 now and then.
ROOM = {"nf4": 1e-4, "double": 1e-4, "bfloat16": 2e-2, "8 bits": 1e-4}
ITEMS = tiny_items().language("en", "es")
IDS = torch.tensor([[1, 40, 60, 80, 100, 120, 33]])
WHERE = torch.arange(IDS.shape[1])[None]


def quantise(plain: Path, folder: Path, dtype: torch.dtype = torch.float32, **how: Any) -> Path:
    config = BitsAndBytesConfig(**how)
    model = AutoModelForCausalLM.from_pretrained(plain, quantization_config=config, dtype=dtype)
    model.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


def as_stored(model: Any) -> Any:
    """transformers' model, which packs no weights anew: as on a CPU without AVX512-BF16."""
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    return model


def oracle_of(folder: Path) -> Oracle:
    oracle = Oracle(folder)
    as_stored(oracle.model)
    return oracle


@torch.inference_mode()
def logits(model: HookedModel) -> torch.Tensor:
    return model.logits(IDS, torch.ones_like(IDS), WHERE)


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> dict[str, Path]:
    base = tmp_path_factory.mktemp("plain")
    gemma = SIZE | {"query_pre_attn_scalar": 16}
    return {
        "llama": save_tiny("llama", base / "llama", **SIZE),
        "gemma3_text": save_tiny("gemma3_text", base / "gemma3", **gemma),
    }


@pytest.fixture(scope="module")
def folders(plain, tmp_path_factory) -> dict[tuple[str, str], Path]:
    base = tmp_path_factory.mktemp("quantised")
    return {
        (family, how): quantise(plain[family], base / f"{family} {how}", **HOW[how])
        for family in plain
        for how in HOW
    }


@pytest.fixture
def llama(folders, tmp_path) -> Path:
    return shutil.copytree(folders["llama", "nf4"], tmp_path / "llama")


def edit_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config["quantization_config"] = config.get("quantization_config", {}) | changes
    path.write_text(json.dumps(config))


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("family", ["llama", "gemma3_text"])
def test_scores_vectors_steering_and_answers_are_transformers(family, how, folders):
    model, oracle = load_model(folders[family, how], device="cpu"), oracle_of(folders[family, how])
    packs = how != "8 bits"
    with warnings.catch_warnings():  # of the plain path, which 8 bits take
        warnings.simplefilter("ignore")
        assert fits(model) == packs
        assert not packs or shares(model)
        en = mechcla.en_vectors(model, ITEMS.universal.dev)
    assert packs or "8 bits" in plain_because(model)
    room = ROOM[how]
    texts = [item.prompt for item in ITEMS.universal.dev][:4]
    for indices, found in last_token_residuals(model, texts):
        for place, i in enumerate(indices):
            expected = streams(oracle, texts[i])
            torch.testing.assert_close(found[:, place], expected, atol=10 * room, rtol=room)
    torch.testing.assert_close(en["es"], en_vector(oracle), atol=10 * room, rtol=room)
    edit = mechcla.en_steering(en, language="es", layer=LAYER, strength=STRENGTH, unit="raw")
    asked = ITEMS.language("es").universal.test
    unsteered, steered = (mechcla.score(model, asked, e, prior=False) for e in ((), edit))
    answers = mechcla.generate(model, list(asked), edit, stop=None, max_new_tokens=NEW)
    moved = 0.0
    for before, after, answer, item in zip(unsteered, steered, answers, asked, strict=True):
        told = oracle.candidates(item)
        assert before.log_likelihood == pytest.approx(told, abs=room)
        prompt = oracle.ids(item.prompt)
        with pushed(oracle, en["es"][LAYER], len(prompt)):
            expected = oracle.candidates(item)
            assert answer.tokens == greedy(oracle, prompt)
        assert after.log_likelihood == pytest.approx(expected, abs=3 * room)
        moved = max(moved, *(abs(a - b) for a, b in zip(expected, told, strict=True)))
    assert moved > 1e-2
    assert all(model.hook_name(layer, site) for layer in range(model.n_layers) for site in SITES)


@pytest.mark.parametrize("how", ["nf4", "double"])
def test_four_bits_are_what_transformers_dequantises(how, folders):
    folder = folders["llama", how]
    dequantised = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager")
    dequantised = dequantised.dequantize().float().eval()
    with torch.inference_mode():
        expected = dequantised(IDS).logits
    torch.testing.assert_close(logits(load_model(folder, device="cpu")), expected)


@pytest.mark.parametrize("how", HOW)
def test_a_digest_is_stable_and_disturbs_nothing(how, folders):
    model = load_model(folders["llama", how], device="cpu")
    before, first = logits(model), model.digest
    assert torch.equal(logits(model), before)
    model.bridge.original_model.state_dict()
    assert torch.equal(logits(model), before)
    again = load_model(folders["llama", how], device="cpu")
    assert again.digest == first  # before any pass but those of loading
    assert torch.equal(logits(again), before)
    assert mechcla.wrap_model(model.bridge).digest == first  # after many


def test_a_bias_is_rounded_before_the_digest(tmp_path):
    plain = save_tiny("qwen3", tmp_path / "plain", **SIZE, attention_bias=True)
    folder = quantise(plain, tmp_path / "quantised", **HOW["bfloat16"])
    oracle, model = oracle_of(folder), load_model(folder, device="cpu")
    biases = {p.dtype for n, p in model.bridge.named_parameters() if n.endswith("bias")}
    assert biases == {torch.bfloat16}
    first = model.digest
    torch.testing.assert_close(logits(model)[0], oracle.logits(IDS[0].tolist()))
    assert mechcla.wrap_model(model.bridge).digest == first == load_model(folder).digest


def test_a_digest_is_of_the_weights_and_of_how_they_are_quantised(plain, folders, llama, tmp_path):
    digests = [load_model(folders["llama", how], device="cpu").digest for how in HOW]
    digests.append(load_model(plain["llama"], device="cpu").digest)
    other = save_tiny("llama", tmp_path / "other", **SIZE, num_hidden_layers=4, vocab_size=321)
    digests.append(load_model(quantise(other, tmp_path / "q", **NF4), device="cpu").digest)
    scales = load_file(llama / "model.safetensors")
    scales["model.layers.1.mlp.up_proj.weight.absmax"][3] *= 2
    save_file(scales, llama / "model.safetensors", metadata={"format": "pt"})
    digests.append(load_model(llama, device="cpu").digest)
    assert len(set(digests)) == len(digests)


def test_the_record_says_what_the_weights_are_and_counts_their_bytes(folders, plain):
    for (family, how), folder in folders.items():
        model = load_model(folder, device="cpu")
        told = model.describe()["quantised"]
        assert (told["method"], told["bits"]) == ("bitsandbytes", 8 if how == "8 bits" else 4)
        assert told.get("double") == {"double": True, "8 bits": None}.get(how, False)
        assert f"version {told['version']}" in of_model(model)["quantised"]
        assert model.dtype == torch.float32
        assert model.rounds_to == (torch.bfloat16 if how == "bfloat16" else torch.float32)
        stored = load_file(folder / "model.safetensors")
        kept = [t for k, t in stored.items() if not k.endswith(("nf4", "weight_format"))]
        layers = sum(k.endswith("nf4") for k in stored) if how == "double" else 0
        expected = sum(t.numel() * t.element_size() for t in kept) + 4 * layers  # an offset each
        assert model.weight_bytes == expected, (family, how)
    assert "quantised" not in load_model(plain["llama"], device="cpu").describe()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("how", ["nf4", "8 bits"])
def test_a_dtype_is_that_between_the_layers_whatever_the_files(
    how, dtype, plain, folders, tmp_path
):
    half = quantise(plain["llama"], tmp_path / "half", dtype, **HOW[how])
    hf = AutoModelForCausalLM.from_pretrained(half, dtype=dtype, attn_implementation="eager")
    with torch.inference_mode():
        expected = as_stored(hf.eval())(IDS).logits
    model = load_model(half, device="cpu", dtype=dtype)
    assert model.dtype == model.rounds_to == expected.dtype == dtype
    torch.testing.assert_close(logits(model), expected, atol=0.05, rtol=0.02)
    for folder in (half, folders["llama", how]):
        single, other = (load_model(folder, device="cpu", dtype=d) for d in (torch.float32, dtype))
        assert (single.dtype, other.dtype) == (torch.float32, dtype)
        torch.testing.assert_close(logits(single), logits(other).float(), atol=0.3, rtol=0.02)
    mechcla.score(model, ITEMS.language("es").universal.test, prior=False)


def test_a_wrapped_bridge_is_settled_and_one_that_was_packed_anew_is_refused(folders):
    from transformer_lens.model_bridge import TransformerBridge

    tokenizer = AutoTokenizer.from_pretrained(folders["llama", "nf4"])

    def boot() -> Any:
        hf = AutoModelForCausalLM.from_pretrained(
            folders["llama", "nf4"], attn_implementation="eager"
        )
        return TransformerBridge.boot_transformers(
            str(folders["llama", "nf4"]), hf_model=hf.eval(), tokenizer=tokenizer
        )

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a BOS
        model = mechcla.wrap_model(boot())
    loaded = load_model(folders["llama", "nf4"], device="cpu")
    assert torch.equal(logits(model), logits(loaded))
    used = boot()
    with torch.inference_mode():
        used(IDS)
    layers = [m for m in used.modules() if hasattr(m, "support_avx512bf16_for_cpu")]
    if layers[0].support_avx512bf16_for_cpu:
        with pytest.raises(MechclaError, match="packed anew by a pass on this CPU"):
            mechcla.wrap_model(used)
    else:  # bitsandbytes packs nothing on this CPU, so a pass leaves the weights as they were
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert torch.equal(logits(mechcla.wrap_model(used)), logits(loaded))


def test_an_adapter_goes_with_plain_weights(plain, folders, tmp_path):
    peft = pytest.importorskip("peft", reason="the extra `align` is not installed")
    config = peft.LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM")
    model = peft.get_peft_model(AutoModelForCausalLM.from_pretrained(plain["llama"]), config)
    base = str(folders["llama", "nf4"])
    model.peft_config["default"].base_model_name_or_path = base
    model.save_pretrained(tmp_path / "adapter")
    with pytest.raises(MechclaError, match=r"4 bits\), and adapters are trained on plain weights"):
        load_model(base, adapter=str(tmp_path / "adapter"), device="cpu")
    with pytest.raises(MechclaError, match=r"nf4' is quantised .*merge_and_unload"):
        base_weights(base, torch.float32)
    with pytest.raises(MechclaError, match="adapters are trained on plain weights"):
        mechcla.align("mist", model=base, device="cpu", out=tmp_path / "trained")
    assert not (tmp_path / "trained").exists()


def test_a_quantised_unembedding_is_refused(plain, tmp_path):
    how = NF4 | {"llm_int8_skip_modules": ["q_proj"]}
    folder = quantise(plain["llama"], tmp_path / "q", **how)
    with pytest.raises(MechclaError, match=r"its unembedding is quantised.*'lm_head' among"):
        load_model(folder, device="cpu")


@pytest.mark.parametrize("method", ["gptq", "awq", "hqq"])
def test_another_method_is_refused_by_its_name(method, plain, tmp_path):
    folder = shutil.copytree(plain["llama"], tmp_path / "llama")
    edit_config(folder, quant_method=method, bits=4, group_size=32)
    expected = rf"quantised \({method}\), and mechcla takes plain ones, and of quantised ones those"
    with pytest.raises(MechclaError, match=expected):
        load_model(folder, device="cpu")


@pytest.mark.parametrize("error", [OSError("no answer"), RuntimeError("out of memory")])
def test_what_the_method_has_no_part_in_stays_what_it_is(error, plain, tmp_path, monkeypatch):
    folder = shutil.copytree(plain["llama"], tmp_path / "llama")
    edit_config(folder, quant_method="gptq", bits=4, group_size=32)

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", fail)
    with pytest.raises(MechclaError, match=f"cannot load the model '.*': .*{error}") as told:
        load_model(folder, device="cpu")
    assert "takes plain ones" not in str(told.value)


@pytest.mark.parametrize("package", ["bitsandbytes", "accelerate"])
def test_a_missing_package_is_one_message(package, llama, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)  # as where it is not installed
    with pytest.raises(MechclaError, match=rf"needs the package '{package}'.*mechcla\[quantised\]"):
        load_model(llama, device="cpu")


def test_a_scale_that_is_missing_is_refused(llama):
    tensors = load_file(llama / "model.safetensors")
    tensors.pop("model.layers.2.mlp.up_proj.weight.absmax")
    save_file(tensors, llama / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(MechclaError, match="issues during automatic conversion of the weights"):
        load_model(llama, device="cpu")


def test_one_matrix_for_query_key_and_value_is_refused(tmp_path):
    plain = save_tiny("gpt_neox", tmp_path / "plain", hidden_size=64, intermediate_size=128)
    folder = quantise(plain, tmp_path / "q", **NF4)
    with pytest.raises(MechclaError, match=r"cannot boot[\s\S]*are one matrix .*GPT-NeoX"):
        load_model(folder, device="cpu")


def test_the_pages_lines_make_a_folder_that_loads(plain, tmp_path, monkeypatch):
    page = (Path(mechcla.__file__).parents[1] / "docs" / "models.md").read_text("utf-8")
    (block,) = (
        b for b in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "BitsAndBytes" in b
    )
    monkeypatch.chdir(tmp_path)
    block, found = block.replace("google/gemma-3-12b-pt", str(plain["gemma3_text"])), {}
    exec(block, found)
    assert found["model"].dtype == torch.bfloat16
    assert found["model"].describe()["quantised"]["computes_in"] == "bfloat16"
