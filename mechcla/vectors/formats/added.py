"""Added: what goes to other tools, one vector per block, added behind it at a strength that is in.

The tools that mechcla writes for know neither strengths per block, nor units, nor positions: they
add one vector to a block's output. So an edit is reduced to that here, or refused.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mechcla.engine.intervention import Intervention
from mechcla.errors import MechclaError
from mechcla.vectors.steering_vectors import SteeringVectors

SITE = "resid_post"


@dataclass(frozen=True, eq=False)
class Added:
    """The vectors that are added behind blocks, counted from 0: {block: [d_model]}, float32.

    name: of the vectors, such as "LOC" or "EN+LOC". model: the name of the one that they were made
    with, "" if that is not known. n_layers: its blocks, if known.
    """

    name: str
    vectors: dict[int, Float[Tensor, " d_model"]]
    language: str | None = None
    model: str = ""
    n_layers: int | None = None


def added_by(
    edits: Intervention | Sequence[Intervention], model: str = "", n_layers: int | None = None
) -> Added:
    """What these edits add, strengths and units multiplied in; edits of one block are summed.

    Positions are not kept: the tools add at every token. Raises MechclaError for edits that add
    nothing, and for those that are no addition: another operator, another site, a gate, or vectors
    of several languages.

    >>> sorted(added_by(sur).vectors)
    [5, 13]
    """
    listed = (edits,) if isinstance(edits, Intervention) else tuple(edits)
    listed = tuple(e for e in listed if not e.idle and float(e.vector.norm()) > 0)
    if not listed:
        raise MechclaError(
            "there is nothing to export: the edits add nothing (the choice left the model as it "
            "is, or every strength is 0)"
        )
    for e in listed:
        what = f"the {e.label or 'steering'} edit of block {e.layer}"
        if e.operator != "add":
            raise MechclaError(
                f"{what} has operator {e.operator!r}; other tools add a vector, so expected 'add'"
            )
        if e.site != SITE:
            raise MechclaError(
                f"{what} is at {e.site!r}; other tools add to a block's output, which is {SITE!r}"
            )
        if e.gate is not None:
            raise MechclaError(
                f"{what} has a gate, which no other tool reads; export it without one (SUR)"
            )
    languages = list(dict.fromkeys(e.language for e in listed if e.language is not None))
    if len(languages) > 1:
        raise MechclaError(f"edits of several languages, {', '.join(languages)}; export them apart")
    found: dict[int, Tensor] = {}
    for e in listed:
        vector = e.vector.detach().to("cpu", torch.float32)
        scale = e.strength
        if e.unit == "relative":
            scale = e.strength * float(e.norm or 0.0) / float(vector.norm())
        vector = vector * scale
        found[e.layer] = found[e.layer] + vector if e.layer in found else vector
    name = "+".join(dict.fromkeys(e.label or "steering" for e in listed))
    return Added(name, dict(sorted(found.items())), next(iter(languages), None), model, n_layers)


def added_of(
    vectors: SteeringVectors,
    language: str | None = None,
    layers: Collection[int] | None = None,
    strength: float = 1.0,
) -> Added:
    """The vectors of one language, of all blocks or of these, times a strength.

    language: may be left out where there is one. Raises MechclaError for a language or layer that
    is not there, or vectors of another site than a block's output.

    >>> len(added_of(loc, "es").vectors)
    18
    """
    if vectors.site != SITE:
        raise MechclaError(
            f"the {vectors.name} vectors are of {vectors.site!r}; other tools add to a block's "
            f"output, which is {SITE!r}"
        )
    if "gate" in vectors.record:
        raise MechclaError(
            f"the {vectors.name} vectors are a gate, which is read and not added; expected EN or "
            "LOC vectors"
        )
    if language is None:
        if len(vectors.languages) != 1:
            raise MechclaError(
                f"the {vectors.name} vectors are of {', '.join(vectors.languages)}, and other "
                f"tools take one; expected a language, such as {vectors.languages[0]!r}"
            )
        language = vectors.languages[0]
    there = vectors.layers(language) if layers is None else tuple(sorted(set(layers)))
    made = {k: vectors.at(language, k)[0].float() * strength for k in there}
    record = vectors.record.get("model", {})
    return Added(vectors.name, made, language, str(record.get("name", "")), len(vectors[language]))
