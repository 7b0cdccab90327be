"""The items of runs and what each condition made of them, in columns that a browser reads fast."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mechcla.items.item import PIVOT, Item
from mechcla.runs.run import Run
from mechcla.scoring.scores import ItemScore, Scores

DIGITS = 10_000  # shares are whole numbers of these parts
COLUMNS = ("id", "language", "kind", "topic", "country", "prompt", "prompt_explicit", "prompt_us")


def questions(runs: Mapping[str, Run]) -> tuple[dict[str, list[Any]], dict[str, Any]]:
    """The test items that some run scored, and the English questions of these, each once, in
    columns; and per run and condition the shares of every item's candidates and the index of the
    chosen one, in the items' order.

    An item that a condition did not score has None. Shares are in ten-thousandths, rounded; the
    choice is by log-likelihood, the first of equal ones, as `Run.items` has it.
    """
    tables = {name: {c: run.scores(c) for c in run.conditions} for name, run in runs.items()}
    place: dict[Item, int] = {}
    for name, run in runs.items():
        keys = {(r.id, r.language, r.kind) for rows in tables[name].values() for r in rows}
        keys |= {(id, PIVOT, kind) for id, _, kind in keys}
        for item in run.item_set.test:
            if (item.id, item.language, item.kind) in keys:
                place.setdefault(item, len(place))
    items = list(place)
    columns: dict[str, list[Any]] = {name: [getattr(i, name) for i in items] for name in COLUMNS}
    columns["candidates"] = [[c.text for c in i.candidates] for i in items]
    columns["roles"] = [[c.role for c in i.candidates] for i in items]
    scored = {name: _conditions(run, tables[name], place) for name, run in runs.items()}
    return columns, scored


def _conditions(
    run: Run, tables: Mapping[str, Scores], place: Mapping[Item, int]
) -> dict[str, Any]:
    mine = {(i.id, i.language, i.kind): place[i] for i in run.item_set.test if i in place}
    found = {}
    for name, rows in tables.items():
        shares: list[list[int] | None] = [None] * len(place)
        choice: list[int | None] = [None] * len(place)
        for row in rows:
            at = mine[row.id, row.language, row.kind]
            shares[at], choice[at] = _parts(row), int(row.values().argmax())
        found[name] = {"form": _form(rows), "shares": shares, "choice": choice}
    return found


def _parts(row: ItemScore) -> list[int]:
    return [round(float(share) * DIGITS) for share in row.shares()]


def _form(rows: Sequence[ItemScore]) -> str:
    """The form of prompt in which a condition asks cultural items."""
    return next((row.prompt_form for row in rows if row.kind == "cultural"), "implicit")
