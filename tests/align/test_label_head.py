"""The head at labels, part by part, against log_softmax of all logits and finite differences."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mechcla.align.label_head import frozen_head_log_probs
from mechcla.align.losses import label_log_probs
from tests.align.test_training import FAMILIES, adapted


def parts(n: int, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    read = torch.randn(n, 6, dtype=dtype, requires_grad=True)
    return read, torch.randn(11, 6, dtype=dtype), torch.randint(11, (n,))


def plain(
    read: torch.Tensor, weight: torch.Tensor, labels: torch.Tensor, cap: float | None
) -> torch.Tensor:
    logits = read @ weight.T
    if cap is not None:
        logits = cap * torch.tanh(logits / cap)
    return logits.log_softmax(-1)[torch.arange(len(labels)), labels]


@pytest.mark.parametrize("cap", [None, 2.0])
@pytest.mark.parametrize("at_once", [1, 3, 7, 100])
@pytest.mark.parametrize("piece", [1, 4, 11, None])
def test_it_is_log_softmax_and_so_is_its_gradient(
    cap: float | None, at_once: int, piece: int | None
) -> None:
    read, weight, labels = parts(7, torch.float64)
    weights = torch.linspace(-1, 2, 7, dtype=torch.float64)
    expected = plain(read, weight, labels, cap)
    found = frozen_head_log_probs(read, weight, labels, cap, at_once, piece)
    assert torch.allclose(found, expected, rtol=0, atol=1e-12)
    [one] = torch.autograd.grad((found * weights).sum(), read)
    [other] = torch.autograd.grad((expected * weights).sum(), read)
    assert torch.allclose(one, other, rtol=0, atol=1e-12)
    assert torch.autograd.gradcheck(
        lambda x: frozen_head_log_probs(x, weight, labels, cap, at_once, piece), (read,)
    )


def test_no_gradient_is_made_where_none_is_wanted() -> None:
    read, weight, labels = parts(5, torch.float32)
    with torch.no_grad():
        found = frozen_head_log_probs(read, weight, labels)
    assert not found.requires_grad
    assert torch.allclose(found, plain(read, weight, labels, None), atol=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_decoder_s_log_probs_and_gradients_are_those_of_its_logits(
    family: str, tiny_folders: dict[str, Path]
) -> None:
    decoder, plan, _ = adapted(tiny_folders[family], "mist")
    batch = plan[0]["batch"]
    trained = [w for w in decoder.model.parameters() if w.requires_grad]
    found = decoder.label_log_probs(batch)
    expected = label_log_probs(decoder.logits(batch), batch.labels)
    assert torch.allclose(found, expected, atol=1e-5)
    one, other = (torch.autograd.grad(x.sum(), trained) for x in (found, expected))
    for a, b in zip(one, other, strict=True):
        assert torch.allclose(a, b, rtol=1e-4, atol=1e-5)


def test_a_trainable_head_gets_its_gradient(tiny_folders: dict[str, Path]) -> None:
    decoder, plan, _ = adapted(tiny_folders["llama"], "mist")
    head = decoder.base.get_output_embeddings()
    head.weight.requires_grad_(True)
    decoder.label_log_probs(plan[0]["batch"]).sum().backward()
    assert bool((head.weight.grad != 0).any())
