"""The losses of alignment methods, as plain functions of tensors."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy, logsigmoid, normalize

from mechcla.errors import MechclaError, nearest

Directions = Literal["one", "both"]
Detached = Literal["none", "english", "other"]


def sft_loss(
    logits: Float[Tensor, "label vocab"], labels: Int[Tensor, " label"]
) -> Float[Tensor, ""]:
    """Mean negative log-likelihood of the label tokens, in nats and in float32.

    logits: only where there is a label, so nothing is masked here. Source: supervised fine-tuning
    as everywhere, with the prompt left out.

    >>> sft_loss(torch.zeros(3, 4), torch.tensor([0, 1, 2]))          # ln 4
    tensor(1.3863)
    """
    return cross_entropy(logits.float(), labels)


def label_log_probs(
    logits: Float[Tensor, "label vocab"], labels: Int[Tensor, " label"]
) -> Float[Tensor, " label"]:
    """Log-probability of each label token, in nats, in float32.

    >>> label_log_probs(torch.zeros(1, 4), torch.tensor([2]))
    tensor([-1.3863])
    """
    return -cross_entropy(logits.float(), labels, reduction="none")


def mean_pooled(
    residuals: Float[Tensor, "row seq d"], real: Bool[Tensor, "row seq"]
) -> Float[Tensor, "row d"]:
    """The mean of a row's residuals over its real tokens, in float32.

    >>> mean_pooled(torch.tensor([[[2.0], [4.0], [9.0]]]), torch.tensor([[True, True, False]]))
    tensor([[3.]])
    """
    kept = residuals.float() * real[..., None]
    return kept.sum(1) / real.sum(1, keepdim=True)


def info_nce(
    english: Float[Tensor, "pair d"],
    other: Float[Tensor, "pair d"],
    temperature: float = 0.1,
    directions: Directions = "one",
    detached: Detached = "none",
) -> Float[Tensor, ""]:
    """InfoNCE between pooled residuals of parallel sentences; the other pairs are the negatives.

    Similarity is the cosine over `temperature`. "one": each English sentence picks its translation
    out of the batch, as in the published code of MidAlign; "both": the mean of that and the other
    way round. detached: the side that gets no gradient. Raises MechclaError for fewer than two
    pairs, which have no negative. Source: Liu and Niehues 2025 (arXiv 2502.14830).

    >>> info_nce(torch.eye(2), torch.eye(2), temperature=1.0)         # ln(1 + 1/e)
    tensor(0.3133)
    """
    if len(english) < 2:
        raise MechclaError(
            f"InfoNCE over {len(english)} pair has no negatives; "
            "expected at least 2 pairs per batch"
        )
    if temperature <= 0:
        raise MechclaError(f"temperature {temperature!r}; expected a number above 0, such as 0.1")
    if directions not in ("one", "both"):
        raise MechclaError(f"directions {directions!r}; {nearest(directions, ('one', 'both'))}")
    left = english.detach() if detached == "english" else english
    right = other.detach() if detached == "other" else other
    similar = normalize(left.float(), dim=-1) @ normalize(right.float(), dim=-1).T / temperature
    own = torch.arange(len(similar), device=similar.device)
    loss = cross_entropy(similar, own)
    return loss if directions == "one" else (loss + cross_entropy(similar.T, own)) / 2


def preference_loss(
    chosen: Float[Tensor, " pair"],
    rejected: Float[Tensor, " pair"],
    reference_chosen: Float[Tensor, " pair"],
    reference_rejected: Float[Tensor, " pair"],
    beta: float = 0.1,
) -> Float[Tensor, " pair"]:
    """-log sigmoid(beta ((chosen - reference) - (rejected - reference))) of each pair.

    All four are summed log-probabilities of an answer, in nats. Source: DPO (Rafailov et al. 2023),
    which CLO (Lee et al. 2025, arXiv 2505.14297) applies to the language of the answer.

    >>> preference_loss(*(torch.zeros(1) for _ in range(4)))          # ln 2
    tensor([0.6931])
    """
    margin = (chosen - reference_chosen) - (rejected - reference_rejected)
    return -logsigmoid(beta * margin)
