"""Aligned models beside their base: the settings of a run per model, and one comparison of all.

    OUT/base                     the model itself, a run like any other
    OUT/NAME                     one per adapter, NAME its folder's
    OUT/aligned.csv              every model and condition against the base and against itself
    OUT/aligned_plane.png, .svg  arrows on the plane
    OUT/aligned_bias.png, .svg   English bias per model and condition

One run is one model: nothing of the others enters a run's settings, cells or identity.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from mechcla import plots
from mechcla.errors import MechclaError
from mechcla.models.adapters import find_shipped
from mechcla.models.load import find_fitting_adapter, load_model
from mechcla.runs.aligned import compare_aligned
from mechcla.runs.aligned_values import AlignedComparison
from mechcla.runs.folder import ALIGNED
from mechcla.runs.store import Store
from mechcla.runs.tables import csv_text
from mechcla.storage import user_path, write_text
from mechcla.sweep.config import SweepConfig
from mechcla.sweep.several import folder_of_runs, run_name

BASE = "base"
OUT = "runs/aligned"  # where no folder is named
PLANE, BIAS = "aligned_plane", "aligned_bias"


def siblings(config: SweepConfig) -> dict[str, SweepConfig]:
    """The settings of a run per model, by name: the base's, then one per adapter.

    Nothing is written, and nothing loaded but an adapter that does not say whether it is of this
    base. Raises MechclaError for two adapters of one name, for one that is not there, not whole or
    of another base, and for a folder that holds something else.
    """
    out = folder_of_runs(config, "adapters", OUT)
    folders: dict[str, Path] = {}
    unsure = []
    for adapter in config.adapters:
        folder, fits = find_fitting_adapter(config.model, adapter, config.revision)
        name = folder.name if user_path(adapter).is_dir() else run_name(adapter)
        if name.casefold() in (BASE, *map(str.casefold, folders)):
            other = folders.get(name, "the model's own run")
            raise MechclaError(
                f"two runs would be {str(out / name)!r}: that of the adapter {adapter!r} and that "
                f"of {str(other)!r}; expected folders of different names, none called {BASE!r}"
            )
        folders[name] = folder
        unsure += [] if fits else [folder]
    places = {k: k if find_shipped(k) == f else f for k, f in folders.items()}
    models = {BASE: config.model, **{k: f"{config.model}+{f}" for k, f in places.items()}}
    found = {}
    for name, model in models.items():
        Store.check(out / name)
        own = {"model": model, "out": str(out / name), "adapters": [], "with_adapters": False}
        found[name] = config.model_copy(update=own)
    for folder in unsure:
        load_model(
            config.model,
            adapter=folder,
            device=config.device,
            dtype=config.dtype,
            revision=config.revision,
            **config.place(),
        )
    return found


def compare_siblings(
    config: SweepConfig, folders: Sequence[str], say: Callable[[str], None] = print
) -> AlignedComparison:
    """The comparison of these runs, the base's first, written beside them and said."""
    base, *adapted = folders
    found = compare_aligned(
        base, adapted, config.measure, resamples=config.resamples, seed=config.seed
    )
    write_comparison(found, Path(base).parent, say)
    return found


def write_comparison(found: AlignedComparison, out: Path, say: Callable[[str], None]) -> None:
    """Its table and figures in a folder, and all of it said."""
    write_text(out / ALIGNED, csv_text(found.rows()))
    say(f"\n{found}")
    say(f"Results: {out / ALIGNED}")
    if found.plane():
        say(f"  {plots.save(plots.aligned_plane(found), out / PLANE)}")
    if any(v.metric == "english_bias" for v in found.values):
        say(f"  {plots.save(plots.aligned_bias(found), out / BIAS)}")
