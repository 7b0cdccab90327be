"""A GGUF file is loaded by its name: the numbers and tokens are those of the model it was made of,
or of transformers' own reading of it where it is quantised; each wrong file is one message.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.gemma.tokenization_gemma import GemmaTokenizer
from transformers.models.llama.tokenization_llama import LlamaTokenizer

gguf = pytest.importorskip("gguf", reason="the extra `gguf` is not installed")

import mechcla  # noqa: E402
from mechcla.errors import MechclaError  # noqa: E402
from mechcla.models.conversion import converted  # noqa: E402
from mechcla.models.gguf_config import checked_config, llama_3_divisors  # noqa: E402
from mechcla.models.gguf_header import Header  # noqa: E402
from mechcla.models.load import check_model_name, find_fitting_adapter, load_model  # noqa: E402
from mechcla.sweep.config import make  # noqa: E402
from mechcla.sweep.held import find_model  # noqa: E402
from mechcla.sweep.models import model_runs  # noqa: E402
from tests.conftest import FAMILIES, SIZES, TEXT, save_tiny, tiny_tokenizer  # noqa: E402
from tests.models.gguf_writing import write_gguf  # noqa: E402
from tests.models.test_adapters import lora, save_adapter  # noqa: E402

Q8, Q4 = gguf.GGMLQuantizationType.Q8_0, gguf.GGMLQuantizationType.Q4_0
SPACED = "▁"
ASKED = [*TEXT, "  two spaces, 12 and 3.14", "우리는 차를 마신다", "چای می‌نوشیم"]


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


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    base = tmp_path_factory.mktemp("gguf")
    return {name: made(base / name.replace(", ", "-")) for name, made in MADE.items()}


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_thread: None) -> None:
    monkeypatch.setenv("MECHCLA_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def file(folders: dict[str, Path], tmp_path: Path) -> Path:
    return write_gguf(folders["llama"], tmp_path / "tiny.gguf")


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


@pytest.mark.parametrize("name", MADE)
def test_a_file_of_float32_is_the_model_and_the_tokenizer_it_was_made_of(
    name, folders, tmp_path, small_items
):
    path = write_gguf(folders[name], tmp_path / "tiny.gguf")
    model = load(path)
    raw = AutoModelForCausalLM.from_pretrained(folders[name], attn_implementation="eager").eval()
    own = AutoTokenizer.from_pretrained(folders[name])
    for text in ASKED:
        assert model.tokenizer(text).input_ids == own(text).input_ids, text
        ids = own(text, add_special_tokens=False).input_ids
        assert model.tokenizer.decode(ids) == own.decode(ids)
    assert (own("a").input_ids[0] == own.bos_token_id) == (name not in ("qwen2", "qwen3", "phi3"))
    assert model.tokenizer.chat_template == own.chat_template
    same_scores(model, raw, own, small_items[:5])
    assert model.name == str(path)


@pytest.mark.parametrize(("name", "kind"), [("llama", Q8), ("qwen2", Q4)])
def test_a_quantised_file_is_what_transformers_dequantises(
    name, kind, folders, tmp_path, small_items
):
    path = write_gguf(folders[name], tmp_path / "tiny.gguf", kind)
    raw = AutoModelForCausalLM.from_pretrained(
        tmp_path, gguf_file=path.name, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    model = load(path)
    same_scores(model, raw, AutoTokenizer.from_pretrained(folders[name]), small_items[:5])
    plain = load(folders[name])
    assert model.digest != plain.digest
    assert load(path, dtype="bfloat16").digest != model.digest


def test_a_file_is_converted_once_and_anew_where_it_was_changed(file, folders, tmp_path, capsys):
    first = load(file)
    assert capsys.readouterr().err.count("converting the model") == 1
    [folder] = kept(tmp_path)
    made = (tmp_path / "cache" / folder).stat().st_mtime_ns
    again = load(file)
    moved = load(shutil.move(file, tmp_path / "blob"))  # a name is no part of it
    assert "converting" not in capsys.readouterr().err
    assert {first.digest, again.digest, moved.digest} == {first.digest}
    assert moved.name == str(tmp_path / "blob")
    assert (tmp_path / "cache" / folder).stat().st_mtime_ns == made
    write_gguf(folders["llama"], file, Q8)
    assert load(file).digest != first.digest
    assert len(kept(tmp_path)) == 2


def test_a_killed_conversion_leaves_no_model(file, tmp_path):
    code = (
        "import os, sys, transformers\n"
        "from pathlib import Path\n"
        "def cut(self, folder, **_):\n"
        "    Path(folder).mkdir()\n"
        "    Path(folder, 'config.json').write_text('{')\n"
        "    os.kill(os.getpid(), 9)\n"
        "transformers.PreTrainedModel.save_pretrained = cut\n"
        "import mechcla\n"
        "mechcla.load_model(sys.argv[1], device='cpu')\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(file)], capture_output=True, check=False)
    assert done.returncode == -9, done.stderr
    [left] = kept(tmp_path)
    assert left.startswith(".gguf-")
    load(file)
    assert len(kept(tmp_path)) == 2


def test_the_first_of_two_processes_makes_the_folder(tmp_path):
    def second(work: Path) -> None:
        (work / "model").mkdir()
        first = tmp_path / "cache" / "folder"
        first.mkdir()  # by another process, meanwhile
        (first / "config.json").write_text("first")

    folder = converted("folder", "a model", second)
    assert (folder / "config.json").read_text() == "first"
    assert kept(tmp_path) == ["folder"]


def cut(keep: int):
    return lambda path: path.write_bytes(path.read_bytes()[:keep])


WRONG = {
    "absent": (lambda p: p.rename(p.parent / "tiny2.gguf"), r"no such file.*mean 'tiny2\.gguf'"),
    "cut in the tensors": (cut(-100), r"\(\d+ bytes\) is damaged or cut off: .*download it again"),
    "cut in the settings": (cut(700), r"\(700 bytes\) is damaged or cut off"),
    "cut in the header": (cut(10), "ends within its header"),
    "empty": (cut(0), r"it is no GGUF file \(it begins with b''"),
    "none": (lambda p: p.write_bytes(b"PK\3\4" * 9), r"begins with b'PK.*expected a GGUF file"),
    "pointer": (lambda p: p.write_bytes(b"version https://git-lfs"), "git lfs pull"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_file_is_one_message_with_its_name(wrong, file, tmp_path):
    damage, said = WRONG[wrong]
    damage(file)
    with pytest.raises(MechclaError, match=rf"cannot load the model '.*tiny\.gguf': .*{said}"):
        load(file)
    assert kept(tmp_path) == []


def test_a_name_is_checked_before_anything_is_converted(file, tmp_path):
    check_model_name(str(file))
    with pytest.raises(MechclaError, match=r"revision 'main' was asked for, and .* is a file"):
        load(file, revision="main")
    with pytest.raises(MechclaError, match="a GGUF file, which comes with no code"):
        load(file, trust_remote_code=True)
    for name in ("tiny-00002-of-00003.gguf", "absent.gguf"):
        shutil.copy(file, tmp_path / "tiny-00002-of-00003.gguf")
        with pytest.raises(MechclaError, match=r"one of 3 parts.*--merge|no such file"):
            check_model_name(str(tmp_path / name))
    assert kept(tmp_path) == []


def test_a_folder_of_gguf_files_names_them(file, folders, tmp_path):
    with pytest.raises(MechclaError, match=r"no config\.json.*load_model\('.*/tiny\.gguf'\)"):
        load(tmp_path)
    shutil.copy(folders["llama"] / "config.json", tmp_path)
    with pytest.raises(MechclaError, match=r"no model\.safetensors.*load_model\('.*/tiny\.gguf'\)"):
        load(tmp_path)
    with pytest.raises(MechclaError, match=r"a file of a model; name its folder: '.*llama'"):
        load(folders["llama"] / "model.safetensors")


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
def test_what_transformers_would_read_as_another_model_is_refused(what, folders, tmp_path):
    settings, leave_out, said = UNREADABLE[what]
    path = write_gguf(
        folders["llama"], tmp_path / "tiny.gguf", settings=settings, leave_out=leave_out
    )
    with pytest.raises(MechclaError, match=rf"cannot load the model '.*tiny\.gguf': .*{said}"):
        load(path)
    assert kept(tmp_path) == []


def test_a_tensor_without_a_place_is_refused_by_its_name(folders, tmp_path):
    bias = {"blk.1.attn_q.bias": torch.ones(32).numpy()}
    path = write_gguf(folders["llama"], tmp_path / "tiny.gguf", tensors=bias)
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


def test_a_linear_scaling_is_carried_over(folders, tmp_path):
    settings = {"gemma3.rope.scaling.type": "linear", "gemma3.rope.scaling.factor": 8.0}
    load(write_gguf(folders["gemma3"], tmp_path / "tiny.gguf", settings=settings))
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
def test_a_bos_is_added_exactly_where_the_file_or_llama_cpp_says_so(what, folders, tmp_path):
    settings, adds = BOS[what]
    path = write_gguf(folders["llama"], tmp_path / "tiny.gguf", settings=settings)
    model = load(path)
    ids = model.tokenizer("The capital").input_ids
    assert (ids[0] == model.tokenizer.bos_token_id) == adds
    assert ids[adds:] == model.tokenizer("The capital", add_special_tokens=False).input_ids
    assert model.tokenizer.backend_tokenizer.model.ignore_merges == (
        settings.get("tokenizer.ggml.pre") == "llama-bpe"
    )


def test_digits_stand_alone_where_the_file_says_so_and_an_unknown_rule_is_a_warning(
    folders, tmp_path
):
    rule = {"tokenizer.ggml.pre": "smollm"}
    model = load(write_gguf(folders["llama"], tmp_path / "a.gguf", settings=rule))
    assert model.tokenizer.tokenize("a  12") == ["a", "Ġ", "Ġ", "1", "2"]
    path = write_gguf(folders["llama"], tmp_path / "b.gguf", settings={"tokenizer.ggml.pre": "zz"})
    for _ in range(2):  # when it is converted, and whenever it is loaded
        with pytest.warns(UserWarning, match=r"b\.gguf': its GGUF file splits .* the rule 'zz'"):
            load(path)


def test_texts_that_the_tokenizer_cannot_write_are_warned_of(folders, tmp_path):
    """As of a vocabulary without bytes."""
    tokenizer = AutoTokenizer.from_pretrained(folders["llama, pieces"])
    tokens = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)
    other = [f"unused{k}" if t.startswith("<0x") else t for k, t in enumerate(tokens)]
    settings = {"tokenizer.ggml.tokens": other}
    path = write_gguf(folders["llama, pieces"], tmp_path / "tiny.gguf", settings=settings)
    with pytest.warns(UserWarning, match="does not give back 'The capital.*and 4 more.*can write"):
        load(path)


def test_a_disk_without_room_is_one_message(file, tmp_path, monkeypatch):
    small = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: small)
    with pytest.raises(MechclaError, match=r"it takes 0\.0 GiB, .* has 0\.0 GiB free; make room"):
        load(file)
    assert kept(tmp_path) == []


def test_a_class_of_transformers_that_splits_in_its_own_way_is_refused(folders, tmp_path):
    """A model of the type qwen2 is always given Qwen2Tokenizer, which leaves digits alone."""
    vocabulary = AutoTokenizer.from_pretrained(folders["qwen2"]).get_vocab()
    tokens = sorted(vocabulary, key=vocabulary.get)
    tokens[300:303] = ["18", "186", "1868"]
    numbers = {
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.merges": ["1 8", "18 6", "186 8"],
    }
    path = write_gguf(folders["qwen2"], tmp_path / "tiny.gguf", settings=numbers)
    with pytest.raises(MechclaError, match="its own way of splitting texts"):
        load(path)


def test_every_end_of_an_answer_is_one(folders, tmp_path):
    turn = {"tokenizer.ggml.eot_token_id": 40}
    model = load(write_gguf(folders["qwen2"], tmp_path / "tiny.gguf", settings=turn))
    assert {2, 40} <= set(model.end_ids)


def test_adapters_maps_and_names_of_runs_work_as_with_folders(file, folders, tmp_path):
    adapter = save_adapter(folders["llama"], tmp_path / "own", lora())
    model = load(file, adapter=adapter)
    assert model.name == f"{file}+{adapter}"
    assert model.digest != load(file).digest
    assert find_fitting_adapter(str(file), adapter)[0] == adapter.resolve()
    assert find_model(make({"model": model.name, "device": "cpu"})).digest == model.digest
    assert load_model(file, device_map={"": "cpu"}).digest == load(file).digest
    other = shutil.copy(file, tmp_path / "other.gguf")
    config = make({"models": [str(file), str(other)], "out": str(tmp_path / "runs")})
    assert set(model_runs(config)) == {"tiny", "other"}


def test_without_the_package_one_message_says_what_to_install(file, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "gguf", None)  # as where it is not installed
    with pytest.raises(MechclaError, match=r"package 'gguf'; .*: pip install 'mechcla\[gguf\]'"):
        load(file)
    assert kept(tmp_path) == []


def test_the_page_s_block_loads_a_file(file):
    page = (Path(__file__).parents[2] / "docs" / "models.md").read_text("utf-8")
    (code,) = re.findall(r"## GGUF files\n```python\n(.*?)```", page, re.DOTALL)
    shown = "downloads/model-Q4_K_M.gguf"
    assert code.count(shown) == 2
    held: dict[str, Any] = {}
    exec(compile(code.replace(shown, str(file)), "docs/models.md", "exec"), held)
    assert held["model"].describe()["dtype"] == "bfloat16"
