"""Reads BLEnD from Hugging Face: the same tables as the published folder, one file of each kind a
region.

The config `annotations` is not loaded as a whole: its regions differ in the keys of `idks`, which
has made `datasets` refuse to cast them to one schema. Each region's file is loaded alone, so that
it has its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from mechcla.errors import MechclaError
from mechcla.sources.blend.regions import REGIONS, Region
from mechcla.sources.blend.rows import RegionRows, make_region

HUB_ID = "nayeon212/BLEnD"
# What the configs `annotations` and `short-answer-questions` point at, and the prompts beside them.
FILES = {
    "annotations": "data/annotations_hf/{file}_data.json",
    "short-answer-questions": "data/questions_hf/{file}_questions.json",
    "prompts": "data/prompts/{file}_prompts.csv",
}


def read_hub(
    source: str | Path = HUB_ID, regions: Sequence[Region] = REGIONS
) -> dict[str, RegionRows]:
    """Every region of the dataset, by code.

    source: the dataset's id, or a folder with the same layout. Raises one MechclaError, which says
    how to pass a folder, if the dataset cannot be reached, and those of `make_region` for tables
    that are not as expected.
    """
    return {
        region.code: hub_region(region, partial(_table, str(source), region)) for region in regions
    }


def hub_region(region: Region, table: Callable[[str], list[dict[str, Any]]]) -> RegionRows:
    """One region from its three tables in the schema of Hugging Face, asked for by the names in
    FILES.
    """
    where = {kind: f"{HUB_ID}, {kind}, split {region.code}" for kind in FILES}
    notes: dict[str, Mapping[str, Any]] = {}
    for number, row in enumerate(table("annotations")):
        if not isinstance(row.get("ID"), str):
            raise MechclaError(
                f"{where['annotations']}, row {number}: "
                f"no text in 'ID'; the columns are {', '.join(row)}"
            )
        notes[row["ID"]] = row
    questions, prompts = table("short-answer-questions"), table("prompts")
    return make_region(
        region,
        questions,
        notes,
        prompts,
        (where["short-answer-questions"], where["annotations"], where["prompts"]),
    )


def _table(source: str, region: Region, kind: str) -> list[dict[str, Any]]:
    from datasets import load_dataset

    try:
        file = FILES[kind].format(file=region.file)
        table = load_dataset(source, data_files={region.code: file}, split=region.code)
        rows: list[dict[str, Any]] = table.to_list()
        return rows
    except Exception as error:  # the client's network, cache and parser errors have no common base
        reason = str(error).split("\n")[0][:200]
        raise MechclaError(
            f"cannot read {kind} of {region.code} from {source!r} "
            f"({type(error).__name__}: {reason}). Pass path= a copy of BLEnD's data folder "
            "(annotations/, questions/, prompts/ of github.com/nlee0212/BLEnD), "
            "which needs no network"
        ) from error
