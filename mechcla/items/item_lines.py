"""ItemLines: items that lie in a JSON Lines file and are read when they are asked for.

Of every item the place of its line and its language, kind and split are held, some ten bytes, so a
set may be larger than memory. What is asked of it by language, kind or split reads nothing. An item
is made anew each time it is read, so whoever needs some items often holds them (`ItemSet.held`).
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, overload

import numpy as np
from jaxtyping import Bool, Int, UInt64

from mechcla.errors import MechclaError
from mechcla.items.item import Item
from mechcla.items.texts import parse_json
from mechcla.storage import user_path, utf8

Group = tuple[str, str, str]  # language, kind and split


@dataclass(frozen=True, eq=False)
class ItemLines(Sequence[Item]):
    """Items by the places of their lines in a file. Make it with `open_lines`.

    groups: every language, kind and split that the file has; group[i]: which one an item is of.
    stamp: size and time of the file when it was opened: another one is refused.
    """

    path: Path
    stamp: tuple[int, int]
    groups: tuple[Group, ...]
    group: Int[np.ndarray, " item"] = field(repr=False)
    place: Int[np.ndarray, " item"] = field(repr=False)

    def __len__(self) -> int:
        return len(self.place)

    def __iter__(self) -> Iterator[Item]:
        with self._reading() as file:
            for place in self.place:
                file.seek(int(place))
                yield self._item(file.readline())

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Item, ...]: ...
    def __getitem__(self, index: int | slice) -> Item | tuple[Item, ...]:
        if isinstance(index, slice):
            return tuple(self.take(np.arange(len(self))[index]))
        with self._reading() as file:
            file.seek(int(self.place[index]))
            return self._item(file.readline())

    def take(self, chosen: Int[np.ndarray, " chosen"] | Bool[np.ndarray, " item"]) -> ItemLines:
        """Some of the items, by their places in this sequence or by a mask."""
        return ItemLines(self.path, self.stamp, self.groups, self.group[chosen], self.place[chosen])

    def of(self, keep: Callable[[Group], bool]) -> ItemLines:
        """The items of some languages, kinds and splits; nothing is read."""
        return self.take(np.asarray([keep(g) for g in self.groups], bool)[self.group])

    def where(self, keep: Callable[[Item], bool]) -> ItemLines:
        """The items for which `keep(item)` is true; all are read once."""
        return self.take(np.fromiter((bool(keep(item)) for item in self), bool, len(self)))

    @property
    def present(self) -> list[Group]:
        """The languages, kinds and splits of these items, in order of first appearance."""
        kinds, first = np.unique(self.group, return_index=True)
        return [self.groups[kinds[k]] for k in np.argsort(first)]

    def _reading(self) -> Any:
        try:
            file = self.path.open("rb")
        except OSError as error:
            raise MechclaError(
                f"cannot read items from {str(self.path)!r}: {error.strerror}"
            ) from error
        if _stamp(self.path) != self.stamp:
            file.close()
            raise MechclaError(
                f"{str(self.path)!r} was changed after its items were opened; open it again"
            )
        return file

    def _item(self, line: bytes) -> Item:
        return Item.from_dict(parse_json(line.decode("utf-8-sig")))


def _stamp(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def open_lines(path: str | Path) -> ItemLines:
    """The items of a JSON Lines file, every line checked as `mechcla.load_items` checks it, and
    none held.

    Raises MechclaError, naming the line, for one that is no item, for an id that stands twice in a
    language, and for one that is in two splits.
    """
    path = user_path(path)
    codes: dict[Group, int] = {}
    place, group, number = array("q"), array("l"), array("q")
    keys, ids = array("Q"), array("Q")
    try:
        before = _stamp(path)
        with path.open("rb") as file:
            for count, line in enumerate(iter(file.readline, b""), start=1):
                begin = file.tell() - len(line)
                with utf8(path, f"line {count} is to be UTF-8"):
                    text = line.decode("utf-8-sig" if count == 1 else "utf-8")
                if not text.strip():
                    continue
                item = _checked(text, path, count)
                place.append(begin)
                group.append(codes.setdefault((item.language, item.kind, item.split), len(codes)))
                number.append(count)
                keys.append(_hash(item.id, item.language, item.kind))
                ids.append(_hash(item.id))
    except OSError as error:
        raise MechclaError(f"cannot read items from {str(path)!r}: {error.strerror}") from error
    if not place:
        raise MechclaError(
            f"{path} holds no items; expected one JSON object per line (docs/items.md)"
        )
    found = ItemLines(
        path, before, tuple(codes), np.array(group, np.int64), np.array(place, np.int64)
    )
    _check_once(found, np.array(keys, np.uint64), np.array(number, np.int64))
    _check_splits(found, np.array(ids, np.uint64), np.array(number, np.int64))
    return found


def _checked(text: str, path: Path, number: int) -> Item:
    try:
        return Item.from_dict(parse_json(text))
    except (MechclaError, TypeError) as error:
        raise MechclaError(f"{path}, line {number}: {error}") from error


def _hash(*parts: str) -> int:
    """64 bits of a digest: two texts that are alike have the same ones."""
    return int.from_bytes(hashlib.blake2b("\0".join(parts).encode(), digest_size=8).digest())


def _neighbours(
    hashes: UInt64[np.ndarray, " item"],
) -> tuple[Int[np.ndarray, " pair"], Int[np.ndarray, " pair"]]:
    """Places of items with the same hash, the earlier one first."""
    order = np.argsort(hashes, kind="stable")
    same = np.flatnonzero(hashes[order][1:] == hashes[order][:-1])
    return order[same], order[same + 1]


def _check_once(items: ItemLines, keys: np.ndarray, number: np.ndarray) -> None:
    for a, b in zip(*_neighbours(keys), strict=True):
        one, two = items[int(a)], items[int(b)]
        if (one.id, one.language, one.kind) == (two.id, two.language, two.kind):
            raise MechclaError(
                f"{items.path}, line {number[b]}: {two.label} stands twice, first at line "
                f"{number[a]}; an id is unique within a language"
            )


def _check_splits(items: ItemLines, ids: np.ndarray, number: np.ndarray) -> None:
    split = [split for _, _, split in items.groups]
    for a, b in zip(*_neighbours(ids), strict=True):
        first, here = split[items.group[a]], split[items.group[b]]
        if first != here and items[int(a)].id == items[int(b)].id:
            raise MechclaError(
                f"{items.path}, line {number[b]}: {items[int(b)].label} is in split {here!r} here "
                f"and in {first!r} at line {number[a]}; the split belongs to the id, so that no "
                "question is in both"
            )
