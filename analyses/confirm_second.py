"""The second confirmation: the front that Surgical Steering, plain and gated, is said to make, on
the base, MIST and MidAlign (docs/confirmation.md).

Methods are those that dev chose in the sweeps of docs/gate.md. `python -m analyses.confirm choices`
takes them from the runs into docs/reference/confirm-2/choices.json, before anything is frozen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import mechcla
from analyses.confirm_plan import (
    BASE,
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
from mechcla.runs.several import complete_runs
from mechcla.steering.families import Condition
from mechcla.steering.method import Manner, Method
from mechcla.steering.recorded import method_of
from mechcla.storage import read_sealed, write_sealed
from mechcla.vectors.extract import extract
from mechcla.vectors.gates import gates

FOLDER = REFERENCE / "confirm-2"
CHOICES = "choices.json"
ADAPTERS = ("mist", "midalign")
FAMILIES = ("EN", "LOC", "SUR", "GATED")
ARMS = ("GATED gate_shuffled", "GATED gate_always", "GATED gate_language", "SUR same_layer")
CONDITIONS = dict.fromkeys((BASE, *ADAPTERS), ("unsteered", *FAMILIES, *ARMS, "explicit"))
HYPOTHESES = tuple(
    Hypothesis(f"H{number}", f"{method} is above {than}", metric, model, method, model, than, "up")
    for number, (model, method, than, metric) in enumerate(
        [
            (model, method, than, metric)
            for model in CONDITIONS
            for method in ("SUR", "GATED")
            for than, metric in (("EN", "localization"), ("LOC", "transfer"))
        ],
        start=1,
    )
)


def take_choices(runs: list[Path]) -> None:
    """What dev chose in finished runs, the base's first, into choices.json."""
    found = complete_runs(runs, "taken for a confirmation")
    if tuple(found) != tuple(CONDITIONS):
        raise mechcla.MechclaError(
            f"these runs are {', '.join(found)}; expected {', '.join(CONDITIONS)}, in this order"
        )
    chosen = {name: {f: run.choice[f] for f in FAMILIES} for name, run in found.items()}
    kept = ("en_strengths", "loc_strengths", "layers", "dev_items", "choose", "constraint")
    grid = [{k: run.config[k] for k in kept} for run in found.values()]
    if any(g != grid[0] for g in grid):
        raise mechcla.MechclaError(f"these runs searched different grids: {grid}")
    FOLDER.mkdir(parents=True, exist_ok=True)
    write_sealed(FOLDER / CHOICES, {"grid": grid[0], "chosen": chosen})
    print(FOLDER / CHOICES)


def settings() -> dict[str, Any]:
    choices = read_sealed(FOLDER / CHOICES, "chosen") if (FOLDER / CHOICES).exists() else None
    if choices is None:
        raise mechcla.MechclaError(
            f"{str(FOLDER / CHOICES)!r} is missing or damaged; python -m analyses.confirm choices "
            "RUN... writes it"
        )
    return {
        "model": "demo",
        "adapters": adapter_digests(ADAPTERS),
        "methods": {
            model: {f: {k: method_of(m).describe() for k, m in by.items()} for f, by in of.items()}
            for model, of in choices["chosen"].items()
        },
        "choices": choices["digest"],
        "conditions": {model: list(conditions) for model, conditions in CONDITIONS.items()},
        "manner": asdict(Manner()),
        "vectors": "each model: mean_difference and the gate, on all dev items of demo",
        **testing(HYPOTHESES),
    }


def edits(
    model: mechcla.HookedModel, cell: Cell, planned: Mapping[str, Any], kept: Vectors
) -> tuple[mechcla.Intervention, ...]:
    condition = Condition.parse(cell.condition)
    chosen = planned["methods"][cell.model].get(condition.family, {}).get(cell.language)
    method = Method() if chosen is None else method_of(chosen)
    if method == Method():
        return ()
    if condition.is_arm:
        method = method.with_arm(condition.arm)
    vectors = _vectors(model, cell.language, kept)
    return method.interventions(vectors, cell.language, Manner())


def _vectors(model: mechcla.HookedModel, language: str, kept: Vectors) -> dict[str, Any]:
    """EN, LOC, the gate and a shuffled gate, from all dev items of the demo, as a sweep's."""
    if not kept:
        dev = mechcla.load_items("demo").dev
        made = dict(extract(model, dev))
        made |= {n: g.to_vectors() for n, g in gates(model, dev, shuffled=True).items()}
        kept |= {(name, "all"): v for name, v in made.items()}
    return {name: v for (name, _), v in kept.items()}


def first(h: Hypothesis) -> tuple[str, dict[str, str]]:
    where = {"family": "claim", "run": h.model, "method": h.condition, "against": h.than_condition}
    return "front_tests", where | {"metric": h.metric, "language": POOLED, "measure": "share"}


def _doubted() -> Path | None:
    path = ROOT / "data" / "confirm-2" / "doubted.json"
    return path if path.exists() else None


SECOND = Confirmation(
    folder=FOLDER,
    items="confirm-2",
    hypotheses=HYPOTHESES,
    conditions=CONDITIONS,
    settings=settings,
    edits=edits,
    first=first,
    contrasts=(
        ("GATED", "EN"),
        ("GATED", "LOC"),
        ("GATED", "SUR"),
        ("SUR", "EN"),
        ("SUR", "LOC"),
        *(("GATED", arm) for arm in ARMS[:3]),
        ("SUR", "SUR same_layer"),
    ),
    on_plane=True,
    doubted=_doubted(),
)
