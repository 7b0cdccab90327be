"""The vectors of a sweep: EN and LOC by the recipe that the config asks for, and those of the
control arms.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from mechcla.engine.offload import ResidualCache
from mechcla.errors import MechclaError
from mechcla.items.item import KINDS, PIVOT
from mechcla.items.item_set import ItemSet
from mechcla.models.hooked_model import HookedModel
from mechcla.runs.parts import join_vectors
from mechcla.steering.families import FAMILIES, Family
from mechcla.steering.linear_map import RIDGE
from mechcla.storage import sha256, user_path
from mechcla.sweep.axes import MADE_OF, Axes
from mechcla.sweep.cells import pivot
from mechcla.sweep.config import SweepConfig
from mechcla.sweep.finite import check_vectors
from mechcla.sweep.steering_settings import fits_maps
from mechcla.vectors.activations import See
from mechcla.vectors.extract import extract, half_signs
from mechcla.vectors.gates import GATE, SHUFFLED, gates
from mechcla.vectors.paired_rows import PairedRows
from mechcla.vectors.residuals import cache_residuals
from mechcla.vectors.steering_vectors import SteeringVectors


def names_us(items: ItemSet, config: SweepConfig) -> bool:
    """The United States as a control: every cultural item outside English says what its prompt is
    with them named.
    """
    if not config.controls or config.vectors:
        return False
    named = [bool(i.prompt_us) for i in items.cultural if i.language != PIVOT]
    return bool(named) and all(named)


def shuffles(config: SweepConfig) -> bool:
    """Whether there are shuffled vectors: of any recipe, but not of vectors that came as files."""
    return config.controls and not config.vectors


def gate_names(items: ItemSet, config: SweepConfig) -> list[str]:
    """The gate and its control, if asked for and a steered language has two dev items per kind."""
    if not config.gated:
        return []
    counted = Counter((i.language, i.kind) for i in items.dev)
    able = [k for k in Axes.of(items).steered if all(counted[k, kind] > 1 for kind in KINDS)]
    return [GATE, *([SHUFFLED] if config.controls else [])] if able else []


def vector_names(items: ItemSet, config: SweepConfig) -> list[str]:
    """The vectors of a run over these items, by name."""
    real = Axes.of(items).vectors
    return (
        real
        + (["LOC US"] if names_us(items, config) else [])
        + ([f"{name} shuffled" for name in real] if shuffles(config) else [])
        + gate_names(items, config)
    )


def families_of(config: SweepConfig) -> list[Family]:
    """The families that a run with these settings can have: one that needs a gate, or restoration,
    only where it is asked for.
    """
    left = [] if config.gated else [f.name for f in FAMILIES.values() if GATE in f.vectors]
    left += [] if config.restore else ["EN+restore"]
    return [f for f in FAMILIES.values() if f.name not in left]


def make(
    model: HookedModel, dev: ItemSet, config: SweepConfig, see: See | None = None
) -> dict[str, SteeringVectors]:
    """EN and LOC, whichever the items allow, the gate between them, and what the control arms need.

    Where languages stand apart, each one's from its own prompts and the English ones: which prompts
    run as one batch shows in the last bits. see: is shown the activations of the prompts, as
    `extract` says; vectors that came as files run none. Raises MechclaError for a vector that is
    not finite.
    """
    own = {k: _together(model, part, config, see) for k, part in _parts(dev, config).items()}
    return join_vectors(own, dev) if len(own) > 1 else next(iter(own.values()))


def look(model: HookedModel, dev: ItemSet, config: SweepConfig, see: See) -> None:
    """The pass that `make` takes, in the same batches, for its activations alone."""
    for part in _parts(dev, config).values():
        _made(model, _of_vectors(part), config, see)


def _parts(dev: ItemSet, config: SweepConfig) -> dict[str, ItemSet]:
    """The items whose prompts run together, by the first of their languages but English."""
    steered = [language for language in dev.languages if language != PIVOT]
    if not config.apart or len(steered) < 2:
        return {steered[0]: dev}
    return {k: dev.language(*pivot(dev), k) for k in steered}


def _of_vectors(dev: ItemSet) -> ItemSet:
    if "EN" not in (wanted := Axes.of(dev).vectors):
        return dev.cultural  # English may have universal items all the same
    return dev if "LOC" in wanted else dev.universal


def _together(
    model: HookedModel, asked: ItemSet, config: SweepConfig, see: See | None
) -> dict[str, SteeringVectors]:
    dev = _of_vectors(asked)
    made = _imported(model, dev, config) if config.vectors else _made(model, dev, config, see)
    if "EN" in made and fits_maps(config.en_operator):
        made["EN"] = _with_rows(made["EN"], model, dev, config)
    if names := gate_names(asked, config):
        how: dict[str, Any] = {"chat": config.chat_form, "seed": config.seed}
        found = gates(model, asked, shuffled=SHUFFLED in names, **how)
        made |= {name: gate.to_vectors() for name, gate in found.items()}
    check_vectors(made, model)
    return made


def _with_rows(
    en: SteeringVectors, model: HookedModel, dev: ItemSet, config: SweepConfig
) -> SteeringVectors:
    """EN vectors that hold what linear maps are fitted on: files that came with it keep theirs."""
    record = en.record | {"en_operator": config.en_operator, "ridge": RIDGE}
    if config.vectors:
        if en.rows is None:
            raise MechclaError(
                f"--en-operator {config.en_operator}: the EN file of --vectors holds vectors "
                "alone, and a linear map is fitted on activations; expected the en.safetensors of "
                "a run that was made with it, or no --vectors"
            )
        return replace(en, record=record)
    found = cache_residuals(model, dev.universal, site=config.site, chat=config.chat_form)
    return replace(en, rows=PairedRows.of(found, half_signs(dev, config.seed)), record=record)


def imported_digests(config: SweepConfig) -> dict[str, str]:
    """SHA-256 of the vector files that a run was given, for its identity; empty without any."""
    found = {}
    for path in config.vectors:
        try:
            found[f"vectors {Path(path).name}"] = sha256(user_path(path).read_bytes())
        except OSError as error:
            raise MechclaError(f"cannot read the vectors {path!r}: {error.strerror}") from error
    return found


def _imported(model: HookedModel, dev: ItemSet, config: SweepConfig) -> dict[str, SteeringVectors]:
    """EN and LOC from files. Raises MechclaError for one that does not fit model, site or items."""
    found: dict[str, tuple[str, SteeringVectors]] = {}
    for path in config.vectors:
        vectors = SteeringVectors.load(path)
        if vectors.name not in ("EN", "LOC") or vectors.name in found:
            others = [f"{shown!r} is {name!r}" for name, (shown, _) in found.items()]
            raise MechclaError(
                f"--vectors: {path!r} is named {vectors.name!r}"
                + (f", {', '.join(others)}" if others else "")
                + "; expected one file named 'EN' and one named 'LOC'"
            )
        found[vectors.name] = (path, vectors)
    axes = Axes.of(dev)
    for name in axes.vectors:
        if name not in found:
            raise MechclaError(
                f"--vectors has no file named {name!r}; expected one named "
                f"{' and one named '.join(axes.vectors)}"
            )
        path, vectors = found[name]
        if vectors.site != config.site:
            raise MechclaError(f"{path!r} is of site {vectors.site!r}; add --site {vectors.site}")
        for language in axes.having(MADE_OF[name]):
            shape, wanted = tuple(vectors[language].shape), (model.n_layers, model.d_model)
            if shape != wanted:
                raise MechclaError(
                    f"{path!r}: the vectors of {language!r} are {shape}; {model.name} has {wanted}"
                )
    return {name: found[name][1] for name in axes.vectors}


def _made(
    model: HookedModel, dev: ItemSet, config: SweepConfig, see: See | None
) -> dict[str, SteeringVectors]:
    controls = ["shuffled"] if shuffles(config) else []
    controls += ["us"] if names_us(dev, config) else []
    how: dict[str, Any] = {"site": config.site, "chat": config.chat_form, "seed": config.seed}
    cache = ResidualCache(config.cache_mib << 20, str(user_path(config.out)))
    return extract(model, dev, config.recipe, controls, see=see, cache=cache, **how)
