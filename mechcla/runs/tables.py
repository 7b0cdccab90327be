"""Records as CSV that a spreadsheet takes for what it is: a text never becomes a formula; and rows
of text in columns.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

# What makes a spreadsheet take a cell for a formula, after OWASP's page on CSV injection.
FORMULA = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
NUMBER = r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?"
# As Estimate prints.
NUMBERS = re.compile(rf"{NUMBER}( \[{NUMBER}, {NUMBER}\]( n=\d+)?)?|[+-](inf|nan)")


def csv_text(rows: Sequence[Mapping[str, Any]], fields: Sequence[str] | None = None) -> str:
    """Records as CSV, a line per record; nothing for none. fields: the columns; default: the first
    record's.

    A text that a spreadsheet would take for a formula gets a leading apostrophe, which it hides;
    numbers, and texts that are numbers, or a number with its interval and n, stay as they are.

    >>> csv_text([{"language": "=1+1", "change": -0.5}])
    "language,change\\n'=1+1,-0.5\\n"
    """
    out = io.StringIO()
    if rows:
        names = list(rows[0]) if fields is None else list(fields)
        writer = csv.DictWriter(out, names, lineterminator="\n")
        writer.writerow({name: plain_cell(name) for name in names})
        writer.writerows({k: plain_cell(v) for k, v in row.items()} for row in rows)
    return out.getvalue()


def in_columns(rows: Sequence[Sequence[str]], least: Sequence[int] = ()) -> list[str]:
    """A line per row, each column as wide as its longest entry and two spaces. least: the widths
    that columns have at least.

    >>> in_columns([("run", "n"), ("gemma", "63")])
    ['run    n', 'gemma  63']
    """
    wide = [max(map(len, column)) + 2 for column in zip(*rows, strict=True)]
    wide = [max(w, *least[k : k + 1], 0) for k, w in enumerate(wide)]
    return ["".join(map(str.ljust, row, wide)).rstrip() for row in rows]


def plain_cell(value: Any) -> Any:
    """A value as a CSV cell: a text that would be a formula behind an apostrophe, everything else
    as it is.
    """
    if isinstance(value, str):
        # Python 3.11 does not quote a lone \r.
        value = value.replace("\r\n", "\n").replace("\r", "\n")
    if isinstance(value, str) and value.startswith(FORMULA) and not NUMBERS.fullmatch(value):
        return f"'{value}"
    return value
