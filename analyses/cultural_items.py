"""Items for a sweep on real cultural questions: those of BLEnD or LocQA beside universal items, in
one file.

    python -m analyses.cultural_items blend --path BLEnD/data --out runs

Writes blend.jsonl or locqa.jsonl into --out: the cultural items of the languages that --items (the
demo) have too, English excepted, which is not steered; and the universal items of --items in the
same languages and in English. Of the cultural dev questions the --questions that most languages
have are kept, so that languages are compared on much the same questions; all test questions are.
LocQA is asked about the main place of each language. --cultural-only leaves the universal items
out, for a run of LOC-steering alone. --path is your own copy; nothing of it is shipped.
"""

from __future__ import annotations

import argparse
import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import mechcla
from analyses.common import all_items, arguments
from mechcla.items.item import PIVOT
from mechcla.items.item_set import ItemSet
from mechcla.sources.locqa.places import LANGUAGES

SOURCES = ("blend", "locqa")


def cultural_items(source: str, path: Path) -> ItemSet:
    """The items of a source, one place per language."""
    if source == "locqa":
        places = {code: language.main for code, language in LANGUAGES.items()}
        return mechcla.load_items(source, path=path, places=places)
    return mechcla.load_items(source, path=path)


def most_asked(items: ItemSet, most: int) -> list[str]:
    """The ids that most languages have; of those that equally many have, an order by hash."""
    counts = Counter(i.id for i in items)

    def order(id_: str) -> tuple[int, str]:
        return -counts[id_], hashlib.sha256(id_.encode()).hexdigest()

    return sorted(counts, key=order)[:most]


def kept(cultural: ItemSet, languages: Sequence[str], questions: int) -> ItemSet:
    """The cultural items of these languages, of dev so many questions.

    Raises MechclaError for a language without items, or with those of one split alone.
    """
    found = cultural.cultural.language(*languages)
    asked = set(most_asked(found.dev, questions))
    found = found.where(lambda i: i.split != "dev" or i.id in asked)
    for language in languages:
        splits = {i.split for i in found if i.language == language}
        lacking = [s for s in ("dev", "test") if s not in splits]
        if lacking:
            raise mechcla.MechclaError(
                f"{language} has no cultural {lacking[0]} items; a sweep needs both splits: raise "
                "--questions, or leave the language out with --languages"
            )
    return found


def joined(universal: ItemSet, cultural: ItemSet, questions: int) -> ItemSet:
    """Universal items and so many cultural dev questions, in the languages that both have.

    Raises MechclaError where no language is in both.
    """
    shared = [k for k in cultural.languages if k in universal.languages and k != PIVOT]
    if not shared:
        raise mechcla.MechclaError(
            f"no language is in both: the cultural items have {', '.join(cultural.languages)}, the "
            f"universal ones {', '.join(universal.languages)}; choose --items in one of the former"
        )
    found = universal.universal.where(lambda i: i.language in {*shared, PIVOT})
    return found + kept(cultural, shared, questions)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("source", choices=SOURCES)
    parser.add_argument(
        "--path", type=Path, required=True, help="BLEnD's data folder, or locqa.json"
    )
    parser.add_argument(
        "--cultural-only",
        action="store_true",
        help="no universal items, and by default all languages of the source",
    )
    args = arguments(__doc__, parent=parser)
    source = cultural_items(args.source, args.path)
    if args.cultural_only:
        asked = args.languages.split(",") if args.languages else source.languages
        items = kept(source, [k for k in asked if k != PIVOT], args.questions)
    else:
        items = joined(all_items(args), source, args.questions)
    for language in items.cultural.languages:
        mine = items.cultural.language(language)
        print(f"{language}: {len(mine.dev)} dev, {len(mine.test)} test")
    path = args.out / f"{args.source}.jsonl"
    items.to_jsonl(path)
    print(path)
