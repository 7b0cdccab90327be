"""Which layers and pairs of layers are tried: coarse, fine, restorations, pairs. Pure functions on
methods.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from mechcla.steering.method import Method


def upper_layers(n_layers: int) -> list[int]:
    """Every layer of the upper two thirds, where steering was found to act.

    >>> upper_layers(18) == list(range(6, 18)), upper_layers(2)
    (True, [0, 1])
    """
    return list(range(n_layers // 3, n_layers))


NAMED: dict[str, Callable[[int], list[int]]] = {
    "upper": upper_layers,
    "all": lambda n_layers: list(range(n_layers)),
}


def named_layers(layers: Sequence[int] | str, n_layers: int) -> list[int]:
    """The layers of a name ("upper", "all"), or these, in order, each once.

    >>> named_layers("upper", 6), named_layers([3, 1, 3], 6)
    ([2, 3, 4, 5], [1, 3])
    """
    return NAMED[layers](n_layers) if isinstance(layers, str) else sorted(set(layers))


def coarse_layers(n_layers: int, step: int) -> list[int]:
    """Every `step`-th layer, counted back from the last, which is always among them.

    A step that would leave one layer alone is shortened to half of the blocks, so that there is a
    pair to steer.

    >>> coarse_layers(18, 3), coarse_layers(4, 6)
    ([2, 5, 8, 11, 14, 17], [1, 3])
    """
    step = step if step < n_layers else max(1, n_layers // 2)
    return sorted(range(n_layers - 1, -1, -step))


def around(layers: list[int], best: list[int], reach: int, n_layers: int) -> list[int]:
    """The layers within `reach` of the best ones that have not been swept yet."""
    near = {b + d for b in best for d in range(-reach, reach + 1)}
    return sorted(layer for layer in near if 0 <= layer < n_layers and layer not in layers)


def en_grid(layers: list[int], strengths: list[float]) -> list[Method]:
    """EN-steering at every layer with every strength."""
    return [Method(en_layer=layer, en_strength=s) for layer in layers for s in strengths]


def loc_grid(layers: list[int], strengths: list[float]) -> list[Method]:
    """LOC-steering at every layer with every strength."""
    return [Method(loc_layer=layer, loc_strength=s) for layer in layers for s in strengths]


def restorations(layers: list[int], strength: float, n_layers: int) -> list[Method]:
    """EN early or in the middle (the first two thirds), taken back in the last third."""
    split = 2 * n_layers / 3
    return [
        Method(en_layer=a, en_strength=strength, restore_layer=b)
        for a in layers
        if a < split
        for b in layers
        if b >= split
    ]


def pairs(en: list[Method], loc: list[Method], most: int | None = None) -> list[Method]:
    """Every EN method with every LOC one that is deeper: the SUR candidates.

    Both lists are ranked, best first; `most` keeps the pairs with the smallest sum of ranks.
    """
    ranked = sorted(
        ((i + j, e, x) for i, e in enumerate(en) for j, x in enumerate(loc)),
        key=lambda triple: triple[0],
    )
    made = [
        replace(
            e, loc_layer=x.loc_layer, loc_strength=x.loc_strength, loc_positions=x.loc_positions
        )
        for _, e, x in ranked
        if e.en_layer is not None and x.loc_layer is not None and x.loc_layer > e.en_layer
    ]
    return made[:most]
