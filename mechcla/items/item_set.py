"""Item, Candidate and ItemSet: the one schema every data source is turned into.

A file of items is JSON Lines, one `Item.to_dict()` a line (see docs/items.md). The same `id` in two
languages is the same question, which is what pairs it with English, and `split` belongs to the id.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from mechcla.errors import MechclaError, nearest
from mechcla.items.item import CONFIRM, KINDS, SPLITS, Item
from mechcla.items.item_lines import Group, ItemLines, open_lines
from mechcla.items.texts import parse_json
from mechcla.storage import user_path, utf8, write_whole

STREAMED = 256 << 20  # bytes of a JSON Lines file beyond which a run does not hold its items


@dataclass(frozen=True)
class ItemSet(Sequence[Item]):
    """Items in a fixed order; every selection is again an ItemSet.

    >>> items.universal.dev.language("es")
    ItemSet(128 items: es; 128 universal; 128 dev)
    """

    items: Sequence[Item] = field(repr=False)

    def __post_init__(self) -> None:
        if isinstance(self.items, ItemLines):
            return  # checked when the file was opened
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
        return ItemSet((*self.items, *other.items))

    def __repr__(self) -> str:
        kinds = ", ".join(f"{n} {k}" for k in KINDS if (n := len(self.of(kind=k))))
        splits = ", ".join(f"{n} {s}" for s in SPLITS if (n := len(self.of(split=s))))
        return f"ItemSet({len(self)} items: {' '.join(self.languages)}; {kinds}; {splits})"

    def where(self, keep: Callable[[Item], bool]) -> ItemSet:
        """The items for which `keep(item)` is true."""
        if isinstance(self.items, ItemLines):
            return ItemSet(self.items.where(keep))
        return ItemSet(tuple(item for item in self.items if keep(item)))

    def of(
        self, language: str | None = None, kind: str | None = None, split: str | None = None
    ) -> ItemSet:
        """The items of one language, kind and split, as far as they are named; none is no error."""
        asked = (language, kind, split)

        def keep(group: Group) -> bool:
            return all(a is None or a == own for a, own in zip(asked, group, strict=True))

        if isinstance(self.items, ItemLines):
            return ItemSet(self.items.of(keep))
        return self.where(lambda item: keep((item.language, item.kind, item.split)))

    @property
    def groups(self) -> tuple[Group, ...]:
        """The (language, kind, split) that there are items of, in order of first appearance."""
        if isinstance(self.items, ItemLines):
            return tuple(self.items.present)
        return tuple(dict.fromkeys((i.language, i.kind, i.split) for i in self.items))

    @property
    def streamed(self) -> bool:
        """Whether the items lie in a file and are read as they are needed."""
        return isinstance(self.items, ItemLines)

    @property
    def held(self) -> ItemSet:
        """The same items in memory, where they lie in a file."""
        return ItemSet(tuple(self.items)) if isinstance(self.items, ItemLines) else self

    def at(self, places: Sequence[int]) -> ItemSet:
        """The items at these places, in that order."""
        if isinstance(self.items, ItemLines):
            return ItemSet(self.items.take(np.asarray(places, int)))
        return ItemSet(tuple(self.items[k] for k in places))

    @property
    def universal(self) -> ItemSet:
        """Questions with one right answer in every language."""
        return self.of(kind="universal")

    @property
    def cultural(self) -> ItemSet:
        """Questions whose right answer depends on the culture."""
        return self.of(kind="cultural")

    @property
    def dev(self) -> ItemSet:
        """The half on which vectors, layers and strengths are chosen."""
        return self.of(split="dev")

    @property
    def test(self) -> ItemSet:
        """The half on which numbers are reported."""
        return self.of(split="test")

    @property
    def confirm(self) -> ItemSet:
        """Items outside both halves, for one look at a frozen choice (`Study.confirm`)."""
        return self.of(split=CONFIRM)

    @property
    def languages(self) -> tuple[str, ...]:
        """Languages present, in order of first appearance."""
        return tuple(dict.fromkeys(language for language, _, _ in self.groups))

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
        if isinstance(self.items, ItemLines):
            return ItemSet(self.items.of(lambda group: group[0] in languages))
        return self.where(lambda item: item.language in languages)

    @cached_property
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


def open_jsonl(path: str | Path) -> ItemSet:
    """`read_jsonl`, or, for a file above STREAMED bytes, its items as they are needed."""
    path = user_path(path)
    large = path.is_file() and path.stat().st_size > STREAMED
    return ItemSet(open_lines(path)) if large else read_jsonl(path)


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
