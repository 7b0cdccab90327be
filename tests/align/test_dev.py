"""Looks at dev are the scores that `mechcla.score` gives of the adapter, asked as in training."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from transformers import AutoTokenizer

import mechcla
from mechcla.models.hooked_model import HookedModel
from tests.align.test_rows import TEMPLATE
from tests.align.test_training import train


@pytest.fixture
def base(tiny_folders: dict[str, Path], tmp_path: Path) -> Path:
    """A tiny model with a chat template."""
    folder = shutil.copytree(tiny_folders["llama"], tmp_path / "base")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    return folder


def axes(model: HookedModel, items: mechcla.ItemSet, chat: bool) -> tuple[float, float]:
    scores = mechcla.score(model, items, chat=chat)
    return mechcla.transfer(scores)["all"].value, mechcla.localization(scores)["all"].value


@pytest.mark.parametrize("chat", [False, True])
def test_dev_is_looked_at_on_both_axes_as_asked_in_training_and_the_best_look_is_kept(
    chat: bool, base: Path, tmp_path: Path, small_items: mechcla.ItemSet
) -> None:
    path = tmp_path / "items.jsonl"
    small_items.to_jsonl(path)
    result = train(
        "mist", base, tmp_path / "a", dev_items=str(path), dev_every=2, lr=5e-2, chat=chat
    )
    assert [row["step"] for row in result.dev] == [0, 2, 4]
    best = max(list(result.dev)[1:], key=lambda row: row["sum"])
    for row, adapter in ((result.dev[0], None), (best, result.folder)):
        model = mechcla.load_model(base, adapter=adapter, device="cpu")
        looked = (row["transfer"], row["localization"])
        assert looked == axes(model, small_items.dev, chat)
        assert looked != axes(model, small_items.dev, not chat)  # so that the form tells
