"""What decides a training: every micro-batch, whatever the machine, the bound on memory, the kill."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.align.test_training import adapted, train


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


@pytest.mark.parametrize(("method", "family"), [("clo", "llama"), ("mist", "gpt2")])
def test_a_step_s_loss_and_gradient_do_not_change_with_the_bound_on_memory(
    method: str, family: str, tiny_folders: dict[str, Path]
) -> None:
    found = []
    for batch_tokens in (64, 4096):
        torch.manual_seed(0)
        decoder, plan, config = adapted(tiny_folders[family], method, batch_tokens=batch_tokens)
        total = 0.0
        for part in range(plan.parts):
            batch = plan[part]["batch"]
            loss = plan.tasks[batch.task].loss(decoder, batch, config).total * batch.scale
            (loss / plan.parts).backward()
            total += float(loss.detach()) / plan.parts
        trained = [w for _, w in decoder.model.named_parameters() if w.requires_grad]
        gradient = torch.cat([w.grad.flatten() for w in trained if w.grad is not None])
        found.append((plan.parts, total, gradient))
    (many, cut, cut_gradient), (one, whole, whole_gradient) = found
    assert many > one == 1
    assert cut == pytest.approx(whole, rel=1e-5)
    assert torch.allclose(cut_gradient, whole_gradient, rtol=1e-4, atol=1e-6)
