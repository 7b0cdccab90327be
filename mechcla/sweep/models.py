"""Several models in one command: the settings of a run per model, and one comparison of all.

    OUT/NAME                   a run per model, NAME the last part of its name or folder
    OUT/compare.csv            every model and condition, and differences to the first model
    OUT/compare.png, .svg      all of them on the plane

One run is one model: nothing of the others enters a run's settings, cells or identity.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from mechcla import plots
from mechcla.errors import MechclaError
from mechcla.runs.compare import RunComparison, compare_runs
from mechcla.runs.folder import RECORD, reading
from mechcla.runs.store import Store
from mechcla.runs.tables import csv_text
from mechcla.storage import user_path, write_text
from mechcla.sweep.config import SweepConfig

OUT = "runs/models"  # where no folder is named
COMPARED = "compare"


def model_runs(config: SweepConfig) -> dict[str, SweepConfig]:
    """The settings of a run per model, by name. Nothing is loaded or written.

    Raises MechclaError for fewer than two models, for two of one name, for settings that are one
    model's (`model`, `revision`, `adapters`), and for a folder that holds something else.
    """
    for name in ("model", "revision", "adapters"):
        if name in config.model_fields_set and getattr(config, name):
            raise MechclaError(
                f"--{name} {getattr(config, name)!r} is one model's, and --models names several; "
                "expected a command of its own"
            )
    if len(config.models) < 2:
        raise MechclaError(f"--models {config.models!r}; expected two or more, or --model")
    out = user_path(config.out if "out" in config.model_fields_set else OUT)
    with reading(out):
        is_run = (out / RECORD).exists()
    if is_run:
        raise MechclaError(
            f"--out {str(out)!r} holds a run of one model, and --models makes a folder of runs; "
            f"expected another folder, e.g. --out {OUT}"
        )
    found: dict[str, SweepConfig] = {}
    for model in config.models:
        name = Path(model.rstrip("/")).name
        if name.casefold() in map(str.casefold, found):
            raise MechclaError(
                f"two runs would be {str(out / name)!r}: {', '.join(config.models)}; expected "
                "models whose names differ in their last part"
            )
        Store.check(out / name)
        own = {"model": model, "models": [], "out": str(out / name)}
        found[name] = config.model_copy(update=own)
    return found


def compare_models(
    config: SweepConfig, folders: Sequence[str], say: Callable[[str], None] = print
) -> RunComparison:
    """The comparison of these runs, written beside them and said."""
    found = compare_runs(folders, config.measure, resamples=config.resamples, seed=config.seed)
    say(f"\n{found}")
    write_compared(found, Path(folders[0]).parent, config.measure, say)
    return found


def write_compared(
    found: RunComparison, folder: Path, measure: str, say: Callable[[str], None]
) -> None:
    """Its table in a folder, and its figure if any condition has both axes; both said."""
    write_text(folder / f"{COMPARED}.csv", csv_text(found.rows()))
    say(f"Results: {folder / f'{COMPARED}.csv'}")
    if found.plane():
        say(f"  {plots.save(plots.compared(found, measure), folder / COMPARED)}")
    else:
        say("  no figure: no condition has both axes")
