"""Reads the folder that BLEnD publishes: annotations/, questions/ and prompts/."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mechcla.errors import MechclaError, nearest
from mechcla.items.texts import parse_json
from mechcla.sources.blend.regions import BY_CODE, REGIONS, Region
from mechcla.sources.blend.rows import RegionRows, make_region
from mechcla.sources.tables import long_cells
from mechcla.storage import user_path, utf8


def read_folder(path: str | Path, regions: Sequence[Region] | None = None) -> dict[str, RegionRows]:
    """Every region that the folder holds, by code; the asked-for ones and the US must be among
    them.

    path: the folder with annotations/, questions/ and prompts/ (the `data` folder of BLEnD's
    repository). All regions are read whatever is asked for, for each one's answers are another
    one's distractors. Raises MechclaError that names file, row and column.
    """
    folder = _data_folder(path)
    present = [r for r in REGIONS if (folder / "annotations" / f"{r.file}_data.json").is_file()]
    for region in dict.fromkeys((*(regions or ()), BY_CODE["US"])):
        if region not in present:
            why = (
                " (needed for the role 'english')"
                if region.code == "US" and region not in (regions or ())
                else ""
            )
            raise MechclaError(
                f"{folder / 'annotations' / f'{region.file}_data.json'} is missing{why}; "
                f"the folder holds {', '.join(r.code for r in present) or 'no region'}. "
                f"Download it from BLEnD's repository, or leave {region.code} out of regions="
            )
    return {region.code: _read_region(folder, region) for region in present}


def _data_folder(given: str | Path) -> Path:
    path = user_path(given)
    if not path.is_dir():
        known = (
            [p.name for p in path.parent.iterdir() if p.is_dir()] if path.parent.is_dir() else []
        )
        raise MechclaError(
            f"no folder {str(given)!r}; {nearest(path.name, known)}. "
            "path= is a copy of BLEnD's data folder"
        )
    for folder in (path, path / "data"):
        if (folder / "annotations").is_dir():
            return folder
    names = sorted(p.name for p in path.iterdir())
    raise MechclaError(
        f"the folder {str(given)!r} has no 'annotations' folder; {nearest('annotations', names)}. "
        "path= is a copy of BLEnD's data folder"
    )


def _read_region(folder: Path, region: Region) -> RegionRows:
    annotations = folder / "annotations" / f"{region.file}_data.json"
    questions = folder / "questions" / f"{region.file}_questions.csv"
    prompts = folder / "prompts" / f"{region.file}_prompts.csv"
    notes = _json(annotations)
    return make_region(
        region,
        _csv(questions),
        notes,
        _csv(prompts),
        (str(questions), str(annotations), str(prompts)),
    )


def _read_text(path: Path) -> str:
    try:
        with utf8(path, "download it again"):
            return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        near = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise MechclaError(
            f"{path} is missing; {nearest(path.name, near, 20)}. "
            "Download it from BLEnD's repository"
        ) from None
    except OSError as error:
        raise MechclaError(f"cannot read {path}: {error.strerror}") from error


def _json(path: Path) -> dict[str, Any]:
    text = _read_text(path)
    try:
        data = parse_json(text)
    except MechclaError as fault:
        error = fault.__cause__
        if not isinstance(error, json.JSONDecodeError):
            raise MechclaError(f"{path} {fault}; download it again") from fault
        line = text.split("\n")[error.lineno - 1][-60:]
        raise MechclaError(
            f"{path} is not JSON at line {error.lineno}, column {error.colno} "
            f"({error.msg}): ...{line!r}. "
            f"It has {len(text)} characters; was the download cut off? Download it again"
        ) from error
    if isinstance(data, list):  # the Hugging Face copy of the same file: a list with the id inside
        for number, row in enumerate(data):
            if not isinstance(row, dict) or "ID" not in row:
                raise MechclaError(
                    f"{path}, entry {number}: no field 'ID'; "
                    f"{nearest('ID', row if isinstance(row, dict) else [])}"
                )
        data = {row["ID"]: row for row in data}
    if not isinstance(data, dict) or not data:
        raise MechclaError(
            f"{path} holds {type(data).__name__} {str(data)[:60]!r}; "
            "expected an object from question ids to answers"
        )
    return data


def _csv(path: Path) -> list[dict[str, Any]]:
    with long_cells():
        reader = csv.DictReader(io.StringIO(_read_text(path), newline=""))
        try:
            rows = list(reader)
        except csv.Error as error:
            raise MechclaError(
                f"{path}, line {reader.line_num} is not CSV ({error}); download it again"
            ) from error
    return [
        {
            (name or "").strip() if isinstance(name, str) or name is None else name: value
            for name, value in row.items()
        }
        for row in rows
    ]
