"""A run's projection.json as rows: dev prompts on two principal components."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mechcla.results import Rows

KEPT = ("site", "position", "prompt", "basis", "most")


def projection_rows(held: Mapping[str, Any], folder: str) -> Rows:
    """One record per kind, block and prompt; settings say how it was made, and `dev` how many dev
    items each kind and language has, of which at most `most` are here.

    held: what the sweep wrote. Raises KeyError, TypeError, ValueError or IndexError for another
    object.
    """
    records = [
        {
            "kind": kind,
            "layer": layer,
            "language": mine["language"],
            "id": id,
            "x": x,
            "y": y,
            "explained_x": found["explained"][at][0],
            "explained_y": found["explained"][at][1],
        }
        for kind, found in held["kinds"].items()
        for at, layer in enumerate(held["layers"])
        for mine in found["languages"]
        for id, (x, y) in zip(mine["ids"], mine["points"][at], strict=True)
    ]
    dev = {
        kind: {mine["language"]: mine["of"] for mine in found["languages"]}
        for kind, found in held["kinds"].items()
    }
    settings = {"run": folder, **{name: held[name] for name in KEPT}, "dev": dev}
    return Rows(tuple(records), settings)
