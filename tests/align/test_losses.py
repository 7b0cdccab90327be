"""Losses against hand computation, against loops, and against trl's DPO loss on one batch."""

from __future__ import annotations

import math

import pytest
import torch

from mechcla import MechclaError
from mechcla.align.losses import (
    info_nce,
    label_log_probs,
    mean_pooled,
    preference_loss,
    sft_loss,
)


def test_sft_is_the_mean_of_minus_log_softmax_by_hand() -> None:
    logits = torch.tensor([[1.0, 2.0, 0.5], [0.0, 0.0, 3.0]])
    first = -math.log(math.exp(2) / (math.exp(1) + math.exp(2) + math.exp(0.5)))
    second = -math.log(math.exp(0) / (2 + math.exp(3)))
    found = sft_loss(logits, torch.tensor([1, 0]))
    assert float(found) == pytest.approx((first + second) / 2, rel=1e-6)
    assert label_log_probs(logits, torch.tensor([1, 0])).tolist() == pytest.approx(
        [-first, -second], rel=1e-6
    )


def test_pooling_leaves_padding_out() -> None:
    residuals = torch.tensor([[[1.0, 2.0], [3.0, 4.0], [100.0, 100.0]]])
    real = torch.tensor([[True, True, False]])
    assert mean_pooled(residuals, real).tolist() == [[2.0, 3.0]]


@pytest.mark.parametrize("directions", ["one", "both"])
def test_info_nce_equals_a_loop(directions: str) -> None:
    torch.manual_seed(0)
    english, other = torch.randn(5, 7), torch.randn(5, 7)

    def one_way(left: torch.Tensor, right: torch.Tensor) -> float:
        total = 0.0
        for i in range(5):
            weights = []
            for j in range(5):
                dot = sum(float(left[i, k] * right[j, k]) for k in range(7))
                norms = math.sqrt(float((left[i] ** 2).sum()) * float((right[j] ** 2).sum()))
                weights.append(math.exp(dot / norms / 0.1))
            total -= math.log(weights[i] / sum(weights))
        return total / 5

    expected = one_way(english, other)
    if directions == "both":
        expected = (expected + one_way(other, english)) / 2
    found = info_nce(english, other, 0.1, directions)  # type: ignore[arg-type]
    assert float(found) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("detached", ["none", "english", "other"])
def test_the_detached_side_has_no_gradient(detached: str) -> None:
    torch.manual_seed(0)
    sides = {name: torch.randn(4, 3, requires_grad=True) for name in ("english", "other")}
    info_nce(sides["english"], sides["other"], detached=detached).backward()  # type: ignore[arg-type]
    for name, side in sides.items():
        assert (side.grad is None) == (name == detached)


# trl 1.16.0, DPOTrainer with loss_type "sigmoid" and f_divergence_type "reverse_kl", a batch of
# three pairs (beta 0.1): `delta = (chosen - ref_chosen) - (rejected - ref_rejected)` and
# `per_sequence_loss = -F.logsigmoid(beta * delta)` (trl/trainer/dpo_trainer.py), evaluated by hand.
def test_preference_is_trl_s_sigmoid_loss_by_hand() -> None:
    chosen, rejected = [-12.5, -3.0, -40.0], [-14.0, -2.0, -35.0]
    ref_chosen, ref_rejected = [-13.0, -3.5, -30.0], [-12.0, -2.0, -36.0]
    expected = []
    for c, r, rc, rr in zip(chosen, rejected, ref_chosen, ref_rejected, strict=True):
        delta = (c - rc) - (r - rr)
        expected.append(math.log(1 + math.exp(-0.1 * delta)))
    found = preference_loss(*map(torch.tensor, (chosen, rejected, ref_chosen, ref_rejected)), 0.1)
    assert found.tolist() == pytest.approx(expected, rel=1e-5)
    assert float(preference_loss(*(torch.zeros(1),) * 4)) == pytest.approx(math.log(2))


@pytest.mark.parametrize(
    ("pairs", "temperature", "said"),
    [(1, 0.1, "at least 2 pairs"), (3, 0.0, "expected a number above 0")],
)
def test_info_nce_refuses_what_has_no_contrast(pairs: int, temperature: float, said: str) -> None:
    with pytest.raises(MechclaError, match=said):
        info_nce(torch.ones(pairs, 2), torch.ones(pairs, 2), temperature)
