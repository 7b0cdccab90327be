"""Plain texts, languages of edits, drawn answers, streaming, templates: against transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from mechcla.answers.answers import Answer, Answers
from mechcla.answers.generation import generate
from mechcla.answers.output_language import most_likely
from mechcla.answers.prompts import in_template
from mechcla.answers.sampling import seed_of
from mechcla.engine.intervention import Intervention
from mechcla.errors import MechclaError
from mechcla.models.chat import Chat
from mechcla.models.hooked_model import HookedModel
from mechcla.models.load import load_model
from tests.answers.test_generation_config import configured

TEXTS = ["La capital de Italia es", "In our country we drink", "La capital", "We drink green"]
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<{{ m['role'] }}> {{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant> {% endif %}"
)


@pytest.fixture(scope="module")
def reference(tiny_folders: dict[str, Path]) -> Any:
    folder = tiny_folders["llama"]
    return AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()


def push(model: HookedModel, language: str | None = "es", strength: float = 4.0) -> Intervention:
    vector = torch.randn(model.d_model, generator=torch.Generator().manual_seed(5))
    where: Any = {"positions": "prompt_and_answer", "language": language}
    return Intervention(vector, 2, strength, **where)


def written(model: HookedModel, reference: Any, text: str, **how: Any) -> list[int]:
    ids = torch.tensor([model.tokenizer(text)["input_ids"]])
    out = reference.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=8, **how)
    return out[0, ids.shape[1] :].tolist()


def test_plain_texts_go_on_as_in_transformers(tiny, reference):
    answers = generate(tiny, TEXTS, stop=None, max_new_tokens=8)
    assert [list(a.tokens) for a in answers] == [
        written(tiny, reference, text, do_sample=False) for text in TEXTS
    ]
    assert [(a.id, a.language) for a in answers] == [(str(i), "und") for i in range(len(TEXTS))]
    assert generate(tiny, TEXTS[0], stop=None, max_new_tokens=8)[0] == answers[0]


@pytest.mark.parametrize("how", [{}, {"temperature": 3.0, "top_k": 40, "top_p": 0.9}])
def test_drawn_answers_are_transformers_own_draws(how, tiny, reference):
    config = {"eos_token_id": [77, 5, 93], "repetition_penalty": 1.4, "top_k": 200}
    with configured(tiny.bridge.original_model, reference, **config):
        answers = generate(
            tiny, TEXTS, stop=None, max_new_tokens=8, sample=True, n=3, seed=11, **how
        )
        for a in answers:
            text = TEXTS[int(a.id)]
            torch.manual_seed(seed_of(11, tiny.tokenizer(text)["input_ids"], a.number))
            assert list(a.tokens) == written(tiny, reference, text, do_sample=True, **how)
    assert [a.number for a in answers] == [0, 1, 2] * len(TEXTS)
    assert len({a.tokens for a in answers}) > 6


@pytest.mark.parametrize("sample", [{}, {"sample": True, "n": 2, "seed": 3}])
def test_steered_the_cache_and_the_batch_change_nothing(sample, tiny):
    edits = {"es": push(tiny)}
    kinds = dict(language=["es", "en", "es", "en"], stop=None, max_new_tokens=8, **sample)
    fast = generate(tiny, TEXTS, edits, cache=True, **kinds)
    slow = generate(tiny, TEXTS, edits, cache=False, max_tokens=1, **kinds)
    plain = generate(tiny, TEXTS, cache=True, **kinds)
    assert fast.rows == slow.rows
    differs = {a.language: a.tokens != b.tokens for a, b in zip(fast, plain, strict=True)}
    assert differs == {"es": True, "en": False}


def test_a_text_has_the_language_of_the_edits_where_it_is_one(tiny):
    assert generate(tiny, TEXTS[:1], push(tiny))[0].language == "es"
    assert generate(tiny, TEXTS[:1], push(tiny, language=None))[0].language == "und"
    with pytest.raises(MechclaError, match=r"of es, ko, and 'La capital de.*add language="):
        generate(tiny, TEXTS, {"es": push(tiny), "ko": push(tiny, "ko")})
    with pytest.raises(MechclaError, match="vector is of 'es'"):
        generate(tiny, TEXTS, push(tiny), language="ko")
    with pytest.raises(MechclaError, match="2 languages for 4 texts"):
        generate(tiny, TEXTS, language=["es", "en"])
    with pytest.raises(MechclaError, match="text 1 of 2 is empty"):
        generate(tiny, ["a", " "])
    with pytest.raises(MechclaError, match="has no explicit form"):
        generate(tiny, TEXTS, prompt="explicit")


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"temperature": 0.5}, "temperature=0.5 is for drawn answers"),
        ({"n": 2}, "n=2 greedy answers"),
        ({"sample": True, "temperature": 0.0}, "temperature is 0.0; expected a number above 0"),
        ({"sample": True, "top_p": 1.5}, "top_p is 1.5"),
        ({"sample": True, "n": 0}, "n is 0"),
    ],
)
def test_settings_of_draws_are_checked(how, said, tiny):
    with pytest.raises(MechclaError, match=said):
        generate(tiny, TEXTS, **how)


def test_a_stream_is_each_answer_as_it_grows(tiny):
    seen: dict[tuple[str, int], list[Answer]] = {}
    answers = generate(
        tiny,
        TEXTS,
        stop=None,
        max_new_tokens=8,
        sample=True,
        n=2,
        stream=lambda a: seen.setdefault((a.id, a.number), []).append(a),
    )
    for a in answers:
        grown = seen[a.id, a.number]
        assert [g.tokens for g in grown] == [a.tokens[: k + 1] for k in range(len(a.tokens))]
        assert [g.ended for g in grown] == [""] * (len(grown) - 1) + [a.ended]
        assert grown[-1] == a


def test_a_template_is_never_put_around_twice(tiny):
    blend = "Provide ONE word answer to the given question.\n\nQuestion: {q}\nAnswer:"
    once = in_template("What do we eat?", blend)
    assert once == blend.replace("{q}", "What do we eat?")
    assert in_template(once, blend) == in_template(once + " ", blend).rstrip() == once
    assert in_template("Question:", "Question: {q}") == "Question: Question:"
    assert in_template("Answer:", "Answer:{q}Answer:") == "Answer:Answer:Answer:"
    answers = generate(tiny, ["What do we eat?", once], template=blend, max_new_tokens=4)
    assert answers[0].tokens == answers[1].tokens
    assert answers[0].tokens != generate(tiny, ["What do we eat?"], max_new_tokens=4)[0].tokens


def test_plain_texts_in_a_chat_template_with_a_system_prompt(tiny_folders, reference):
    model = load_model(tiny_folders["llama"], device="cpu")
    model.tokenizer.chat_template = TEMPLATE
    answers = generate(
        model, "We drink", chat=Chat(system="In our country"), stop=None, max_new_tokens=8
    )
    text = "<system> In our country\n<user> We drink\n<assistant> "
    assert list(answers[0].tokens) == written(model, reference, text, do_sample=False)


def test_numbers_survive_a_file_and_a_file_of_before_reads(tiny, tmp_path):
    import pyarrow.parquet as pq

    answers = generate(tiny, TEXTS, sample=True, n=2, max_new_tokens=3)
    answers.to_parquet(tmp_path / "a.parquet")
    assert Answers.from_parquet(tmp_path / "a.parquet") == answers
    assert len(answers.where(number=1)) == len(TEXTS)
    greedy = generate(tiny, TEXTS, max_new_tokens=3)
    greedy.to_parquet(tmp_path / "b.parquet")
    table = pq.read_table(tmp_path / "b.parquet").drop_columns(["number"])
    pq.write_table(table.replace_schema_metadata({"mechcla": "{}"}), tmp_path / "c.parquet")
    with pytest.warns(UserWarning, match="no digest"):
        assert Answers.from_parquet(tmp_path / "c.parquet").rows == greedy.rows


def test_the_language_of_a_text_among_some():
    assert most_likely("우리나라의 수도는", ["es", "ko"]) == "ko"
    assert most_likely("2024", ["es", "ko"]) is None
    assert most_likely("La moneda de nuestro país es el", ["es", "id"]) == "es"
    assert most_likely("Mata uang negara kita adalah", ["es", "id"]) == "id"
