"""Item, Candidate and ItemSet: the one schema every data source is turned into.

A file of items is JSON Lines, one `Item.to_dict()` a line (see docs/items.md). The same `id` in two
languages is the same question, which is what pairs it with English, and `split` belongs to the id.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mechcla.errors import MechclaError, nearest
from mechcla.items.item import CONFIRM, KINDS, SPLITS, Item
from mechcla.items.texts import parse_json
from mechcla.storage import user_path, utf8, write_whole


@dataclass(frozen=True)
class ItemSet(Sequence[Item]):
    """Items in a fixed order; every selection is again an ItemSet.

    >>> items.universal.dev.language("es")
    ItemSet(128 items: es; 128 universal; 128 dev)
    """

    items: tuple[Item, ...] = field(repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "items", tuple(self.items))
        seen: set[tuple[str, str, str]] = set()
        split_of: dict[str, str] = {}
        for item in self.items:
            key = (item.id, item.language, item.kind)
            if key in seen:
                raise MechclaError(f"{item.label} stands twice; an id is unique within a language")
            seen.add(key)
            if split_of.setdefault(item.id, item.split) != item.split:
                raise MechclaError(
                    f"{item.label} is in split {item.split!r} here "
                    f"and in {split_of[item.id]!r} in another language; "
                    "the split belongs to the id, so that no question is in both"
                )

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Item]:
        return iter(self.items)

    def __getitem__(self, index: Any) -> Any:
        return ItemSet(self.items[index]) if isinstance(index, slice) else self.items[index]

    def __add__(self, other: ItemSet) -> ItemSet:
        return ItemSet(self.items + other.items)

    def __repr__(self) -> str:
        kinds = ", ".join(f"{n} {k}" for k in KINDS if (n := sum(i.kind == k for i in self.items)))
        splits = ", ".join(
            f"{n} {s}" for s in SPLITS if (n := sum(i.split == s for i in self.items))
        )
        return f"ItemSet({len(self)} items: {' '.join(self.languages)}; {kinds}; {splits})"

    def where(self, keep: Callable[[Item], bool]) -> ItemSet:
        """The items for which `keep(item)` is true."""
        return ItemSet(tuple(item for item in self.items if keep(item)))

    @property
    def universal(self) -> ItemSet:
        """Questions with one right answer in every language."""
        return self.where(lambda item: item.kind == "universal")

    @property
    def cultural(self) -> ItemSet:
        """Questions whose right answer depends on the culture."""
        return self.where(lambda item: item.kind == "cultural")

    @property
    def dev(self) -> ItemSet:
        """The half on which vectors, layers and strengths are chosen."""
        return self.where(lambda item: item.split == "dev")

    @property
    def test(self) -> ItemSet:
        """The half on which numbers are reported."""
        return self.where(lambda item: item.split == "test")

    @property
    def confirm(self) -> ItemSet:
        """Items outside both halves, for one look at a frozen choice (`Study.confirm`)."""
        return self.where(lambda item: item.split == CONFIRM)

    @property
    def languages(self) -> tuple[str, ...]:
        """Languages present, in order of first appearance."""
        return tuple(dict.fromkeys(item.language for item in self.items))

    @property
    def ids(self) -> tuple[str, ...]:
        """Distinct ids, in order of first appearance."""
        return tuple(dict.fromkeys(item.id for item in self.items))

    def language(self, *languages: str) -> ItemSet:
        """The items of these languages. Raises MechclaError for a language without items."""
        have = self.languages
        for language in languages:
            if language not in have:
                raise MechclaError(
                    f"no items in language {language!r}; {nearest(language, have, 50)}"
                )
        return self.where(lambda item: item.language in languages)

    @property
    def digest(self) -> str:
        """SHA-256 over every field of every item in order; part of a result's identity."""
        sha = hashlib.sha256()
        for place, item in enumerate(self.items):
            line = json.dumps(item.to_dict(), sort_keys=True, ensure_ascii=False)
            sha.update(f"\n{line}".encode() if place else line.encode())
        return sha.hexdigest()

    def to_jsonl(self, path: str | Path) -> None:
        """Write one JSON object per line."""

        def write(part: Path) -> None:
            with part.open("w", encoding="utf-8", newline="\n") as file:
                for item in self.items:
                    file.write(json.dumps(item.to_dict(), ensure_ascii=False) + "\n")

        write_whole(user_path(path), write)


def read_jsonl(path: str | Path) -> ItemSet:
    """The items of a JSON Lines file. A broken line is named by its number and shown."""
    path = user_path(path)
    items = []
    try:
        with utf8(path, "items are JSON Lines in UTF-8"):
            text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise MechclaError(f"cannot read items from {str(path)!r}: {error.strerror}") from error
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = parse_json(line)
        except MechclaError as error:
            raise MechclaError(f"{path}, line {number} {error}") from error
        try:
            items.append(Item.from_dict(row))
        except (MechclaError, TypeError) as error:
            raise MechclaError(f"{path}, line {number}: {error}") from error
    if not items:
        raise MechclaError(
            f"{path} holds no items; expected one JSON object per line (docs/items.md)"
        )
    return ItemSet(tuple(items))


def pair_ids(left: Iterable[Item], right: Iterable[Item]) -> list[tuple[Item, Item]]:
    """Items of two languages that share an id, in the left one's order."""
    by_id = {item.id: item for item in right}
    return [(item, by_id[item.id]) for item in left if item.id in by_id]
