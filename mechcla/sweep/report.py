"""What a run says once test is scored: its tables, its figures, and the text for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor

from mechcla import plots
from mechcla.geometry import cosine_by_layer, random_perpendicularity
from mechcla.items.item import KINDS
from mechcla.metrics.item_values import ItemValues, of_languages
from mechcla.metrics.plane_point import PlanePoint, plane
from mechcla.runs.folder import (
    ARMS,
    CONTRAST,
    FIGURES,
    LAYERS,
    PLANE,
    SUMMARY,
    SUMMARY_JSON,
    SURGICAL,
    TESTS,
    TRADEOFF,
)
from mechcla.runs.run import on_plane
from mechcla.runs.tables import csv_text
from mechcla.statistics import Contrast
from mechcla.steering.families import is_steered
from mechcla.storage import write_json, write_text
from mechcla.sweep.evidence import (
    Tested,
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
from mechcla.sweep.on_test import MEASURES
from mechcla.sweep.runner import Sweep
from mechcla.sweep.search import Choices
from mechcla.sweep.tables import Row, pooled_table, remarks, summarise, to_csv


@dataclass(frozen=True)
class Tables:
    """The numbers of a run. steered: item values by condition, of the steered languages alone;
    lost: the cells that are not finite.
    """

    steered: Mapping[str, ItemValues]
    rows: Sequence[Row]
    tested: Sequence[Tested]
    arms: Sequence[Tested]
    contrasts: Mapping[str, Mapping[str, Contrast]]
    lost: Sequence[Mapping[str, Any]]

    @property
    def methods(self) -> list[Row]:
        """The rows without those of control arms."""
        return [r for r in self.rows if not is_arm(r.method)]


def tabulate(sweep: Sweep, choices: Choices, values: Mapping[str, ItemValues]) -> Tables:
    """All numbers of a run, from its test items' values by condition."""
    config, languages = sweep.config, sweep.languages
    drawn = (config.resamples, config.seed)
    steered = {k: of_languages(v, languages) for k, v in values.items()}
    tested, arms = (
        [row for measure in MEASURES for row in compare(steered, measure, *drawn)]
        for compare in (against_unsteered, against_arms)
    )
    return Tables(
        steered,
        summarise(values, languages, *drawn),
        tested,
        arms,
        contrasts(values, *drawn),
        choices.not_finite + [j.describe() for j in sweep.lost("test")],
    )


def write_tables(sweep: Sweep, choices: Choices, tables: Tables) -> None:
    """The tables as files of the run folder."""
    folder = sweep.store.folder
    write_text(folder / SUMMARY, to_csv(tables.rows))
    write_json(
        folder / SUMMARY_JSON,
        {
            "chosen": choices.chosen(),
            "cosine": _numbers(_cosine(sweep)),
            "not_finite": tables.lost,
            "rows": [row.flat() for row in tables.rows],
        },
    )
    write_text(folder / TESTS, tests_csv(tables.tested))
    write_text(folder / ARMS, tests_csv(tables.arms))
    write_text(folder / CONTRAST, csv_text(contrast_rows(tables.contrasts)))


def draw(sweep: Sweep, choices: Choices, tables: Tables) -> list[Path]:
    """The numbers of a run's figures and, unless the run draws none, the figures; the plane in both
    measures, if there is one. Returns the PNGs to be named: those in the run's own measure.
    """
    made = _draw_layers(sweep, choices)
    for measure, points in _planes(sweep, tables).items():
        drawn = _draw_plane(sweep, choices, tables.methods, measure, points)
        if measure == sweep.config.measure:
            made += drawn
    return made


def _planes(sweep: Sweep, tables: Tables) -> dict[str, tuple[PlanePoint, ...]]:
    """The plane's points by measure; none where no language has both kinds of items."""
    config = sweep.config
    families = on_plane({k: v for k, v in tables.steered.items() if not is_arm(k)})
    return {
        measure: plane(families, measure, resamples=config.resamples, seed=config.seed)
        for measure in MEASURES
        if families
    }


def _draw_layers(sweep: Sweep, choices: Choices) -> list[Path]:
    folder, cells = sweep.store.folder / FIGURES, [p.describe() for p in choices.shared_points()]
    cosine, random_level = _cosine(sweep), random_perpendicularity(sweep.model.d_model)
    write_json(folder / f"{LAYERS}.json", {"cosine": _numbers(cosine), "cells": cells})
    if not sweep.config.figures:
        return []
    figure = plots.layers(cosine, random_level, cells, sweep.config.measure)
    return [plots.save(figure, folder / LAYERS)]


def _draw_plane(
    sweep: Sweep,
    choices: Choices,
    rows: Sequence[Row],
    measure: str,
    points: tuple[PlanePoint, ...],
) -> list[Path]:
    folder, own = sweep.store.folder / FIGURES, sweep.config.measure
    end = "" if measure == own else f"_{measure}"
    write_json(folder / f"{PLANE}{end}.json", [asdict(p) for p in points])
    if not sweep.config.figures:
        return []
    tried = [p.describe() for c in choices.each for p in c.compared]
    fronts = [[p.describe() for p in c.front] for c in choices.each]
    wanted = ("english_bias", "all", measure)
    bias = {r.method: r.value for r in rows if (r.metric, r.language, r.measure) == wanted}
    made = []
    if any(is_steered(p.method) for p in points):  # nothing finite: no panel
        made.append(plots.save(plots.tradeoff(points), folder / f"{TRADEOFF}{end}"))
    figure = plots.surgical(points, bias, tried, own, fronts)
    made.append(plots.save(figure, folder / f"{SURGICAL}{end}"))
    return made


def _cosine(sweep: Sweep) -> dict[str, Float[Tensor, " layer"]]:
    """Cosine of EN and LOC by layer; of no language where none has both."""
    if not sweep.axes.having(*KINDS):
        return {}
    return cosine_by_layer(sweep.vectors["EN"], sweep.vectors["LOC"])


def _numbers(cosine: Mapping[str, Float[Tensor, " layer"]]) -> dict[str, list[float]]:
    return {k: v.tolist() for k, v in cosine.items()}


def report(sweep: Sweep, choices: Choices, tables: Tables) -> Iterator[str]:
    """What people read at the end of a run, a paragraph at a time."""
    measure = sweep.config.measure
    yield (
        f"\nTest numbers, pooled over {' '.join(sweep.languages)}: {measure}, 95% interval, n items"
    )
    yield pooled_table(tables.methods, measure)
    yield (
        "\nChanges against the unsteered model, paired by item; p: sign-flip test by question, "
        "after Holm (English bias is not tested):"
    )
    changes = [r for r in tables.methods if r.method != "unsteered"]
    yield pooled_table(changes, measure, tables.tested)
    if tables.arms:
        mine = [r for r in tables.arms if r.measure == measure]
        yield f"\nEach method less its control arms ({measure}):\n{arms_table(mine)}"
    if tables.contrasts:
        yield (
            "\nThe own country's answer against the American one, each condition favouring its own "
            f"(chance 0.5):\n{contrast_table(tables.contrasts)}"
        )
    yield remarks(tables.tested, tables.steered["unsteered"], measure)
    yield f"\nChosen on dev:\n{choices}"
    if tables.lost:
        yield f"\n{listed(tables.lost)}"
