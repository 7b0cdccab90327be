"""What a training was: its result, the record beside the adapter, and the card of the folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mechcla.align.methods import METHODS
from mechcla.errors import MechclaError
from mechcla.results import Rows
from mechcla.storage import read_sealed
from mechcla.vectors.card import is_repository

RECORD, CARD, LOSSES = "training.json", "README.md", "losses.csv"
LIMIT = (
    "an adapter trained on one seed and one set of texts; what it does "
    "to transfer and localization is seen on test items only, against its base and the controls"
)


@dataclass(frozen=True)
class AlignResult:
    """A trained adapter: its folder, the losses step by step, dev by both axes if it was looked at.

    settings: the config that decided it; record: all that the folder's training.json holds.

    >>> result = mechcla.align("mist", out="adapters/mist")                    # doctest: +SKIP
    >>> mechcla.load_model("demo", adapter=result.folder)                      # doctest: +SKIP
    """

    method: str
    folder: Path
    losses: Rows = field(repr=False)
    dev: Rows = field(repr=False)
    settings: Mapping[str, Any] = field(repr=False)
    record: Mapping[str, Any] = field(repr=False)
    limit: str = LIMIT

    @property
    def digest(self) -> str:
        """SHA-256 of the adapter's weights file."""
        return str(self.record["adapter"])

    def to_pandas(self) -> Any:
        """The losses as a data frame, one row per step and task."""
        return self.losses.to_pandas()

    def __str__(self) -> str:
        first, last = self.losses[0], self.losses[len(self.losses) - 1]
        lines = [
            f"{self.method} on {self.settings['model']}: {len(self.losses)} steps, loss "
            f"{first['loss']:.3f} to {last['loss']:.3f}, in {str(self.folder)!r}"
        ]
        if len(self.dev):
            lines += ["dev, by step:", str(self.dev)]
        return "\n".join([*lines, f"Limit: {self.limit}."])


def read_result(folder: Path) -> AlignResult:
    """The result that a training's folder holds.

    Raises MechclaError for a folder without a record, or with a damaged one.
    """
    if not (folder / RECORD).exists():
        raise MechclaError(
            f"{str(folder)!r} holds no {RECORD}, so it is no adapter that mechcla trained"
        )
    record = read_sealed(folder / RECORD, "settings", "losses", "dev", "adapter")
    if record is None:
        raise MechclaError(
            f"{str(folder / RECORD)!r} is damaged: its digest is not that of what it holds; train "
            "the adapter again into another folder"
        )
    return AlignResult(
        record["settings"]["method"],
        folder,
        Rows(tuple(record["losses"])),
        Rows(tuple(record["dev"])),
        record["settings"],
        record,
        record.get("limit", LIMIT),
    )


def card(record: Mapping[str, Any]) -> str:
    """The folder's README.md: what was trained on what, how, and how to load it."""
    settings, method = record["settings"], METHODS.get(record["settings"]["method"])
    losses = record["losses"]
    kind = "control" if method.control else "alignment method"
    lines = [
        "---",
        *([f"base_model: {settings['model']}"] if is_repository(settings["model"]) else []),
        "library_name: peft",
        "tags: [lora, cross-lingual-alignment, mechcla]",
        "---",
        f"# {settings['method']} on {settings['model']}",
        "",
        f"A LoRA adapter of the {kind} `{settings['method']}`: {method.about}.",
        f"Source: {method.source}.",
        "",
        "```python",
        f'model = mechcla.load_model("{settings["model"]}", adapter="...")  # this folder',
        "```",
        "",
        "| what | value |",
        "|---|---|",
        f"| languages | {', '.join(record['data']['languages'])} |",
        f"| training data | {record['data']['name']}, {record['data']['examples']} examples, "
        f"digest `{record['data']['digest'][:16]}` |",
        f"| steps | {len(losses)} of {settings['batch_rows']} texts |",
        f"| loss, first and last step | {losses[0]['loss']:.3f}, {losses[-1]['loss']:.3f} |",
        f"| learning rate, schedule | {settings['lr']:g}, {settings['schedule']}, warm-up "
        f"{settings['warmup']} |",
        f"| LoRA | rank {settings['rank']}, alpha {settings['alpha']:g}, on "
        f"{', '.join(record['modules'])} |",
        f"| seed | {settings['seed']} |",
        f"| digest of the base | `{record['base']['digest'][:16]}` |",
        f"| digest of the adapter's weights | `{record['adapter'][:16]}` |",
        "",
        f"Limit: {record['limit']}.",
        "",
        f"`{RECORD}` has every setting, package version and loss; `{LOSSES}` the losses alone. The "
        "licence of the base model holds for this adapter too"
        + (f"; the texts: {record['data']['licence']}." if record["data"]["licence"] else "."),
    ]
    return "\n".join(lines) + "\n"
