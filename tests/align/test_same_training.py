"""What decides a training: the same on any machine, under any bound on memory."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import mechcla
from mechcla import MechclaError
from mechcla.align import training
from mechcla.align.config import make
from mechcla.align.trainer import scheduler
from tests.align.test_training import adapted, facts, train


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


@pytest.mark.parametrize(
    ("schedule", "warmup", "expected"),
    [
        ("linear", 2, [0.5, 1, 0.75, 0.5, 0.25]),
        ("linear", 0, [1, 0.8, 0.6, 0.4, 0.2]),
        ("constant", 4, [0.25, 0.5, 0.75, 1, 1]),
    ],
)
def test_the_first_step_of_warm_up_learns(
    schedule: str, warmup: int, expected: list[float]
) -> None:
    config = make({"method": "mist", "schedule": schedule, "warmup": warmup})
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    made = scheduler(config, optimizer, 5)
    found = []
    for _ in range(5):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        made.step()
    assert found == pytest.approx(expected)


def test_training_follows_that_schedule(tiny_folders: dict[str, Path], tmp_path: Path) -> None:
    result = train("mist", tiny_folders["llama"], tmp_path / "a", warmup=2, lr=1e-3)
    rates = [row["learning_rate"] for row in result.losses]
    assert rates == pytest.approx([5e-4, 1e-3, 1e-3 * 2 / 3, 1e-3 / 3])


def test_a_whole_adapter_of_an_exchanged_base_is_not_given_back(
    tiny_folders: dict[str, Path], tmp_path: Path
) -> None:
    base = shutil.copytree(tiny_folders["llama"], tmp_path / "base")
    train("mist", base, tmp_path / "a", steps=1)
    shutil.rmtree(base)
    shutil.copytree(tiny_folders["gpt2"], base)
    with pytest.raises(MechclaError, match=r"another training \(another base\)"):
        train("mist", base, tmp_path / "a", steps=1)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("code", "0", "another version of mechcla's code"),
        ("versions", {}, "other versions of packages"),
        ("device", "cuda", "another device"),
        ("plugins", {"plugin mine": "0"}, "other plug-ins"),
        ("dev_items", "0", "other dev items"),
    ],
)
def test_checkpoints_that_something_else_decided_are_refused(
    name: str, value: Any, said: str, tiny_folders: dict[str, Path], tmp_path: Path
) -> None:
    config = make({"method": "mist", "model": str(tiny_folders["llama"]), "data": "drinks"})
    base = mechcla.load_model(tiny_folders["llama"], device="cpu").describe()
    mine = training._decided_by(config, facts(), base)
    training._start(config, tmp_path / "a", mine)
    training._start(config, tmp_path / "a", mine)  # goes on
    with pytest.raises(MechclaError, match=said):
        training._start(config, tmp_path / "a", {**mine, name: value})
