"""The run folder: every finished cell on disk at once and whole, and nothing that contradicts the config.

    config.yaml           what was asked for            record.json   versions and digests
    vectors/*.safetensors                               cells/SPLIT/LANGUAGE/*.parquet  item-level scores
    selection.json        dev points, front, choice     summary.csv, summary.json       test numbers
    frozen.json           the choice that opened test   tests.csv, arms.csv   p-values, control arms
    items.jsonl           the items themselves          figures/*.png, *.svg, *.json (the numbers drawn)

A file appears by a rename, so one that is there is whole. A cell's name ends in the digest of everything
that decides it (model, items, interventions, code), which alone says whether it is done.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from mechcla.errors import MechclaError
from mechcla.items.study import FrozenChoice
from mechcla.runs.identity import versions
from mechcla.scoring.scores import Scores
from mechcla.storage import digest, write_json, write_text, write_whole


class Store:
    """One run folder. `open` makes it, or finds it made by the same config."""

    def __init__(self, folder: Path, identity: dict[str, Any]) -> None:
        self.folder = folder
        self.identity = identity

    @classmethod
    def open(cls, folder: str | Path, config: dict[str, Any], identity: dict[str, Any]) -> Store:
        """Open or make a run folder.

        Raises MechclaError if the folder belongs to another config, model, items or code, naming what
        differs, or if it is a folder of something else. Nothing is written then.
        """
        folder = Path(folder)
        if folder.exists() and not folder.is_dir():
            raise MechclaError(f"the run folder {str(folder)!r} is a file; choose another --out")
        record = folder / "record.json"
        if record.exists():
            old = json.loads(record.read_text(encoding="utf-8"))
            differences = _differences(old["config"], config) + _differences(
                old["identity"], identity
            )
            if differences:
                listed = "\n".join(
                    f"  {key}: the folder has {a!r}, this run {b!r}" for key, a, b in differences
                )
                raise MechclaError(
                    f"the run folder {str(folder)!r} was made with other settings:\n{listed}\n"
                    "Choose another --out, or the settings of that run (its config.yaml)."
                )
        elif folder.exists() and any(
            p.name != "config.yaml" and not p.name.startswith(".") for p in folder.iterdir()
        ):
            raise MechclaError(
                f"{str(folder)!r} is not empty and holds no run of mechcla.sweep; choose another --out"
            )
        else:
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise MechclaError(
                    f"cannot make the run folder {str(folder)!r}: {error.strerror}"
                ) from error
            write_text(
                folder / "config.yaml", yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
            )
            write_json(record, {"config": config, "identity": identity, "versions": versions()})
        return cls(folder, identity)

    def freeze(self, record: FrozenChoice) -> None:
        """Write frozen.json, once. Raises MechclaError if test was opened in this folder under another choice."""
        path = self.folder / "frozen.json"
        if not path.exists():
            write_json(path, record.to_dict() | {"digest": record.digest})
            return
        before = json.loads(path.read_text(encoding="utf-8"))
        if before["digest"] != record.digest:
            raise MechclaError(
                f"test was opened in {str(self.folder)!r} under another choice (digest {before['digest'][:12]}..., now "
                f"{record.digest[:12]}...), so a new one could have been made on test; choose another --out"
            )

    def cell_path(self, split: str, language: str, name: str, decides: dict[str, Any]) -> Path:
        """Where the scores of a cell lie: a name to read and a digest of everything that decides them."""
        whole = digest({**self.identity, **decides})
        return self.folder / "cells" / split / language / f"{name}-{whole[:16]}.parquet"

    def read(self, path: Path) -> Scores | None:
        """The scores of a finished cell, or None."""
        return Scores.from_parquet(path) if path.exists() else None

    def write(self, path: Path, scores: Scores) -> None:
        write_whole(path, scores.to_parquet)


def _differences(old: dict[str, Any], new: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    keys = dict.fromkeys([*old, *new])
    return [(k, old.get(k), new.get(k)) for k in keys if old.get(k) != new.get(k)]
