"""What a sweep refuses, or remarks on, before it computes anything."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from mechcla.errors import MechclaError
from mechcla.items.item import PIVOT
from mechcla.items.item_set import ItemSet
from mechcla.runs.folder import RECORD
from mechcla.runs.identity import versions
from mechcla.steering.families import FAMILIES
from mechcla.sweep.axes import Axes
from mechcla.sweep.cells import sample
from mechcla.sweep.config import SweepConfig
from mechcla.sweep.steering_settings import fits_maps
from mechcla.vectors.extract import en_prompts
from mechcla.vectors.recipes import UNPAIRED


def check_one_model(config: SweepConfig) -> None:
    """Refuse a run of several models."""
    for name in ("adapters", "models"):
        if given := getattr(config, name):
            raise MechclaError(
                f"{name}={given!r}: one run is one model; expected python -m mechcla.sweep "
                f"--{name}, or mechcla.run_sweep(..., {name}=[...]), which make a run of each"
            )


def check_items(items: ItemSet, config: SweepConfig) -> None:
    """Refuse, before anything is written, items that a sweep could not finish with.

    A language may have one kind alone; each kind that it has is in dev and in test.
    """
    for family in FAMILIES.values():
        _ = family.kinds  # refuses an axis that is no metric
    axes = Axes.of(items)
    if not axes.steered:
        raise MechclaError(
            "a sweep needs items in a language beside English, which is not steered; these are "
            f"{', '.join(items.languages) or 'none'}"
        )
    groups = set(items.groups)
    for language, kinds in axes.kinds.items():
        for kind in kinds:
            for split, other in (("dev", "test"), ("test", "dev")):
                if (language, kind, split) not in groups:
                    n = len(items.of(language, kind))
                    raise MechclaError(
                        f"a sweep chooses on dev and reports on test, but the {n} {kind} "
                        f"items of {language!r} are all {other}; expected {split} items too"
                    )
    if axes.having("universal") and not config.vectors:  # files need no prompts
        paired = config.recipe not in UNPAIRED or fits_maps(config.en_operator)
        if "universal" not in axes.kinds.get(PIVOT, ()):
            raise MechclaError(
                "EN-steering needs the universal items in English ('en') too, "
                f"{'as parallel items; ' if paired else ''}"
                f"there are universal items in {', '.join(axes.having('universal'))} alone"
            )
        en_prompts(items.dev.held, paired=paired)
    for language in axes.having("cultural"):
        if not any(
            c.role == "english"
            for i in sample(items, config, language, "cultural", "test")
            for c in i.candidates
        ):
            raise MechclaError(
                "English bias needs candidates of role 'english'; the cultural test items of "
                f"{language!r} have none"
            )


def note_threads(folder: Path) -> None:
    """Say it if a run goes on with another number of threads: sums may then round otherwise in the
    last digit.
    """
    before = json.loads((folder / RECORD).read_text(encoding="utf-8"))["versions"]
    then, now = before.get("threads"), versions()["threads"]
    if then is not None and then != now:
        print(
            f"mechcla.sweep: {str(folder)!r} was begun with {then} CPU threads and goes on with "
            f"{now}; new cells may differ in their last digits from what {then} would give (each "
            f"cell's settings say its own; --threads {then})",
            file=sys.stderr,
        )
