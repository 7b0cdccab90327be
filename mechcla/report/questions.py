"""The items of runs and what each condition made of them, in columns that a browser reads fast."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mechcla.items.item import PIVOT, Item
from mechcla.items.item_set import ItemSet
from mechcla.runs.run import Run
from mechcla.scoring.scores import ItemScore

DIGITS = 10_000  # shares are whole numbers of these parts
COLUMNS = ("id", "language", "kind", "topic", "country", "prompt", "prompt_explicit", "prompt_us")


def questions(runs: Mapping[str, Run]) -> tuple[dict[str, list[Any]], dict[str, Any]]:
    """The test items that some run scored, and the English questions of these, each once, in
    columns; and per run and condition the shares of every item's candidates and the index of the
    chosen one, in the items' order.

    An item that a condition did not score has None. Shares are in ten-thousandths, rounded; the
    choice is by log-likelihood, the first of equal ones, as `Run.items` has it.
    """
    found = {name: _of_run(run) for name, run in runs.items()}
    place: dict[Item, int] = {}
    for run in found.values():
        scored = [at for one in run.conditions.values() for at, s in enumerate(one.shares) if s]
        keys = {(i.id, i.language, i.kind) for i in (run.items[at] for at in set(scored))}
        keys |= {(id, PIVOT, kind) for id, _, kind in keys}
        for item in run.items:
            if (item.id, item.language, item.kind) in keys:
                place.setdefault(item, len(place))
    items = list(place)
    columns: dict[str, list[Any]] = {name: [getattr(i, name) for i in items] for name in COLUMNS}
    columns["candidates"] = [[c.text for c in i.candidates] for i in items]
    columns["roles"] = [[c.role for c in i.candidates] for i in items]
    return columns, {name: _placed(run, place) for name, run in found.items()}


@dataclass(frozen=True)
class _Condition:
    """What a condition made of a run's test items, in their order."""

    form: str
    shares: list[list[int] | None]
    choice: list[int | None]


@dataclass(frozen=True)
class _Found:
    """A run's test items, and what each condition made of them."""

    items: ItemSet
    conditions: dict[str, _Condition]


def _of_run(run: Run) -> _Found:
    """The scores of one condition are held at a time."""
    items = run.item_set.test
    mine = {(i.id, i.language, i.kind): at for at, i in enumerate(items)}
    conditions = {}
    for name in run.conditions:
        rows = run.scores(name)
        made = _Condition(_form(rows), [None] * len(items), [None] * len(items))
        for row in rows:
            at = mine[row.id, row.language, row.kind]
            made.shares[at], made.choice[at] = _parts(row), int(row.values().argmax())
        conditions[name] = made
    return _Found(items, conditions)


def _placed(run: _Found, place: Mapping[Item, int]) -> dict[str, Any]:
    """The same in the page's order of items."""
    to = [place.get(item) for item in run.items]
    found = {}
    for name, made in run.conditions.items():
        shares: list[list[int] | None] = [None] * len(place)
        choice: list[int | None] = [None] * len(place)
        for at, own, chosen in zip(to, made.shares, made.choice, strict=True):
            if at is not None:
                shares[at], choice[at] = own, chosen
        found[name] = {"form": made.form, "shares": shares, "choice": choice}
    return found


def _parts(row: ItemScore) -> list[int]:
    return [round(float(share) * DIGITS) for share in row.shares()]


def _form(rows: Sequence[ItemScore]) -> str:
    """The form of prompt in which a condition asks cultural items."""
    return next((row.prompt_form for row in rows if row.kind == "cultural"), "implicit")
