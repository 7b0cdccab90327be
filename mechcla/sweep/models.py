"""Several models in one command: the settings of a run per model, and one comparison of all.

    OUT/NAME                   a run per model, NAME the last part of its name or folder, with
                               @REVISION where one is named (org/name@revision)
    OUT/compare.csv            every model and condition, and differences to the first model
    OUT/compare.png, .svg      all of them on the plane

One run is one model: nothing of the others enters a run's settings, cells or identity.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from mechcla import plots
from mechcla.errors import MechclaError
from mechcla.models.gguf_header import is_gguf
from mechcla.models.load import check_model_name
from mechcla.models.revisions import at_revision
from mechcla.runs.compare import RunComparison, compare_runs
from mechcla.runs.store import Store
from mechcla.runs.tables import csv_text
from mechcla.storage import user_path, write_text
from mechcla.sweep.config import SweepConfig
from mechcla.sweep.several import folder_of_runs, run_name

OUT = "runs/models"  # where no folder is named
COMPARED = "compare"


def several_models(config: SweepConfig) -> bool:
    """Whether `models` was given; an empty list is refused, and not one run of the demo model."""
    return "models" in config.model_fields_set


def model_runs(config: SweepConfig) -> dict[str, SweepConfig]:
    """The settings of a run per model, by name. Nothing is loaded or written.

    Raises MechclaError for fewer than two models, for one that is not there, for two of one name,
    for settings that are one model's (`model`, `revision`, adapters), and for a folder that holds
    something else.
    """
    for name in ("model", "revision", "adapters", "with_adapters"):
        if name in config.model_fields_set and (value := getattr(config, name)):
            raise MechclaError(
                f"{name}={value!r} is one model's, and models={config.models!r} names several; "
                "expected a sweep of its own"
            )
    if len(config.models) < 2:
        raise MechclaError(f"models={config.models!r}; expected two or more, or `model` for one")
    out = folder_of_runs(config, "models", OUT)
    found: dict[str, SweepConfig] = {}
    for model in config.models:
        name, own = _named(model)
        if name.casefold() in map(str.casefold, found):
            raise MechclaError(
                f"two runs would be {str(out / name)!r}: {', '.join(config.models)}; expected "
                "models whose names differ in their last part"
            )
        Store.check(out / name)
        found[name] = config.model_copy(update={**own, "models": [], "out": str(out / name)})
    return found


def _named(model: str) -> tuple[str, dict[str, str | None]]:
    """The name of a model's run, and what `model` and `revision` are there."""
    if user_path(model).is_dir():
        if not (name := user_path(model).resolve().name):
            raise MechclaError(f"models: {model!r} has no name; expected the folder of a model")
        return name, {"model": model}
    if is_gguf(model):
        check_model_name(model)
        return user_path(model).stem, {"model": model}
    if "+" in model:
        raise MechclaError(
            f"models: {model!r} is an adapter on its base; expected --model BASE --adapters A,B, "
            "which makes a run of each"
        )
    repository, revision = at_revision(model)
    check_model_name(repository)
    return run_name(model), {"model": repository, "revision": revision}


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
        print("mechcla: no condition has both axes, so there is no figure", file=sys.stderr)
