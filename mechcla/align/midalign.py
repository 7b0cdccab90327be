"""MidAlign: task steps alternate with a contrast that aligns one middle block."""

from __future__ import annotations

import torch

from mechcla.align import mist
from mechcla.align.data import TrainingData
from mechcla.align.decoder import Decoder
from mechcla.align.losses import info_nce
from mechcla.align.methods import METHODS, AlignMethod, Losses, Task
from mechcla.align.rows import Example, MicroBatch, Text
from mechcla.align.settings import AlignConfig
from mechcla.errors import MechclaError
from mechcla.items.item import PIVOT


def task_examples(data: TrainingData, config: AlignConfig) -> list[Example]:
    """MIST's examples; in English alone if `task_languages` says so."""
    found = mist.examples(data, config)
    if config.task_languages == "english":
        found = [example for example in found if example.language == PIVOT]
    return found


def pairs(data: TrainingData, config: AlignConfig) -> list[Example]:
    """A sentence in English and in another language, per fact and language.

    Raises MechclaError, naming the row, for a sentence that lacks one of the two.
    """
    made = []
    for fact in data.facts:
        if not fact.sentences:
            continue
        for language in data.others:
            for side in (PIVOT, language):
                if side not in fact.sentences:
                    raise MechclaError(
                        f"{fact.where or fact.id} has no sentence in {side!r}, so it is no pair of "
                        f"en and {language}; every row needs its translations to be aligned"
                    )
            texts = tuple(Text("", "", fact.sentences[side]) for side in (PIVOT, language))
            made.append(
                Example(f"{fact.where} ({fact.id!r}, en-{language})", fact.id, language, texts)
            )
    return made


def loss(decoder: Decoder, batch: MicroBatch, config: AlignConfig) -> Losses:
    """InfoNCE between the mean-pooled residuals of the two sides after block `layer`."""
    layer = decoder.n_layers // 2 if config.layer is None else config.layer
    pooled = decoder.pooled(batch, layer, config.pool)
    english, other = pooled[0::2], pooled[1::2]
    total = info_nce(english, other, config.temperature, config.directions, config.detached)
    rows = (english + other).detach().sum(-1)  # not finite where either side is not
    with torch.no_grad():
        own = torch.cosine_similarity(english, other).mean()
    return Losses(config.align_weight * total, rows, {"cosine": float(own)})


INFO_NCE = Task("infonce", pairs, loss, counts="rows", distinct=True)

METHODS.register(
    "midalign",
    AlignMethod(
        "midalign",
        "steps of fine-tuning alternate with a contrast of parallel sentences at a middle block",
        "Liu and Niehues 2025 (arXiv 2502.14830): InfoNCE over cosines, temperature 0.1, pooled "
        "over tokens, alternating with task steps; block, learning rate and data are ours",
        (Task("sft", task_examples, mist.loss), INFO_NCE),
        {"lr": 1e-4, "steps": 72},
    ),
)
