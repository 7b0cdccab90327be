"""CLO: fine-tuning in the target languages, and a preference for the language of the question."""

from __future__ import annotations

import torch

from mechcla.align.data import ParallelFact, TrainingData
from mechcla.align.decoder import Decoder
from mechcla.align.losses import preference_loss
from mechcla.align.methods import METHODS, AlignMethod, Losses, Task
from mechcla.align.rows import Example, MicroBatch, Text
from mechcla.align.settings import AlignConfig
from mechcla.errors import MechclaError
from mechcla.items.item import PIVOT


def examples(data: TrainingData, config: AlignConfig) -> list[Example]:
    """Per fact and target language: the question there with that answer over the English one, and
    the English question with the English answer over that one.

    Answers are the short ones and the sentences, where they differ between the two languages; the
    user's own preference pairs are taken as they are. Raises MechclaError, naming the row, for a
    fact that lacks a language, or where no answer differs.
    """
    made = []
    for p in data.preferences:
        texts = _pair(p.prompt, config.separator, p.chosen, p.rejected)
        made.append(Example(p.where or p.id, p.id, p.language, texts, p.fit))
    for fact in data.facts:
        if not fact.questions:
            continue
        for language in data.others:
            for side in (PIVOT, language):
                if side not in fact.questions:
                    raise MechclaError(
                        f"{fact.where or fact.id} has no question in {side!r}, so no preference of "
                        f"en and {language} can be made of it"
                    )
            made += _of_fact(fact, language, config.separator)
    if not made:
        raise MechclaError(
            f"{data.name} has no question whose answer differs from the English one, and no "
            "preference pair; clo trains on these"
        )
    return made


def _of_fact(fact: ParallelFact, language: str, separator: str) -> list[Example]:
    made = []
    for answers in (fact.answers, fact.sentences):
        own, english = answers.get(language), answers.get(PIVOT)
        if own is None or english is None or own == english:
            continue
        for side, chosen, rejected in ((language, own, english), (PIVOT, english, own)):
            where = f"{fact.where} ({fact.id!r}, asked in {side}, en-{language})"
            texts = _pair(fact.questions[side], separator, chosen, rejected)
            made.append(Example(where, fact.id, language, texts, fit=side != PIVOT))
    return made


def _pair(prompt: str, separator: str, chosen: str, rejected: str) -> tuple[Text, ...]:
    return tuple(Text(prompt, separator, answer, end=True) for answer in (chosen, rejected))


def loss(decoder: Decoder, batch: MicroBatch, config: AlignConfig) -> Losses:
    """sft_weight x NLL of chosen answers in target languages + (1 - sft_weight) x preference.

    The NLL is per label token of the step, over the rows that are in a target language, however the
    step is cut into micro-batches; the preference is per row. Its reference is the base, the
    adapter switched off.
    """
    log_probs = decoder.label_log_probs(batch)
    zeros = torch.zeros(batch.n_texts, device=log_probs.device)
    texts = zeros.index_add(0, batch.label_row, log_probs)
    reference = decoder.reference_log_probs(batch)
    rows = preference_loss(texts[0::2], texts[1::2], reference[0::2], reference[1::2], config.beta)
    preference = rows.mean()
    chosen = (batch.label_row % 2 == 0) & batch.fit[batch.label_row // 2]
    sft = -log_probs[chosen].sum() / max(batch.fit_labels, 1e-9)  # no label to fit: 0
    weight = config.sft_weight
    total = weight * sft + (1 - weight) * preference
    right = float((rows.detach() < 0.6931472).float().mean())  # chosen gained more than rejected
    parts = {"sft": float(sft.detach()), "preference": float(preference.detach()), "right": right}
    return Losses(total, rows.detach() + texts[0::2].detach(), parts)


CLO = Task("clo", examples, loss, counts="rows")

METHODS.register(
    "clo",
    AlignMethod(
        "clo",
        "fine-tuning in the target languages, and a preference for the question's language",
        (
            "Lee et al. 2025 (arXiv 2505.14297): lambda SFT + "
            "(1 - lambda) DPO over pairs of languages, English questions included, attention only; "
            "lambda, beta, learning rate, data and all target languages at once are ours"
        ),
        (CLO,),
        {"lr": 5e-4, "modules": ["attention"], "rank": 16, "alpha": 32.0},
    ),
)
