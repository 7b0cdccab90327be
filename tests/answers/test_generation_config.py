"""Greedy decoding under a model's generation config, against `generate(do_sample=False)`."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, LogitsProcessorList
from transformers.generation.logits_process import (
    NoRepeatNGramLogitsProcessor,
    RepetitionPenaltyLogitsProcessor,
    SuppressTokensLogitsProcessor,
)

from mechcla.answers.answers import Answers
from mechcla.answers.generation import generate
from mechcla.engine.intervention import Intervention
from mechcla.errors import MechclaError
from mechcla.items.open_item import AnswerGroup, OpenItem
from mechcla.models.hooked_model import HookedModel
from mechcla.models.load import load_model
from tests.conftest import FAMILIES
from tests.slow import others_slow

VOCAB = 320
MOST = 12
TEXTS = [
    "¿Qué se come?",
    "La capital de Italia es",
    "La capital de Italia no",
    "The capital of Peru is Lima. The capital of Japan is",
    "In our country we drink",
]
GROUPS = (AnswerGroup(("pan",), ("bread",), 3),)
QUESTIONS = [
    OpenItem(str(i), "es", "ES", "test", "food", text, "In Spain?", GROUPS)
    for i, text in enumerate(TEXTS)
]
token = st.integers(3, VOCAB - 1)
tokens = st.lists(token, min_size=1, max_size=250, unique=True)
words = st.lists(st.lists(token, min_size=1, max_size=2), min_size=1, max_size=60)


def bias(pairs: list[tuple[list[int], float]]) -> list[list[Any]]:
    return [[ids, value] for ids, value in {tuple(i): (i, v) for i, v in pairs}.values()]


CONFIGS = st.fixed_dictionaries(
    {},
    optional={
        "repetition_penalty": st.sampled_from([0.7, 1.05, 1.3, 4.0]),
        "encoder_repetition_penalty": st.sampled_from([0.5, 1.5]),
        "no_repeat_ngram_size": st.integers(1, 3),
        "encoder_no_repeat_ngram_size": st.integers(1, 2),
        "suppress_tokens": tokens,
        "begin_suppress_tokens": tokens,
        "bad_words_ids": words,
        "sequence_bias": st.lists(
            st.tuples(st.lists(token, min_size=1, max_size=2), st.sampled_from([-9.0, 3.0, 20.0])),
            min_size=1,
            max_size=40,
        ).map(bias),
        "min_new_tokens": st.integers(0, MOST),
        "min_length": st.integers(0, 24),
        "eos_token_id": st.one_of(token, tokens),
        "forced_eos_token_id": token,
        "forced_bos_token_id": token,
        "exponential_decay_length_penalty": st.tuples(
            st.integers(0, 6), st.sampled_from([1.1, 3.0])
        ),
        "renormalize_logits": st.booleans(),
        "remove_invalid_values": st.booleans(),
        "do_sample": st.booleans(),
        "temperature": st.sampled_from([0.2, 1.7]),
        "top_k": st.just(5),
        "num_return_sequences": st.just(1),
        "max_new_tokens": st.just(3),
        "max_length": st.just(7),
    },
)


@contextmanager
def configured(*models: Any, **config: Any) -> Iterator[None]:
    """Both models have this generation config meanwhile."""
    before = [m.generation_config for m in models]
    for m in models:
        m.generation_config = copy.deepcopy(m.generation_config)
        for name, value in config.items():
            setattr(m.generation_config, name, copy.deepcopy(value))
    try:
        yield
    finally:
        for m, old in zip(models, before, strict=True):
            m.generation_config = old


@pytest.fixture(scope="module")
def references(tiny_folders: dict[str, Path]) -> dict[str, Any]:
    """transformers' own models and tokenizers of the same folders."""
    return {
        family: (
            AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval(),
            AutoTokenizer.from_pretrained(folder),
        )
        for family, folder in tiny_folders.items()
    }


def transformers_answers(hf: Any, tokenizer: Any, /, **more: Any) -> list[list[int]]:
    """One prompt at a time: transformers counts padding as length and as tokens to be repeated."""
    found = []
    for text in TEXTS:
        ids = tokenizer(text, return_tensors="pt")["input_ids"]
        settings = {"do_sample": False, "max_new_tokens": MOST} | more
        out = hf.generate(input_ids=ids, attention_mask=torch.ones_like(ids), **settings)
        found.append(out[0, ids.shape[1] :].tolist())
    return found


def ours(model: HookedModel, *edits: Intervention, **more: Any) -> Answers:
    return generate(model, QUESTIONS, edits, stop=None, max_new_tokens=MOST, **more)


@settings(
    max_examples=6, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)
@given(data=st.data())
@pytest.mark.parametrize("family", FAMILIES)
def test_any_generation_config_gives_transformers_tokens(family, data, tiny_models, references):
    model, (hf, tokenizer) = tiny_models[family], references[family]
    config = data.draw(CONFIGS)
    with configured(model.bridge.original_model, hf, **config):
        try:
            expected = transformers_answers(hf, tokenizer)
        except (ValueError, RuntimeError):  # such as a length penalty without end ids
            with pytest.raises(MechclaError, match="cannot be used"):
                ours(model)
            return
        answers = ours(model, cache=data.draw(st.sampled_from([None, False])))
    assert [list(a.tokens) for a in answers] == expected
    ends = config.get("eos_token_id", hf.generation_config.eos_token_id)
    ends = ends if isinstance(ends, list) else [ends]
    assert [a.ended == "eos" for a in answers] == [row[-1] in ends for row in expected], config


def test_each_setting_alone_changes_what_is_written_so_the_comparison_means_something(
    tiny, references
):
    hf, tokenizer = references["llama"]
    plain = [list(a.tokens) for a in ours(tiny)]
    assert plain == transformers_answers(hf, tokenizer)
    first = [row[0] for row in plain]
    for config in (
        {"repetition_penalty": 4.0},
        {"no_repeat_ngram_size": 1},
        {"suppress_tokens": first},
        {"begin_suppress_tokens": first},
        {"bad_words_ids": [[t] for t in first]},
        {"sequence_bias": [[[t], -50.0] for t in first]},
        {"forced_eos_token_id": 77},
        {"eos_token_id": [first[0], first[1]]},
        {"eos_token_id": first[0], "min_new_tokens": 5},
        {"eos_token_id": first[0], "min_length": 30},
        {"eos_token_id": 33, "exponential_decay_length_penalty": (1, 9.0)},
    ):
        with configured(tiny.bridge.original_model, hf, **config):
            answers = [list(a.tokens) for a in ours(tiny)]
            assert answers == transformers_answers(hf, tokenizer)
        assert answers != plain, config


@pytest.mark.parametrize("family", FAMILIES)
def test_a_config_in_the_folder_is_read_and_recorded(family, tiny_folders, tmp_path):
    folder = shutil.copytree(tiny_folders[family], tmp_path / family)
    path = folder / "generation_config.json"
    config = json.loads(path.read_text()) | {"repetition_penalty": 1.7, "suppress_tokens": [90]}
    path.write_text(json.dumps(config))
    hf = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()
    answers = ours(load_model(folder, device="cpu"))
    expected = transformers_answers(hf, AutoTokenizer.from_pretrained(folder))
    assert [list(a.tokens) for a in answers] == expected
    assert answers.settings["generation_config"]["repetition_penalty"] == 1.7
    assert answers.settings["generation_config"]["suppress_tokens"] == [90]


def hooked_loop(model: HookedModel, text: str, edit: Intervention, processors: Any) -> list[int]:
    """run_with_hooks on the growing row, its logits through processors made here by hand."""
    ids = model.tokenizer(text)["input_ids"]
    n = len(ids)

    def hook(h: torch.Tensor, hook: Any) -> torch.Tensor:
        change = torch.zeros_like(h)
        change[:, 1:] = edit.strength * edit.vector  # BOS is left alone
        return h + change

    name = f"blocks.{edit.layer}.hook_resid_post"
    for _ in range(MOST):
        row = torch.tensor([ids])
        with torch.inference_mode():
            logits = model.bridge.run_with_hooks(row, fwd_hooks=[(name, hook)])[:, -1]
        ids.append(int(processors(row, logits.float()).argmax()))
        if ids[-1] == model.bridge.original_model.generation_config.eos_token_id:
            break
    return ids[n:]


@pytest.mark.parametrize("family", others_slow(FAMILIES, {"gemma3_text", "gpt2"}))
@pytest.mark.parametrize("cache", [True, False])
def test_steered_answers_go_through_the_same_processors(family, cache, tiny_models):
    model = tiny_models[family]
    generator = torch.Generator().manual_seed(5)
    edit = Intervention(torch.randn(model.d_model, generator=generator), 2, 2.0)
    config = {"repetition_penalty": 1.5, "no_repeat_ngram_size": 2, "suppress_tokens": [90, 91]}
    with configured(model.bridge.original_model, **config):
        answers = ours(model, edit, cache=cache)
        processors = LogitsProcessorList(
            [
                RepetitionPenaltyLogitsProcessor(1.5),
                NoRepeatNGramLogitsProcessor(2),
                SuppressTokensLogitsProcessor([90, 91]),
            ]
        )
        expected = [hooked_loop(model, text, edit, processors) for text in TEXTS]
        assert [list(a.tokens) for a in answers] == expected
    assert answers.rows != ours(model, edit, cache=cache).rows


def test_strength_zero_is_unsteered_under_a_config_too(tiny):
    edit = Intervention(torch.ones(tiny.d_model), 2, 0.0)
    with configured(tiny.bridge.original_model, repetition_penalty=1.5, min_new_tokens=4):
        assert ours(tiny, edit).rows == ours(tiny).rows


def test_batches_of_any_size_are_the_same(tiny):
    with configured(tiny.bridge.original_model, repetition_penalty=1.5, no_repeat_ngram_size=2):
        assert ours(tiny, max_tokens=1).rows == ours(tiny).rows


def test_a_config_without_end_ids_goes_on_to_the_length_and_its_text_ends_at_eos(tiny, references):
    hf, tokenizer = references["llama"]
    wanted = {"eos_token_id": None, "sequence_bias": [[[tokenizer.eos_token_id], 30.0]]}
    with configured(tiny.bridge.original_model, hf, **wanted):
        expected = transformers_answers(hf, tokenizer)
        answers = ours(tiny)
    assert [list(a.tokens) for a in answers] == expected
    assert all(len(row) == MOST and tokenizer.eos_token_id in row for row in expected)
    for answer, row in zip(answers, expected, strict=True):
        assert answer.ended == "length"
        written = tokenizer.decode(row[: row.index(tokenizer.eos_token_id)])
        assert answer.text == written.strip()


def test_stop_strings_of_the_config_end_an_answer_as_in_transformers(tiny, references):
    hf, tokenizer = references["llama"]
    pieces = [tokenizer.decode(a.tokens[2:4]) for a in ours(tiny)]
    whole = [p for p in pieces if "\ufffd" not in p and p.strip()]  # not half a character
    with configured(tiny.bridge.original_model, hf, stop_strings=whole):
        expected = transformers_answers(hf, tokenizer, tokenizer=tokenizer)
        answers = ours(tiny)
    assert [list(a.tokens) for a in answers] == expected
    stopped = [len(row) < MOST for row in expected]
    assert any(stopped)
    assert [a.ended == "stop" for a in answers] == stopped


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"num_beams": 3}, r"asks for num_beams=3, .* expected num_beams=1"),
        ({"guidance_scale": 1.5}, "asks for guidance_scale=1.5"),
        ({"penalty_alpha": 0.6, "top_k": 4}, "asks for penalty_alpha=0.6"),
        ({"repetition_penalty": -1.0}, r"cannot be used: .*-1\.0"),
        ({"bad_words_ids": [[-4]]}, "cannot be used"),
    ],
)
def test_what_is_no_greedy_search_or_no_config_is_one_message(config, message, tiny):
    with (
        configured(tiny.bridge.original_model, **config),
        pytest.raises(MechclaError, match=message),
    ):
        ours(tiny)


def test_settings_with_a_config_travel_in_parquet(tiny, tmp_path):
    biased = {"sequence_bias": {(90,): 2.0}, "repetition_penalty": 1.2}
    with configured(tiny.bridge.original_model, **biased):
        answers = ours(tiny)
    answers.to_parquet(tmp_path / "a.parquet")
    assert Answers.from_parquet(tmp_path / "a.parquet").settings == answers.settings


def test_the_config_is_left_as_it_was(tiny):
    before = tiny.bridge.original_model.generation_config.to_dict()
    assert isinstance(tiny.bridge.original_model.generation_config, GenerationConfig)
    ours(tiny)
    assert tiny.bridge.original_model.generation_config.to_dict() == before
