"""The projection of a run: dev prompts on two principal components, per kind, at a few blocks.

The activations are those of the pass that makes the vectors, so nothing runs twice; where there was
no such pass (vectors from files or from merged parts, a file that is damaged), one is made for
them. Per kind and block there is one basis for all languages (`mechcla.geometry.project`). Source:
ours, after the source paper's Figure 3. Limit: two axes of many.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from mechcla.geometry import project
from mechcla.items.item import KINDS, PIVOT, Item
from mechcla.items.item_set import ItemSet
from mechcla.models.hooked_model import HookedModel
from mechcla.sweep.config import SweepConfig
from mechcla.sweep.making import look
from mechcla.vectors.activations import last_token_residuals
from mechcla.vectors.residuals import Residuals

BLOCKS = 5  # evenly over the model, the first and the last one among them
MOST, LEAST, TOGETHER = 150, 10, 2000  # prompts per language and kind, and of all languages
FEWEST = 3  # prompts of a kind that a plane is laid through
DIGITS = 5  # of a coordinate


@dataclass
class DevPrompts:
    """The dev prompts that the projection shows, and their activations at its blocks, float32 and
    on the CPU, as `see` is shown them. Make it with `dev_prompts`.
    """

    layers: tuple[int, ...]
    most: int
    items: dict[str, dict[str, tuple[Item, ...]]]  # by kind and language
    asked: dict[str, dict[str, int]]  # how many dev items there are of each
    rows: dict[str, Tensor] = field(default_factory=dict)  # by text, [block, d_model]

    @cached_property
    def texts(self) -> list[str]:
        """The prompts, each once."""
        every = (i.prompt for by in self.items.values() for mine in by.values() for i in mine)
        return list(dict.fromkeys(every))

    def see(self, texts: Sequence[str], residuals: Tensor) -> None:
        """Keep what is wanted of a batch, [layer, prompt, d_model], and not there yet."""
        wanted = set(self.texts) - self.rows.keys()
        for column, text in enumerate(texts):
            if text in wanted:
                self.rows[text] = residuals[list(self.layers), column].float().cpu()


def dev_prompts(dev: ItemSet, n_layers: int) -> DevPrompts:
    """Which dev prompts are shown, at which blocks: of each language and kind an even sample in
    file order, of universal items those that are also asked in another language.
    """
    few = max(LEAST, min(MOST, TOGETHER // max(1, len(dev.languages))))
    english = set(dev.universal.where(lambda i: i.language == PIVOT).ids)
    shared = {i.id for i in dev.universal if i.language != PIVOT} & english
    items: dict[str, dict[str, tuple[Item, ...]]] = {kind: {} for kind in KINDS}
    asked: dict[str, dict[str, int]] = {kind: {} for kind in KINDS}
    for kind in KINDS:
        for language in dev.languages:
            mine = [i for i in dev if (i.kind, i.language) == (kind, language)]
            if kind == "universal" and shared:
                mine = [i for i in mine if i.id in shared]
            if mine:
                asked[kind][language] = len(mine)
                step = max(1.0, len(mine) / few)
                items[kind][language] = tuple(
                    mine[int(k * step)] for k in range(min(few, len(mine)))
                )
    last = n_layers - 1
    layers = sorted({round(k * last / (BLOCKS - 1)) for k in range(BLOCKS)})
    return DevPrompts(tuple(layers), few, items, asked)


def projection(
    model: HookedModel, dev: ItemSet, config: SweepConfig, shown: DevPrompts
) -> dict[str, Any]:
    """What projection.json holds: how it was made, and by kind the blocks' explained shares of the
    variance and the languages' questions with a point per block.

    shown: with what the pass of the vectors left in it; without anything, a pass is made here. A
    kind whose activations are fewer than three, all alike or not finite has no entry.
    """
    if not shown.rows and config.vectors:
        texts = shown.texts
        how: dict[str, Any] = {"site": config.site, "chat": config.chat_form}
        for indices, residuals in last_token_residuals(model, texts, **how):
            shown.see([texts[i] for i in indices], residuals)
    elif not shown.rows:
        look(model, dev, config, shown.see)
    kinds = {kind: found for kind in KINDS if (found := _of_kind(shown, kind, config.site))}
    return {
        "site": config.site,
        "position": "last_prompt_token",
        "prompt": "implicit",
        "basis": "per kind and block, common to all languages, around their common mean",
        "most": shown.most,
        "layers": list(shown.layers),
        "kinds": kinds,
    }


def _of_kind(shown: DevPrompts, kind: str, site: str) -> dict[str, Any] | None:
    by = {k: [i for i in mine if i.prompt in shown.rows] for k, mine in shown.items[kind].items()}
    by = {language: mine for language, mine in by.items() if mine}
    values = {k: torch.stack([shown.rows[i.prompt] for i in mine]) for k, mine in by.items()}
    if sum(map(len, values.values())) < FEWEST:
        return None
    every = torch.cat(list(values.values()))
    if not every.isfinite().all() or bool((every == every[0]).all(-1).all(0).any()):
        return None
    ids = {k: tuple(i.id for i in mine) for k, mine in by.items()}
    residuals = Residuals(values, ids, site, "implicit")
    planes = [project(residuals, block) for block in range(len(shown.layers))]
    return {
        "explained": [[round(share, 6) for share in plane.explained] for plane in planes],
        "languages": [
            {
                "language": k,
                "of": shown.asked[kind][k],
                "ids": list(ids[k]),
                "points": [
                    [[_short(x), _short(y)] for x, y in plane.coordinates[k].tolist()]
                    for plane in planes
                ],
            }
            for k in by
        ],
    }


def _short(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
