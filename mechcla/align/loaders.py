"""What users train on: parallel text, instructions, preference pairs, facts.

From files or the hub.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from mechcla.align.data import (
    ParallelFact,
    Preference,
    TrainingData,
    demo_facts,
    fact_of,
    training_data,
)
from mechcla.align.settings import AlignConfig
from mechcla.errors import MechclaError
from mechcla.items.item import PIVOT
from mechcla.items.texts import check_language
from mechcla.sources.hugging_face import hub_rows
from mechcla.sources.tables import Row, long_cells, read_rows
from mechcla.storage import utf8

SUFFIXES = (".jsonl", ".csv", ".tsv", ".parquet")
ASKED = ("question", "prompt", "instruction")
ANSWERED = ("answer", "response", "output", "completion")
LANGUAGE_CODE = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*")
SHAPES = (
    "expected one of: "
    "columns named by language (en, es, ...) for parallel text, or --columns en=source,es=target; "
    "language, question, answer (and id, which pairs translations) for instructions; language, "
    "prompt, chosen, rejected for preference pairs; id, questions, answers, sentences for facts"
)


def load_data(config: AlignConfig) -> TrainingData:
    """The training data that a config names: "demo", a file, or a Hugging Face data set.

    A folder here that `datasets` reads is a data set, too. Raises MechclaError that names the file
    and row, or the column; also for a revision of what has none.

    >>> config = AlignConfig(method="mist", data="parallel.tsv")
    >>> load_data(config).languages
    ('en', 'es')
    """
    path = Path(config.data)
    if config.data_revision is not None and (config.data == "demo" or path.exists()):
        raise MechclaError(
            f"data_revision {config.data_revision!r} is a git revision of a data set on the "
            f"Hugging Face hub, and the data here are {config.data!r}, "
            + ("the shipped facts" if config.data == "demo" else "which lie on this machine")
            + "; leave data_revision out"
        )
    if config.data == "demo":
        return training_data("demo", demo_facts(), languages=config.languages)
    if path.suffix in SUFFIXES or path.is_file():
        if path.suffix not in SUFFIXES:
            raise MechclaError(f"{config.data!r} is no {', '.join(SUFFIXES)} file")
        rows = _tsv(path) if path.suffix == ".tsv" else read_rows(path)
        name = path.name
    else:
        rows = hub_rows(
            config.data,
            config.data_config,
            config.data_split,
            config.data_revision,
            instead="--data takes 'demo' or a file too",
        )
        name = config.data
    facts, preferences = from_rows(rows, name, columns_of(config.columns))
    return training_data(name, facts, preferences, config.languages)


def columns_of(given: list[str] | None) -> dict[str, str]:
    """{"en": "source"} from ["en=source"]. Raises MechclaError for what is no language=column."""
    found = {}
    for one in given or ():
        language, equals, column = one.partition("=")
        if not equals or not column:
            raise MechclaError(
                f"--columns {one!r} is no language=column; expected such as en=source,es=target"
            )
        found[check_language(language.strip(), "--columns")] = column.strip()
    return found


def from_rows(
    rows: Iterable[Row], name: str, columns: Mapping[str, str]
) -> tuple[list[ParallelFact], list[Preference]]:
    """Facts or preferences, by the columns that the first row has.

    Raises MechclaError, naming the row, for one that lacks a column or a text.
    """
    found = iter(rows)
    first = next(found, None)
    if first is None:
        raise MechclaError(f"{name} holds no rows; {SHAPES}")
    first.cell(next(iter(first.values), "id"))  # a row that cannot be read says so here
    every, have = chain([first], found), set(first.values)
    if columns:
        return list(_parallel(every, dict(columns))), []
    if have & {"questions", "sentences"}:
        return [fact_of(row) for row in every], []
    if {"chosen", "rejected"} <= have:
        return [], [_preference(row, n) for n, row in enumerate(every, start=1)]
    if have & set(ASKED) and have & set(ANSWERED):
        return _instructions(every), []
    languages = {c: c for c in first.values if c not in ("id", "topic")}
    if PIVOT in languages and len(languages) > 1:
        if odd := [c for c in languages if not LANGUAGE_CODE.fullmatch(c)]:
            named = ",".join(f"{c}={c}" for c in languages if c not in odd)
            raise MechclaError(
                f"{name} has the column {odd[0]!r}, which is no language code (2 or 3 letters, as "
                f"es or zh-Hant); name the columns of text, as --columns {named}, or take it out"
            )
        return list(_parallel(every, languages)), []
    raise MechclaError(f"{name} has the columns {', '.join(first.values) or 'none'}; {SHAPES}")


def _parallel(rows: Iterable[Row], columns: Mapping[str, str]) -> Iterator[ParallelFact]:
    for number, row in enumerate(rows, start=1):
        texts = {language: row.cell(column) for language, column in columns.items()}
        id_ = str(row.values.get("id") or number)
        yield ParallelFact(id_, str(row.values.get("topic", "")), sentences=texts, where=row.where)


def _instructions(rows: Iterable[Row]) -> list[ParallelFact]:
    """Rows with one id are one fact in several languages; a row without an id is its own."""
    grouped: dict[str, dict[str, Any]] = {}
    for number, row in enumerate(rows, start=1):
        asked = row.cell(next((c for c in ASKED if c in row.values), "question"))
        answer = row.cell(next((c for c in ANSWERED if c in row.values), "answer"))
        language = check_language(row.values.get("language", PIVOT), row.where)
        id_ = str(row.values.get("id") or f"row-{number}")
        fact = grouped.setdefault(id_, {"questions": {}, "answers": {}, "where": row.where})
        if language in fact["questions"]:
            raise MechclaError(
                f"{row.where}: id {id_!r} has language {language!r} already, in {fact['where']}; "
                "expected one row per id and language"
            )
        fact["questions"][language], fact["answers"][language] = asked, answer
    return [ParallelFact(id_, "", **fact) for id_, fact in grouped.items()]


def _preference(row: Row, number: int) -> Preference:
    language = check_language(row.values.get("language", PIVOT), row.where)
    asked = next((c for c in ASKED if c in row.values), "prompt")
    return Preference(
        str(row.values.get("id") or number),
        language,
        row.cell(asked),
        row.cell("chosen"),
        row.cell("rejected"),
        language != PIVOT,
        row.where,
    )


def _tsv(path: Path) -> Iterator[Row]:
    """Rows of tab-separated text; quotes are characters like others, as in parallel corpora."""
    try:
        with utf8(path), path.open(encoding="utf-8-sig", newline="") as file, long_cells():
            lines = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    except OSError as error:
        raise MechclaError(f"cannot read {str(path)!r}: {error.strerror}") from error
    header = lines[0] if lines else []
    for number, cells in enumerate(lines[1:], start=1):
        where = f"{path}, row {number}"
        if not any(cells):
            continue
        if len(cells) != len(header):
            yield Row(
                where,
                fault=(
                    f"has {len(cells)} cells where the header has {len(header)}: "
                    "a translation is missing, or a tab too many"
                ),
                number=number,
            )
        else:
            yield Row(where, dict(zip(header, cells, strict=True)), number=number, format="csv")
