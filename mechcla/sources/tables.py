"""Rows of a user's own table (CSV, JSON Lines, Parquet), each with the place that a message about it names.

A source turns a row into an item; what is wrong with one row is kept on that row, so that the source decides
whether to stop there or to skip it and say so.
"""

from __future__ import annotations

import csv
import json
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mechcla.errors import MechclaError, nearest
from mechcla.items.item import Item
from mechcla.items.item_set import ItemSet

SUFFIXES: tuple[str, ...] = (".jsonl", ".csv", ".parquet")
BAD_ROWS: tuple[str, ...] = ("raise", "skip")
_BLANK = "has only empty cells"
_LFS = b"version https://git-lfs"


@dataclass(frozen=True)
class Row:
    """One row: where it stands, its cells by column, why it cannot be read ("" if it can; else what follows `where`: "is not JSON"), and its number from 1."""

    where: str
    values: dict[str, Any] = field(default_factory=dict)
    fault: str = ""
    number: int = 0
    format: str = ""  # "csv", "parquet" or "jsonl"

    def cell(self, column: str) -> Any:
        """The cell of a column. Raises MechclaError with the nearest column that this row does have."""
        if self.fault:
            raise MechclaError(f"{self.where} {self.fault}")
        if column not in self.values:
            raise MechclaError(
                f"{self.where} lacks the column {column!r}; {nearest(column, self.values, 20)}"
            )
        return self.values[column]


@dataclass(frozen=True)
class Skipped:
    """A row that was left out, and why."""

    where: str
    why: str


def clip(value: object, width: int = 80) -> str:
    """The value as a message shows it."""
    text = repr(value)
    return text if len(text) <= width else text[: width - 3] + "..."


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of one file, in its order; rows are counted from 1 below the header.

    Raises MechclaError for a file that cannot be read at all: missing, cut off, of another encoding, or a
    Git LFS pointer where the data should be.
    """
    try:
        with path.open("rb") as file:
            head = file.read(len(_LFS))
    except OSError as error:
        raise MechclaError(f"cannot read {str(path)!r}: {error.strerror}") from error
    if head == _LFS:
        raise MechclaError(
            f"{path} is a Git LFS pointer, not the data: run `git lfs pull` there, or download the file itself"
        )
    if not head:
        raise MechclaError(
            f"{path} is empty (0 bytes) and holds no items: a download that did not finish? Fetch it again"
        )
    if path.suffix == ".parquet":
        yield from _parquet(path)
    else:
        try:
            yield from (_csv(path) if path.suffix == ".csv" else _jsonl(path))
        except UnicodeDecodeError as error:
            raise MechclaError(
                f"{path} is not UTF-8 at byte {error.start}; save it as UTF-8"
            ) from error


def _parquet(path: Path) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows = pq.read_table(path).to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise MechclaError(
            f"cannot read {path} as Parquet: {str(error).splitlines()[0]} If it was cut off while downloading, fetch it again"
        ) from error
    for number, row in enumerate(rows, start=1):
        yield Row(f"{path}, row {number}", row, format="parquet")


def _jsonl(path: Path) -> Iterator[Row]:
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").split("\n"), start=1):
        where = f"{path}, line {number}"
        if not line.strip():  # no row: an editor's last line break
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            yield Row(where, fault=f"is not JSON ({error.msg}): {clip(line)}")
            continue
        if isinstance(row, dict):
            yield Row(where, row, format="jsonl")
        else:
            yield Row(where, fault=f"is a JSON {type(row).__name__} and no object: {clip(row)}")


def _csv(path: Path) -> Iterator[Row]:
    # csv and not pandas, which reads the answers "None" and "NA" as missing cells.
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        number = 0
        try:
            header = next(reader)
            if len(header) == 1 and any(mark in header[0] for mark in ";\t"):
                raise MechclaError(
                    f"{path} has one column, {clip(header[0])}: its cells must be separated by commas"
                )
            twice = [name for name in header if header.count(name) > 1]
            if twice:
                raise MechclaError(f"{path} has the column {twice[0]!r} twice")
            for cells in reader:
                number += 1
                where = f"{path}, row {number} (ends on line {reader.line_num})"
                if not any(cell.strip() for cell in cells):
                    yield Row(where, fault=_BLANK)
                elif len(cells) != len(header):
                    found = f"has {len(cells)} cells where the header has {len(header)}: {clip(','.join(cells))}"
                    yield Row(
                        where, fault=f"{found}; is the file cut off, or a comma not in quotes?"
                    )
                else:
                    yield Row(where, dict(zip(header, cells, strict=True)), format="csv")
        except csv.Error as error:
            raise MechclaError(
                f"{path}, row {number + 1}: not CSV ({error}); is the file cut off inside a quoted cell?"
            ) from error


def collect(
    rows: Iterable[Row], make: Callable[[Row], Item], bad_rows: str = "raise"
) -> tuple[tuple[Item, ...], tuple[Skipped, ...]]:
    """The items that `make` builds from the rows, and the rows left out with the reason.

    A blank row is always left out and listed. bad_rows="raise" stops at the first other bad row,
    "skip" lists it. An id that stands twice in a language is a bad row too.
    Raises MechclaError that names file, row and column.
    """
    if bad_rows not in BAD_ROWS:
        raise MechclaError(f"bad_rows is {bad_rows!r}; {nearest(bad_rows, BAD_ROWS)}")
    items: list[Item] = []
    skipped: list[Skipped] = []
    first: dict[tuple[str, str, str], str] = {}
    for row in rows:
        blank = row.fault == _BLANK
        try:
            if row.fault:
                raise MechclaError(row.fault)
            item = make(row)
            key = (item.id, item.language, item.kind)
            if key in first:
                raise MechclaError(
                    f"{item.label} stands twice, first at {first[key]}; an id is unique within a language"
                )
        except (MechclaError, TypeError, AttributeError) as error:
            if bad_rows == "raise" and not blank:
                said = str(error).removeprefix(row.where).lstrip(": ")
                raise MechclaError(f"{row.where}{' ' if row.fault else ': '}{said}") from error
            skipped.append(Skipped(row.where, str(error)))
            continue
        first[key] = row.where
        items.append(item)
    return tuple(items), tuple(skipped)


def item_set(items: tuple[Item, ...], what: str, skipped: tuple[Skipped, ...] = ()) -> ItemSet:
    """An ItemSet whose errors name the file or data set. Raises MechclaError if there are no items."""
    if not items:
        reason = (
            f"; {len(skipped)} rows were skipped, the first: {skipped[0].where}: {skipped[0].why}"
            if skipped
            else ""
        )
        raise MechclaError(
            f"{what} holds no items{reason or '; expected the fields of docs/items.md'}"
        )
    try:
        return ItemSet(items)
    except MechclaError as error:
        raise MechclaError(f"{what}: {error}") from error


def warn_skipped(skipped: tuple[Skipped, ...], what: str, stacklevel: int = 4) -> None:
    """One warning that counts the rows left out and shows the first five."""
    if skipped:
        shown = "; ".join(f"{s.where}: {s.why}" for s in skipped[:5])
        more = f"; and {len(skipped) - 5} more" if len(skipped) > 5 else ""
        warnings.warn(f"{what}: {len(skipped)} rows skipped: {shown}{more}", stacklevel=stacklevel)
