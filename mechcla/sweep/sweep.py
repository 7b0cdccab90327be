"""A sweep from its config to its tables and figures: `run_sweep`, and what the command prints."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, overload

from mechcla.errors import MechclaError
from mechcla.interrupts import again, kept
from mechcla.items.item_set import ItemSet
from mechcla.models.hooked_model import HookedModel
from mechcla.report import document
from mechcla.report.rendering import EXTRA, installed
from mechcla.runs.aligned_values import AlignedComparison
from mechcla.runs.compare import RunComparison
from mechcla.runs.parts import Parts
from mechcla.runs.run import Run, read_run
from mechcla.runs.store import Store
from mechcla.sweep.adapters import compare_siblings, siblings
from mechcla.sweep.cells import pivot
from mechcla.sweep.config import SweepConfig, make
from mechcla.sweep.held import held_settings, item_settings
from mechcla.sweep.models import compare_models, model_runs, several_models
from mechcla.sweep.on_test import report_test
from mechcla.sweep.price import Price, price_of
from mechcla.sweep.ray_room import check_workers
from mechcla.sweep.ray_runner import check_runner, ray_of, side_by_side, workers_of
from mechcla.sweep.ready import make_ready
from mechcla.sweep.report import draw, report, tabulate, write_tables
from mechcla.sweep.runner import open_sweep
from mechcla.sweep.search import choose
from mechcla.sweep.shipped import compare_shipped


def run_config(
    config: SweepConfig,
    model: HookedModel | None = None,
    items: ItemSet | None = None,
    say: Callable[[str], None] = print,
    parts: Parts | None = None,
) -> Run:
    """Open, extract, search, freeze, test, tables, figures. say: takes what people read.

    model, items: those to use instead of what the config names. parts: runs over some of the
    languages each, which are joined: what they have is not computed again.
    """
    begun = time.monotonic()
    check_runner(config, model)
    with (
        ray_of(config) as there,
        closing(open_sweep(config, model, items, parts)) as sweep,  # and extract
        telling(sweep.store),
    ):
        folder = sweep.store.folder
        with workers_of(sweep, there):
            choices = choose(sweep)
            chosen = choices.methods()
            if parts is not None:
                parts.check_choice(
                    {f: {k: m.describe() for k, m in by.items()} for f, by in chosen.items()}
                )
            values = report_test(sweep, chosen)  # freezes the choice first
        tables = tabulate(sweep, choices, values)
        write_tables(sweep, choices, tables)
        figures = draw(sweep, choices, tables)
        for text in report(sweep, choices, tables):
            say(text)
        say(f"Results: {folder}  ({time.monotonic() - begun:.0f} s)")
        for path in figures:
            say(f"  {path}")
    run = read_run(folder)
    if config.figures:
        draw_page(run, say)
    if config.with_adapters and compare_shipped(run, config, say) is not None and config.figures:
        draw_page(run, say)  # anew, with the aligned models on it
    return run


def dry_run(config: SweepConfig, say: Callable[[str], None] = print) -> dict[str, Price]:
    """What a run will take, said; with adapters or models, of each of the runs. Nothing is written.

    Returns the prices by the name of the run. Raises MechclaError for what the run would refuse.
    """
    if config.runner == "ray":
        check_workers(config)
    found = {}
    for name, own in runs_of(config).items():
        Store.check(own.out)
        found[name] = price_of(make_ready(own, None, None), own.workers or 1)
        say("\n".join(filter(None, (name, str(found[name])))))
    return found


def draw_page(run: Run, say: Callable[[str], None]) -> None:
    """The run's page beside its tables, where the extra `report` is there. The run is complete
    before: what fails here is said, and the run is as it was.
    """
    if not installed():
        say(f"  no page: {EXTRA}, then python -m mechcla report {run.folder}")
        return
    try:
        say(f"  {document.report(run)}")
    except Exception as error:
        again()
        print(
            f"mechcla.sweep: the page could not be drawn ({type(error).__name__}: {error}); the "
            f"run is whole. Again: python -m mechcla report {run.folder}",
            file=sys.stderr,
        )


def runs_of(config: SweepConfig) -> dict[str, SweepConfig]:
    """The settings of each run by its name; "" for one run alone. Raises MechclaError for what
    cannot be several runs.
    """
    if several_models(config):
        return model_runs(config)
    return siblings(config) if config.adapters else {"": config}


def run_several(
    config: SweepConfig, items: ItemSet | None = None, say: Callable[[str], None] = print
) -> AlignedComparison | RunComparison:
    """A run of the model and one per adapter, or one per model, and the comparison of all; the same
    again does only what is missing.

    items: those to use instead of what the config names. Raises MechclaError before any work for
    what `siblings` and `model_runs` refuse.
    """
    check_runner(config, None)
    found = runs_of(config)
    runs = list(found.values())
    whole = config.runner == "ray" and items is None
    if not (whole and side_by_side(config, runs, _one_run, say)):
        for name, own in found.items():
            say(f"\nThe run {name!r}: {own.model}")
            run_config(own, items=items, say=say)
    compare = compare_models if several_models(config) else compare_siblings
    return compare(config, [own.out for own in runs], say)


def _one_run(settings: dict[str, Any]) -> None:
    """A run in a worker."""
    run_config(make(settings), say=_silent)


@overload
def run_sweep(
    model: HookedModel | str = ...,
    items: ItemSet | str | Path = ...,
    *,
    out: str | Path,
    languages: Sequence[str] | str | None = ...,
    adapters: None = ...,
    models: None = ...,
    **settings: Any,
) -> Run: ...
@overload
def run_sweep(
    model: str = ...,
    items: ItemSet | str | Path = ...,
    *,
    out: str | Path,
    languages: Sequence[str] | str | None = ...,
    adapters: Sequence[str | Path],
    models: None = ...,
    **settings: Any,
) -> AlignedComparison: ...
@overload
def run_sweep(
    *,
    items: ItemSet | str | Path = ...,
    out: str | Path,
    languages: Sequence[str] | str | None = ...,
    models: Sequence[str | Path],
    **settings: Any,
) -> RunComparison: ...
def run_sweep(
    model: HookedModel | str = "demo",
    items: ItemSet | str | Path = "demo",
    *,
    out: str | Path,
    languages: Sequence[str] | str | None = None,
    adapters: Sequence[str | Path] | None = None,
    models: Sequence[str | Path] | None = None,
    **settings: Any,
) -> Run | AlignedComparison | RunComparison:
    """What `python -m mechcla.sweep` does, as one call; returns the run folder, read back.

    model: a name or folder, or a model that is loaded. items: a source, a file, or items. adapters:
    of the model, which is then a name or folder; a run of each lies beside the base's in `out`,
    and what is returned is their comparison. models: several names or folders instead of `model`,
    likewise. settings: any of `python -m mechcla.sweep --help`.
    The same call again does only what is missing. Raises MechclaError for a setting that does not
    exist or that a loaded model is otherwise, and for a folder of another run.

    >>> run = mechcla.run_sweep("demo", out="runs/demo", languages=["es"])          # doctest: +SKIP
    >>> say(run.tests.where(language="all", measure="share"))                      # doctest: +SKIP
    """
    for name in ("preset", "config"):
        if name in settings:
            raise MechclaError(
                f"run_sweep takes settings themselves, not {name}={settings[name]!r}; "
                "expected e.g. coarse_step=2"
            )
    languages = [languages] if isinstance(languages, str) else languages
    given: dict[str, Any] = {"out": str(out), **settings}
    if adapters:
        if isinstance(model, HookedModel):
            raise MechclaError(
                f"run_sweep got adapters and a loaded model ({model.name!r}); expected the base's "
                "name or folder, since each adapter is merged into a base of its own"
            )
        given["adapters"] = [adapters] if isinstance(adapters, str) else [*map(str, adapters)]
    if models is not None:
        if isinstance(model, HookedModel):
            raise MechclaError(
                f"run_sweep got models and a loaded model ({model.name!r}); expected one of both"
            )
        given["models"] = models if isinstance(models, str) else [*map(str, models)]
    if languages is not None:
        given["languages"] = list(languages)
    held_items = items if isinstance(items, ItemSet) else None
    if held_items is not None:
        if languages is not None:
            held_items = held_items.language(*pivot(held_items), *languages)
        given |= item_settings(held_items)
    else:
        given["items"] = str(items)
    held = model if isinstance(model, HookedModel) else None
    if held is not None:
        given |= held_settings(held, settings)
    elif models is None or model != "demo":
        given["model"] = str(model)
    config = make(given)
    if config.adapters or several_models(config):
        return run_several(config, held_items, say=_silent)
    return run_config(config, held, held_items, say=_silent)


def _silent(_text: str) -> None:
    """Nothing is printed: what a call returns is what it says."""


@contextmanager
def telling(store: Store) -> Iterator[None]:
    """Keep status.json true: running, then complete, interrupted or failed."""
    store.say("running")
    try:
        with kept():
            yield
    except KeyboardInterrupt:
        store.say("interrupted")
        raise
    except Exception as error:
        with suppress(MechclaError):  # a disk that is full cannot be told
            store.say("failed", str(error))
        raise
    store.say("complete")
