"""Items from any Hugging Face data set, on the hub or on disk, with a mapping of its columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from mechcla.errors import MechclaError, nearest
from mechcla.items.item import Item
from mechcla.items.item_set import ItemSet
from mechcla.items.texts import check_language
from mechcla.sources.columns import Columns, Constants, item_of
from mechcla.sources.hugging_face import hub_rows
from mechcla.sources.splits import sample
from mechcla.sources.tables import Skipped, collect, item_set, warn_skipped

__all__ = ["Columns", "Constants", "HubItems", "hub_items", "read_hub"]


@dataclass(frozen=True)
class HubItems:
    """The items of a data set, and the rows that were left out."""

    items: ItemSet
    skipped: tuple[Skipped, ...]


def hub_items(
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
) -> ItemSet:
    """`load_items("hub", dataset="owner/name", ...)`: one split of a data set as items.

    dataset: a name on the hub, or a file or folder that `datasets` reads. columns: which column
    holds what (`Columns`, or a dictionary of its fields). config: the data set's config, or one a
    language: {"en": "eng_Latn", "es": "spa_Latn"}, of which `languages` and English are read.
    language, kind, country: of every row, where no column says it. limit: at most so many
    questions, chosen by a hash of the id and so the same in every language. bad_rows: "raise", or
    "skip" to leave them out, counted in a warning; `read_hub` returns them. dev and test are halves
    by a hash of the id unless a column says it. The mapping is ours; whether a prompt ends where
    its answer begins is for the caller to see to. Raises MechclaError that names the data set, row
    and column, and the nearest column.

    >>> mechcla.load_items("hub", dataset="facebook/belebele",
    ...     config={"en": "eng_Latn", "es": "spa_Latn"},
    ...     columns={"prompt": "{flores_passage} {question}", "id": ("link", "question_number"),
    ...              "choices": ("mc_answer1", "mc_answer2", "mc_answer3", "mc_answer4"),
    ...              "answer": "correct_answer_num", "answer_is": "index1"})  # doctest: +SKIP
    """
    constants = Constants(
        language=language, kind=kind, country=country, separator=separator, licence=licence
    )
    found = read_hub(
        dataset, columns, config, split, languages, constants, limit, bad_rows, revision
    )
    warn_skipped(found.skipped, str(dataset))
    return found.items


def read_hub(
    dataset: str | Path,
    columns: Columns | Mapping[str, Any] | None = None,
    config: str | Mapping[str, str] | None = None,
    split: str = "test",
    languages: Sequence[str] | None = None,
    constants: Constants | None = None,
    limit: int | None = None,
    bad_rows: str = "raise",
    revision: str | None = None,
) -> HubItems:
    """The same as `hub_items`, without a warning and with every row that was left out.

    constants: what holds for every row that has no column for it.

    >>> spanish = Constants(language="es")
    >>> read_hub("owner/name", constants=spanish, bad_rows="skip").skipped  # doctest: +SKIP
    """
    name, mapping, constants = str(dataset), Columns.of(columns), constants or Constants()
    if limit is not None and limit < 1:
        raise MechclaError(f"limit is {limit}; expected at least 1 question, or None for all")
    configs = _configs(config, languages, mapping, constants, name)
    items: tuple[Item, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    for code, part in configs.items():
        fixed = replace(constants, language=code or None, source=constants.source or name)
        rows = hub_rows(name, part, split, revision, "dataset= may be a local file or folder")
        made, left_out = collect(rows, partial(item_of, columns=mapping, constants=fixed), bad_rows)
        items, skipped = items + made, skipped + left_out
    if limit is not None:
        chosen = set(sample(list(dict.fromkeys(item.id for item in items)), limit))
        items = tuple(item for item in items if item.id in chosen)
    return HubItems(item_set(items, name, skipped), skipped)


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
