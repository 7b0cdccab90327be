"""The demo items: facts and cultural concepts in seven languages, shipped with the package
(data/README.md).
"""

from __future__ import annotations

import json
from pathlib import Path

from mechcla.errors import MechclaError
from mechcla.items.item_set import ItemSet, read_jsonl

LANGUAGES = ("en", "es", "zh", "id", "ko", "el", "fa")


def demo_data_folder() -> Path:
    """Where the items lie: inside an installed wheel, or in data/items of a source checkout."""
    here = Path(__file__).resolve().parent
    for folder in (here / "demo_items", here.parent.parent / "data" / "items"):
        if folder.is_dir():
            return folder
    raise MechclaError(
        f"the demo items are missing from this installation (looked in {here / 'demo_items'}); "
        "reinstall mechcla"
    )


def demo_items() -> ItemSet:
    """All demo items, English first. The universal facts are the same in all languages."""
    return _items_of(demo_data_folder())


def confirm_items() -> ItemSet:
    """The confirmation items of the demo, `split: confirm` (data/confirm/README.md).

    They are in neither half of `demo_items`, and are for one look, under a choice frozen before.
    """
    return _items_of(demo_data_folder() / "confirm")


def confirm_2_items() -> ItemSet:
    """A second set of confirmation items, `split: confirm` (data/confirm-2/README.md).

    New beside both the demo's items and `confirm_items`, for a choice made after these were scored.
    """
    return _items_of(demo_data_folder() / "confirm-2")


def _items_of(folder: Path) -> ItemSet:
    return ItemSet(
        tuple(item for language in LANGUAGES for item in read_jsonl(folder / f"{language}.jsonl"))
    )


def cues() -> dict[str, dict[str, str]]:
    """The sentence that names a country, by language and country: cues()["es"]["KR"]."""
    sentences: dict[str, dict[str, str]] = json.loads(
        (demo_data_folder() / "cues.json").read_text(encoding="utf-8")
    )
    return sentences
