"""The first confirmation: EN, LOC and Surgical Steering as recorded, on the base and on MIST,
MidAlign and CLO (docs/confirmation.md). It has been scored.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import mechcla
from analyses.confirm_plan import (
    BASE,
    MARGIN,
    REFERENCE,
    ROOT,
    Cell,
    Confirmation,
    Hypothesis,
    Vectors,
    adapter_digests,
    testing,
)
from mechcla.metrics.estimates import POOLED
from mechcla.models.adapters import shipped_adapters
from mechcla.steering.method import Manner, Method
from mechcla.steering.recorded import method_of, read_choice

ADAPTERS = ("mist", "midalign", "clo")
# What a choice is recorded for, and the controls.
CONDITIONS = {
    BASE: ("unsteered", "EN", "LOC", "SUR", "explicit"),
    **dict.fromkeys(ADAPTERS, ("unsteered", "SUR", "explicit")),
}
HYPOTHESES = tuple(
    Hypothesis(f"H{number}", *rest)
    for number, rest in enumerate(
        [
            ("LOC raises it", "localization", BASE, "LOC", BASE, "unsteered", "up"),
            ("SUR raises it", "localization", BASE, "SUR", BASE, "unsteered", "up"),
            ("SUR does not lower it", "transfer", BASE, "SUR", BASE, "unsteered", "up", MARGIN),
            ("it is lower", "localization", "mist", "unsteered", BASE, "unsteered", "down"),
            (
                "MidAlign lowers it",
                "localization",
                "midalign",
                "unsteered",
                BASE,
                "unsteered",
                "down",
            ),
            ("SUR raises it", "localization", "midalign", "SUR", "midalign", "unsteered", "up"),
            ("SUR raises it", "localization", "mist", "SUR", "mist", "unsteered", "up"),
            ("it is higher", "transfer", "clo", "unsteered", BASE, "unsteered", "up"),
        ],
        start=1,
    )
)


def methods(model: str) -> dict[str, dict[str, Method]]:
    """The methods by family and language, as they were recorded on dev before this set was made."""
    if model != BASE:
        return {"SUR": dict(read_choice(shipped_adapters()[model]).methods)}
    chosen = json.loads((REFERENCE / "demo" / "selection.json").read_text("utf-8"))["chosen"]
    return {f: {k: method_of(m) for k, m in chosen[f].items()} for f in ("EN", "LOC", "SUR")}


def settings() -> dict[str, Any]:
    return {
        "model": "demo",
        "adapters": adapter_digests(ADAPTERS),
        "methods": {
            model: {f: {k: m.name for k, m in by.items()} for f, by in methods(model).items()}
            for model in CONDITIONS
        },
        "conditions": {model: list(conditions) for model, conditions in CONDITIONS.items()},
        "manner": asdict(Manner()),
        "vectors": "base: mean_difference on all dev items of demo; adapters: the recorded files",
        **testing(HYPOTHESES),
    }


def named_method(name: str) -> Method:
    """The method that this plan names.

    >>> named_method("EN9x0.3-LOC10x4").loc_layer
    10
    """
    parts = re.fullmatch(r"unsteered|(?:EN(\d+)x([\d.]+))?-?(?:LOC(\d+)x([\d.]+))?", name)
    if parts is None:
        raise mechcla.MechclaError(f"no method is named {name!r}; expected e.g. 'EN9x0.3-LOC10x4'")
    en, en_strength, loc, loc_strength = parts.groups()
    return Method(
        int(en) if en else None,
        float(en_strength or 0),
        loc_layer=int(loc) if loc else None,
        loc_strength=float(loc_strength or 0),
    )


def edits(
    model: mechcla.HookedModel, cell: Cell, planned: Mapping[str, Any], kept: Vectors
) -> tuple[mechcla.Intervention, ...]:
    chosen = planned["methods"][cell.model].get(cell.condition, {})
    method = named_method(chosen.get(cell.language, ""))
    if method == Method():
        return ()
    if cell.model != BASE:
        choice = read_choice(shipped_adapters()[cell.model]).on(model)
        return choice.interventions(cell.language)
    return method.interventions(_vectors(model, method, cell.language, kept), cell.language)


def _vectors(
    model: mechcla.HookedModel, method: Method, language: str, kept: Vectors
) -> dict[str, Any]:
    """EN and LOC of one language from all dev items of the demo, as its reference run made them."""
    dev = mechcla.load_items("demo").dev
    for name, layer in (("EN", method.en_layer), ("LOC", method.loc_layer)):
        if layer is not None and (name, language) not in kept:
            kept[name, language] = (
                mechcla.en_vectors(model, dev.universal.language("en", language))
                if name == "EN"
                else mechcla.loc_vectors(model, dev.cultural.language(language))
            )
    return {name: v for (name, k), v in kept.items() if k == language}


def first(h: Hypothesis) -> tuple[str, dict[str, str]]:
    if (h.model, h.than_model) == (BASE, BASE):
        name, where = "demo/tests", {"method": h.condition, "against": "unsteered"}
    else:
        name, where = "align/aligned", {"model": h.model, "condition": h.condition}
        where |= {"against": h.than_model}
    return name, where | {"metric": h.metric, "language": POOLED, "measure": "share"}


FIRST = Confirmation(
    folder=REFERENCE / "confirm",
    items="confirm",
    hypotheses=HYPOTHESES,
    conditions=CONDITIONS,
    settings=settings,
    edits=edits,
    first=first,
    doubted=ROOT / "data" / "confirm" / "doubted.json",
)
