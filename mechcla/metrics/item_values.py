"""ItemValues: what metrics, intervals and tests read of a table of scores, eight bytes per value.

A row of `Scores` is made of Python objects, some kilobytes per item: its texts, roles and
log-likelihoods. Every statistic reads one number of it. So a run that has many conditions keeps
these numbers in arrays and lets the rows go; they lie in the run folder. Source: ours.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from jaxtyping import Float, Int

from mechcla.errors import MechclaError
from mechcla.scoring.scores import HEADLINE, Scores

Ids = tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Column:
    """A value per item, in the items' order."""

    ids: Ids
    values: Float[np.ndarray, " item"]

    @classmethod
    def of(cls, values: Mapping[str, float], known: dict[Ids, Ids]) -> Column:
        """The same values in an array. known: the ids of other columns, held once for all that have
        the same ones; added to here.
        """
        ids = tuple(values)
        return cls(known.setdefault(ids, ids), np.fromiter(values.values(), float, len(ids)))

    def to_dict(self) -> dict[str, float]:
        """The values by id, as they were."""
        return dict(zip(self.ids, self.values.tolist(), strict=True))


@dataclass(frozen=True, eq=False)
class CellValues:
    """The values of one language's rows of one kind.

    offered: how many candidates each row has. columns: by (metric, measure), over the rows that
    have the metric's role, if there are any. margins: by how much the log-likelihood of the local
    answer exceeds that of the American one, sorted by id, over the rows that have one of each.
    """

    offered: Int[np.ndarray, " item"]
    columns: Mapping[tuple[str, str], Column]
    margins: Column | None = None


@dataclass(frozen=True, eq=False)
class ItemValues:
    """The values of one condition by language and kind, in the order of its rows.

    names: the (metric, measure) pairs that were taken, all without a normalisation beyond the sum.
    `metric`, `difference` and the tests of `mechcla.statistics` take it in place of Scores and
    give the same numbers to the last bit.
    """

    cells: Mapping[tuple[str, str], CellValues] = field(repr=False)
    names: frozenset[tuple[str, str]]

    def __len__(self) -> int:
        return sum(len(cell.offered) for cell in self.cells.values())

    @property
    def offered(self) -> Int[np.ndarray, " item"]:
        """How many candidates each row has."""
        parts = [cell.offered for cell in self.cells.values()]
        return np.concatenate(parts) if parts else np.zeros(0, int)

    def where(self, **fields: str) -> ItemValues:
        """The values of one language, one kind, or both."""
        asked = (fields.pop("language", None), fields.pop("kind", None))
        if fields:
            raise MechclaError(f"item values know language and kind, not {', '.join(fields)}")
        kept = {
            key: cell
            for key, cell in self.cells.items()
            if all(x is None or x == own for x, own in zip(asked, key, strict=True))
        }
        return ItemValues(kept, self.names)

    def table(
        self, metric: str, measure: str, normalisation: str = HEADLINE
    ) -> dict[str, dict[str, float]]:
        """The values of one metric, [language][id]; no language without any.

        Raises MechclaError for what was not taken of the scores.
        """
        if (metric, measure) not in self.names or normalisation != HEADLINE:
            raise MechclaError(
                f"{metric} ({measure}, {normalisation}) was not taken of these scores; expected "
                f"one of {', '.join(sorted(f'{m} ({of})' for m, of in self.names))}, by {HEADLINE}"
            )
        return {
            language: cell.columns[metric, measure].to_dict()
            for (language, _), cell in self.cells.items()
            if (metric, measure) in cell.columns
        }


ItemTable = Scores | ItemValues  # either: what a metric is a mean over
AnyTable = TypeVar("AnyTable", Scores, ItemValues)


def of_languages(table: AnyTable, languages: Collection[str]) -> AnyTable:
    """The rows of these languages."""
    if isinstance(table, ItemValues):
        kept = {key: cell for key, cell in table.cells.items() if key[0] in languages}
        return ItemValues(kept, table.names)
    return Scores(tuple(r for r in table if r.language in languages))


def cells_of(table: ItemTable) -> set[tuple[str, str]]:
    """The languages and kinds that have rows, as (language, kind)."""
    if isinstance(table, ItemValues):
        return set(table.cells)
    return {(row.language, row.kind) for row in table}


def offered_by(table: ItemTable) -> Iterable[int]:
    """How many candidates each row has."""
    if isinstance(table, ItemValues):
        return [int(n) for n in table.offered]
    return [len(row.roles) for row in table]
