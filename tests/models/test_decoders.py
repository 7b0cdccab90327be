"""Every tried family of decoders on the whole path: residuals at every block, vectors, steering,
scores and generation. transformers, hooked by torch's own hooks, is the oracle of all of it.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

import mechcla
from mechcla.engine.capability import fits
from mechcla.models.hooked_model import HookedModel
from mechcla.models.load import load_model
from mechcla.vectors.activations import last_token_residuals
from tests.conftest import tiny_items
from tests.engine.families import DECODERS, NO_TREE, Oracle, save, tokenizer

pytestmark = pytest.mark.usefixtures("one_thread")

LAYER, STRENGTH, NEW = 1, 1.5, 5
ITEMS = tiny_items().language("en", "es")


@pytest.fixture(scope="module", params=DECODERS)
def case(request, tmp_path_factory) -> tuple[str, HookedModel, Oracle]:
    torch.set_num_threads(1)
    folder: Path = tmp_path_factory.mktemp("decoder")
    save(request.param, folder, tokenizer(), scale=0.15)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return request.param, load_model(folder, device="cpu"), Oracle(folder)


@contextmanager
def hooked(oracle: Oracle, act: Callable[[int, Any], Any]) -> Iterator[None]:
    """act(block, what it gives) after every block, by torch's own hooks on transformers' model."""
    layers = oracle.layers()

    def hook(k: int) -> Callable[..., Any]:
        def after(_module: Any, _args: Any, out: Any) -> Any:
            h = out[0] if isinstance(out, tuple) else out
            new = act(k, h)
            if new is None:
                return None
            return (new, *out[1:]) if isinstance(out, tuple) else new

        return after

    handles = [layer.register_forward_hook(hook(k)) for k, layer in enumerate(layers)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def streams(oracle: Oracle, text: str) -> torch.Tensor:
    """The residual stream behind every block at the text's last token, [layer, d_model]."""
    kept: dict[int, torch.Tensor] = {}

    def keep(k: int, h: torch.Tensor) -> None:
        kept[k] = h[0, -1].float().clone()

    with hooked(oracle, keep):
        oracle.logits(oracle.ids(text))
    return torch.stack([kept[k] for k in range(len(kept))])


@contextmanager
def pushed(oracle: Oracle, vector: torch.Tensor, prompt: int) -> Iterator[None]:
    """The vector added behind one block to the prompt's tokens, BOS left alone."""

    def push(k: int, h: torch.Tensor) -> torch.Tensor | None:
        if k != LAYER:
            return None
        h = h.clone()
        h[:, 1:prompt] += STRENGTH * vector
        return h

    with hooked(oracle, push):
        yield


def test_residuals_are_transformers_at_every_block(case):
    _, model, oracle = case
    texts = [item.prompt for item in ITEMS.universal.dev][:4]
    assert len({len(oracle.ids(text)) for text in texts}) > 1
    for indices, found in last_token_residuals(model, texts):
        for place, i in enumerate(indices):
            expected = streams(oracle, texts[i])
            assert found.shape[0] == len(expected) == model.n_layers
            torch.testing.assert_close(found[:, place], expected, atol=1e-4, rtol=1e-4)


def en_vector(oracle: Oracle) -> torch.Tensor:
    """v_EN of es by hand, [layer, d_model]."""
    dev = ITEMS.universal.dev
    english = {item.id: item.prompt for item in dev.language("en")}
    differences = [
        streams(oracle, english[item.id]) - streams(oracle, item.prompt)
        for item in dev.language("es")
    ]
    return torch.stack(differences).mean(0)


def test_vectors_steering_and_generation_are_transformers(case):
    family, model, oracle = case
    with warnings.catch_warnings():  # of the plain path, which is expected of some
        warnings.simplefilter("ignore")
        assert fits(model) == (family not in NO_TREE)
        en = mechcla.en_vectors(model, ITEMS.universal.dev)
    vector = en_vector(oracle)
    torch.testing.assert_close(en["es"], vector, atol=2e-4, rtol=1e-4)
    edit = mechcla.en_steering(en, language="es", layer=LAYER, strength=STRENGTH, unit="raw")
    asked = ITEMS.language("es").universal.test
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain, steered = (mechcla.score(model, asked, e, prior=False) for e in ((), edit))
        answers = mechcla.generate(model, list(asked), edit, stop=None, max_new_tokens=NEW)
    moved = 0.0
    for before, after, answer, item in zip(plain, steered, answers, asked, strict=True):
        unsteered = oracle.candidates(item)
        assert before.log_likelihood == pytest.approx(unsteered, abs=1e-4)
        prompt = oracle.ids(item.prompt)
        with pushed(oracle, vector[LAYER], len(prompt)):
            expected = oracle.candidates(item)
            told = greedy(oracle, prompt)
        assert after.log_likelihood == pytest.approx(expected, abs=3e-4)
        assert answer.tokens == told
        moved = max(moved, *(abs(a - b) for a, b in zip(expected, unsteered, strict=True)))
    assert moved > 1e-2


def greedy(oracle: Oracle, prompt: list[int]) -> tuple[int, ...]:
    """The likeliest next token, again and again, from full passes."""
    ids = list(prompt)
    for _ in range(NEW):
        ids.append(int(oracle.logits(ids)[-1].argmax()))
        if ids[-1] == oracle.model.generation_config.eos_token_id:
            break
    return tuple(ids[len(prompt) :])


def test_the_page_lists_what_is_tried_and_on_which_path():
    page = (Path(mechcla.__file__).parents[1] / "docs" / "models.md").read_text("utf-8")
    rows = re.findall(r"^\| `([^`]+)` \| [^|]+ \| (packed|plain) \|$", page, re.MULTILINE)
    assert rows == [(f, "plain" if f in NO_TREE else "packed") for f in DECODERS]
