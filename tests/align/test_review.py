"""What decides a training: every micro-batch, whatever the machine, the bound on memory, the kill."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.align.test_training import train


def test_more_gpus_than_one_drop_no_micro_batch(
    tiny_folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine with two GPUs, as transformers counts them: the adapter is that of one device."""
    from transformers import TrainingArguments

    one = train("mist", tiny_folders["llama"], tmp_path / "one", batch_tokens=64)
    made = TrainingArguments.__post_init__

    def two(self: TrainingArguments) -> None:
        made(self)
        self._n_gpu = 2

    monkeypatch.setattr(TrainingArguments, "__post_init__", two)
    many = train("mist", tiny_folders["llama"], tmp_path / "two", batch_tokens=64)
    assert many.digest == one.digest
    assert list(many.losses) == list(one.losses)
