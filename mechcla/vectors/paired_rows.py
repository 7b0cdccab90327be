"""PairedRows: the activations of parallel questions, which a linear map at any layer is fitted on.

A map is d_model x d_model per layer and language; the rows that it is fitted on are items x d_model
and say the same, so they are what a run keeps (`mechcla.steering.linear_map` fits). The control
arms turn the rows' meaning and not their bytes: `turn` says how, and the fit follows it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from mechcla.errors import MechclaError
from mechcla.items.item import PIVOT
from mechcla.vectors.residuals import Residuals


@dataclass(frozen=True, eq=False)
class PairedRows:
    """English and own last-token activations of the same questions, by language.

    rows[L]: [side, item, layer, d_model] in float32, English first; swapped[L]: the items whose
    sides the arm `shuffled` exchanges. layers[L]: the layers that the rows are of. turn, seed: ""
    is the map itself; "random" turns each of its pushes by one random rotation; "shuffled" fits on
    exchanged sides; "translation" moves every residual by the vector beside it. fits: what was
    fitted on them already.
    """

    rows: Mapping[str, Float[Tensor, "side item layer d_model"]]
    layers: Mapping[str, tuple[int, ...]]
    swapped: Mapping[str, tuple[int, ...]]
    turn: str = ""
    seed: int = 0
    fits: dict[tuple[Any, ...], Any] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, universal: Residuals, signs: Mapping[str, int], pivot: str = PIVOT) -> PairedRows:
        """The rows of every language beside the pivot. signs: -1 for a question of which the arm
        `shuffled` exchanges the sides, by id (`mechcla.vectors.extract.half_signs`).

        Raises MechclaError for a language that has fewer than two questions in common with it.
        """
        rows, swapped = {}, {}
        for language in (k for k in universal.languages if k != pivot):
            rows[language] = torch.stack(universal.paired(pivot, language))
            if (n := rows[language].shape[1]) < 2:
                raise MechclaError(
                    f"a map needs at least two questions in both {pivot!r} and {language!r}; there "
                    f"is {n}"
                )
            own = set(universal.ids[language])
            ids = [i for i in universal.ids[pivot] if i in own]  # the order of `paired`
            swapped[language] = tuple(k for k, i in enumerate(ids) if signs.get(i, 1) < 0)
        layers = {k: tuple(range(v.shape[2])) for k, v in rows.items()}
        return cls(rows, layers, swapped)

    @property
    def languages(self) -> tuple[str, ...]:
        return tuple(self.rows)

    def at(
        self, language: str, layer: int
    ) -> tuple[Float[Tensor, "item d_model"], Float[Tensor, "item d_model"]]:
        """English and own rows of one language and a layer that `SteeringVectors.at` has."""
        english, own = self.rows[language][:, :, self.layers[language].index(layer)]
        return english, own

    def turned(self, turn: str, seed: int = 0) -> PairedRows:
        """The same rows, of which a map is to be made in another way."""
        return replace(self, turn=turn, seed=seed)

    def only(self, layers: Mapping[str, Collection[int]]) -> PairedRows:
        """These languages and layers alone."""
        rows, kept = {}, {}
        for language, wanted in layers.items():
            there = self.layers[language]
            places = [k for k, layer in enumerate(there) if layer in wanted]
            rows[language] = self.rows[language][:, :, places].contiguous()
            kept[language] = tuple(there[k] for k in places)
        return replace(
            self, rows=rows, layers=kept, swapped={k: self.swapped[k] for k in rows}, fits={}
        )

    def joined(self, others: Mapping[str, PairedRows]) -> PairedRows:
        """The languages of several, each from its own."""
        return replace(
            self,
            rows={k: v.rows[k] for k, v in others.items() if k in v.rows},
            layers={k: v.layers[k] for k, v in others.items() if k in v.rows},
            swapped={k: v.swapped[k] for k, v in others.items() if k in v.rows},
            fits={},
        )
