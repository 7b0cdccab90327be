"""A sweep from its config to its tables and figures: `run_sweep`, and what the command prints."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor

from mechcla import plots
from mechcla.errors import MechclaError
from mechcla.geometry import cosine_by_layer, random_perpendicularity
from mechcla.items.item_set import ItemSet
from mechcla.metrics.plane_point import PlanePoint, plane
from mechcla.models.hooked_model import HookedModel
from mechcla.runs.folder import FIGURES
from mechcla.runs.run import Run, on_plane, read_run
from mechcla.runs.store import Store
from mechcla.runs.tables import csv_text
from mechcla.scoring.scores import Scores
from mechcla.steering.families import is_steered
from mechcla.storage import write_json, write_text
from mechcla.sweep.cells import KINDS, pivot
from mechcla.sweep.config import SweepConfig, make
from mechcla.sweep.evidence import (
    against_arms,
    against_unsteered,
    arms_table,
    contrast_rows,
    contrast_table,
    contrasts,
    is_arm,
)
from mechcla.sweep.evidence import to_csv as tests_csv
from mechcla.sweep.finite import listed
from mechcla.sweep.held import held_settings, item_settings
from mechcla.sweep.runner import Sweep, open_sweep, report_test
from mechcla.sweep.search import Choices, choose
from mechcla.sweep.tables import Row, pooled_table, remarks, summarise, to_csv


def run_config(
    config: SweepConfig,
    model: HookedModel | None = None,
    items: ItemSet | None = None,
    say: Callable[[str], None] = print,
) -> Run:
    """Open, extract, search, freeze, test, tables, figures. say: takes what people read.

    model, items: those to use instead of what the config names.
    """
    begun = time.monotonic()
    with closing(open_sweep(config, model, items)) as sweep, telling(sweep.store):
        _finish(sweep, begun, say)
        folder = sweep.store.folder
    return read_run(folder)


def run_sweep(
    model: HookedModel | str = "demo",
    items: ItemSet | str | Path = "demo",
    *,
    out: str | Path,
    languages: Sequence[str] | str | None = None,
    **settings: Any,
) -> Run:
    """What `python -m mechcla.sweep` does, as one call; returns the run folder, read back.

    model: a name or folder, or a model that is loaded. items: a source, a file, or items. settings:
    any of `python -m mechcla.sweep --help`. The same call again does only what is missing. Raises
    MechclaError for a setting that does not exist or that a loaded model is otherwise, and for a
    folder of another run.

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
    given |= held_settings(held, settings) if held is not None else {"model": str(model)}
    return run_config(make(given), held, held_items, say=_silent)


def _silent(_text: str) -> None:
    """Nothing is printed: what a call returns is what it says."""


@contextmanager
def telling(store: Store) -> Iterator[None]:
    """Keep status.json true: running, then complete, interrupted or failed."""
    store.say("running")
    try:
        yield
    except KeyboardInterrupt:
        store.say("interrupted")
        raise
    except Exception as error:
        with suppress(MechclaError):  # a disk that is full cannot be told
            store.say("failed", str(error))
        raise
    store.say("complete")


def _finish(sweep: Sweep, begun: float, say: Callable[[str], None]) -> None:
    config = sweep.config
    choices = choose(sweep)
    chosen = {f: {k: choices.method(f, k) for k in choices.languages(f)} for f in choices.families}
    tables = report_test(sweep, chosen)
    lost = choices.not_finite + [j.describe() for j in sweep.lost("test")]
    rows = summarise(tables, sweep.languages, config.resamples, config.seed)
    folder = sweep.store.folder
    write_text(folder / "summary.csv", to_csv(rows))
    write_json(
        folder / "summary.json",
        {
            "chosen": choices.chosen(),
            "cosine": {k: v.tolist() for k, v in _cosine(sweep).items()},
            "not_finite": lost,
            "rows": [row.flat() for row in rows],
        },
    )
    steered = {
        k: Scores(tuple(r for r in v if r.language in sweep.languages)) for k, v in tables.items()
    }
    tested, arms = (
        [
            row
            for measure in ("share", "accuracy")
            for row in compare(steered, measure, config.resamples, config.seed)
        ]
        for compare in (against_unsteered, against_arms)
    )
    write_text(folder / "tests.csv", tests_csv(tested))
    write_text(folder / "arms.csv", tests_csv(arms))
    held = contrasts(tables, config.resamples, config.seed)
    write_text(folder / "contrast.csv", csv_text(contrast_rows(held)))
    families = on_plane({k: v for k, v in steered.items() if not is_arm(k)})
    planes = {
        m: plane(families, m, resamples=config.resamples, seed=config.seed)
        for m in ("accuracy", "share")
        if families
    }
    figures = draw(sweep, choices, planes, [r for r in rows if not is_arm(r.method)])
    say(
        f"\nTest numbers, pooled over {' '.join(sweep.languages)}: {config.measure}, 95% interval, "
        "n items"
    )
    shown = [r for r in rows if not is_arm(r.method)]
    say(pooled_table(shown, config.measure))
    say(
        "\nChanges against the unsteered model, paired by item; p: sign-flip test by question, "
        "after Holm (English bias is not tested):"
    )
    say(pooled_table([r for r in shown if r.method != "unsteered"], config.measure, tested))
    if arms:
        mine = [r for r in arms if r.measure == config.measure]
        say(f"\nEach method less its control arms ({config.measure}):\n{arms_table(mine)}")
    if held:
        say(
            "\nThe own country's answer against the American one, each condition favouring its own "
            f"(chance 0.5):\n{contrast_table(held)}"
        )
    say(remarks(tested, steered["unsteered"], config.measure))
    say(f"\nChosen on dev:\n{choices}")
    if lost:
        say(f"\n{listed(lost)}")
    say(f"Results: {folder}  ({time.monotonic() - begun:.0f} s)")
    for path in figures:
        say(f"  {path}")


def draw(
    sweep: Sweep, choices: Choices, planes: dict[str, tuple[PlanePoint, ...]], rows: list[Row]
) -> list[str]:
    """The figures of a run with the numbers behind them; the plane in both measures, if there is
    one. Returns the PNGs' paths.
    """
    folder = sweep.store.folder / FIGURES
    config, cells = sweep.config, [p.describe() for p in choices.shared_points()]
    tried = [p.describe() for c in choices.each for p in c.compared]
    fronts = [[p.describe() for p in c.front] for c in choices.each]
    cosine, random_level = _cosine(sweep), random_perpendicularity(sweep.model.d_model)
    made = [
        plots.save(
            plots.layers(cosine, random_level, cells, config.measure), folder / "fig4_layers"
        )
    ]
    write_json(
        folder / "fig4_layers.json",
        {"cosine": {k: v.tolist() for k, v in cosine.items()}, "cells": cells},
    )
    for measure, points in planes.items():
        chosen = [
            r for r in rows if (r.metric, r.language, r.measure) == ("english_bias", "all", measure)
        ]
        bias = {r.method: r.value for r in chosen}
        end = "" if measure == config.measure else f"_{measure}"
        if any(is_steered(p.method) for p in points):  # nothing finite: no panel
            made.append(plots.save(plots.tradeoff(points), folder / f"fig2_tradeoff{end}"))
        made.append(
            plots.save(
                plots.surgical(points, bias, tried, config.measure, fronts),
                folder / f"fig5_surgical{end}",
            )
        )
        write_json(folder / f"plane{end}.json", [asdict(p) for p in points])
    return [str(path) for path in made if not path.stem.endswith(("_accuracy", "_share"))]


def _cosine(sweep: Sweep) -> dict[str, Float[Tensor, " layer"]]:
    """Cosine of EN and LOC by layer; of no language where none has both."""
    if not sweep.axes.having(*KINDS):
        return {}
    return cosine_by_layer(sweep.vectors["EN"], sweep.vectors["LOC"])
