"""Rows: a table of records that a result hands out, with its settings, a filter and pandas."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mechcla.errors import MechclaError, nearest

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Rows(Sequence[Mapping[str, Any]]):
    """Records in a fixed order, each a mapping from column to value; immutable as a whole.

    >>> Rows(({"language": "es", "n": 3}, {"language": "ko", "n": 4})).where(language="ko")[0]["n"]
    4
    """

    records: tuple[Mapping[str, Any], ...] = field(repr=False)
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        return iter(self.records)

    def __getitem__(self, index: Any) -> Any:
        return self.records[index]

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column of any record, in order of first appearance."""
        return tuple(dict.fromkeys(name for record in self.records for name in record))

    def where(self, keep: Callable[[Mapping[str, Any]], bool] | None = None, **values: Any) -> Rows:
        """The records with these values, and for which `keep`, if given, is true.

        Raises MechclaError for a column that no record has.
        """
        known = self.columns
        for name in values if self.records else ():
            if name not in known:
                raise MechclaError(
                    f"these rows have no column {name!r}; {nearest(name, known, 30)}"
                )
        chosen = (
            r
            for r in self.records
            if all(r.get(k) == v for k, v in values.items()) and (keep is None or keep(r))
        )
        return Rows(tuple(chosen), self.settings)

    def one(self, **values: Any) -> Mapping[str, Any]:
        """The only record with these values. Raises MechclaError if there is none, or more than
        one.
        """
        found = self.where(**values)
        if len(found) != 1:
            asked = ", ".join(f"{k}={v!r}" for k, v in values.items())
            raise MechclaError(f"{len(found)} rows have {asked}; expected one")
        record: Mapping[str, Any] = found[0]
        return record

    def to_pandas(self) -> pd.DataFrame:
        """The same as a data frame, one row per record."""
        import pandas as pd

        return pd.DataFrame([dict(r) for r in self.records], columns=list(self.columns))

    def __str__(self) -> str:
        shown = [[_cell(r.get(c)) for c in self.columns] for r in self.records[:40]]
        table = [list(self.columns), *shown]
        width = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = [
            "  ".join(cell.ljust(w) for cell, w in zip(row, width, strict=True)).rstrip()
            for row in table
        ]
        more = f"\n... ({len(self)} rows)" if len(self) > 40 else ""
        return "\n".join(lines) + more


def _cell(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else "" if value is None else str(value)
