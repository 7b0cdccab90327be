"""Chat templates decide the tokens of prompt and answer; the user's words alone are steered.

The oracle is transformers' `apply_chat_template` with the answer as the assistant's turn, and one
row per answer.
"""

from __future__ import annotations

import datetime
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, ByT5Tokenizer
from transformers.utils import chat_template_utils

import mechcla
from mechcla.engine.hooks import token_mask
from mechcla.engine.intervention import Intervention
from mechcla.engine.packing import collate, pack
from mechcla.errors import MechclaError
from mechcla.items.item import Candidate, Item
from mechcla.items.item_set import ItemSet
from mechcla.models.chat import Chat, chat_settings, prompt_tokens
from mechcla.models.hooked_model import HookedModel
from mechcla.models.load import load_model
from mechcla.vectors.residuals import cache_residuals
from tests.conftest import save_tiny, tiny_tokenizer, universal

TURNS = (
    "{{ bos_token }}{% for m in messages %}<turn>{{ m.role }}\n{{ m.content | trim }}</turn>\n{% "
    "endfor %}"
    "{% if add_generation_prompt %}<turn>assistant\n{% endif %}"
)
SPACE = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}<turn>{{ m.content }}</turn>"
    "{% else %} {{ m.content }}{{ eos_token }}{% endif %}{% endfor %}"
)
THINKING = (
    "{% for m in messages %}<turn>{{ m.role }}\n{% if m.role == 'assistant' "
    "%}<think>\n\n</think>\n\n{% endif %}"
    "{{ m.content }}</turn>\n{% endfor %}{% if add_generation_prompt %}<turn>assistant\n"
    "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif "
    "%}{% endif %}"
)
# Its generation prompt opens a block that its answers do not have, as DeepSeek R1's.
OPEN_THOUGHT = (
    "{% for m in messages %}{% if m.role == 'user' %}<turn>{{ m.content }}{% else %}</turn>{{ "
    "m.content }}"
    "{{ eos_token }}{% endif %}{% endfor %}{% if add_generation_prompt %}</turn><think>\n{% endif "
    "%}"
)
TEMPLATES = {"turns": TURNS, "space": SPACE, "thinking": THINKING, "open thought": OPEN_THOUGHT}
DATED = "{{ strftime_now('%d %B %Y') }}, {% set f = '%-d.%m.%y' %}{{ strftime_now(f) }}" + TURNS


def save_chatty(folder: Path, template: str, byte_level: bool = False) -> Path:
    """A llama with turn markers that are flagged special and have no role, and a template."""
    tokenizer = ByT5Tokenizer() if byte_level else tiny_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<turn>", "</turn>"]})
    tokenizer.chat_template = template
    save_tiny("llama", folder, vocab_size=len(tokenizer))
    for old in folder.glob("*token*"):
        old.unlink()
    tokenizer.save_pretrained(folder)
    return folder


def chatty(folder: Path, template: str, byte_level: bool = False) -> HookedModel:
    return load_model(str(save_chatty(folder, template, byte_level)), device="cpu")


@torch.inference_mode()
def summed(folder: Path, whole: list[int], begin: int, end: int) -> float:
    hf_model = AutoModelForCausalLM.from_pretrained(folder).eval()
    logs = hf_model(torch.tensor([whole])).logits[0].double().log_softmax(-1)
    return sum(float(logs[i - 1, whole[i]]) for i in range(begin, end))


ITEM = universal("q", "en", "The capital of Peru is", "Lima", "Tokyo")


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("byte_level", [False, True])
def test_the_template_decides_the_tokens_of_prompt_and_answer(name, byte_level, tmp_path):
    model = chatty(tmp_path, TEMPLATES[name], byte_level)
    own = AutoTokenizer.from_pretrained(tmp_path)
    row = mechcla.score(model, ItemSet((ITEM,)), chat=True)[0]
    packed = pack(ITEM, model.tokenizer, chat=True)
    for k, candidate in enumerate(ITEM.candidates):
        turns = [("user", ITEM.prompt), ("assistant", candidate.text)]
        text = own.apply_chat_template(
            [{"role": role, "content": content} for role, content in turns], tokenize=False
        )
        whole = own(text, add_special_tokens=False)["input_ids"]
        written = len(
            own(text[text.rindex(candidate.text) :], add_special_tokens=False)["input_ids"]
        )
        tail = text[text.rindex(candidate.text) + len(candidate.text) :]
        end = len(whole) - len(own(tail, add_special_tokens=False)["input_ids"])
        begin = len(whole) - written
        if name == "space":  # the byte-level BPE has the space in the answer's first token
            begin = len(
                own(text[: text.rindex(candidate.text) - 1], add_special_tokens=False)["input_ids"]
            )
            if byte_level:
                begin += 1
        assert list(packed.prompt + packed.candidates[k]) == whole[:end]
        assert len(packed.prompt) == begin
        assert row.log_likelihood[k] == pytest.approx(summed(tmp_path, whole, begin, end), abs=1e-4)


@pytest.mark.parametrize(
    "template",
    [
        # One form for both roles.
        "{{ bos_token }}{% for m in messages %}U: {{ m.content }}\n{% endfor %}A:",
        "{{ bos_token }}<turn>{{ messages[0].content }}</turn>A:",  # no form for an answer
    ],
)
def test_where_no_turn_of_the_assistants_is_written_the_answer_follows_the_prompt(
    template, tmp_path
):
    model = chatty(tmp_path, template)
    own = AutoTokenizer.from_pretrained(tmp_path)
    text = own.apply_chat_template(
        [{"role": "user", "content": ITEM.prompt}], tokenize=False, add_generation_prompt=True
    )
    packed = pack(ITEM, model.tokenizer, chat=True)
    for candidate, tokens in zip(ITEM.candidates, packed.candidates, strict=True):
        whole = own(text + candidate.text, add_special_tokens=False)["input_ids"]
        assert list(packed.prompt + tokens) == whole


@pytest.mark.parametrize("bos", [True, False])
def test_generation_and_vectors_take_apply_chat_templates_tokens(bos, tmp_path):
    """With a tokenizer that adds a BOS which its template does not have, and one that adds none."""
    save_chatty(tmp_path, TURNS.removeprefix("{{ bos_token }}"))
    if not bos:
        tokenizer = AutoTokenizer.from_pretrained(tmp_path, add_bos_token=False)
        tokenizer.save_pretrained(tmp_path)
    model = load_model(str(tmp_path), device="cpu")
    own = AutoTokenizer.from_pretrained(tmp_path)
    assert (own("a")["input_ids"][0] == own.bos_token_id) is bos
    hf_model = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    ids = own.apply_chat_template(
        [{"role": "user", "content": ITEM.prompt}],
        add_generation_prompt=True,
        return_dict=False,
        return_tensors="pt",
    )
    answer = mechcla.generate(model, [ITEM], chat=True, stop=None, max_new_tokens=5)[0]
    wanted = hf_model.generate(
        ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=5
    )
    assert list(answer.tokens) == wanted[0, ids.shape[1] :].tolist()
    states = hf_model(ids, output_hidden_states=True).hidden_states
    found = cache_residuals(model, ItemSet((ITEM,)), chat=True)["en"][0]
    for layer in range(3):
        assert torch.allclose(found[layer], states[layer + 1][0, -1], atol=1e-4)


@pytest.mark.parametrize("byte_level", [False, True])
@pytest.mark.parametrize("prompt", ["Peru is", "  Peru   is  \n", "té", "</turn> x"])
@pytest.mark.parametrize("system", [None, "Peru is big"])
def test_the_users_words_alone_are_steered(prompt, system, byte_level, tmp_path):
    """The user's tokens lie between the first marker behind the role and the last one, in a
    template of markers.
    """
    template = (
        "{% for m in messages %}<turn>{{ m.role }}<turn>{{ m.content }}</turn>{% endfor %}"
        "{% if add_generation_prompt %}<turn>model<turn>{% endif %}"
    )
    model = chatty(tmp_path, template, byte_level)
    item = Item(
        "q",
        "en",
        "universal",
        "test",
        prompt,
        (Candidate("Lima", "correct"), Candidate("Tokyo", "wrong")),
    )
    how = Chat(system=system)
    packed = pack(item, model.tokenizer, chat=how)
    opens, closes = model.tokenizer.convert_tokens_to_ids(["<turn>", "</turn>"])
    head = [i for i, t in enumerate(packed.prompt) if t == opens][1 if system is None else 3]
    foot = [i for i, t in enumerate(packed.prompt) if t == closes][-1]
    mask = token_mask(collate([packed], 0).layout, "prompt")[0].tolist()
    n = len(packed.prompt)
    assert mask[:n] == [head < i < foot for i in range(n)]
    last = token_mask(collate([packed], 0).layout, "last_prompt_token")[0]
    assert last.nonzero().flatten().tolist() == [n - 1]  # where vectors are read, by its name
    both = token_mask(collate([packed], 0).layout, "prompt_and_answer")[0]
    assert both.tolist() == [*mask[:n], *[True] * (len(both) - n)]


def test_a_steered_chat_equals_edits_by_hand_at_the_users_tokens(tmp_path):
    model = chatty(tmp_path, SPACE)
    edit = Intervention(torch.linspace(-1, 1, 32), 1, 2.0, positions="prompt")
    row = mechcla.score(model, ItemSet((ITEM,)), edit, chat=True)[0]
    own = AutoTokenizer.from_pretrained(tmp_path)
    hf_model = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    inside = own(ITEM.prompt, add_special_tokens=False)["input_ids"]
    opens, closes = own.convert_tokens_to_ids(["<turn>", "</turn>"])

    def add(_module, _args, output):
        hidden = output[0] if isinstance(output, tuple) else output
        hidden[:, 2 : 2 + len(inside)] += 2.0 * edit.vector
        return output

    hf_model.model.layers[1].register_forward_hook(add)
    for candidate, found in zip(ITEM.candidates, row.log_likelihood, strict=True):
        answer = own(f" {candidate.text}", add_special_tokens=False)["input_ids"]
        whole = [own.bos_token_id, opens, *inside, closes, *answer]
        with torch.inference_mode():
            logs = hf_model(torch.tensor([whole])).logits[0].double().log_softmax(-1)
        n = len(inside) + 3
        wanted = sum(float(logs[i - 1, whole[i]]) for i in range(n, len(whole)))
        assert found == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (
            "{% if messages | length > 1 %}{{ raise_exception('one turn only') }}{% endif %}"
            "{{ messages[0].content }}",
            "one turn only",
        ),
        (
            SPACE.replace("{{ m.content }}{{ eos", "{{ m.content | upper }}{{ eos"),
            "does not keep the answer",
        ),
        ("{{ bos_token }}<turn>Hello", "does not write the user's text"),
        ("{% for m in messages %}{{ m.nothing.here }}{% endfor %}", "UndefinedError"),
    ],
)
def test_templates_that_cannot_be_followed_are_refused(template, message, tmp_path):
    model = chatty(tmp_path, template)
    with pytest.raises(MechclaError, match=message):
        mechcla.score(model, ItemSet((ITEM,)), chat=True)


def test_an_answer_that_the_template_strips_is_refused():
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = TURNS
    item = replace(ITEM, candidates=(Candidate("Lima ", "correct"), Candidate("Rome", "wrong")))
    with pytest.raises(MechclaError, match=r"item 'q' \(en\).*does not keep the answer 'Lima '"):
        pack(item, tokenizer, chat=True)


def test_the_templates_variables_and_a_system_prompt_reach_it(tmp_path):
    model = chatty(tmp_path, THINKING)
    own = AutoTokenizer.from_pretrained(tmp_path)
    for how in (
        Chat(template_args={"enable_thinking": False}),
        Chat(system="Be brief.", template_args={"enable_thinking": True}),
    ):
        turns = [{"role": "user", "content": "Peru?"}]
        if how.system:
            turns.insert(0, {"role": "system", "content": how.system})
        wanted = own.apply_chat_template(
            turns, add_generation_prompt=True, return_dict=False, **how.template_args
        )
        assert prompt_tokens("Peru?", model.tokenizer, how).ids == tuple(wanted)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (
            {"template_args": {"enable_thinkng": False}},
            "no variable 'enable_thinkng': it does not occur",
        ),
        ({"template_args": {"messages": []}}, "no variable 'messages'"),
        ({"template_args": {"tokenize": True}}, "no variable 'tokenize'"),
        ({"template_args": {"x": {1}}}, "is not JSON"),
        ({"template_args": {"a b": 1}}, "expected the template's variables by name"),
        ({"date": "yesterday"}, "'yesterday' is no date"),
    ],
)
def test_settings_that_the_template_cannot_take_are_refused(how, message):
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = THINKING
    with pytest.raises(MechclaError, match=message):
        prompt_tokens("Peru?", tokenizer, Chat(**how))


def test_a_system_prompt_that_a_template_refuses_or_drops_is_refused():
    tokenizer = tiny_tokenizer()
    for template in (
        "{% if messages[0].role == 'system' %}"
        "{{ raise_exception('System role not supported') }}{% endif %}" + TURNS,
        "{{ messages[-1].content }}",
    ):
        tokenizer.chat_template = template
        with pytest.raises(MechclaError, match="system"):
            prompt_tokens("Peru?", tokenizer, Chat(system="Be brief."))


def test_a_template_that_asks_for_the_day_is_told_a_fixed_one(monkeypatch):
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = DATED
    found = prompt_tokens("Peru?", tokenizer, Chat(date="2024-02-09"))

    class Clock(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2024, 2, 9)

    monkeypatch.setattr(chat_template_utils, "datetime", Clock)
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Peru?"}], tokenize=False, add_generation_prompt=True
    )
    assert text.startswith("09 February 2024, 9.02.24")
    assert found.ids == tuple(tokenizer(text, add_special_tokens=False)["input_ids"])
    assert (
        chat_settings(Chat(date="2024-02-09"), tokenizer)["chat_template"]["date"] == "2024-02-09"
    )
    tokenizer.chat_template = TURNS
    assert chat_settings(Chat(date="2024-02-09"), tokenizer) == chat_settings(True, tokenizer)
