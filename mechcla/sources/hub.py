"""Items from any Hugging Face data set, on the hub or on disk, with a mapping of its columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from mechcla.errors import MechclaError, nearest
from mechcla.items.item import Item
from mechcla.items.texts import check_language
from mechcla.sources.columns import Columns, Constants, item_of
from mechcla.sources.hugging_face import hub_rows
from mechcla.sources.loaded import LeftOut, Loaded
from mechcla.sources.splits import sample
from mechcla.sources.tables import collect, loaded

__all__ = ["Columns", "read_hub"]


def read_hub(
    dataset: str | Path,
    columns: Columns | Mapping[str, Any] | None = None,
    config: str | Mapping[str, str] | None = None,
    split: str = "test",
    languages: Sequence[str] | None = None,
    language: str | None = None,
    kind: str = "universal",
    country: str | None = None,
    separator: str = " ",
    licence: str = "",
    limit: int | None = None,
    bad_rows: str = "raise",
    revision: str | None = None,
) -> Loaded:
    """`load_items("hub", dataset="owner/name", ...)`: one split of a data set as items.

    dataset: a name on the hub, or a file or folder that `datasets` reads. columns: which column
    holds what (`Columns`, or a dictionary of its fields). config: the data set's config, or one a
    language: {"en": "eng_Latn", "es": "spa_Latn"}, of which `languages` and English are read.
    language, kind, country: of every row, where no column says it. limit: at most so many
    questions, chosen by a hash of the id and so the same in every language. bad_rows: "raise", or
    "skip" to leave them out, counted in a warning of `load_items` and listed here. dev and test are
    halves by a hash of the id unless a column says it. The mapping is ours; whether a prompt ends
    where its answer begins is for the caller to see to. Raises MechclaError that names the data
    set, row and column, and the nearest column.

    >>> mechcla.load_items("hub", dataset="facebook/belebele",
    ...     config={"en": "eng_Latn", "es": "spa_Latn"},
    ...     columns={"prompt": "{flores_passage} {question}", "id": ("link", "question_number"),
    ...              "choices": ("mc_answer1", "mc_answer2", "mc_answer3", "mc_answer4"),
    ...              "answer": "correct_answer_num", "answer_is": "index1"})  # doctest: +SKIP
    """
    name, mapping = str(dataset), Columns.of(columns)
    constants = Constants(
        language=language, kind=kind, country=country, separator=separator, licence=licence
    )
    if limit is not None and limit < 1:
        raise MechclaError(f"limit is {limit}; expected at least 1 question, or None for all")
    configs = _configs(config, languages, mapping, constants, name)
    items: tuple[Item, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    for code, part in configs.items():
        fixed = replace(constants, language=code or None, source=constants.source or name)
        rows = hub_rows(name, part, split, revision, "dataset= may be a local file or folder")
        made, bad = collect(rows, partial(item_of, columns=mapping, constants=fixed), bad_rows)
        items += made
        left_out += tuple(replace(one, language=code) for one in bad)
    if limit is not None:
        chosen = set(sample(list(dict.fromkeys(item.id for item in items)), limit))
        items = tuple(item for item in items if item.id in chosen)
    return loaded(items, left_out, name)


def _configs(
    config: str | Mapping[str, str] | None,
    languages: Sequence[str] | None,
    columns: Columns,
    constants: Constants,
    name: str,
) -> dict[str, str | None]:
    """The configs to read, by the language of their rows; "" where a column says it."""
    ways = [
        columns.language is not None,
        constants.language is not None,
        isinstance(config, Mapping),
    ]
    if sum(ways) != 1:
        raise MechclaError(
            f"the language of {name!r} is given in {sum(ways)} ways; "
            "expected one of language='es', columns={'language': 'a column'} "
            "or config={'es': 'its config'}"
        )
    if columns.id is None and (
        columns.language is not None or (isinstance(config, Mapping) and len(config) > 1)
    ):
        raise MechclaError(
            f"{name!r} has several languages: "
            "columns needs an 'id', which pairs a question with its translations"
        )
    codes = config if isinstance(config, Mapping) else [constants.language]
    for code in codes:
        if code is not None:
            check_language(code, name)
    if not isinstance(config, Mapping):
        return {constants.language or "": config}
    for code in languages or ():
        if code not in config:
            raise MechclaError(f"config has no language {code!r}; {nearest(code, config)}")
    return {
        code: part
        for code, part in config.items()
        if languages is None or code in languages or code == "en"
    }
