"""Scores: the item-level table that `score` returns, and that every metric reads.

A candidate's log-likelihood is the sum of its tokens' log-probabilities after the prompt. The usual
normalisations (sum, per token, per character, per byte, prior-corrected) come from the same table;
HEADLINE is what is reported unless another is asked for.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from mechcla.errors import MechclaError, unknown
from mechcla.items.item import RIGHT
from mechcla.storage import (
    json_meta,
    sha256,
    unsealed,
    user_path,
    without_row_numbers,
    write_whole,
)

if TYPE_CHECKING:
    import pandas as pd


NORMALISATIONS = ("sum", "token", "char", "byte", "prior")
HEADLINE = "sum"
_DERIVED = ("choice", "choice_role", "share")  # what to_pandas adds


@dataclass(frozen=True)
class ItemScore:
    """One item's row: its candidates and their summed log-likelihoods (natural log).

    prior: the same candidates' log-likelihoods without any prompt, unsteered; empty where it was
    not measured. Where a token spans the join of prompt and answer, both sums begin at that token,
    and so does the prior.
    """

    id: str
    language: str
    kind: str
    split: str
    topic: str
    country: str | None
    prompt_form: str
    texts: tuple[str, ...]
    roles: tuple[str, ...]
    countries: tuple[str | None, ...]
    log_likelihood: tuple[float, ...]
    n_tokens: tuple[int, ...]
    prior: tuple[float, ...] = ()

    def values(self, normalisation: str = HEADLINE) -> Float[np.ndarray, " candidate"]:
        """Log-likelihoods under one normalisation: sum; divided by tokens, characters or UTF-8
        bytes; less the prior.

        "prior" is how much the prompt makes a candidate likelier than it is at the beginning of a
        text (pointwise mutual information), so an answer that is common in itself gains nothing by
        it.
        """
        value: np.ndarray = np.asarray(self.log_likelihood)
        if normalisation == "token":
            value = value / np.asarray(self.n_tokens)
        elif normalisation == "char":
            value = value / np.asarray([len(t) for t in self.texts])
        elif normalisation == "byte":
            value = value / np.asarray([len(t.encode()) for t in self.texts])
        elif normalisation == "prior":
            if not self.prior:
                raise MechclaError(
                    f"item {self.id!r} ({self.language}) was scored without priors; score(..., "
                    "prior=True) measures them"
                )
            with np.errstate(invalid="ignore"):  # -inf less -inf: a metric says so
                value = value - np.asarray(self.prior)
        elif normalisation != "sum":
            raise unknown("normalisation", normalisation, NORMALISATIONS)
        return value

    def shares(self, normalisation: str = HEADLINE) -> Float[np.ndarray, " candidate"]:
        """Each candidate's probability among the item's candidates; they sum to 1."""
        value = self.values(normalisation)
        weight = np.exp(value - value.max())
        shares: np.ndarray = weight / weight.sum()
        return shares

    @property
    def finite(self) -> bool:
        """Whether the row has shares and a best candidate: no log-likelihood is nan or +inf, and
        not all are -inf.

        One that is -inf alone is a number: an answer of probability 0, whose share is 0 and which
        is never the best.
        """
        values = self.log_likelihood
        return not any(math.isnan(v) or v == math.inf for v in values) and max(values) > -math.inf

    @property
    def right(self) -> int:
        return self.roles.index(RIGHT[self.kind])


@dataclass(frozen=True)
class Scores(Sequence[ItemScore]):
    """The item-level table of one run of `score`, in the items' order, with the settings that made
    it.
    """

    rows: tuple[ItemScore, ...] = field(repr=False)
    settings: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[ItemScore]:
        return iter(self.rows)

    def __getitem__(self, index: Any) -> Any:
        return self.rows[index]

    def __add__(self, other: Scores) -> Scores:
        return Scores(self.rows + other.rows, self.settings)

    def where(self, **fields: str) -> Scores:
        """The rows whose fields have these values, e.g. where(kind="cultural", language="ko")."""
        keep = tuple(r for r in self.rows if all(getattr(r, k) == v for k, v in fields.items()))
        return Scores(keep, self.settings)

    @property
    def not_finite(self) -> tuple[ItemScore, ...]:
        """The rows that no metric takes (`ItemScore.finite`)."""
        return tuple(row for row in self.rows if not row.finite)

    def to_pandas(self) -> pd.DataFrame:
        """A row per item; list columns hold a value per candidate; `choice`, `choice_role` under
        the sum.

        A row that is not finite has neither choice nor role, and shares of nan.
        """
        import pandas as pd

        rows = []
        for row in self.rows:
            best = int(np.argmax(row.values())) if row.finite else None
            shares = [math.nan] * len(row.texts) if best is None else row.shares()
            rows.append(
                {
                    **vars(row),
                    "choice": None if best is None else row.texts[best],
                    "choice_role": None if best is None else row.roles[best],
                    "share": [float(s) for s in shares],
                }
            )
        frame = pd.DataFrame(rows)
        for name in ("texts", "roles", "countries", "log_likelihood", "n_tokens", "prior"):
            if name in frame:
                frame[name] = frame[name].map(list)
        return frame

    def to_parquet(self, path: str | Path | BytesIO) -> None:
        """Write the table; the settings, and a digest of both, travel in the file's schema
        metadata.

        path: a file, written whole or not at all, or bytes in memory. Raises MechclaError where the
        operating system refuses to write, or for settings that JSON cannot hold.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns = {
            name: [getattr(r, name) for r in self.rows] for name in ItemScore.__dataclass_fields__
        }
        columns = {
            k: [list(v) if isinstance(v, tuple) else v for v in vs] for k, vs in columns.items()
        }
        settings = json_meta(self.settings, "the settings of these scores")
        table = pa.table(columns, schema=_schema())
        meta = {_META: settings.encode(), _SEAL: _digest(table, settings).encode()}
        table = table.replace_schema_metadata(meta)
        if isinstance(path, str | Path):
            write_whole(user_path(path), lambda part: pq.write_table(table, str(part)))
        else:
            pq.write_table(table, path)

    @classmethod
    def from_parquet(cls, path: str | Path | BytesIO) -> Scores:
        """Read what `to_parquet` wrote, and verify it; also after a way through pandas.

        pandas' row numbers and what `to_pandas` adds are left out. Raises MechclaError, naming the
        file, for one that cannot be read, is no table of scores, or is damaged. A file of mechcla
        0.1, or one that pandas wrote, carries no digest: it is read, with a warning.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        shown = repr(str(path)) if isinstance(path, str | Path) else "the table"
        try:
            table = pq.read_table(str(user_path(path)) if isinstance(path, str | Path) else path)
            meta = table.schema.metadata or {}
            table = _own_columns(table, shown)
            settings = meta.get(_META, b"{}").decode()
            seal = meta.get(_SEAL, b"").decode()
            whole = seal == _digest(table, settings) if seal else bool(meta) and set(meta) <= _OLD
            rows = [ItemScore(**_as_tuples(row)) for row in _records(table)]
            held = json.loads(settings)
        except MechclaError:
            raise
        except (OSError, ValueError, TypeError, MemoryError, pa.ArrowException) as error:
            raise MechclaError(f"cannot read scores from {shown}: {error}") from error
        if not whole:
            raise MechclaError(
                f"{shown} is damaged, or not a table of scores: its scores do not match their "
                "digest; score again, or put a copy of the file back"
            )
        if not seal:
            unsealed(shown)
        return cls(tuple(rows), held)


_META, _SEAL = b"mechcla", b"mechcla.digest"  # keys of the schema's metadata
_OLD = {_META, b"pandas", b"ARROW:schema"}  # what a file without a digest may have there


def _digest(table: Any, settings: str) -> str:
    """SHA-256 of every row and the settings, as they are read back; the rows as one JSON list."""
    rows = ", ".join(json.dumps(row, sort_keys=True) for row in _records(table))
    return sha256(f"[{rows}]", settings)


def _as_tuples(row: dict[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in row.items()}


def _records(table: Any) -> Iterator[Any]:
    """The rows as dictionaries, of which only some are there at once."""
    for batch in table.to_batches(max_chunksize=64):
        yield from batch.to_pylist()


def _own_columns(table: Any, path: str | Path) -> Any:
    """The table with an ItemScore's columns alone; they are all there, and no unknown one is."""
    table, known = without_row_numbers(table), list(ItemScore.__dataclass_fields__)
    table = table.drop_columns([n for n in _DERIVED if n in table.column_names])
    for name in table.column_names:
        if name not in known:
            raise unknown("column", name, known, 20, where=str(path))
    for name in known:
        if name not in table.column_names:
            raise MechclaError(
                f"{path} lacks the column {name!r}; it has "
                f"{', '.join(table.column_names) or 'none'}"
            )
    return table


def _schema() -> Any:
    import pyarrow as pa

    text, texts = pa.string(), pa.list_(pa.string())
    names = ("id", "language", "kind", "split", "topic", "country", "prompt_form")
    return pa.schema(
        [(n, text) for n in names]
        + [("texts", texts), ("roles", texts), ("countries", texts)]
        + [
            ("log_likelihood", pa.list_(pa.float64())),
            ("n_tokens", pa.list_(pa.int32())),
            ("prior", pa.list_(pa.float64())),
        ]
    )
