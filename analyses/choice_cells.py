"""Cells for analyses.choice_rules: every method of a small grid scored once on dev, on the axes
that its family is chosen by, item by item.

Vectors are made on the same items. A file per language and kind holds each method's
share of the right answer by item; the same command again does only what is missing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mechcla
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
) -> dict[tuple[str, str], Values]:
    """Shares by (language, kind), method's name and id; "unsteered" is among them.

    items: of dev, English too. Raises MechclaError where the folder holds cells of another model or
    other items.
    """
    folder.mkdir(parents=True, exist_ok=True)
    who = {"model": model.digest, "items": items.digest}
    groups = [(k, kind) for k in languages for kind in AXIS_OF]
    found = {group: _read(folder, *group, who) for group in groups}
    waves = ([Method(), *grid.alone()], grid.paired())
    vectors: dict[str, Any] = {}
    for wave in waves:
        for language, kind in groups:
            values = found[language, kind]
            mine = [m for m in wave if m == Method() or kind in FAMILIES[m.family].kinds]
            left = [m for m in mine if m.name not in values]
            if not left:
                continue
            vectors = vectors or {
                "EN": mechcla.en_vectors(model, items),
                "LOC": mechcla.loc_vectors(model, items),
            }
            part = items.where(lambda i, k=language, n=kind: (i.language, i.kind) == (k, n))
            metric = METRICS[AXIS_OF[kind]].of("share")
            steps = [m.interventions(vectors, language) for m in left]
            for index, scores in score_many(prepare(model, part, prior=False), steps):
                values[left[index].name] = {row.id: metric(row) for row in scores}
                write_text(
                    folder / f"{language}-{kind}.json", json.dumps({**who, "values": values})
                )
            print(f"{language} {kind}: {len(values)} methods", flush=True)
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
