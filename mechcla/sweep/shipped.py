"""The shipped aligned models beside a run of their base: scored on its test items, no search.

    RUN-aligned/cells/NAME-CONDITION-DECIDES.parquet      item-level scores
    RUN-aligned/aligned.csv, aligned_plane.*, aligned_bias.*   as of `--adapters`

Each is scored unsteered, and under Surgical Steering as dev of its own reference run chose it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from mechcla.engine.intervention import Intervention
from mechcla.engine.offload import ResidualCache
from mechcla.errors import MechclaError
from mechcla.interrupts import again
from mechcla.items.item import KINDS
from mechcla.items.item_set import ItemSet
from mechcla.models.adapters import WEIGHTS, recorded_base, shipped_adapters
from mechcla.models.load import load_model
from mechcla.runs.aligned import aligned_tables
from mechcla.runs.aligned_values import EXPLICIT, UNSTEERED, AlignedComparison
from mechcla.runs.folder import BESIDE_ALIGNED
from mechcla.runs.identity import code_digest
from mechcla.runs.run import Run
from mechcla.scoring.prepared import prepare
from mechcla.scoring.scorer import score_many
from mechcla.scoring.scores import ItemScore, Scores
from mechcla.steering.recorded import CHOICE, check_chosen_for, read_choice
from mechcla.storage import digest, file_sha256
from mechcla.sweep.adapters import BASE, write_comparison
from mechcla.sweep.config import SweepConfig


def compare_shipped(
    run: Run, config: SweepConfig, say: Callable[[str], None] = print
) -> AlignedComparison | None:
    """The base of a complete run and its shipped aligned models, on the items that the run scored.

    Scores lie in RUN-aligned, so the same call again scores nothing. None, and said, where no
    shipped adapter is of the run's model, or the run is of one kind of items alone or in a chat
    template. Raises MechclaError for a shipped adapter that is damaged.
    """
    base = str(run.config["model"])
    adapters = {n: f for n, f in shipped_adapters().items() if recorded_base(f)[0] == base}
    if not adapters:
        say(f"No adapter that comes with mechcla is of {base!r}, so there is none to compare.")
        return None
    if run.config["chat"]:
        say("The shipped choices are of plain prompts, and this run asked in a chat template.")
        return None
    own = {c: run.scores(c) for c in (UNSTEERED, EXPLICIT, "EN", "SUR") if c in run.conditions}
    if {row.kind for row in own[UNSTEERED]} != set(KINDS):
        say("Items of one kind have no plane, so the shipped aligned models are left out.")
        return None
    scored = set(map(_key, own[UNSTEERED]))
    items = run.item_set.test.where(lambda i: (i.id, i.language, i.kind) in scored)
    out = run.folder.parent / f"{run.folder.name}{BESIDE_ALIGNED}"
    tables = {BASE: own}
    for name, folder in adapters.items():
        say(f"\nThe shipped adapter {name!r}, on the run's {len(items)} test items")
        tables[name] = _scored(name, folder, run, items, config, out)
    found = aligned_tables(tables, config.measure, resamples=config.resamples, seed=config.seed)
    write_comparison(found, out, say)
    return found


def _scored(
    name: str, folder: Path, run: Run, items: ItemSet, config: SweepConfig, out: Path
) -> dict[str, Scores]:
    """The unsteered and the steered scores of one adapter: read, or made and written."""
    check_chosen_for(folder, folder / WEIGHTS)
    choice = read_choice(folder)
    decides = {
        "base": run.record["identity"],
        "adapter": file_sha256(folder / WEIGHTS),
        "choice": file_sha256(folder / CHOICE),
        "items": items.digest,
        "max_tokens": (most := run.config["max_tokens"]),
        "code": code_digest(),
    }
    places = {
        condition: out / "cells" / f"{name}-{condition}-{digest(decides)[:16]}.parquet"
        for condition in (UNSTEERED, choice.family)
    }
    if (held := _read(places)) is not None:
        return held
    model = load_model(
        str(run.config["model"]),
        adapter=folder,
        dtype=config.dtype,
        device=config.device,
        revision=config.revision,
        compile=config.compile,
        attention=config.attention,
        **config.place(),
    )
    choice = choice.on(model)  # the file that it was chosen for, on a base that knows itself
    rows: dict[str, list[ItemScore]] = {condition: [] for condition in places}
    cache = ResidualCache(config.cache_mib << 20, str(out))
    for language in items.languages:
        variants: list[tuple[str, tuple[Intervention, ...]]] = [(UNSTEERED, ())]
        if language in choice.languages:
            variants.append((choice.family, choice.interventions(language)))
        for kind in KINDS:
            part = ItemSet(tuple(x for x in items if (x.language, x.kind) == (language, kind)))
            if not len(part):
                continue
            prepared = prepare(model, part, max_tokens=most, cache=cache, prior=False)
            for index, scores in score_many(prepared, [edits for _, edits in variants]):
                rows[variants[index][0]] += scores
    made = {condition: Scores(tuple(found)) for condition, found in rows.items() if found}
    for condition, scores in made.items():
        places[condition].parent.mkdir(parents=True, exist_ok=True)
        scores.to_parquet(places[condition])
    return made


def _read(places: Mapping[str, Path]) -> dict[str, Scores] | None:
    """The scores if all are there and whole; None where they are to be made."""
    try:
        found = {c: Scores.from_parquet(path) for c, path in places.items() if path.exists()}
    except MechclaError:
        again()
        return None
    return found if UNSTEERED in found else None


def _key(row: ItemScore) -> tuple[str, str, str]:
    return (row.id, row.language, row.kind)
