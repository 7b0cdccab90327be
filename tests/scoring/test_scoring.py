"""Priors and chat prompts against transformers' own forward pass; normalisations by hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

import mechcla
from mechcla.errors import MechclaError
from mechcla.items.item_set import ItemSet
from mechcla.models.hooked_model import HookedModel
from mechcla.models.wrapping import wrap_model
from mechcla.scoring.prepared import PRIOR_TOKENS, prepare
from mechcla.scoring.scores import NORMALISATIONS, ItemScore, Scores
from tests.conftest import FAMILIES, universal

TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<user>{{ m.content }}</user>{% endfor %}"
    "{% if add_generation_prompt %}<model>{% endif %}"
)


@torch.inference_mode()
def log_likelihood(hf_model, prompt: list[int], answer: list[int]) -> float:
    logs = hf_model(torch.tensor([prompt + answer])).logits[0].log_softmax(-1)
    return float(sum(logs[len(prompt) + k - 1, token] for k, token in enumerate(answer)))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_prior_is_the_candidate_at_the_beginning_of_a_text(
    family, tiny_models, tiny_folders, small_items
):
    model = tiny_models[family]
    hf_model = AutoModelForCausalLM.from_pretrained(tiny_folders[family]).eval()
    items = small_items.test
    for row, item in zip(mechcla.score(model, items), items, strict=True):
        for candidate, prior in zip(item.candidates, row.prior, strict=True):
            answer = model.tokenizer(item.separator + candidate.text, add_special_tokens=False)[
                "input_ids"
            ]
            assert prior == pytest.approx(
                log_likelihood(hf_model, [model.tokenizer.bos_token_id], answer), abs=1e-4
            )


def test_the_prior_is_of_the_unsteered_model_and_the_same_on_the_plain_path(tiny, small_items):
    edit = mechcla.Intervention(torch.ones(tiny.d_model), 1, 3.0)
    base, steered = mechcla.score(tiny, small_items), mechcla.score(tiny, small_items, edit)
    assert [r.prior for r in base] == [r.prior for r in steered]
    assert base.rows != steered.rows
    handle = tiny.blocks[0].register_forward_hook(lambda *_: None)  # a hook of the user's own
    try:
        plain = mechcla.score(tiny, small_items)
    finally:
        handle.remove()
    assert (base.settings["path"], plain.settings["path"]) == ("packed", "plain")
    for one, other in zip(base, plain, strict=True):
        assert one.prior == pytest.approx(other.prior, abs=1e-4)


def test_normalisations_by_hand_and_through_parquet(tmp_path):
    row = ItemScore(
        "q",
        "es",
        "universal",
        "test",
        "",
        None,
        "implicit",
        ("sí", "no sé"),
        ("correct", "wrong"),
        (None, None),
        (-2.0, -6.0),
        (1, 3),
        (-5.0, -12.0),
    )
    expected = {
        "sum": (-2, -6),
        "token": (-2, -2),
        "char": (-1, -6 / 5),
        "byte": (-2 / 3, -1),
        "prior": (3, 6),
    }
    assert set(expected) == set(NORMALISATIONS)
    for name, values in expected.items():
        assert np.allclose(row.values(name), values)
    Scores((row,)).to_parquet(tmp_path / "scores.parquet")
    assert Scores.from_parquet(tmp_path / "scores.parquet").rows == (row,)
    assert mechcla.transfer(Scores((row,)), "accuracy", "prior")["es"].value == 0.0


def test_without_priors_the_message_says_how_to_get_them(tiny, small_items):
    scores = mechcla.score(tiny, small_items, prior=False)
    with pytest.raises(MechclaError, match="prior=True"):
        scores[0].values("prior")


def test_chat_scores_the_answer_to_the_templates_turn(tiny_folders, tiny, small_items):
    hf_model = AutoModelForCausalLM.from_pretrained(tiny_folders["llama"]).eval()
    model = wrap_model(tiny.bridge)
    with pytest.raises(MechclaError, match="chat template"):
        mechcla.score(model, small_items, chat=True)
    model.tokenizer.chat_template = TEMPLATE
    try:
        items = small_items.language("es").test
        scores = mechcla.score(model, items, chat=True)
        assert scores.settings["chat"] is True
        for row, item in zip(scores, items, strict=True):
            turn = [{"role": "user", "content": item.prompt}]
            text = model.tokenizer.apply_chat_template(
                turn, tokenize=False, add_generation_prompt=True
            )
            prompt = model.tokenizer(text, add_special_tokens=False)["input_ids"]
            for candidate, found in zip(item.candidates, row.log_likelihood, strict=True):
                whole = model.tokenizer(text + candidate.text, add_special_tokens=False)[
                    "input_ids"
                ]
                assert whole[: len(prompt)] == prompt
                assert found == pytest.approx(
                    log_likelihood(hf_model, prompt, whole[len(prompt) :]), abs=1e-4
                )
    finally:
        model.tokenizer.chat_template = None


def shapes_run(model: HookedModel, run: Callable[[], Any]) -> list[tuple[int, int]]:
    """Rows and tokens of every pass through the first block."""
    found: list[tuple[int, int]] = []
    handle = model.blocks[0].register_forward_hook(
        lambda _module, _args, out: found.append(tuple(_stream(out).shape[:2]))
    )
    try:
        run()
    finally:
        handle.remove()
    return found


def _stream(out: Any) -> torch.Tensor:
    return out if isinstance(out, torch.Tensor) else out[0]


def test_priors_that_are_known_are_not_measured_again(tiny, small_items):
    """Another prompt form of the same items has the same candidates, and so the same priors to the
    last bit.
    """
    test, known = small_items.test.language("es"), {}
    first = prepare(tiny, test, known=known)
    assert len(known) > 0
    assert first.priors == prepare(tiny, test).priors
    alone = prepare(tiny, test, "explicit").priors
    assert prepare(tiny, test, "explicit", known=known).priors == alone
    with_, without = (
        shapes_run(tiny, lambda k=k: prepare(tiny, test, "explicit", packed=True, **k))
        for k in ({"known": known}, {"prior": False})
    )
    assert with_ == without  # not a pass more than without priors
    assert len(shapes_run(tiny, lambda: prepare(tiny, test, "explicit", packed=True))) > len(with_)


@pytest.mark.parametrize("family", ["gemma3_text", "gpt_neox"])
def test_priors_together_are_the_priors_alone(family, tiny_models):
    """However many candidates share a sequence; none is longer than the window that attention
    slides.
    """
    words = [
        f"{a} {b} té verde"
        for a in ("Lima", "Roma", "París", "Tokio")
        for b in ("uno", "dos", "tres", "siete", "once")
    ]
    items = ItemSet(
        tuple(universal(f"q{k}", "es", "La capital es", *words[k : k + 4]) for k in range(0, 20, 4))
    )
    model = tiny_models[family]
    runs = {
        prior: shapes_run(model, lambda p=prior: prepare(model, items, prior=p, packed=True))
        for prior in (True, False)
    }
    priors = list((Counter(runs[True]) - Counter(runs[False])).elements())
    assert 1 < sum(rows for rows, _ in priors) < 20
    assert max(tokens for _, tokens in priors) <= (model.sliding_window or PRIOR_TOKENS)
    together = prepare(model, items).priors
    alone = prepare(model, items, max_tokens=1).priors  # room for one candidate in a sequence
    for a, b in zip(together, alone, strict=True):
        assert a == pytest.approx(b, abs=1e-4)
