"""Questions of Global-MMLU as the data set holds them: found on the hub or in a folder, and checked
row by row.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mechcla.errors import MechclaError, nearest
from mechcla.items.texts import clip, text_fault
from mechcla.sources.global_mmlu.cues import LANGUAGES
from mechcla.sources.hugging_face import hub_rows
from mechcla.sources.tables import Row, read_rows
from mechcla.storage import user_path

DATASET = "CohereLabs/Global-MMLU"
LETTERS = "ABCD"
LABELS = ("CA", "CS")
_FORMATS = ("parquet", "csv", "jsonl")
_SHARD = re.compile(r"-(\d{5})-of-(\d{5})\.")
_TRUTH = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True)
class Question:
    """One row: `answer` is the right option's place, `label` is CA, CS or "" where nobody annotated
    it.
    """

    id: str
    subject: str
    text: str
    options: tuple[str, ...]
    answer: int
    label: str

    @property
    def empty(self) -> bool:
        """Whether the question or one of its options has no text."""
        return not all(text.strip() for text in (self.text, *self.options))


def read_questions(
    language: str,
    split: str = "test",
    path: str | Path | None = None,
    revision: str | None = None,
    labels: bool = True,
) -> dict[str, Question]:
    """The questions of one language by sample_id, in the data set's order.

    path: a folder of the user's own copy; None asks the hub. labels=False does without the columns
    that say what is culturally sensitive. Raises MechclaError that names file, row and column.
    """
    origin = f"{DATASET} [{language}] {split}"
    if path is None:
        rows: Iterable[Row] = hub_rows(
            DATASET,
            language,
            split,
            revision,
            "path='folder' reads your own copy, "
            f"laid out as {language}/{split}-00000-of-00001.parquet, "
            f"{language}/{split}.csv or {language}_{split}.jsonl",
        )
    else:
        files = find_files(path, language, split)
        origin, rows = str(files[0]), (row for file in files for row in read_rows(file))
    found: dict[str, Question] = {}
    where: dict[str, str] = {}
    for row in rows:
        question = _question(row, labels)
        if question.id in found:
            raise MechclaError(
                f"{row.where}: sample_id {question.id!r} stands twice, "
                f"first at {where[question.id]}"
            )
        found[question.id], where[question.id] = question, row.where
    if not found:
        raise MechclaError(
            f"{origin} has no rows; expected Global-MMLU's {split} questions in {language!r}"
        )
    return found


def _question(row: Row, labels: bool) -> Question:
    def text(column: str, empty: bool = False) -> str:
        value = row.cell(column)
        # A missing option is counted later, not refused here.
        value = "" if value is None and empty else value
        if not isinstance(value, str) or not (empty or value.strip()):
            raise MechclaError(f"{row.where}, column {column!r} is {clip(value)}; expected a text")
        if fault := text_fault(value):
            raise MechclaError(f"{row.where}, column {column!r} is {clip(value)}, which {fault}")
        return value

    answer = text("answer").strip()
    if answer not in tuple(LETTERS):
        meant = {
            **dict(zip("0123", LETTERS, strict=True)),
            **dict(zip("abcd", LETTERS, strict=True)),
        }.get(answer)
        hint = f"; did you mean {meant!r}?" if meant else ""
        raise MechclaError(
            f"{row.where}, column 'answer' is {clip(answer)}; expected one of A, B, C, D{hint}"
        )
    label = ""
    if labels:
        annotated = row.cell("is_annotated")
        known = (
            annotated
            if isinstance(annotated, bool)
            else _TRUTH.get(str(annotated).strip().casefold())
        )
        if known is None:
            raise MechclaError(
                f"{row.where}, column 'is_annotated' is {clip(annotated)}; expected true or false"
            )
        if known:
            label = text("cultural_sensitivity_label").strip()
            if label not in LABELS:
                raise MechclaError(
                    f"{row.where}, column 'cultural_sensitivity_label' is {label!r}; "
                    f"{nearest(label, LABELS)}"
                )
    options = tuple(text(f"option_{letter.lower()}", empty=True) for letter in LETTERS)
    return Question(
        text("sample_id"),
        text("subject"),
        text("question", empty=True),
        options,
        LETTERS.index(answer),
        label,
    )


def languages_in(folder: Path, split: str = "test") -> tuple[str, ...]:
    """The languages that a folder has files of, English first."""
    have = [language for language in LANGUAGES if next(_found(folder, language, split), None)]
    return tuple(sorted(have, key=lambda language: language != "en"))


def find_files(path: str | Path, language: str, split: str) -> list[Path]:
    """The file of a language and split, or all its shards: `es/test-00000-of-00001.parquet` as the
    hub lays it out, `es/test.csv`, `es_test.jsonl`, `es-test.csv`, or (test only) `es.csv`; each as
    parquet, csv or jsonl.

    Raises MechclaError if there is none, more than one, or not every shard.
    """
    folder = user_path(path)
    if not folder.is_dir():
        hint = f"; did you mean {str(folder.parent)!r}?" if folder.is_file() else ""
        raise MechclaError(
            f"path={str(path)!r} is no folder; "
            f"expected one with a sub-folder or file per language{hint}"
        )
    groups = list(_found(folder, language, split))
    if not groups:
        unfinished = sorted(f.name for f in folder.rglob("*.incomplete"))
        there = ", ".join(languages_in(folder, split)) or "none"
        raise MechclaError(
            f"no {split} questions in {language!r} in {folder}; "
            f"expected {language}/{split}-00000-of-00001.parquet, "
            f"{language}/{split}.csv or {language}_{split}.jsonl; languages there: {there}"
            + (f"; a download did not finish: {unfinished[0]}" if unfinished else "")
        )
    if len(groups) > 1:
        names = " and ".join(str(group[0].relative_to(folder)) for group in groups[:2])
        raise MechclaError(
            f"{folder} holds the {split} questions in {language!r} twice: {names}; keep one"
        )
    files = groups[0]
    if shard := _SHARD.search(files[0].name):
        want = [_SHARD.sub(f"-{n:05d}-of-{shard[2]}.", files[0].name) for n in range(int(shard[2]))]
        missing = sorted(set(want) - {file.name for file in files})
        if missing:
            raise MechclaError(
                f"{files[0].parent} has {len(files)} of {len(want)} parts of {language!r} {split}; "
                f"missing {missing[0]}: a download that did not finish? Fetch it again"
            )
    return files


def _found(folder: Path, language: str, split: str) -> Iterator[list[Path]]:
    for kind in _FORMATS:
        if shards := sorted(
            f for f in (folder / language).glob(f"{split}-*.{kind}") if _SHARD.search(f.name)
        ):
            yield shards
        names = [f"{language}/{split}", f"{language}_{split}", f"{language}-{split}"] + [
            language
        ] * (split == "test")
        for name in names:
            if (folder / f"{name}.{kind}").is_file():
                yield [folder / f"{name}.{kind}"]
