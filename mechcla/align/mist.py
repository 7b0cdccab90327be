"""MIST: supervised fine-tuning on parallel questions and answers in all languages."""

from __future__ import annotations

import torch

from mechcla.align.data import TrainingData
from mechcla.align.decoder import Decoder
from mechcla.align.methods import METHODS, AlignMethod, Losses, Task
from mechcla.align.rows import Example, MicroBatch, Text
from mechcla.align.settings import AlignConfig


def examples(data: TrainingData, config: AlignConfig) -> list[Example]:
    """Every fact in every language: its question with its answer, and its sentence."""
    made = []
    for fact in data.facts:
        for language in data.languages:
            where = f"{fact.where} ({fact.id!r}, {language})"
            if language in fact.questions:
                asked, answer = fact.questions[language], fact.answers[language]
                text = Text(asked, config.separator, answer, end=True)
                made.append(Example(where, fact.id, language, (text,)))
            if language in fact.sentences:
                text = Text("", "", fact.sentences[language])
                made.append(Example(where, fact.id, language, (text,)))
    return made


def loss(decoder: Decoder, batch: MicroBatch, config: AlignConfig) -> Losses:
    """Mean negative log-likelihood over all label tokens of the micro-batch (`sft_loss`)."""
    log_probs = decoder.label_log_probs(batch)
    rows = torch.zeros(batch.n_texts, device=log_probs.device).index_add(
        0, batch.label_row, -log_probs
    )
    return Losses(-log_probs.mean(), rows.detach())


SFT = Task("sft", examples, loss)

METHODS.register(
    "mist",
    AlignMethod(
        "mist",
        "fine-tuning on parallel questions and answers, and sentences, in all languages",
        "multilingual instruction tuning; after Shaham et al. 2024 (arXiv 2401.01854). The paper's "
        "own recipe is not known; this one is ours",
        (SFT,),
    ),
)
