"""Controls: trainings that differ from a method in one thing, to say what its effect is due to."""

from __future__ import annotations

import hashlib

from mechcla.align import midalign, mist
from mechcla.align.data import TrainingData
from mechcla.align.methods import METHODS, AlignMethod, Task
from mechcla.align.rows import Example
from mechcla.align.settings import AlignConfig
from mechcla.items.item import PIVOT


def english_examples(data: TrainingData, config: AlignConfig) -> list[Example]:
    """MIST's examples in English alone: the same facts, no other language."""
    return [example for example in mist.examples(data, config) if example.language == PIVOT]


def broken_pairs(data: TrainingData, config: AlignConfig) -> list[Example]:
    """MidAlign's pairs with each translation exchanged for another fact's, per language.

    Every sentence stands in as many pairs as before; none stands beside its own translation.
    """
    right = midalign.pairs(data, config)
    made = []
    for language in data.others:
        ours = [example for example in right if example.language == language]
        order = sorted(
            range(len(ours)),
            key=lambda i: hashlib.sha256(f"{config.seed}/{language}/{i}".encode()).digest(),
        )
        turned = dict(zip(order, [*order[1:], *order[:1]], strict=True))
        for i, example in enumerate(ours):
            texts = (example.texts[0], ours[turned[i]].texts[1])
            made.append(
                Example(f"{example.where}, broken", example.fact, language, texts, example.fit)
            )
    return made


METHODS.register(
    "english_only",
    AlignMethod(
        "english_only",
        "control: mist's facts and steps, in English alone",
        "ours: how much of an effect is fine-tuning as such",
        (Task("sft", english_examples, mist.loss),),
        control=True,
    ),
)
METHODS.register(
    "broken_pairing",
    AlignMethod(
        "broken_pairing",
        "control: midalign with translations shuffled",
        "after the control of arXiv 2506.01675: the same texts with pairing broken",
        (
            Task("sft", midalign.task_examples, mist.loss),
            Task("infonce", broken_pairs, midalign.loss, counts="rows", distinct=True),
        ),
        METHODS.get("midalign").defaults,
        control=True,
    ),
)
