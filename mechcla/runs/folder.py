"""Every file of a run folder, named in one place, and which of them are mechcla's own.

    record.json           versions, digests and settings, sealed by its own digest
    config.yaml           what was asked for; its digest stands in record.json
    items.jsonl           the items themselves
    vectors/NAME.safetensors            each with the digest of its content and of the run
    projection.json       dev prompts on two principal components, at a few blocks; sealed
    cells/SPLIT/LANGUAGE/METHOD-KIND-FORM-DECIDES-BYTES.parquet         item-level scores
    selection.json        dev points, front, choice; sealed
    frozen.json           the choice that opened test; sealed
    conditions.json       which cells are which condition on test; sealed
    status.json           running, complete, interrupted, or failed with its message; sealed
    summary.csv, summary.json, tests.csv, arms.csv, contrast.csv      made from the cells each time
    figures/NAME.png, NAME.svg          made each time, NAME one of fig2_tradeoff, fig4_layers and
                                        fig5_surgical; the other measure's end in _MEASURE
    figures/fig4_layers.json, plane.json, plane_MEASURE.json            the numbers drawn
    report.html           the page for people, made each time
    run.lock, running.json              who works on it (mechcla.runs.lock)

DECIDES is a digest of everything that decides a cell, BYTES one of its place in the folder and of
the file's own bytes: a cell that is damaged, cut, or stands under another cell's name is known by
it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from mechcla.errors import MechclaError
from mechcla.storage import TEMPORARY, sha256, writing

SCHEMA = 1  # of the run folder: what its files are and hold
RECORD, CONFIG, ITEMS = "record.json", "config.yaml", "items.jsonl"
PROJECTION = "projection.json"
SELECTION, FROZEN = "selection.json", "frozen.json"
CONDITIONS, STATUS = "conditions.json", "status.json"
VECTORS, CELLS, FIGURES = "vectors", "cells", "figures"
CELL, VECTOR = ".parquet", ".safetensors"  # what the names of these files end in
SUMMARY, SUMMARY_JSON = "summary.csv", "summary.json"
TESTS, ARMS, CONTRAST = "tests.csv", "arms.csv", "contrast.csv"
LAYERS, TRADEOFF, SURGICAL = "fig4_layers", "fig2_tradeoff", "fig5_surgical"  # in figures/
PLANE = "plane"
PAGE = "report.html"
ALIGNED, BESIDE_ALIGNED = "aligned.csv", "-aligned"  # of aligned models: a table, RUN-aligned/
LOCK, RUNNING = "run.lock", "running.json"
LONGEST = 40  # characters of a language in a path
LONGEST_NAME = 150  # and of a cell's name, before its digests
SEAL = 16  # characters of `seal`
BESIDE = {".DS_Store", ".gitignore", ".gitkeep", "Thumbs.db", "lost+found"}  # of an empty folder
OFFLOADED = re.compile(r"mechcla-\w{8}")  # an offloaded tensor's file, before it lost its name


def component(text: str, longest: int = LONGEST) -> str:
    """One name of a folder or file for any text: letters, digits, `-`, `_` and `@`, else encoded.

    A text that is encoded or cut ends in its digest, so two texts never share a name.

    >>> component("es"), component("../up")
    ('es', '%2E%2E%2Fup-23e2912baa35')
    """
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_@.+-]*", text) and len(text) <= longest:
        return text
    safe = quote(text, safe="@+", errors="surrogatepass").replace(".", "%2E").replace("~", "%7E")
    return f"{safe[: longest - 13]}-{sha256(text)[:12]}"


def check(folder: Path) -> None:
    """Refuse a run folder that is a file, or that holds anything but a run. Writes nothing."""
    with reading(folder):
        if folder.exists() and not folder.is_dir():
            raise MechclaError(f"the run folder {str(folder)!r} is a file; choose another --out")
        if not folder.exists() or (folder / RECORD).exists():
            return
        foreign = sorted(p.name for p in folder.iterdir() if not _is_start(p))
    if foreign:
        listed = ", ".join(foreign[:5]) + (", ..." if len(foreign) > 5 else "")
        raise MechclaError(
            f"{str(folder)!r} is not empty and holds no run of mechcla.sweep (no {RECORD}; it "
            f"holds {listed}); choose another --out"
        )


def refuse_other_schema(folder: Path, record: Mapping[str, Any]) -> None:
    """Refuse a run whose files are laid out otherwise than this version's."""
    schema = record.get("schema")
    if schema != SCHEMA:
        raise MechclaError(
            f"{str(folder)!r} is a run of schema {schema!r}, written by another version of "
            f"mechcla; this one reads schema {SCHEMA}. Run its config.yaml again with this version"
        )


def _is_start(path: Path) -> bool:
    """Whether a file may lie in the folder of a run that is not begun, or died at its start."""
    return path.name in {LOCK, RUNNING} | BESIDE or path.name.startswith(TEMPORARY)


def temporaries(folder: Path) -> list[Path]:
    """What a killed run left that is not whole: only names that mechcla gives."""
    found = list(folder.rglob(f"{TEMPORARY}*"))
    found += [p for p in folder.glob("mechcla-*") if OFFLOADED.fullmatch(p.name)]
    return sorted({p for p in found if p.is_file() and not p.is_symlink()})


def seal(folder: Path, path: Path, data: bytes) -> str:
    """A cell's place in the folder and its bytes, as one digest: under another name it is none."""
    return sha256(path.relative_to(folder).as_posix(), data)[:SEAL]


def sweep_out(folder: Path) -> int:
    """Remove `temporaries`; returns how many there were. Only the lock's holder may call it."""
    left = temporaries(folder)
    for path in left:
        with writing(path):
            path.unlink(missing_ok=True)
    return len(left)


class reading:
    """As `storage.writing`, for a folder that cannot be read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            raise MechclaError(
                f"cannot read the run folder {str(self.folder)!r}: {error.strerror or error}; give "
                "rights to it, or choose another --out"
            ) from error
