"""Which tokens are labels, against the tokenizer's own tokens of the text and of the template."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import AutoTokenizer

from mechcla.align.rows import Example, Text, encode_example
from mechcla.models.chat import Chat

TEMPLATE = (
    "{% for m in messages %}<start_of_turn>{{ m.role }}\n{{ m.content }}<end_of_turn>\n"
    "{% endfor %}{% if add_generation_prompt %}<start_of_turn>assistant\n{% endif %}"
)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_neither_prompt_nor_separator_is_a_label(
    family: str, tiny_folders: dict[str, Path]
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_folders[family])
    text = Text("What is it?", "\n", "té", end=True)
    row = encode_example(Example("row 1", "a", "es", (text,)), tokenizer, None, 320, None)
    before = tokenizer("What is it?\n").input_ids
    whole = tokenizer("What is it?\nté").input_ids
    assert whole[: len(before)] == before  # with these tokenizers the separator is its own token
    assert list(row.ids[0]) == [*whole, tokenizer.eos_token_id]
    assert row.prompts[0] == len(before)


def test_with_chat_the_answer_ends_as_the_template_ends_a_turn(
    tiny_folders: dict[str, Path],
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_folders["llama"])
    tokenizer.add_tokens(["<start_of_turn>", "<end_of_turn>"], special_tokens=True)
    tokenizer.chat_template = TEMPLATE
    end = tokenizer.convert_tokens_to_ids("<end_of_turn>")
    text = Text("What is it?", "\n", "té", end=True)
    row = encode_example(
        Example("row 1", "a", "es", (text,)), tokenizer, None, len(tokenizer), Chat()
    )
    asked = [{"role": "user", "content": "What is it?"}]
    answered = [*asked, {"role": "assistant", "content": "té"}]
    whole = tokenizer.apply_chat_template(answered, return_dict=False)
    before = tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_dict=False)
    ids = list(row.ids[0])
    assert ids[-1] == end != tokenizer.eos_token_id
    assert ids == whole[: len(ids)]
    assert end not in whole[len(ids) :]
    assert row.prompts[0] == len(before)
