"""The cards of the confirmation sets: data/confirm/README.md and data/confirm-2/README.md."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from data.names import LANGUAGES
from mechcla.items.item_set import ItemSet


@dataclass(frozen=True)
class Card:
    """What a card says in words: lines before the counts, and lines after the digest."""

    before: tuple[str, ...]
    after: tuple[str, ...]


FIRST_CARD = Card(
    before=(
        "# Data card: the confirmation items",
        "",
        "A second set of items, `split: confirm`, to be scored once under a choice that was",
        "frozen before ([docs/confirmation.md](../../docs/confirmation.md)). Written by",
        "`python data/confirm.py` (`--check` fails if a committed file differs) from",
        '`concepts/*.json` and `facts.json`; `mechcla.load_items("confirm")` reads them, and',
        '`load_items("demo")` does not. Facts as they stood in November 2026.',
        "",
        "Cultural concepts are made into items as those of the demo are ([data/README.md]"
        "(../README.md)),",
        "with the same cues. No concept is one of the demo's, and no culture's answer is one that",
        "it gives there. Universal facts are of other relations than the demo's, about other",
        "entities: none of their texts names what a demo item or a held-out item of",
        "`data/align` names, and none is about what a training fact is about. One wording each.",
    ),
    after=(
        "Concepts, facts and translations were written by a language model. Before the freeze it",
        "read the cultural items of six languages a second time, and every second universal fact;",
        "no panel of native speakers has reviewed them. What the demo",
        "items cannot show, these cannot either. Licence: CC BY 4.0.",
    ),
)
SECOND_CARD = Card(
    before=(
        "# Data card: the second set of confirmation items",
        "",
        "Items of `split: confirm`, to be scored once under a choice that was frozen before, after",
        "the first such set ([data/confirm](../confirm/README.md)) had been scored. Written by",
        "`python data/confirm.py --set 2` (`--check` fails if a committed file differs) from",
        '`concepts/*.json` and `facts.json`; `mechcla.load_items("confirm-2")` reads them. Facts',
        "as they stood in November 2026.",
        "",
        "Cultural concepts are made into items as those of the demo are ([data/README.md]"
        "(../README.md)),",
        "with the same cues. No concept is one of the demo's or of the first set's, and no",
        "culture's answer is one that it gives there. Universal facts are in two halves, told",
        "apart by topic, and worded once each:",
        "",
        "- `city` is a relation of the demo, in the demo's first wording, about cities that no",
        "  text of the demo, of the first set, of `data/align` or of its held-out items names. The",
        "  answers are countries, and the demo names these too: here only the city is new.",
        "- All other topics are relations that neither the demo, nor the first set, nor",
        "  `data/align` has. None of their texts names what an item of these sets names, and none",
        "  is about what a training fact is about. They ask for common knowledge (what a thing is",
        "  used for, what an animal does), since a small model knew few facts of the first set. In",
        "  some languages a description is worded a little otherwise than in English, so that no",
        "  part of the answer stands in it.",
        "",
        "No right answer has four letters in common with what is asked about, or two characters in",
        "Chinese and Korean. Wrong answers are right answers of other facts of the relation, or",
        "other countries, by hash.",
    ),
    after=(
        "Concepts, facts and translations were written by a language model. Other sessions of the",
        "same model then read the items in the six languages other than English, before anything",
        "was scored; what they called wrong was mended, and all but one of what they called",
        "doubtful. No panel of native speakers has reviewed them. What the demo items cannot show,",
        "these cannot either. Licence: CC BY 4.0; names of countries: Unicode CLDR (Unicode-3.0).",
    ),
)


def card(items: ItemSet, words: Card) -> str:
    """The text of one card."""
    counts = Counter((i.language, i.kind) for i in items)
    topics = sorted({(i.kind, i.topic) for i in items}, reverse=True)
    ids = {pair: len({i.id for i in items if (i.kind, i.topic) == pair}) for pair in topics}
    lines = [
        *words.before,
        "",
        "| language | universal | cultural |",
        "|---|---|---|",
        *(f"| {k} | {counts[k, 'universal']} | {counts[k, 'cultural']} |" for k in LANGUAGES),
        "",
        "| topic | kind | ids |",
        "|---|---|---|",
        *(f"| {topic} | {kind} | {ids[kind, topic]} |" for kind, topic in topics),
        "",
        f"Digest of all items: `{items.digest}`.",
        "",
        *words.after,
    ]
    return "\n".join(lines) + "\n"
