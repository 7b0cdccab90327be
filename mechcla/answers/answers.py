"""Answers: the table that `generate` returns, a row per question; it knows nothing of models."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mechcla.errors import MechclaError, nearest
from mechcla.storage import json_meta, sha256, unsealed, user_path, without_row_numbers, write_whole

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Answer:
    """What a model wrote after one prompt.

    `text` is cut at the stop text and stripped; `tokens` are all ids that were generated, the one
    that ended the answer included; `ended` is "stop", "eos", or "length" where max_new_tokens was
    reached first, "" while it is being written. number: which of the answers to its question, from
    0.
    """

    id: str
    language: str
    country: str | None
    split: str
    topic: str
    prompt_form: str
    text: str
    tokens: tuple[int, ...]
    ended: str
    number: int = 0


@dataclass(frozen=True)
class Answers(Sequence[Answer]):
    """The answers of one run of `generate`, in the questions' order, with the settings that made
    them.

    >>> texts = answers.where(language="ko").to_pandas()[["id", "text"]]
    """

    rows: tuple[Answer, ...] = field(repr=False)
    settings: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Answer]:
        return iter(self.rows)

    def __getitem__(self, index: Any) -> Any:
        return self.rows[index]

    def __add__(self, other: Answers) -> Answers:
        return Answers(self.rows + other.rows, self.settings)

    def where(self, **fields: Any) -> Answers:
        """The rows whose fields have these values. Raises MechclaError for an unknown field."""
        known = list(Answer.__dataclass_fields__)
        for name in fields:
            if name not in known:
                raise MechclaError(f"answers have no field {name!r}; {nearest(name, known)}")
        return Answers(
            tuple(r for r in self.rows if all(getattr(r, k) == v for k, v in fields.items())),
            self.settings,
        )

    def to_pandas(self) -> pd.DataFrame:
        """A row per answer; `tokens` holds lists."""
        import pandas as pd

        frame = pd.DataFrame(
            [{**vars(row)} for row in self.rows], columns=list(Answer.__dataclass_fields__)
        )
        frame["tokens"] = frame["tokens"].map(list)
        return frame

    def to_parquet(self, path: str | Path) -> None:
        """Write the table, whole or not at all; the settings travel in the schema's metadata."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        names = list(Answer.__dataclass_fields__)
        types = {"tokens": pa.list_(pa.int64()), "number": pa.int64()}
        schema = pa.schema([(n, types.get(n, pa.string())) for n in names])
        columns = {
            n: [list(v) if isinstance(v := getattr(r, n), tuple) else v for r in self.rows]
            for n in names
        }
        settings = json_meta(self.settings, "the settings of these answers")
        table = pa.table(columns, schema=schema)
        meta = {b"mechcla": settings.encode(), b"mechcla.digest": _digest(table, settings).encode()}
        table = table.replace_schema_metadata(meta)
        write_whole(user_path(path), lambda part: pq.write_table(table, str(part)))

    @classmethod
    def from_parquet(cls, path: str | Path) -> Answers:
        """Read what `to_parquet` wrote, and verify it; also after a way through pandas.

        Raises MechclaError, naming the file, for one that cannot be read, has other columns, or is
        damaged. A file without a digest (of mechcla 0.1, or that pandas wrote) is read, with a
        warning.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        shown = repr(str(path))
        known = list(Answer.__dataclass_fields__)
        try:
            table = pq.read_table(str(user_path(path)))
            meta = table.schema.metadata or {}
            table = without_row_numbers(table)
            if table.column_names not in (known, known[:-1]):  # `number` came after version 0.1
                raise MechclaError(f"{shown} has columns {table.column_names}; expected {known}")
            settings = meta.get(b"mechcla", b"{}").decode()
            seal = meta.get(b"mechcla.digest", b"").decode()
            old = bool(meta) and set(meta) <= {b"mechcla", b"pandas", b"ARROW:schema"}
            whole = seal == _digest(table, settings) if seal else old
            rows = tuple(Answer(**{**r, "tokens": tuple(r["tokens"])}) for r in table.to_pylist())
            held = json.loads(settings)
        except MechclaError:
            raise
        except (OSError, ValueError, TypeError, MemoryError, pa.ArrowException) as error:
            raise MechclaError(f"cannot read answers from {shown}: {error}") from error
        if not whole:
            raise MechclaError(
                f"{shown} is damaged: its answers do not match their digest; "
                "generate again, or put a copy of the file back"
            )
        if not seal:
            unsealed(shown)
        return cls(rows, held)


def _digest(table: Any, settings: str) -> str:
    """SHA-256 of every row and the settings, as they are read back."""
    return sha256(json.dumps(table.to_pylist(), sort_keys=True), settings)
