"""The projection of a run's dev prompts, as the page holds it: columns by language, texts once."""

from __future__ import annotations

from typing import Any

from mechcla.runs.run import Run

LONGEST = 120  # characters of a question


def projected(run: Run) -> dict[str, Any] | None:
    """Per kind of items the explained shares by block, and per language its questions, [id, text],
    and their points by block; None for a run that has no projection.

    The page grows with the prompts that the sweep kept, at most 150 per language and kind and about
    2,000 per kind, and not with the items.
    """
    rows = run.projections
    if not rows:
        return None
    prompts = {(i.kind, i.language, i.id): i.prompt for i in run.item_set.dev}
    layers = list(dict.fromkeys(row["layer"] for row in rows))
    kinds: dict[str, Any] = {}
    for row in rows:
        kind, language, at = row["kind"], row["language"], layers.index(row["layer"])
        found = kinds.setdefault(kind, {"explained": [None] * len(layers), "languages": {}})
        found["explained"][at] = [row["explained_x"], row["explained_y"]]
        mine = found["languages"].setdefault(
            language,
            {
                "language": language,
                "of": rows.settings["dev"][kind][language],
                "questions": [],
                "points": [[] for _ in layers],
            },
        )
        mine["points"][at].append([row["x"], row["y"]])
        if at == 0:
            text = prompts.get((kind, language, row["id"]), "")
            cut = text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
            mine["questions"].append([row["id"], cut])
    return {
        "site": rows.settings["site"],
        "most": rows.settings["most"],
        "layers": layers,
        "kinds": [
            {"kind": kind, **found, "languages": list(found["languages"].values())}
            for kind, found in kinds.items()
        ],
    }
