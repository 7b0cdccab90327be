"""Rows of a user's own table (CSV, JSON Lines, Parquet), each with the place that a message about
it names.

A source turns a row into an item; what is wrong with one row is kept on that row, so that the
source decides whether to stop there or to skip it and say so.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mechcla.errors import MechclaError, nearest
from mechcla.items.item import Item
from mechcla.items.item_set import ItemSet
from mechcla.items.texts import clip, parse_json
from mechcla.sources.loaded import LeftOut, Loaded
from mechcla.storage import utf8, without_row_numbers

SUFFIXES: tuple[str, ...] = (".jsonl", ".csv", ".parquet")
BAD_ROWS: tuple[str, ...] = ("raise", "skip")
_BLANK = "has only empty cells"
_LFS = b"version https://git-lfs"
_MARKS = (b"\xff\xfe", b"\xfe\xff")  # UTF-16's byte-order marks, and the first half of UTF-32's
_LONGEST_CELL = 2**31 - 1  # characters; csv's own limit of 131,072 is below a long passage


@dataclass(frozen=True)
class Row:
    """One row: where it stands, its cells by column, why it cannot be read ("" if it can; else what
    follows `where`: "is not JSON"), and its number from 1.
    """

    where: str
    values: dict[str, Any] = field(default_factory=dict)
    fault: str = ""
    number: int = 0
    format: str = ""  # "csv", "parquet" or "jsonl"

    def cell(self, column: str) -> Any:
        """The cell of a column. Raises MechclaError with the nearest column that this row does
        have.
        """
        if self.fault:
            raise MechclaError(f"{self.where} {self.fault}")
        if column not in self.values:
            raise MechclaError(
                f"{self.where} lacks the column {column!r}; {nearest(column, self.values, 20)}"
            )
        return self.values[column]


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of one file, in its order; rows are counted from 1 below the header.

    Raises MechclaError for a file that cannot be read at all: missing, cut off, of another
    encoding, or a Git LFS pointer where the data should be.
    """
    try:
        with path.open("rb") as file:
            head = file.read(len(_LFS))
    except OSError as error:
        raise MechclaError(f"cannot read {str(path)!r}: {error.strerror}") from error
    if head == _LFS:
        raise MechclaError(
            f"{path} is a Git LFS pointer, not the data: "
            "run `git lfs pull` there, or download the file itself"
        )
    if not head:
        raise MechclaError(
            f"{path} is empty (0 bytes) and holds no items: "
            "a download that did not finish? Fetch it again"
        )
    if path.suffix == ".parquet":
        yield from _parquet(path)
    else:
        if head.startswith(_MARKS) or b"\x00" in head[:2]:
            raise MechclaError(
                f"{path} is UTF-16 or UTF-32 (it begins with the bytes {head[:4].hex(' ')}); "
                "save it as UTF-8"
            )
        with utf8(path):
            yield from (_csv(path) if path.suffix == ".csv" else _jsonl(path))


def _parquet(path: Path) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        _once(pq.read_schema(path).names, path)
        table = without_row_numbers(pq.read_table(path))
    except (OSError, pa.ArrowException) as error:
        raise MechclaError(
            f"cannot read {path} as Parquet: "
            f"{str(error).splitlines()[0]} If it was cut off while downloading, fetch it again"
        ) from error
    try:
        rows = table.to_pylist()
    # A text that is not UTF-8, a date beyond Python's.
    except (pa.ArrowException, ValueError) as error:
        raise MechclaError(f"cannot read the cells of {path}: {clip(str(error), 200)}") from error
    for number, row in enumerate(rows, start=1):
        yield Row(f"{path}, row {number}", row, format="parquet")


def _jsonl(path: Path) -> Iterator[Row]:
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").split("\n"), start=1):
        where = f"{path}, line {number}"
        if not line.strip():  # no row: an editor's last line break
            continue
        try:
            row = parse_json(line)
        except MechclaError as error:
            yield Row(where, fault=str(error))
            continue
        if isinstance(row, dict):
            yield Row(where, row, format="jsonl")
        else:
            yield Row(where, fault=f"is a JSON {type(row).__name__} and no object: {clip(row)}")


def _csv(path: Path) -> Iterator[Row]:
    # csv and not pandas, which reads the answers "None" and "NA" as missing cells.
    with path.open(encoding="utf-8-sig", newline="") as file, long_cells():
        lines, broken = _csv_lines(file)
    if lines:
        header = lines[0][1]
        if len(header) == 1 and any(mark in header[0] for mark in ";\t"):
            raise MechclaError(
                f"{path} has one column, {clip(header[0])}: its cells must be separated by commas"
            )
        _once(header, path)
        numbered = _row_numbers([cells for _, cells in lines])
        for number, (line, cells) in enumerate(lines[1:], start=1):
            where = f"{path}, row {number} (ends on line {line})"
            if not any(cell.strip() for cell in cells):
                yield Row(where, fault=_BLANK)
            elif len(cells) != len(header):
                found = (
                    f"has {len(cells)} cells where the header has {len(header)}: "
                    f"{clip(','.join(cells))}"
                )
                yield Row(where, fault=f"{found}; is the file cut off, or a comma not in quotes?")
            else:
                values = dict(zip(header[numbered:], cells[numbered:], strict=True))
                yield Row(where, values, format="csv")
    if broken:
        raise MechclaError(
            f"{path}, row {max(len(lines), 1)}: "
            f"not CSV ({broken}); is the file cut off inside a quoted cell?"
        ) from broken


@contextmanager
def long_cells() -> Iterator[None]:
    """Let `csv` read cells of any length; its limit is the whole process's, and is as before
    afterwards.
    """
    before = csv.field_size_limit(_LONGEST_CELL)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _csv_lines(file: Iterable[str]) -> tuple[list[tuple[int, list[str]]], csv.Error | None]:
    """The cells of every line with the number of the line that it ends on, and what stopped the
    reading.
    """
    lines = []
    reader = csv.reader(file, strict=True)
    try:
        for cells in reader:
            lines.append((reader.line_num, cells))
    except csv.Error as error:
        return lines, error
    return lines, None


def _row_numbers(lines: Sequence[Sequence[str]]) -> bool:
    """Whether the first column is the row number that pandas writes without `index=False`."""
    header, *rows = lines
    return header[:1] == [""] and all(
        cells[:1] == [""] or cells[0].isdecimal() for cells in rows if cells
    )


def _once(names: Sequence[str], path: Path) -> None:
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise MechclaError(f"{path} has the column {twice[0]!r} twice")


def collect(
    rows: Iterable[Row], make: Callable[[Row], Item], bad_rows: str = "raise"
) -> tuple[tuple[Item, ...], tuple[LeftOut, ...]]:
    """The items that `make` builds from the rows, and the rows left out with the reason.

    A blank row is always left out and listed. bad_rows="raise" stops at the first other bad row,
    "skip" lists it. An id that stands twice in a language is a bad row too.
    Raises MechclaError that names file, row and column.
    """
    if bad_rows not in BAD_ROWS:
        raise MechclaError(f"bad_rows is {bad_rows!r}; {nearest(bad_rows, BAD_ROWS)}")
    items: list[Item] = []
    left_out: list[LeftOut] = []
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
                    f"{item.label} stands twice, first at {first[key]}; "
                    "an id is unique within a language"
                )
        except (MechclaError, TypeError, AttributeError) as error:
            if bad_rows == "raise" and not blank:
                said = str(error).removeprefix(row.where).lstrip(": ")
                raise MechclaError(f"{row.where}{' ' if row.fault else ': '}{said}") from error
            left_out.append(LeftOut(row.where, str(error)))
            continue
        first[key] = row.where
        items.append(item)
    return tuple(items), tuple(left_out)


def loaded(items: tuple[Item, ...], left_out: tuple[LeftOut, ...], what: str) -> Loaded:
    """The rows of a file or data set as a result; its errors and its warning name `what`.

    The warning counts the rows left out and shows the first five. Raises MechclaError if there are
    no items.
    """
    if not items:
        reason = (
            f"{len(left_out)} rows were skipped, the first: {_said(left_out[0])}"
            if left_out
            else "expected the fields of docs/items.md"
        )
        raise MechclaError(f"{what} holds no items; {reason}")
    try:
        found = ItemSet(items)
    except MechclaError as error:
        raise MechclaError(f"{what}: {error}") from error
    if not left_out:
        return Loaded(found)
    shown = "; ".join(_said(one) for one in left_out[:5])
    more = f"; and {len(left_out) - 5} more" if len(left_out) > 5 else ""
    warning = f"{what}: {len(left_out)} rows skipped: {shown}{more}"
    return Loaded(found, left_out, warning=warning)


def _said(row: LeftOut) -> str:
    return f"{row.what}: {row.reason}"
