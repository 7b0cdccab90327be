"""What scripts share that take gated Surgical Steering as dev chose it and vary its gate."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import mechcla
from mechcla.items.item import KINDS
from mechcla.scoring.scores import Scores
from mechcla.steering.method import Manner, Method, Vectors
from mechcla.steering.recorded import method_of
from mechcla.storage import read_sealed
from mechcla.sweep.cells import sample
from mechcla.sweep.config import SweepConfig, make


def parser(doc: str | None) -> argparse.ArgumentParser:
    """Arguments of them all: choices, model, items, resamples, out."""
    made = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("choices", type=Path, help="a finished gated run, or a choices.json")
    made.add_argument("--model", default="demo")
    made.add_argument("--items", default="demo")
    made.add_argument("--resamples", type=int, default=2000, help="of the bootstrap")
    made.add_argument("--out", type=Path, default=Path("runs/figures"), help="folder to write to")
    return made


def opened(
    args: argparse.Namespace,
) -> tuple[dict[str, Method], mechcla.ItemSet, mechcla.HookedModel, SweepConfig]:
    """What these arguments name: the methods by language, items, model, a sweep's settings. Makes
    the folder that is written to.
    """
    args.out.mkdir(parents=True, exist_ok=True)
    methods = chosen(args.choices)
    config = make({"model": args.model, "items": args.items})
    return methods, mechcla.load_items(args.items), mechcla.load_model(args.model), config


def chosen(path: Path) -> dict[str, Method]:
    """Gated Surgical Steering by language, where dev chose to steer."""
    if path.is_dir():
        by_family = mechcla.read_run(path).choice
    else:
        found = read_sealed(path, "chosen") if path.is_file() else None
        if found is None:
            raise mechcla.MechclaError(
                f"{str(path)!r} is missing or damaged; expected a run folder of mechcla.sweep "
                "--gated, or the choices.json that python -m analyses.confirm choices writes"
            )
        by_family = found["chosen"]["base"]
    methods = {k: method_of(m) for k, m in by_family.get("GATED", {}).items()}
    steered = {k: m for k, m in methods.items() if m != Method()}
    if not steered:
        raise mechcla.MechclaError(f"dev chose gated Surgical Steering in no language of {path}")
    return steered


def asked_of(
    items: mechcla.ItemSet, methods: Mapping[str, Method], config: SweepConfig, split: str
) -> mechcla.ItemSet:
    """The questions of a sweep in the languages of these methods."""
    groups = [sample(items, config, k, kind, split) for k in methods for kind in KINDS]
    return mechcla.ItemSet(tuple(item for group in groups for item in group))


def scores_of(
    model: mechcla.HookedModel,
    asked: mechcla.ItemSet,
    methods: Mapping[str, Method],
    vectors: Vectors,
) -> Scores:
    """Items under each language's method; no method at all is the unsteered model."""
    steps = {k: m.interventions(vectors, k, Manner()) for k, m in methods.items()}
    return mechcla.score(model, asked, interventions=steps or (), prior=False)
