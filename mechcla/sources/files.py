"""Items from the user's own files in the item schema: JSON Lines or Parquet."""

from __future__ import annotations

from pathlib import Path

from mechcla.errors import MechclaError
from mechcla.items import Item, ItemSet, read_jsonl


def file_items(path: str | Path) -> ItemSet:
    """The items of one .jsonl or .parquet file, or of every .jsonl file in a folder, sorted by name.

    Raises MechclaError that names file and row for anything that is not an item.
    """
    path = Path(path)
    if path.is_dir():
        files = sorted(path.glob("*.jsonl"))
        if not files:
            raise MechclaError(f"the folder {path} holds no .jsonl files")
        return ItemSet(tuple(item for file in files for item in read_jsonl(file)))
    if path.suffix == ".parquet":
        return _read_parquet(path)
    return read_jsonl(path)


def _read_parquet(path: Path) -> ItemSet:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows = pq.read_table(path).to_pylist()
    except (OSError, pa.ArrowInvalid) as error:
        raise MechclaError(f"cannot read {path} as Parquet: {error}") from error
    items = []
    for number, row in enumerate(rows):
        try:
            present = {k: v for k, v in row.items() if v is not None}
            present["candidates"] = [{k: v for k, v in c.items() if v is not None} for c in present.get("candidates", ())]
            items.append(Item.from_dict(present))
        except (MechclaError, TypeError, AttributeError) as error:
            raise MechclaError(f"{path}, row {number}: {error}") from error
    if not items:
        raise MechclaError(f"{path} holds no items")
    return ItemSet(tuple(items))
