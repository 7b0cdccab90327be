"""The run folder: every finished cell on disk at once and whole, and nothing believed unverified.

`mechcla.runs.folder` lists the files. A file appears by a rename, so one that is there was whole
once; what happened to it since, its digest tells. A cell or vector file that is damaged is named
and made again; a choice that is damaged is refused, for test was opened under it.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import yaml
from tqdm import tqdm

from mechcla.errors import MechclaError
from mechcla.interrupts import again
from mechcla.items.study import FrozenChoice
from mechcla.models.placement import SETTINGS
from mechcla.runs import lock
from mechcla.runs.folder import (
    CELL,
    CELLS,
    CONDITIONS,
    CONFIG,
    FROZEN,
    ITEMS,
    LONGEST_NAME,
    PROJECTION,
    RECORD,
    SCHEMA,
    SELECTION,
    STATUS,
    VECTOR,
    VECTORS,
    check,
    component,
    reading,
    refuse_other_schema,
    seal,
    sweep_out,
)
from mechcla.runs.identity import versions
from mechcla.scoring.scores import Scores
from mechcla.storage import (
    DIGEST,
    digest,
    file_sha256,
    read_sealed,
    sha256,
    user_path,
    write_bytes,
    write_sealed,
    write_whole,
)
from mechcla.vectors.steering_vectors import SteeringVectors


def cell_path(
    folder: Path,
    identity: dict[str, Any],
    split: str,
    language: str,
    name: str,
    decides: dict[str, Any],
) -> Path:
    """Where a run of this identity keeps a cell, but for the digest of its bytes."""
    whole = digest({**identity, **decides})
    place = folder / CELLS / component(split) / component(language)
    return place / f"{component(name, LONGEST_NAME)}-{whole[:16]}"


class Store:
    """One run folder, held by this process alone. `open` makes it, or finds it made by the same
    config.

    Use it as a context manager, or `close` it: both give the folder back.
    """

    def __init__(self, folder: Path, identity: dict[str, Any], held: lock.RunLock | None) -> None:
        self.folder = folder
        self.identity = identity
        self._held = held

    @staticmethod
    def check(folder: str | Path) -> None:
        """Refuse what `open` would refuse of the folder itself, before a model is loaded for it.

        Raises MechclaError for a folder of something else, or one that another process holds.
        """
        folder = user_path(folder)
        check(folder)
        lock.check(folder)

    @classmethod
    def open(cls, folder: str | Path, config: dict[str, Any], identity: dict[str, Any]) -> Store:
        """Open or make a run folder.

        Raises MechclaError if the folder belongs to another config, model, items or code, naming
        what differs, if it is a folder of something else, if another process holds it, or if its
        record, config or choice is damaged. Nothing is written then.
        """
        folder = user_path(folder)
        check(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise MechclaError(
                f"cannot make the run folder {str(folder)!r}: {error.strerror}"
            ) from error
        held, before = lock.RunLock.take(folder)
        store = cls(folder, identity, held)
        try:
            store._begin(config, before)
        except BaseException:
            store.close()
            raise
        return store

    @classmethod
    def beside(cls, folder: str | Path, identity: dict[str, Any]) -> Store:
        """A run folder that another process holds, to read and write cells in for it.

        Raises MechclaError, naming what differs, if this process has another identity than the
        folder: other code, packages, model or items.
        """
        path = user_path(folder)
        with reading(path):
            record = read_sealed(path / RECORD, "identity") if (path / RECORD).exists() else None
        if record is None:
            raise MechclaError(
                f"no run lies in {str(folder)!r} on {socket.gethostname()}; expected a folder that "
                "every worker sees under this name, such as one on a shared file system"
            )
        if differences := _differences(record["identity"], identity):
            listed = "\n".join(f"  {k}: the run has {a!r}, here {b!r}" for k, a, b in differences)
            raise MechclaError(
                f"a worker on {socket.gethostname()} would compute other numbers than the run "
                f"{str(folder)!r}:\n{listed}\nExpected the same code, packages, device and model"
            )
        return cls(path, identity, None)

    def _begin(self, config: dict[str, Any], before: str) -> None:
        folder = self.folder
        check(folder)  # again: another process may have come first
        written = yaml.safe_dump(config, sort_keys=False, allow_unicode=True).encode()
        with reading(folder):
            if (folder / RECORD).exists():
                self._same_run(config)
        left = sweep_out(folder)
        if before:
            _say(
                f"{before} ended without giving {str(folder)!r} back; going on from what it "
                f"finished ({left} unfinished files removed)"
            )
        if not (folder / RECORD).exists():
            write_sealed(
                folder / RECORD,
                {
                    "schema": SCHEMA,
                    "config": config,
                    "identity": self.identity,
                    "versions": versions(),
                    "config_sha256": sha256(written),
                },
            )
        if not (folder / CONFIG).exists():
            write_bytes(folder / CONFIG, written)

    def _same_run(self, config: dict[str, Any]) -> None:
        """Refuse a folder of other settings, and one whose record, config or choice is damaged."""
        folder = self.folder
        record = read_sealed(folder / RECORD, "config", "identity", "config_sha256")
        if record is None:
            raise MechclaError(
                f"{RECORD} in the run folder {str(folder)!r} is damaged (or was written by another "
                "version of mechcla), so what the folder was made with cannot be known; put a copy "
                "of it back, or choose another --out"
            )
        refuse_other_schema(folder, record)
        differences = _differences(_deciding(record["config"]), _deciding(config))
        differences += _differences(record["identity"], self.identity)
        if differences:
            listed = "\n".join(
                f"  {key}: the folder has {a!r}, this run {b!r}" for key, a, b in differences
            )
            raise MechclaError(
                f"the run folder {str(folder)!r} was made with other settings:\n{listed}\n"
                "Choose another --out, or the settings of that run (its config.yaml)."
            )
        path = folder / CONFIG
        if path.exists() and sha256(path.read_bytes()) != record["config_sha256"]:
            raise MechclaError(
                f"{CONFIG} in the run folder {str(folder)!r} is damaged or was edited: it does not "
                f"match its digest in {RECORD}. Remove it, and the same command writes it again; "
                "for other settings choose another --out"
            )
        for name in (SELECTION, FROZEN):
            if (folder / name).exists() and read_sealed(folder / name) is None:
                raise MechclaError(
                    f"{name} in the run folder {str(folder)!r} does not match its digest: it is "
                    "damaged or was edited, so it cannot be known what was chosen. Put a copy of "
                    "it back; without one, remove it, and the choice is made again from the dev "
                    "cells"
                    + (", and say so where you report test numbers" if name == FROZEN else "")
                )

    def close(self) -> None:
        """Give the folder back."""
        if self._held is not None:
            self._held.give_back()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def keep_items(self, write: Callable[[Path], None]) -> None:
        """Write items.jsonl, and again if it is no longer what `write` gives."""
        path = self.folder / ITEMS
        with reading(self.folder):
            before = file_sha256(path) if path.exists() else None
        write_whole(path, write)
        with reading(self.folder):
            damaged = before is not None and before != file_sha256(path)
        if damaged:
            _say(f"{str(path)!r} was damaged; it is written again")

    def freeze(self, record: FrozenChoice) -> None:
        """Write frozen.json, once. Raises MechclaError if test was opened here under another
        choice.
        """
        path = self.folder / FROZEN
        if not path.exists():
            write_sealed(path, record.to_dict())
            return
        before = read_sealed(path)
        if before is None or before[DIGEST] != record.digest:
            was = "a choice that is damaged" if before is None else before[DIGEST][:12] + "..."
            raise MechclaError(
                f"test was opened in {str(self.folder)!r} under another choice (digest {was}, now "
                f"{record.digest[:12]}...), so a new one could have been made on test; choose "
                "another --out"
            )

    def select(self, selection: dict[str, Any]) -> None:
        """Write selection.json, sealed."""
        write_sealed(self.folder / SELECTION, selection)

    def name_conditions(self, cells: Mapping[str, Sequence[Path]]) -> None:
        """Write conditions.json: which cells, as `cell_path` names them, are which condition on
        test.
        """
        named = {
            name: [path.relative_to(self.folder).as_posix() for path in paths]
            for name, paths in cells.items()
        }
        write_sealed(self.folder / CONDITIONS, {"schema": SCHEMA, "conditions": named})

    def say(self, status: str, message: str = "") -> None:
        """Write status.json: running, complete, interrupted, or failed with its message.

        A complete run's status carries the SHA-256 of its tables, for readers to verify.
        """
        tables = {}
        if status == "complete":
            with reading(self.folder):
                tables = {p.name: sha256(p.read_bytes()) for p in sorted(self.folder.glob("*.csv"))}
        told = {"schema": SCHEMA, "status": status, "message": message, "tables": tables}
        write_sealed(self.folder / STATUS, told)

    def vectors(
        self, names: Iterable[str], make: Callable[[], dict[str, SteeringVectors]]
    ) -> dict[str, SteeringVectors]:
        """Vectors by name, read where they are whole; all made again, by `make`, if one is not."""
        paths = {n: self.folder / VECTORS / f"{_file_name(n)}{VECTOR}" for n in names}
        found: dict[str, SteeringVectors] = {}
        for name, path in paths.items():
            try:
                if path.exists():
                    found[name] = SteeringVectors.load(path, bound=self._bound(path))
            except MechclaError as error:
                _say(f"{error}; they are made again")
        if len(found) < len(paths):
            made = make()
            for name, path in paths.items():
                if name not in found:
                    made[name].save(path, bound=self._bound(path))
                    found[name] = SteeringVectors.load(path, bound=self._bound(path))
        return {name: found[name] for name in paths}

    def keep_projection(self, make: Callable[[], dict[str, Any]]) -> None:
        """projection.json, of this run: kept where it is whole, else made and written."""
        path, run = self.folder / PROJECTION, digest(self.identity)
        with reading(self.folder):
            there = path.exists()
            found = read_sealed(path, "kinds", "run") if there else None
        if found is not None and found["run"] == run:
            return
        if there:
            _say(f"{str(path)!r} is damaged, or of another run; it is made again")
        write_sealed(path, {"schema": SCHEMA, "run": run, **make()})

    def _bound(self, path: Path) -> str:
        return f"{path.relative_to(self.folder).as_posix()} of run {digest(self.identity)}"

    def cell_path(self, split: str, language: str, name: str, decides: dict[str, Any]) -> Path:
        """Where the scores of a cell lie, but for the digest of their bytes that ends the file's
        name.

        Inside the run folder, whatever the texts. The name ends in a digest of all that decides
        them.
        """
        return cell_path(self.folder, self.identity, split, language, name, decides)

    def read(self, path: Path) -> Scores | None:
        """The scores of a finished cell, or None; a damaged one is named, once, and removed."""
        for file in self._files(path):
            with reading(self.folder):
                data = file.read_bytes()
            if file.stem == f"{path.name}-{self._seal(path, data)}":
                return Scores.from_parquet(BytesIO(data))
            _say(f"{str(file)!r} is damaged (it does not match its digest); the cell is run again")
            with reading(self.folder):
                file.unlink()
        return None

    def write(self, path: Path, scores: Scores) -> None:
        """Write a cell, whole; a cell that is there stays."""
        if any(self._files(path)):
            return
        buffer = BytesIO()
        scores.to_parquet(buffer)
        data = buffer.getvalue()
        write_bytes(path.with_name(f"{path.name}-{self._seal(path, data)}{CELL}"), data)

    def _files(self, path: Path) -> list[Path]:
        with reading(self.folder):
            if not path.parent.is_dir():
                return []
            begin = f"{path.name}-"
            names = [n for n in os.listdir(path.parent) if n.startswith(begin)]
        return [path.parent / n for n in sorted(names) if n.endswith(CELL)]

    def _seal(self, path: Path, data: bytes) -> str:
        """Place and bytes as one digest: a file under another name is none."""
        return seal(self.folder, path, data)


def _file_name(name: str) -> str:
    return component(name.lower().replace(" ", "_"))


def _say(message: str) -> None:
    again()  # what was taken for damage may have been Ctrl-C while the file was read
    tqdm.write(f"mechcla: {message}", file=sys.stderr)  # a line of its own beside a progress bar


def _deciding(config: dict[str, Any]) -> dict[str, Any]:
    """The settings but for where weights lie: the same run may go on with them elsewhere."""
    return {k: v for k, v in config.items() if k not in SETTINGS}


def _differences(old: dict[str, Any], new: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    keys = dict.fromkeys([*old, *new])
    return [(k, old.get(k), new.get(k)) for k in keys if old.get(k) != new.get(k)]
