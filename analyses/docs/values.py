"""One value of a committed table, found by words, and written as the pages show it.

    demo/summary LOC localization difference      ->  +0.048 [0.033, 0.064]
    figures/fig4_perpendicularity es layer=16 .2  ->  0.97 [0.94, 1.00]
    reliability cells                             ->  51

The first word names a table under docs/reference: a CSV file, a list in a JSON file
(`benchmarks/paths` is "paths" of benchmarks.json), or a JSON file, whose keys the other words then
are. In a table a word is

    a column            what is shown; its interval too, unless `alone` stands there
    column=cell         which rows; `!=` for the others; column>other, column<0.5 likewise
    any other word      which rows: those of which a cell is this word
    min max mean range  over the rows' values; `ends` is a range with the languages that have the
                        ends, `each` a list by language, `count` how many rows
    .2                  how many decimals; 3 unless said (`+` or `-`: with or without a sign)

The rows must come down to one. A language that is not named is "all", a measure "share".
"""

from __future__ import annotations

import csv
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from mechcla import MechclaError
from mechcla.errors import nearest

FOLDER = Path(__file__).parents[2] / "docs" / "reference"
OVER = ("min", "max", "mean", "range", "ends", "each", "count")
UNSAID = {"language": "all", "measure": "share"}
SIGNED = ("difference", "gain", "change", "test_gain", "dev_gain")
WITH_INTERVAL = (*SIGNED, "value", "share", "cosine", "nats", "recovered", "of_ceiling")
Row = Mapping[str, Any]


class Typed(str):
    """A cell of a record that was typed: it is shown as it stands."""


@cache
def read(name: str, folder: Path = FOLDER) -> Any:
    """A table as its rows, or what a JSON file holds. Raises MechclaError for a name that is not
    there.
    """
    if (path := folder / f"{name}.csv").exists():
        with path.open(encoding="utf-8", newline="") as file:
            return [dict(row) for row in csv.DictReader(file)]
    if (path := folder / f"{name}.json").exists():
        return json.loads(path.read_text(encoding="utf-8"))
    above, _, within = name.rpartition("/")
    if above and (path := folder / f"{above}.json").exists():
        found = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(found.get(within), list):
            return [{k: Typed(v) for k, v in row.items()} for row in found[within]]
    known = [p.relative_to(folder).with_suffix("").as_posix() for p in folder.rglob("*.*")]
    raise MechclaError(f"no table {name!r} under docs/reference; {nearest(name, known)}")


@dataclass
class Query:
    """Words that have been told apart."""

    column: str = ""
    over: str = ""
    digits: int = 3
    sign: str = ""
    alone: bool = False
    filters: list[tuple[str, str, str]] = field(default_factory=list)  # column or "", =, cell


def parse(words: Sequence[str], columns: Sequence[str]) -> Query:
    """Words as a query over a table that has these columns."""
    query = Query()
    for word in words:
        if word in OVER:
            query.over = word
        elif found := re.fullmatch(r"\.(\d)", word):
            query.digits = int(found[1])
        elif word in ("+", "-"):
            query.sign = word
        elif word == "alone":
            query.alone = True
        elif found := re.fullmatch(r"(\w+)(!?=|[<>])(.*)", word):
            if found[1] not in columns:
                raise MechclaError(f"no column {found[1]!r}; {nearest(found[1], columns)}")
            query.filters.append((found[1], found[2], found[3]))
        elif word in columns:
            if query.column:
                raise MechclaError(f"two columns, {query.column!r} and {word!r}: say one")
            query.column = word
        else:
            query.filters.append(("", "=", word))
    if not query.column and query.over != "count":
        shown = [c for c in WITH_INTERVAL if c in columns]
        if len(shown) != 1:
            raise MechclaError(f"no column is named; expected one of {', '.join(columns)}")
        query.column = shown[0]
    return query


def chosen(rows: Sequence[Row], query: Query) -> list[Row]:
    """The rows that the query names. Raises MechclaError for a word that no cell is."""
    left, named = list(rows), set()
    for column, sign, cell in query.filters:
        if sign in "<>":
            left = [r for r in left if _passes(float(r[column]), sign, float(r.get(cell, cell)))]
        elif column:
            named.add(column)
            left = [r for r in left if (str(r[column]) == cell) == (sign == "=")]
        else:
            held = {c for r in rows for c, v in r.items() if str(v) == cell}
            if not held:
                cells = {str(v) for r in rows for v in r.values() if not _number(v)}
                raise MechclaError(f"no column or cell {cell!r}; {nearest(cell, sorted(cells))}")
            named |= held
            left = [r for r in left if any(str(v) == cell for v in r.values())]
    for column, cell in UNSAID.items():
        if column in named or not any(r.get(column) == cell for r in left):
            continue
        pools = column == "language" and bool(query.over)  # over languages, and not over their pool
        left = [r for r in left if (r[column] == cell) != pools]
    return left


def shown(text: str, folder: Path = FOLDER) -> str:
    """What the words name, as a page shows it."""
    name, *words = shlex.split(text)
    found = read(name, folder)
    if isinstance(found, dict):
        return _within(name, found, words)
    query, left = _found(found, words)
    if query.over == "count":
        return str(len(left))
    if query.over == "each":
        return ", ".join(f"{r['language']} {_cell(r, query)}" for r in left)
    if query.over in ("range", "ends"):
        low, high = (f(left, key=lambda r: float(r[query.column])) for f in (min, max))
        label = ["", ""] if query.over == "range" else [f" ({r['language']})" for r in (low, high)]
        ends = [number(r[query.column], query.digits, query.sign == "+") for r in (low, high)]
        return " to ".join(e + k for e, k in zip(ends, label, strict=True))
    if query.over:
        return number(_over(left, query), query.digits, query.sign == "+")
    return _cell(left[0], query)


def amount(text: str, folder: Path = FOLDER) -> float:
    """The same as a number, without rounding; a number stands for itself."""
    if _number(text):
        return float(text)
    name, *words = shlex.split(text)
    found = read(name, folder)
    if isinstance(found, dict):
        return float(_within(name, found, words))
    query, left = _found(found, words)
    if query.over == "count":
        return len(left)
    return _over(left, query) if query.over else float(left[0][query.column])


def row(name: str, folder: Path = FOLDER, **cells: Any) -> Row:
    """The only row with these cells; a number's cell may be a number."""
    left = [r for r in read(name, folder) if all(str(r[k]) == str(v) for k, v in cells.items())]
    if len(left) != 1:
        raise MechclaError(f"{name}: {len(left)} rows have {cells}; expected one")
    return left[0]


def number(value: Any, digits: int = 3, sign: bool = False) -> str:
    """A number with so many decimals; whole numbers and texts as they are, no -0.000."""
    if isinstance(value, Typed) or not _number(value):
        return str(value)
    if re.fullmatch(r"-?\d+", str(value)):
        return (
            f"{int(value):+d}" if sign else f"{int(value):,}" if int(value) > 9999 else str(value)
        )
    rounded = f"{float(value):.{digits}f}"
    if float(rounded) == 0:
        return rounded.lstrip("-")
    return f"{float(value):+.{digits}f}" if sign else rounded


def with_interval(found: Row, column: str, digits: int = 3, sign: bool | None = None) -> str:
    """A row's value in this column and its 95% interval, where the row has one."""
    signed = column in SIGNED if sign is None else sign
    value = number(found[column], digits, signed)
    for low, high in ((f"{column}_low", f"{column}_high"), ("low", "high")):
        if column in WITH_INTERVAL and found.get(low) not in (None, ""):
            return f"{value} [{number(found[low], digits)}, {number(found[high], digits)}]"
    return value


def p_value(value: Any) -> str:
    """A p-value with three decimals; below the last one it is said so."""
    return "< 0.001" if float(value) < 0.0005 else f"{float(value):.3f}"


def _cell(found: Row, query: Query) -> str:
    if query.column.startswith("p_"):
        return p_value(found[query.column])
    sign = query.column in SIGNED if not query.sign else query.sign == "+"
    if query.alone:
        return number(found[query.column], query.digits, sign)
    return with_interval(found, query.column, query.digits, sign)


def _found(rows: Sequence[Row], words: Sequence[str]) -> tuple[Query, list[Row]]:
    query = parse(words, list(rows[0]))
    left = chosen(rows, query)
    if (not left and query.over != "count") or (len(left) > 1 and not query.over):
        raise MechclaError(
            f"{len(left)} rows are meant, expected {'some' if query.over else 'one'}; "
            f"say more of {', '.join(c for c in rows[0] if not _number(rows[0][c]))}, column=cell"
        )
    return query, left


def _over(rows: Sequence[Row], query: Query) -> float:
    values = [float(r[query.column]) for r in rows]
    if query.over not in ("min", "max", "mean"):
        raise MechclaError(f"{query.over!r} is no one number; expected min, max or mean")
    if query.over == "mean":
        return sum(values) / len(values)
    return min(values) if query.over == "min" else max(values)


def _within(name: str, found: Any, words: Sequence[str]) -> str:
    digits = None
    for word in words:
        if match := re.fullmatch(r"\.(\d)", word):
            digits = int(match[1])
        elif not isinstance(found, dict) or word not in found:
            raise MechclaError(f"{name} has no {word!r} here; {nearest(word, list(found))}")
        else:
            found = found[word]
    if isinstance(found, dict | list):
        raise MechclaError(f"{name}: {' '.join(words)} is no one value; name one of what it holds")
    return str(found) if digits is None else number(found, digits)


def _passes(left: float, sign: str, right: float) -> bool:
    return left < right if sign == "<" else left > right


def _number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True
