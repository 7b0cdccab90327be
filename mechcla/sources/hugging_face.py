"""Opens a Hugging Face data set, from the hub or from disk, and says in one line why it cannot."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mechcla.errors import MechclaError, nearest
from mechcla.sources.tables import Row
from mechcla.storage import user_path

_BUILDERS = {".csv": "csv", ".json": "json", ".jsonl": "json", ".parquet": "parquet"}


def hub_rows(
    dataset: str,
    config: str | None = None,
    split: str = "test",
    revision: str | None = None,
    instead: str = "",
) -> Iterator[Row]:
    """The rows of one split of a data set on the hub, or of a local file or folder that `datasets`
    reads.

    instead: what the user can do where the hub is out of reach, for the message.
    Raises MechclaError for what cannot be opened, and for an unknown split with the nearest.
    """
    splits = _open(dataset, config, split, revision, instead)
    name = dataset + (f" [{config}]" if config else "")
    if split not in splits:
        raise MechclaError(f"{name} has no split {split!r}; {nearest(split, splits)}")
    for number, values in enumerate(splits[split], start=1):
        yield Row(f"{name} {split}, row {number}", values, number=number)


def _open(
    dataset: str, config: str | None, split: str, revision: str | None, instead: str
) -> Mapping[str, Any]:
    import datasets  # slow to import, and needed by this source alone

    path = user_path(dataset)
    if path.exists():
        dataset = str(path)
    splits: Mapping[str, Any]
    try:
        if (path / "dataset_dict.json").is_file():
            splits = datasets.load_from_disk(dataset)
        elif (path / "state.json").is_file():  # one table: it is the split that was asked for
            splits = {split: datasets.load_from_disk(dataset)}
        elif path.is_file():
            splits = _open_file(path, split)
        else:
            splits = datasets.load_dataset(dataset, config, revision=revision)
        return splits
    except MechclaError:
        raise
    except Exception as error:  # OSError, ValueError, the library's own, those of its builders
        asked = (
            f"{dataset!r}"
            + (f", config {config!r}," if config else "")
            + (f" revision {revision!r}" if revision else "")
        )
        where = "on disk" if path.exists() else "from the Hugging Face hub"
        offline = (
            "HF_HUB_OFFLINE is set"
            if os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0") and not path.exists()
            else ""
        )
        hints = "; ".join(hint for hint in (offline, instead) if hint)
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise MechclaError(
            f"cannot load {asked} {where}: {reason}" + (f"; {hints}" if hints else "")
        ) from error


def _open_file(path: Path, split: str) -> Mapping[str, Any]:
    import datasets

    if path.suffix not in _BUILDERS:
        raise MechclaError(f"cannot read {path}: {nearest(path.suffix, _BUILDERS)}")
    # Without keep_default_na the answers "None" and "NA" are read as missing cells.
    options = {"keep_default_na": False} if path.suffix == ".csv" else {}
    splits: Mapping[str, Any] = datasets.load_dataset(
        _BUILDERS[path.suffix], data_files={split: str(path)}, **options
    )
    return splits
