"""Control arms: vectors that are like the real ones in everything but the one thing that is claimed
to matter.

    random         random directions                         is it the direction at all?
    shuffled       difference of means with the two sides of every pair swapped in half of them
    swapped        v_LOC where v_EN was and the reverse      does each do its own work?
    orthogonal     v_LOC without what it shares with v_EN   is localization more than "not English"?
    us_country     the v_LOC of the United States, named in the same language: is it this country's?
    other_country  another language's v_LOC                  does it hold across languages?
    same_layer     both vectors at LOC's layer, without restoration: do two layers matter?

A linear map in EN's place has arms of its own (`linear_map.py`), under the same names. Every arm is
one draw per language, so its interval does not hold the spread over draws. Every arm
keeps the norms of the vectors it stands in for, language by language and layer by layer, so a
strength is the same push. Source: ours, after the ablations that the source paper's reviewers asked
for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from mechcla.errors import MechclaError
from mechcla.items.item import PIVOT
from mechcla.steering.method import ARMS, Arm, Manner, Method, Vectors
from mechcla.vectors.steering_vectors import SteeringVectors, like


def random_like(vectors: SteeringVectors, seed: int = 0) -> SteeringVectors:
    """Random directions with the norms of these vectors, language by language and layer by layer.

    What the real vectors do and these do not is owed to the direction, not to the size of the push.
    """
    made = {}
    for language, stack in vectors.vectors.items():
        key = hashlib.sha256(f"{seed}|{vectors.name}|{language}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(key[:7], "big"))
        made[language] = torch.randn(stack.shape, generator=generator, dtype=torch.float64).float()
    noise = replace(vectors, vectors=made, record=vectors.record | {"random_seed": seed})
    made_like = like(noise, vectors, f"random {vectors.name}")
    rows = None if vectors.rows is None else vectors.rows.turned("random", seed)
    return replace(made_like, record=noise.record, rows=rows)


def orthogonal(en: SteeringVectors, loc: SteeringVectors) -> SteeringVectors:
    """v_LOC less its part along v_EN of the same language and layer."""
    made = {}
    for k in en.languages:
        if k in loc.languages:
            along, across = en[k].double(), loc[k].double()
            share = (along * across).sum(-1, keepdim=True) / (along * along).sum(
                -1, keepdim=True
            ).clamp_min(1e-30)
            made[k] = (across - share * along).float()
    return like(replace(loc, vectors=made), loc, "orthogonal LOC")


def us_country(vectors: Vectors) -> SteeringVectors:
    """In each language the v_LOC of the United States, made from the same questions with that
    country named.
    """
    if "LOC US" not in vectors:
        raise MechclaError(
            "the control us_country needs vectors of items with 'prompt_us', the prompt that names "
            "the United States; these have none"
        )
    return like(vectors["LOC US"], vectors["LOC"], "LOC of the US")


def other_country(loc: SteeringVectors, pivot: str = PIVOT) -> SteeringVectors:
    """In each steered language the v_LOC of the next one (the last takes the first's)."""
    steered = [k for k in loc.languages if k != pivot]
    if len(steered) < 2:
        raise MechclaError(
            "the control other_country needs LOC vectors of two steered languages; there is "
            f"{', '.join(steered) or 'none'}"
        )
    made = {k: loc[steered[(n + 1) % len(steered)]] for n, k in enumerate(steered)}
    return like(replace(loc, vectors=made), loc, "LOC of another country")


def _swapped(vectors: Vectors, seed: int) -> dict[str, SteeringVectors]:
    en, loc = vectors["EN"], vectors["LOC"]
    return {"EN": like(loc, en, "LOC in EN's place"), "LOC": like(en, loc, "EN in LOC's place")}


def _at_locs_layer(method: Method, vectors: Vectors, language: str, manner: Manner) -> Method:
    """Both vectors at LOC's layer. In raw units EN's push keeps its size, though norms grow with
    depth.
    """
    if method.en_layer is None or method.loc_layer is None:
        return method
    strength = method.en_strength
    if manner.unit == "raw":
        en = vectors["EN"][language]
        strength *= float(en[method.en_layer].norm() / en[method.loc_layer].norm())
    return replace(method, en_layer=method.loc_layer, en_strength=strength)


def _of_both(vectors: Vectors, **other: SteeringVectors) -> dict[str, SteeringVectors]:
    """EN and LOC, whichever there are, with these instead."""
    return {n: vectors[n] for n in ("EN", "LOC") if n in vectors} | other


def _has(*names: str) -> Callable[[Vectors, Sequence[str]], bool]:
    return lambda vectors, languages: all(name in vectors for name in names)


def _shuffled(vectors: Vectors, seed: int) -> dict[str, SteeringVectors]:
    found = {n: vectors[f"{n} shuffled"] for n in ("EN", "LOC") if f"{n} shuffled" in vectors}
    rows = {n: vectors[n].rows for n in found if n in vectors}
    return found | {
        n: replace(found[n], rows=own.turned("shuffled"))
        for n, own in rows.items()
        if own is not None
    }


for _arm in (
    Arm(
        "random",
        lambda v, seed: {n: random_like(v[n], seed) for n in ("EN", "LOC") if n in v},
    ),
    Arm(
        "shuffled",
        _shuffled,
        possible=lambda vectors, languages: bool(_shuffled(vectors, 0)),
    ),
    Arm("swapped", _swapped, possible=_has("EN", "LOC")),
    Arm(
        "orthogonal",
        lambda v, seed: _of_both(v, LOC=orthogonal(v["EN"], v["LOC"])),
        possible=_has("EN", "LOC"),
    ),
    Arm("us_country", lambda v, seed: _of_both(v, LOC=us_country(v)), possible=_has("LOC US")),
    Arm(
        "other_country",
        lambda v, seed: _of_both(v, LOC=other_country(v["LOC"])),
        possible=lambda vectors, languages: len(languages) > 1,
    ),
    Arm(
        "same_layer",
        lambda v, seed: _of_both(v),
        moved=_at_locs_layer,
        without={"restore_layer": None},
    ),
):
    ARMS.register(_arm.name, _arm)


def control(name: str, vectors: Vectors, seed: int = 0) -> Vectors:
    """The {"EN": ..., "LOC": ...} of a control arm. Raises MechclaError with the nearest names."""
    return ARMS.get(name).vectors(vectors, seed)


__all__ = [
    "ARMS",
    "Arm",
    "Vectors",
    "control",
    "like",
    "orthogonal",
    "other_country",
    "random_like",
    "us_country",
]
