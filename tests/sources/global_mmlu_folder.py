"""Small copies of Global-MMLU in every layout; no text of the data set stands here."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

Row = dict[str, Any]
WORDS = {
    "en": ("What is {n} plus one?", "It is {n}"),
    "es": ("¿Cuánto es {n} más uno?", "Es «{n}», claro"),
    "ko": ("{n} 더하기 일은?", "{n}입니다"),
    "zh": ("{n}加一等于多少？", "是{n}"),
}
LABEL = ["CA", "CS", "CA", None]  # the label of question n is LABEL[n % 4]; None is not annotated


def question(
    language: str, n: int, subject: str = "arithmetic", split: str = "test", **changes: Any
) -> Row:
    """One row as the hub holds it: lists are texts, rows that nobody annotated carry dashes."""
    ask, reply = WORDS[language]
    label = LABEL[n % 4]
    row = {
        "sample_id": f"{subject}/{split}/{n}",
        "subject": subject,
        "subject_category": "STEM",
        "question": ask.format(n=n),
    }
    row |= {
        f"option_{letter}": reply.format(n=n + k)
        for letter, k in zip("abcd", (0, 1, 2, 3), strict=True)
    }
    row |= {
        "answer": "B",
        "required_knowledge": "['none']" if label else "[]",
        "time_sensitive": "['No']" if label else "[]",
        "reference": "[]",
        "culture": "[]",
        "region": "[]",
        "country": "[]",
        "cultural_sensitivity_label": label or "-",
        "is_annotated": label is not None,
    }
    return row | changes


def write_parquet(path: Path, rows: list[Row]) -> None:
    pd.DataFrame(rows).to_parquet(path)


def write_csv(path: Path, rows: list[Row]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def write_jsonl(path: Path, rows: list[Row]) -> None:
    path.write_text(
        "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8"
    )


WRITERS: dict[str, Callable[[Path, list[Row]], None]] = {
    "parquet": write_parquet,
    "csv": write_csv,
    "jsonl": write_jsonl,
}
LAYOUTS = [
    "{language}/{split}-00000-of-00001.parquet",
    "{language}/{split}.csv",
    "{language}_{split}.jsonl",
    "{language}-{split}.csv",
]


def save(
    folder: Path, data: dict[str, list[Row]], split: str = "test", layout: str = LAYOUTS[1]
) -> Path:
    for language, rows in data.items():
        path = folder / layout.format(language=language, split=split)
        path.parent.mkdir(parents=True, exist_ok=True)
        WRITERS[path.suffix[1:]](path, rows)
    return folder


def parallel(*languages: str, n: int = 12, **options: Any) -> dict[str, list[Row]]:
    return {
        language: [question(language, i, **options) for i in range(n)] for language in languages
    }
