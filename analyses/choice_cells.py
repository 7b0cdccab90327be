"""Cells for analyses.choice_rules: every method of a small grid scored once on dev, on the axes
that its family is chosen by, item by item.

A file per language and kind holds each method's share of the right answer by item; the same command
again does only what is missing, and makes no vectors twice.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import mechcla
from analyses.common import read_json
from mechcla.items.item_set import ItemSet
from mechcla.metrics.metrics import METRICS
from mechcla.scoring.prepared import prepare
from mechcla.scoring.scorer import score_many
from mechcla.steering.families import AXIS_OF, FAMILIES
from mechcla.steering.grid import en_grid, loc_grid, pairs
from mechcla.steering.method import Method
from mechcla.storage import write_text

Values = dict[str, dict[str, float]]  # {method's name: {id: share}}


@dataclass(frozen=True)
class Grid:
    """The methods that are compared: EN and LOC alone, and pairs at some of their layers."""

    en_layers: tuple[int, ...]
    loc_layers: tuple[int, ...]
    en_strengths: tuple[float, ...] = (0.15, 0.3, 0.6)
    loc_strengths: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0)
    paired_en_strengths: tuple[float, ...] = (0.3,)

    @classmethod
    def of(cls, n_layers: int) -> Grid:
        """Three layers in the middle for EN, three in the last third for LOC.

        >>> Grid.of(18).en_layers, Grid.of(18).loc_layers
        ((6, 8, 10), (12, 14, 16))
        """
        ninths = [k * n_layers // 9 for k in (3, 4, 5, 6, 7, 8)]
        return cls(tuple(dict.fromkeys(ninths[:3])), tuple(dict.fromkeys(ninths[3:])))

    def alone(self) -> list[Method]:
        """EN and LOC."""
        return en_grid(list(self.en_layers), list(self.en_strengths)) + loc_grid(
            list(self.loc_layers), list(self.loc_strengths)
        )

    def paired(self) -> list[Method]:
        """Surgical Steering."""
        en = en_grid([self.en_layers[-1]], list(self.paired_en_strengths))
        return pairs(en, loc_grid(list(self.loc_layers[1:]), list(self.loc_strengths)))


def score_cells(
    model: mechcla.HookedModel,
    items: ItemSet,
    languages: Sequence[str],
    grid: Grid,
    folder: Path,
    scored: int | None = None,
) -> dict[tuple[str, str], Values]:
    """Shares by (language, kind), method's name and id; "unsteered" is among them.

    items: of dev, English too; vectors are made on all of them. scored: how many questions of
    either kind are scored; None: all. Raises MechclaError where the folder holds cells of another
    model or other items.
    """
    folder.mkdir(parents=True, exist_ok=True)
    who = {"model": model.digest, "items": items.digest}
    ids = {kind: set(_spread(items, kind, scored)) for kind in AXIS_OF}
    groups = [(k, kind) for k in languages for kind in AXIS_OF]
    found = {group: _read(folder, *group, who) for group in groups}
    vectors = _vectors(model, items, folder)
    for wave in ([Method(), *grid.alone()], grid.paired()):
        for language, kind in groups:
            part = items.where(
                lambda i, k=language, n=kind: (i.language, i.kind) == (k, n) and i.id in ids[n]
            )
            values, asked = found[language, kind], {i.id for i in part}
            mine = [m for m in wave if m == Method() or kind in FAMILIES[m.family].kinds]
            left = [m for m in mine if not asked <= values.get(m.name, {}).keys()]
            if not left:
                continue
            metric = METRICS[AXIS_OF[kind]].of("share")
            steps = [m.interventions(vectors, language) for m in left]
            for index, scores in score_many(prepare(model, part, prior=False), steps):
                column = values.setdefault(left[index].name, {})
                column.update({row.id: metric(row) for row in scores})
                held = json.dumps({**who, "values": values})
                write_text(folder / f"{language}-{kind}.json", held)
            print(f"{language} {kind}: {len(values)} methods", flush=True)
    return {
        (k, kind): {
            name: {i: v for i, v in column.items() if i in ids[kind]}
            for name, column in values.items()
        }
        for (k, kind), values in found.items()
    }


def _spread(items: ItemSet, kind: str, most: int | None) -> list[str]:
    """So many ids of a kind, spread over the topics."""
    ids = list(dict.fromkeys(i.id for i in items if i.kind == kind))
    n = len(ids) if most is None else min(most, len(ids))
    return [ids[int(k * len(ids) / n)] for k in range(n)]


def _vectors(model: mechcla.HookedModel, items: ItemSet, folder: Path) -> dict[str, Any]:
    """EN and LOC of these items, kept in the folder under the digests that they depend on."""
    name = f"{model.digest[:12]}-{items.digest[:12]}"
    found = {}
    for label, make in (("EN", mechcla.en_vectors), ("LOC", mechcla.loc_vectors)):
        path = folder / f"{label}-{name}.safetensors"
        if not path.exists():
            make(model, items).save(path)
        found[label] = mechcla.SteeringVectors.load(path)
    return found


def _read(folder: Path, language: str, kind: str, who: dict[str, str]) -> Values:
    path = folder / f"{language}-{kind}.json"
    if not path.exists():
        return {}
    found = json.loads(path.read_text(encoding="utf-8"))
    if {k: found.get(k) for k in who} != who:
        raise mechcla.MechclaError(
            f"{path} holds cells of another model or of other items; expected those of this "
            "command; choose another --cells"
        )
    values: Values = found["values"]
    return values


def cells_of_run(run: Path) -> tuple[dict[tuple[str, str], Values], list[Method]]:
    """The dev cells of a sweep, and the methods that it tried in every language on every axis that
    they are chosen by.

    Raises MechclaError for a folder without a choice, or without such methods.
    """
    names = {f.name for f in fields(Method)} - {"named"}
    methods: dict[str, Method] = {"unsteered": Method()}
    choices = read_json(run / "selection.json")["choices"]
    for point in (p for choice in choices for p in choice["points"]):
        method = Method(**{k: v for k, v in point.items() if k in names})
        named = method if method.family == point["family"] else method.named_as(point["family"])
        methods[point["name"]] = named
    found: dict[tuple[str, str], Values] = {}
    for language in (k for choice in choices for k in choice["languages"]):
        for kind, axis in AXIS_OF.items():
            value = METRICS[axis].of("share")
            for name in methods:
                for path in (run / "cells" / "dev" / language).glob(f"{name}-{kind}-implicit-*"):
                    column = {row.id: value(row) for row in mechcla.Scores.from_parquet(path)}
                    found.setdefault((language, kind), {})[name] = column
    shared = [
        m
        for name, m in methods.items()
        if m != Method()
        and all(name in v for (_, kind), v in found.items() if kind in FAMILIES[m.family].kinds)
    ]
    if not shared:
        raise mechcla.MechclaError(f"{run} tried no method in every language; choose another run")
    return found, shared
