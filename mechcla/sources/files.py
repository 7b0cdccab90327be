"""Items from the user's own files in the item schema: JSON Lines, CSV or Parquet.

docs/sources.md describes the files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mechcla.errors import MechclaError, nearest, unknown
from mechcla.items.item import ROLES, Item
from mechcla.items.item_lines import open_lines
from mechcla.items.item_set import ItemSet
from mechcla.items.texts import clip, parse_json
from mechcla.sources.loaded import Loaded
from mechcla.sources.tables import SUFFIXES, Row, collect, loaded, read_rows
from mechcla.storage import user_path

COLUMNS: tuple[str, ...] = (
    "id",
    "language",
    "kind",
    "split",
    "prompt",
    "candidates",
    "country",
    "topic",
    "prompt_explicit",
    "prompt_us",
    "separator",
    "source",
    "licence",
)
SEPARATORS = {"space": " ", "none": ""}  # how a CSV cell spells what a spreadsheet would trim
_FLAT = re.compile(r"(candidate|role|country)_([1-9][0-9]*)")


def read_items(path: str | Path, bad_rows: str = "raise", stream: bool = False) -> Loaded:
    """`load_items(path)`: the items of one .jsonl, .csv or .parquet file, or of every such file in
    a folder, sorted by name.

    bad_rows: "raise" stops at the first row that is no item, "skip" leaves it out. `load_items`
    counts the rows left out and shows the first of them in a warning; this lists them all. Blank
    CSV rows are always left out. stream: the items of one .jsonl file stay there and are read as
    they are needed, so that they may be more than memory holds. Raises MechclaError that names
    file, row and column.

    >>> read_items("my.csv", bad_rows="skip").left_out
    (LeftOut(what='my.csv, row 2 (ends on line 4)', reason="column 'role_2' is 'corect'; did you
    mean 'correct'? ...", language=''),)
    """
    path = user_path(path)
    if stream:
        if path.suffix != ".jsonl" or path.is_dir() or bad_rows != "raise":
            raise MechclaError(
                f"stream reads one .jsonl file in which every row is an item; {str(path)!r} with "
                f"bad_rows={bad_rows!r} is read whole"
            )
        return Loaded(ItemSet(open_lines(path)))
    files = [path]
    if path.is_dir():
        files = sorted(f for f in path.iterdir() if f.suffix in SUFFIXES)
        if not files:
            raise MechclaError(f"the folder {path} holds no {', '.join(SUFFIXES)} files")
    return loaded(*collect(_rows(files), _make, bad_rows), str(path))


def _rows(files: list[Path]) -> Iterator[Row]:
    for file in files:
        checked = False
        for row in read_rows(file):
            if row.format in ("csv", "parquet") and not checked:
                _check_columns(file, row)
                checked = True
            yield row


def _check_columns(file: Path, row: Row) -> None:
    # Once for the file: a renamed column is one mistake and not one a row.
    for name in row.values:
        if name not in COLUMNS and not _FLAT.fullmatch(name):
            raise unknown("column", name, COLUMNS, 20, where=str(file))
    for name in ("id", "language", "kind", "split", "prompt"):
        row.cell(name)
    has_list, has_flat = (
        "candidates" in row.values,
        any(name.startswith("candidate_") for name in row.values),
    )
    if has_list == has_flat:
        found = "both" if has_list else "neither"
        raise MechclaError(
            f"{file} has {found} a column 'candidates' and columns 'candidate_1', ...; "
            "expected one of the two"
        )
    for name in row.values:
        if (
            name.startswith("candidate_")
            and (role := name.replace("candidate_", "role_")) not in row.values
        ):
            raise MechclaError(
                f"{file} has the column {name!r} without {role!r}; {nearest(role, row.values, 20)}"
            )


def _from_columns(cells: dict[str, Any], csv: bool) -> dict[str, Any]:
    """A row of CSV or Parquet as the JSON object of docs/items.md. A cell without content is a
    field left out.
    """
    if csv and cells.get("separator") == "":
        # Guessing would glue every candidate to its prompt, or part them, without a sign of it in
        # the scores.
        raise MechclaError(
            "column 'separator' is empty; "
            "write 'space' or 'none', or leave the column out for a space everywhere"
        )
    values = {k: v for k, v in cells.items() if v is not None and not (csv and v == "")}
    if csv and "separator" in values:
        values["separator"] = SEPARATORS.get(values["separator"], values["separator"])
    if "candidates" not in cells:
        values["candidates"] = _flat_candidates(values)
    elif isinstance(raw := values.get("candidates"), str):
        try:
            values["candidates"] = parse_json(raw)
        except MechclaError as error:
            raise MechclaError(
                f"column 'candidates' {error}; expected a list such as "
                '[{"text": "euro", "role": "local", "country": "ES"}, ...]'
            ) from error
    candidates = values.get("candidates", [])
    if not isinstance(candidates, list):
        raise MechclaError(f"column 'candidates' is {clip(candidates)}; expected a list")
    values["candidates"] = [
        {k: v for k, v in c.items() if v is not None} if isinstance(c, dict) else c
        for c in candidates
    ]
    return {k: v for k, v in values.items() if not _FLAT.fullmatch(k)}


def _flat_candidates(values: dict[str, Any]) -> list[dict[str, Any]]:
    numbers = sorted({int(m[2]) for name in values if (m := _FLAT.fullmatch(name))})
    roles = ROLES.get(
        values.get("kind", ""), tuple(dict.fromkeys(r for names in ROLES.values() for r in names))
    )
    candidates = []
    for n in numbers:
        text, role = values.get(f"candidate_{n}"), values.get(f"role_{n}")
        if text is None:
            raise MechclaError(
                f"column 'candidate_{n}' is empty, but 'role_{n}' or 'country_{n}' is not"
            )
        if role not in roles:
            raise MechclaError(f"column 'role_{n}' is {role or ''!r}; {nearest(role, roles)}")
        candidates.append({"text": text, "role": role, "country": values.get(f"country_{n}")})
    return candidates


def _make(row: Row) -> Item:
    return Item.from_dict(
        row.values if row.format == "jsonl" else _from_columns(row.values, csv=row.format == "csv")
    )
