"""Scores: the item-level table that `score` returns, and that every metric reads.

A candidate's log-likelihood is the sum of its tokens' log-probabilities after the prompt. The usual normalisations
(sum, per token, per character, per byte, prior-corrected) come from the same table; HEADLINE is what is reported
unless another is asked for.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from mechcla.errors import MechclaError, nearest
from mechcla.items.item import RIGHT

if TYPE_CHECKING:
    import pandas as pd


NORMALISATIONS = ("sum", "token", "char", "byte", "prior")
HEADLINE = "sum"


@dataclass(frozen=True)
class ItemScore:
    """One item's row: its candidates and their summed log-likelihoods (natural log).

    prior: the same candidates' log-likelihoods without any prompt, unsteered; empty where it was not measured. Where a
    token spans the join of prompt and answer, both sums begin at that token, and so does the prior.
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
        """Log-likelihoods under one normalisation: sum; divided by tokens, characters or UTF-8 bytes; less the prior.

        "prior" is how much the prompt makes a candidate likelier than it is at the beginning of a text (pointwise
        mutual information), so an answer that is common in itself gains nothing by it.
        """
        total = np.asarray(self.log_likelihood)
        if normalisation == "sum":
            return total
        if normalisation == "token":
            return total / np.asarray(self.n_tokens)
        if normalisation == "char":
            return total / np.asarray([len(t) for t in self.texts])
        if normalisation == "byte":
            return total / np.asarray([len(t.encode()) for t in self.texts])
        if normalisation == "prior":
            if not self.prior:
                raise MechclaError(
                    f"item {self.id!r} ({self.language}) was scored without priors; score(..., prior=True) measures them"
                )
            with np.errstate(invalid="ignore"):  # -inf less -inf: a metric says so
                return total - np.asarray(self.prior)
        raise MechclaError(
            f"unknown normalisation {normalisation!r}; {nearest(normalisation, NORMALISATIONS)}"
        )

    def shares(self, normalisation: str = HEADLINE) -> Float[np.ndarray, " candidate"]:
        """Each candidate's probability among the item's candidates; they sum to 1."""
        value = self.values(normalisation)
        weight = np.exp(value - value.max())
        return weight / weight.sum()

    @property
    def finite(self) -> bool:
        """Whether the row has shares and a best candidate: no log-likelihood is nan or +inf, and not all are -inf.

        One that is -inf alone is a number: an answer of probability 0, whose share is 0 and which is never the best.
        """
        values = self.log_likelihood
        return not any(math.isnan(v) or v == math.inf for v in values) and max(values) > -math.inf

    @property
    def right(self) -> int:
        return self.roles.index(RIGHT[self.kind])


@dataclass(frozen=True)
class Scores(Sequence[ItemScore]):
    """The item-level table of one run of `score`, in the items' order, with the settings that made it."""

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
        """A row per item; list columns hold a value per candidate; `choice`, `choice_role` under the sum.

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

    def to_parquet(self, path: str | Path) -> None:
        """Write the table; the settings travel in the file's schema metadata."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns = {
            name: [getattr(r, name) for r in self.rows] for name in ItemScore.__dataclass_fields__
        }
        columns = {
            k: [list(v) if isinstance(v, tuple) else v for v in vs] for k, vs in columns.items()
        }
        table = pa.table(columns, schema=_schema())
        meta = {b"mechcla": json.dumps(self.settings, sort_keys=True).encode()}
        pq.write_table(table.replace_schema_metadata(meta), str(path))

    @classmethod
    def from_parquet(cls, path: str | Path) -> Scores:
        """Read what `to_parquet` wrote."""
        import pyarrow.parquet as pq

        table = pq.read_table(str(path))
        frozen: list[dict[str, Any]] = [
            {k: tuple(v) if isinstance(v, list) else v for k, v in row.items()}
            for row in table.to_pylist()
        ]
        return cls(
            tuple(ItemScore(**row) for row in frozen),
            json.loads((table.schema.metadata or {}).get(b"mechcla", b"{}")),
        )


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
