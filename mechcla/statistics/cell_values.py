"""From a cell's scores to what the statistics of a run need of it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from mechcla.metrics.item_values import CellValues, Column, Ids
from mechcla.metrics.metrics import METRICS, Measure
from mechcla.scoring.scores import Scores
from mechcla.statistics.contrast import answers_of
from mechcla.statistics.differences import unique_rows


def cell_values(
    scores: Scores, names: Iterable[tuple[str, Measure]], known: dict[Ids, Ids]
) -> CellValues:
    """The values of the scores of one language and kind. names: (metric, measure) pairs; those of
    another kind, or of a role that no item offers, are left out. known: as `Column.of` has it.

    Raises MechclaError for scores that are not finite.
    """
    columns = {}
    for name, measure in names:
        metric = METRICS.get(name)
        of = metric.of(measure)
        values = {r.id: of(r) for r in scores if r.kind == metric.kind and metric.role in r.roles}
        if values:
            columns[name, measure] = Column.of(values, known)
    offered = np.asarray([len(row.roles) for row in scores], np.int32)
    cultural = unique_rows([row for row in scores if row.kind == "cultural"], "the cell")
    margins = {id: found.margin for (_, id), found in answers_of(cultural).items()}
    return CellValues(offered, columns, Column.of(margins, known) if margins else None)
