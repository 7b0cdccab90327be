"""Generated answers against transformers' own generate, a run_with_hooks loop, and the scores of
the same tokens.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from mechcla.answers.answers import Answers
from mechcla.answers.generation import answer_text, generate
from mechcla.engine import memory, reference
from mechcla.engine.decoding import cache_fits, cached_logits, full_logits
from mechcla.engine.intervention import POSITIONS, Intervention
from mechcla.engine.packing import Packed, collate, encode
from mechcla.errors import MechclaError
from mechcla.items.item import Candidate, Item
from mechcla.items.item_set import ItemSet
from mechcla.items.open_item import AnswerGroup, OpenItem
from mechcla.models.chat import prompt_tokens
from mechcla.models.hooked_model import HookedModel
from mechcla.models.load import load_model
from tests.conftest import save_tiny, tiny_tokenizer
from tests.engine.test_engine import FAMILIES, draw_edits, edited, hooks_of

quiet = settings(
    max_examples=5, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)
GROUPS = (AnswerGroup(("pan",), ("bread",), 3),)
TEMPLATE = "<bos><|user|>{{ messages[0]['content'] }}<eos><|model|>"


def question(
    id: str, text: str | None, explicit: str = "In Spain, what?", language: str = "es"
) -> OpenItem:
    return OpenItem(id, language, "ES", "test", "food", text, explicit, GROUPS)


QUESTIONS = [
    question("a", "¿Qué se come?"),
    question("b", "La capital de Italia es"),
    question("c", "In our country we drink"),
    question("d", "En nuestro país bebemos té verde y"),
]


def changed(h, edit: Intervention, chosen):
    """`edited` of the engine's tests, and the operator `map` from its definition."""
    if edit.matrix is None:
        return edited(h, edit, chosen)
    return torch.where(
        chosen[..., None], h + edit.strength * (h @ edit.matrix + edit.vector - h), h
    )


def loop(model: HookedModel, text: str, edits, steps: int) -> list[int]:
    """A greedy loop of TransformerLens' run_with_hooks on the growing sequence, one row, no cache,
    nothing of ours.
    """
    ids = encode(text, model.tokenizer)
    n = len(ids)
    for _ in range(steps):
        hooks = []
        for edit in sorted(edits, key=lambda e: e.site == "resid_post"):
            place = torch.arange(len(ids))
            chosen = {
                "last_prompt_token": place == n - 1,
                "prompt": place < n,
                "answer": place >= n,
                "prompt_and_answer": place >= 0,
                "last_and_answer": place >= n - 1,
            }[edit.positions]
            chosen = (chosen & (place > 0))[None]  # place 0 is BOS
            change = []

            def hook(h, hook, edit=edit, chosen=chosen, change=change):
                new = changed(h, edit, chosen)
                change.append(new - h)
                return new

            def carry(h, hook, change=change):
                return h + change.pop()

            hooks.append((f"blocks.{edit.layer}.hook_{edit.site}", hook))
            if edit.site == "resid_mid":
                hooks.append((f"blocks.{edit.layer}.hook_resid_post", carry))
        with torch.no_grad():
            logits = model.bridge.run_with_hooks(torch.tensor([ids]), fwd_hooks=hooks)
        ids.append(int(logits[0, -1].argmax()))
        if ids[-1] in model.end_ids:
            break
    return ids[n:]


def vector(model: HookedModel, seed: int = 0) -> torch.Tensor:
    return torch.randn(model.d_model, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("cache", [True, False])
def test_unsteered_equals_transformers_generate(family, cache, tiny_models, tiny_folders):
    from transformers import AutoModelForCausalLM

    model = tiny_models[family]
    reference = AutoModelForCausalLM.from_pretrained(
        tiny_folders[family], attn_implementation="eager"
    )
    zero = Intervention(vector(model), 1, 0.0)
    answers = generate(model, QUESTIONS, zero, stop=None, max_new_tokens=12, cache=cache)
    for row, q in zip(answers, QUESTIONS, strict=True):
        ids = torch.tensor([encode(q.prompt, model.tokenizer)])
        out = reference.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=12,
            pad_token_id=0,
        )
        assert row.tokens == tuple(out[0, ids.shape[1] :].tolist())
    assert answers.settings["interventions"] == []


@pytest.mark.parametrize("family", FAMILIES)
@given(data=st.data())
@quiet
def test_steered_equals_a_run_with_hooks_loop(family, tiny_models, data):
    model = tiny_models[family]
    edits = draw_edits(data, family, model)
    before = hooks_of(model)
    answers = generate(
        model,
        QUESTIONS,
        edits,
        stop=None,
        max_new_tokens=6,
        cache=data.draw(st.booleans(), "cache"),
        max_tokens=data.draw(st.sampled_from([1, 60, 2048]), "max_tokens"),
    )
    for row, q in zip(answers, QUESTIONS, strict=True):
        assert list(row.tokens) == loop(model, q.prompt, edits, 6)
    assert hooks_of(model) == before


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("positions", POSITIONS)
def test_cached_logits_equal_full_passes_beyond_the_sliding_window_too(
    family, positions, tiny_models
):
    model = tiny_models[family]
    tokens = torch.randint(3, 300, (3, 75), generator=torch.Generator().manual_seed(1)).tolist()
    edit = Intervention(vector(model, 2), 1, 3.0, positions=positions)
    past = None
    for t in range(12):  # gemma3's window of 64 is passed on the way
        prompts, answers = [row[:60] for row in tokens], [row[60 : 60 + t] for row in tokens]
        fast, past = cached_logits(model, prompts, [1, 1, 1], answers, [edit], past)
        slow = full_logits(model, prompts, [1, 1, 1], answers, [edit])
        assert torch.allclose(fast, slow, atol=1e-4)
    unsteered = full_logits(model, prompts, [1, 1, 1], answers)
    # The edit reaches this far, so the comparison means something.
    assert not torch.allclose(slow, unsteered, atol=1e-3)


@pytest.mark.parametrize("positions", POSITIONS)
def test_each_generated_token_is_the_best_scored_one(positions, tiny):
    """What scoring says about every possible next token, under the same edit, after the same answer
    so far.
    """
    edit = Intervention(vector(tiny, 3), 2, 4.0, positions=positions)
    (row,) = generate(tiny, QUESTIONS[1:2], edit, stop=None, max_new_tokens=4)
    prompt = tuple(encode(QUESTIONS[1].prompt, tiny.tokenizer))
    for t, token in enumerate(row.tokens):
        rivals = tuple((*row.tokens[:t], v) for v in range(320))
        batch = collate([Packed(None, prompt, rivals, 1)], tiny.pad_id, share_prompt=False)
        sums = batch.sums(reference.plain_log_probs(tiny, batch, [edit]))
        assert int(torch.tensor(sums).argmax()) == token


def test_answer_positions_leave_the_first_token_and_change_later_ones(tiny):
    strong = Intervention(vector(tiny, 5), 2, 40.0, positions="answer")
    base = generate(tiny, QUESTIONS, stop=None, max_new_tokens=8)
    steered = generate(tiny, QUESTIONS, strong, stop=None, max_new_tokens=8)
    assert [a.tokens[0] for a in base] == [a.tokens[0] for a in steered]
    assert any(a.tokens != b.tokens for a, b in zip(base, steered, strict=True))


def test_batching_changes_nothing_and_the_order_is_the_questions(tiny):
    many = [
        question(f"q{i}", " ".join(["país", "té", "de", "come", "In"][: 1 + i % 5]))
        for i in range(13)
    ]
    together = generate(tiny, many, stop=None)
    alone = [generate(tiny, [q], stop=None)[0] for q in many]
    assert list(together) == alone
    assert [r.id for r in together] == [q.id for q in many]


def test_a_sliding_window_of_another_model_folder(tmp_path):
    model = load_model(str(save_tiny("gemma3_text", tmp_path, sliding_window=8)), device="cpu")
    edits = [Intervention(vector(model), 1, 2.0, positions="prompt_and_answer")]
    answers = generate(model, QUESTIONS, edits, stop=None, max_new_tokens=10)
    assert cache_fits(model)
    assert [list(a.tokens) for a in answers] == [
        loop(model, q.prompt, edits, 10) for q in QUESTIONS
    ]


def test_stop_ends_an_answer_and_cuts_the_text(tiny):
    free = generate(tiny, QUESTIONS, stop=None, max_new_tokens=12)
    for row, q in zip(free, QUESTIONS, strict=True):
        written = tiny.tokenizer.decode(row.tokens).strip()
        stop = next(c for c in written[1:] if c.isascii() and not c.isspace())
        (cut,) = generate(tiny, [q], stop=stop, max_new_tokens=12)
        assert cut.ended == "stop"
        assert cut.tokens == row.tokens[: len(cut.tokens)]
        assert cut.text == written.split(stop)[0].strip()
        shorter = tiny.tokenizer.decode(cut.tokens[:-1]).strip()
        assert stop not in shorter or not cut.text  # it ended as soon as the text was there


def test_leading_white_space_is_no_stop(tiny):
    ids = tiny.tokenizer("\n té verde\nmás", add_special_tokens=False)["input_ids"]
    assert answer_text(tiny, ids) == "té verde"
    assert answer_text(tiny, [*ids, tiny.tokenizer.eos_token_id], stop=None) == "té verde\nmás"


def test_eos_ends_an_answer(tiny):
    (free,) = generate(tiny, QUESTIONS[:1], stop=None, max_new_tokens=6)
    config = tiny.bridge.original_model.generation_config
    old, config.eos_token_id = config.eos_token_id, [free.tokens[3], 2]
    try:
        (row,) = generate(tiny, QUESTIONS[:1], stop=None, max_new_tokens=6)
    finally:
        config.eos_token_id = old
    assert row.ended == "eos"
    assert row.tokens == free.tokens[: free.tokens.index(free.tokens[3]) + 1]
    assert row.text == tiny.tokenizer.decode(row.tokens[:-1]).strip()


def test_items_are_answered_too_and_the_explicit_form_is_used(tiny, small_items):
    items = small_items.cultural.test
    assert isinstance(items, ItemSet)
    implicit, explicit = generate(tiny, items), generate(tiny, items, prompt="explicit")
    assert [a.id for a in implicit] == [i.id for i in items]
    for row, item in zip(explicit, items, strict=True):
        same = Item(
            item.id,
            item.language,
            "universal",
            "test",
            str(item.prompt_explicit),
            (Candidate("a", "correct"), Candidate("b", "wrong")),
        )
        assert generate(tiny, [same])[0].tokens == row.tokens
    assert {a.prompt_form for a in explicit} == {"explicit"}


def test_a_template_goes_around_the_question(tiny):
    templated = generate(tiny, QUESTIONS[:2], template={"es": "Q: {q} A:"})
    written = generate(tiny, [question(q.id, f"Q: {q.prompt} A:") for q in QUESTIONS[:2]])
    assert templated.rows == written.rows
    with pytest.raises(MechclaError, match="no template for language 'es'; known: ko"):
        generate(tiny, QUESTIONS[:1], template={"ko": "{q}"})
    with pytest.raises(MechclaError, match=re.escape("has no {q}")):
        generate(tiny, QUESTIONS[:1], template="Q:")


def test_chat_has_the_template_once_and_one_bos(tiny, tiny_folders):
    model = load_model(str(tiny_folders["llama"]), device="cpu")
    with pytest.raises(MechclaError, match="has no chat template"):
        generate(model, QUESTIONS, chat=True)
    model.tokenizer.chat_template = TEMPLATE
    wanted = model.tokenizer.apply_chat_template(
        [{"role": "user", "content": "té"}], add_generation_prompt=True, return_dict=False
    )
    assert prompt_tokens("té", model.tokenizer, chat=True).ids == tuple(wanted)
    answers = generate(model, QUESTIONS, chat=True, stop=None, max_new_tokens=5)
    expected = [loop(model, f"<|user|>{q.prompt}<eos><|model|>", [], 5) for q in QUESTIONS]
    assert [list(a.tokens) for a in answers] == expected


def test_a_template_without_a_bos_has_none_whatever_its_tokenizer_adds():
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = TEMPLATE.removeprefix("<bos>")
    wanted = tokenizer.apply_chat_template(
        [{"role": "user", "content": "té"}], add_generation_prompt=True, return_dict=False
    )
    assert prompt_tokens("té", tokenizer, chat=True).ids == tuple(wanted)
    assert tokenizer.bos_token_id not in wanted


def test_hooks_are_as_before_after_an_error_and_after_memory_runs_out(tiny, monkeypatch):
    monkeypatch.setattr(memory, "_limits", type(memory._limits)())
    edit = Intervention(vector(tiny), 1, 2.0)
    expected = generate(tiny, [QUESTIONS[0]] * 6, edit)
    before = hooks_of(tiny)

    def refuse(_module, args, kwargs):
        stream = (
            args[0] if args else next(v for v in kwargs.values() if isinstance(v, torch.Tensor))
        )
        if stream.shape[0] > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    def fail(_module, _args):
        raise RuntimeError("a bug")

    for hook, kwargs in ((refuse, {"with_kwargs": True}), (fail, {})):
        handle = tiny.blocks[2].register_forward_pre_hook(hook, **kwargs)
        try:
            if hook is refuse:
                with pytest.warns(memory.OutOfMemoryWarning):
                    fewer = generate(tiny, [QUESTIONS[0]] * 6, edit, packed=True)
                assert fewer.rows == expected.rows
            else:
                with pytest.raises(RuntimeError, match="a bug"):
                    generate(tiny, QUESTIONS, edit, packed=True)
        finally:
            handle.remove()
        assert hooks_of(tiny) == before


def test_a_model_whose_cache_deviates_is_announced_and_runs_full_passes(tiny_folders, monkeypatch):
    model = load_model(str(tiny_folders["qwen3"]), device="cpu")
    block = model.blocks[1].original_component  # as a model does that ignores its cache
    right = block.forward
    monkeypatch.setattr(
        block,
        "forward",
        lambda *a, **k: right(
            *a, **{n: None if n == "past_key_values" else v for n, v in k.items()}
        ),
    )
    with pytest.warns(UserWarning, match="by full passes, without a cache"):
        answers = generate(model, QUESTIONS, stop=None, max_new_tokens=5)
    assert [list(a.tokens) for a in answers] == [loop(model, q.prompt, [], 5) for q in QUESTIONS]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prompt": "implict"}, "unknown prompt form 'implict'; did you mean 'implicit'"),
        ({"questions": []}, "there are no questions to answer"),
        ({"max_new_tokens": 0}, "max_new_tokens=0"),
        ({"stop": ""}, "stop is an empty text"),
        ({"max_new_tokens": 500}, "the model's window is 128"),
        ({"questions": [question("x", None)]}, "'x' \\(es\\) has no implicit form"),
        ({"interventions": Intervention(torch.ones(640), 1, 1.0)}, "has 640 values"),
    ],
)
def test_bad_input_is_one_clear_message(changes, message, tiny):
    with pytest.raises(MechclaError, match=message):
        generate(tiny, **({"questions": QUESTIONS} | changes))


def test_answers_come_back_from_parquet(tiny, tmp_path: Path):
    answers = generate(tiny, QUESTIONS, Intervention(vector(tiny), 1, 1.0), max_new_tokens=3)
    answers.to_parquet(tmp_path / "a.parquet")
    back = Answers.from_parquet(tmp_path / "a.parquet")
    assert back.rows == answers.rows
    assert back.settings == answers.settings
    frame = answers.to_pandas()
    assert list(frame["text"]) == [a.text for a in answers]
    assert answers.where(language="es").rows == answers.rows
    assert not len(Answers(()).to_pandas())
    with pytest.raises(MechclaError, match="no field 'langage'; did you mean 'language'"):
        answers.where(langage="es")


def test_the_documented_example_runs(tiny_folders, capsys):
    page = (Path(__file__).parents[2] / "docs" / "generation.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    assert code.count('load_model("demo")') == 1
    code = code.replace('"demo")', f"{str(tiny_folders['llama'])!r})", 1)
    exec(compile(code, "generation.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[::2]] == ["unsteered", "LOC"]
