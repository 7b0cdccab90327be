"""What a sweep refuses, or remarks on, before it computes anything."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from mechcla.errors import MechclaError
from mechcla.items.item_set import ItemSet
from mechcla.runs.identity import versions
from mechcla.sweep.cells import KINDS, PIVOT, sample
from mechcla.sweep.config import SweepConfig
from mechcla.vectors.extract import en_prompts


def check_items(items: ItemSet, config: SweepConfig) -> None:
    """Refuse, before anything is written, items that a sweep could not finish with."""
    if PIVOT not in items.languages or len(items.languages) < 2:
        raise MechclaError(
            f"a sweep needs items in English ('en') and in another language; these are {', '.join(items.languages)}"
        )
    for language in items.languages:
        for kind in KINDS:
            for split in ("dev", "test"):
                if not any(
                    i.language == language and i.kind == kind and i.split == split for i in items
                ):
                    raise MechclaError(
                        f"a sweep needs {kind} {split} items in every language; {language!r} has none"
                    )
        if language != PIVOT and not any(
            c.role == "english"
            for i in sample(items, config, language, "cultural", "test")
            for c in i.candidates
        ):
            raise MechclaError(
                f"English bias needs candidates of role 'english'; the cultural test items of {language!r} have none"
            )
    en_prompts(items.dev)


def note_threads(folder: Path) -> None:
    """Say it if a run goes on with another number of threads: sums may then round otherwise in the
    last digit.
    """
    before = json.loads((folder / "record.json").read_text(encoding="utf-8"))["versions"]
    then, now = before.get("threads"), versions()["threads"]
    if then is not None and then != now:
        print(
            f"mechcla.sweep: {str(folder)!r} was begun with {then} CPU threads and goes on with {now}; new cells may "
            f"differ in their last digits from what {then} would give (each cell's settings say its own; --threads {then})",
            file=sys.stderr,
        )
