"""Gated Surgical Steering (GATED): EN acts on universal prompts, LOC on cultural ones.

One pair of vectors on every prompt must pay on one axis for the other. Here a gate
(`mechcla.vectors.gates`) reads the prompt's last token at an earlier block of the same forward
pass, and each vector acts on its own prompts alone. Both must lie deeper than the block that the
gate reads, since the gate was learnt on the unsteered stream; which of the two is the deeper one is
free. Source: ours, after conditional activation steering (Lee et al., arXiv 2409.05907).

Its control arms:

    gate_shuffled   a gate made with the kind of half of the questions exchanged: is it the gate?
    gate_always     no gate: both vectors on every prompt, which is SUR at the same layers
    gate_language   one part on every prompt of a language, EN or LOC, whichever did better alone on
                    dev by the sum of its gains: is there more to the gate than the language?
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from mechcla.engine.intervention import Intervention, Operator, Positions, Unit
from mechcla.errors import MechclaError
from mechcla.steering import en as _en  # noqa: F401  (registered before: its search reads theirs)
from mechcla.steering import loc as _loc  # noqa: F401
from mechcla.steering import surgical as _surgical  # noqa: F401
from mechcla.steering.controls import ARMS, Arm, Vectors
from mechcla.steering.families import BOTH, FAMILIES, DevSearch, Family
from mechcla.steering.method import Manner, Method
from mechcla.vectors.gates import GATE, SHUFFLED, Gate
from mechcla.vectors.steering_vectors import SteeringVectors


def gated(
    gate: Gate,
    *,
    language: str,
    layer: int,
    universal: Sequence[Intervention] = (),
    cultural: Sequence[Intervention] = (),
    scale: float | None = None,
) -> tuple[Intervention, ...]:
    """Any interventions, each on the prompts of its kind, as the gate of one block tells them.

    So EN may be a linear map, or LOC several edits. scale: None is a hard gate; else a soft one,
    where a prompt as universal as the mean of universal dev prompts gets sigmoid(1 / scale) of the
    edit. Raises MechclaError for edits that are not deeper than the gate.

    >>> from mechcla.steering.gate import gated
    >>> steps = gated(gate, language="es", layer=7, universal=mechcla.en_steering(
    ...     en, language="es", layer=9, strength=0.3))
    """
    for step in (*universal, *cultural):
        if step.layer <= layer:
            raise MechclaError(
                f"{step.label or 'an edit'} is added at block {step.layer}, and the gate reads "
                f"block {layer} of the unsteered stream; expected an edit at block {layer + 1} or "
                "deeper, or a gate at an earlier block"
            )
    parts = {"universal": universal, "cultural": cultural}
    return tuple(
        replace(step, gate=gate.at(language, layer, kind, scale))
        for kind, steps in parts.items()
        for step in steps
    )


def gated_steering(
    en: SteeringVectors,
    loc: SteeringVectors,
    gate: Gate,
    *,
    language: str,
    gate_layer: int,
    en_layer: int,
    en_strength: float,
    loc_layer: int,
    loc_strength: float,
    scale: float | None = None,
    en_positions: Positions = "prompt",
    loc_positions: Positions = "prompt",
    operator: Operator = "add",
    unit: Unit = "raw",
) -> tuple[Intervention, ...]:
    """Gated Surgical Steering: v_EN on the prompts that the gate takes for universal, v_LOC on the
    others, in the same forward pass.

    gate_layer: the block that the gate reads, before both others. scale: None is a hard gate; else
    a soft one (`gated`). The gate is read at the prompt's last token and stays for the whole
    answer. Raises MechclaError for a vector that is not deeper than the gate.

    >>> steps = mechcla.gated_steering(en, loc, gate, language="es", gate_layer=7, en_layer=9,
    ...                                en_strength=0.3, loc_layer=14, loc_strength=2.0)
    """
    method = Method(
        en_layer,
        en_strength,
        loc_layer=loc_layer,
        loc_strength=loc_strength,
        gate_layer=gate_layer,
        gate_scale=scale,
    )
    manner = Manner(operator, unit, en_positions, loc_positions)
    return _build(method, {"EN": en, "LOC": loc, GATE: gate.to_vectors()}, language, manner)


def _build(
    method: Method, vectors: Vectors, language: str, manner: Manner
) -> tuple[Intervention, ...]:
    if method.gate_layer is None:  # an arm without a gate
        return method.parts(vectors, language, manner)
    en = replace(method, loc_layer=None).parts(vectors, language, manner)
    loc = replace(method, en_layer=None, restore_layer=None).parts(vectors, language, manner)
    return gated(
        Gate.from_vectors(vectors[GATE]),
        language=language,
        layer=method.gate_layer,
        universal=en,
        cultural=loc,
        scale=method.gate_scale,
    )


def pairs(
    gates: Sequence[int], en: Sequence[Method], loc: Sequence[Method], most: int
) -> list[Method]:
    """What dev tries: the best gate with the best EN and LOC deeper than it, and for each of the
    `most` best EN layers the best gate before it, with the best LOC deeper than that.

    All three are ranked, best first.
    """
    found: dict[Method, None] = {}
    cuts: list[tuple[int | None, Method | None]] = [(gate, None) for gate in gates[:1]]
    cuts += [(next((g for g in gates if g < (e.en_layer or 0)), None), e) for e in en[:most]]
    for gate, first in cuts:
        if gate is None:
            continue
        e = first or next((m for m in en if (m.en_layer or 0) > gate), None)
        x = next((m for m in loc if (m.loc_layer or 0) > gate), None)
        if e is not None and x is not None:
            both = replace(
                e,
                loc_layer=x.loc_layer,
                loc_strength=x.loc_strength,
                loc_positions=x.loc_positions,
                gate_layer=gate,
            )
            found[both] = None
    return list(found)


def _search(dev: DevSearch) -> None:
    """EN by transfer and LOC by localization, since each acts on its own prompts; then LOC by the
    sum of its gains, which is weaker and costs less where the gate errs.
    """
    gates, en = dev.gate_layers(), dev.ranked("EN", dev.n_layers)
    tried: dict[Method, None] = {}
    for by in ("own", "sum"):
        loc = dev.ranked("LOC", dev.n_layers, by=by)
        tried |= dict.fromkeys(pairs(gates, en, loc, dev.pair_layers))
    scale = dev.gate_scale
    dev.score([replace(m, gate_constant=_better(dev, m), gate_scale=scale) for m in tried])


def _better(dev: DevSearch, method: Method) -> str:
    """The part that does better alone on dev, by the sum of its gains; both are scored already."""
    bare = replace(method, gate_layer=None)
    alone = {
        "EN": replace(bare, loc_layer=None, loc_strength=0.0, loc_positions=None),
        "LOC": replace(bare, en_layer=None, en_strength=0.0, en_positions=None),
    }
    sums = {
        part: -math.inf if math.isnan(total := p.d_transfer + p.d_localization) else total
        for part, p in zip(alone, dev.score(list(alone.values())), strict=True)
    }
    return max(sums, key=lambda part: sums[part])


def _constant(method: Method, vectors: Vectors, language: str, manner: Manner) -> Method:
    """EN alone, or LOC alone, at the same layer and strength."""
    bare = replace(method, gate_layer=None, gate_scale=None, restore_layer=None)
    if method.gate_constant == "LOC":
        return replace(bare, en_layer=None)
    return replace(bare, loc_layer=None)


def _with(vectors: Vectors, gate: str) -> dict[str, SteeringVectors]:
    found = {name: vectors[name] for name in ("EN", "LOC") if name in vectors}
    return found | ({GATE: vectors[gate]} if gate in vectors else {})


def _has(*names: str) -> Callable[[Vectors, Sequence[str]], bool]:
    return lambda vectors, languages: all(name in vectors for name in names)


for _arm in (
    Arm(
        "gate_shuffled",
        lambda v, seed: _with(v, SHUFFLED),
        possible=_has(GATE, SHUFFLED),
    ),
    Arm(
        "gate_always",
        lambda v, seed: _with(v, GATE),
        without={"gate_layer": None, "gate_scale": None, "gate_constant": ""},
        possible=_has(GATE),
    ),
    Arm("gate_language", lambda v, seed: _with(v, GATE), moved=_constant, possible=_has(GATE)),
):
    ARMS.register(_arm.name, _arm)

FAMILIES.register(
    "GATED",
    Family(
        "GATED",
        BOTH,
        ("EN", "LOC", GATE),
        ("gate_shuffled", "gate_always", "gate_language"),
        _search,
        _build,
        guarded=True,
        mark="P",
        colour="#D41159",
    ),
)
