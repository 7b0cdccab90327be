"""The next token's logits under interventions: from a key-value cache, or from full forward passes.

Rows of one call have prompts of one length, so there is no padding, and masks, positions and
attention windows are those of a row alone, in every model family. With the cache, the prompt runs
once and then one token at a time. An edit changes the residual stream at its own tokens only, and a
decoder's tokens look back only, so what the cache holds of earlier tokens is what a full pass under
the same edits would compute again. Whether a model keeps to that is measured once (`cache_fits`);
one that does not runs full passes.
"""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mechcla.engine.capability import LOOSE, TOLERANCE
from mechcla.engine.gating import Readings
from mechcla.engine.hooks import edit_places
from mechcla.engine.intervention import Intervention
from mechcla.engine.memory import NoMemoryLeft, with_room
from mechcla.engine.packing import Layout, added_places, causal
from mechcla.interrupts import again
from mechcla.models.hooking import run_bare, run_hooked

if TYPE_CHECKING:
    from mechcla.models.hooked_model import HookedModel


Ids = Sequence[Sequence[int]]
Special = Sequence[int | frozenset[int]]  # a row's, as Packed has it
_fits: weakref.WeakKeyDictionary[HookedModel, bool] = weakref.WeakKeyDictionary()


@dataclass(frozen=True, eq=False)
class Past:
    """What decoding keeps between tokens: the model's key-value cache, and what gates read."""

    cache: Any
    readings: Readings


def _chunk(heads: Ids, tails: Ids, special: Special, begin: int) -> Layout:
    """Tokens of one forward pass: heads are prompt, tails are answer.

    A chunk without heads is answer throughout, which is what a token fed to a cache is. begin:
    position of the first token.
    """
    ids = torch.tensor([[*h, *t] for h, t in zip(heads, tails, strict=True)], dtype=torch.long)
    added = torch.zeros(ids.shape, dtype=torch.bool)
    for row, (head, one) in enumerate(zip(heads, special, strict=True)):
        added[row, list(added_places(one, len(head)))] = True
    return causal(ids, torch.tensor([len(head) for head in heads]), added, begin)


@torch.inference_mode()
def full_logits(
    model: HookedModel,
    prompts: Ids,
    special: Special,
    answers: Ids,
    edits: Sequence[Intervention] = (),
) -> Float[Tensor, "row vocab"]:
    """Logits of the token after prompt + answer, from one full pass of TransformerLens' bridge with
    hooks.
    """
    layout = _chunk(prompts, answers, special, 0)
    logits = run_hooked(
        edit_places(model, edits, layout),
        lambda: model.logits(
            layout.ids.to(model.device),
            layout.real.long().to(model.device),
            layout.positions.to(model.device),
        ),
    )
    return logits[:, -1]


@torch.inference_mode()
def cached_logits(
    model: HookedModel,
    prompts: Ids,
    special: Special,
    answers: Ids,
    edits: Sequence[Intervention] = (),
    past: Past | None = None,
) -> tuple[Float[Tensor, "row vocab"], Past]:
    """The same from a cache: past=None runs the prompts (answers must be empty), else the answers'
    last tokens.

    Returns the logits and what the next call is given. Gates are read on the prompts, and stay.
    """
    before = 0 if past is None else len(prompts[0]) + len(answers[0]) - 1
    nothing: Ids = [()] * len(prompts)
    layout = (
        _chunk(prompts, nothing, special, 0)
        if past is None
        else _chunk(nothing, [a[-1:] for a in answers], special, before)
    )
    device = model.device
    seen = torch.ones(len(prompts), before + layout.ids.shape[1], dtype=torch.long, device=device)
    readings: Readings = {} if past is None else past.readings
    cache = None if past is None else past.cache
    logits, cache = run_hooked(
        edit_places(model, edits, layout, readings),
        lambda: model.next_logits(layout.ids.to(device), seen, layout.positions.to(device), cache),
    )
    return logits, Past(cache, readings)


def cache_fits(model: HookedModel) -> bool:
    """Whether cached decoding equals full passes on this model, measured once, with an edit in the
    middle.

    A model that deviates is announced by a warning and decodes by full passes. Raises MechclaError
    where memory runs out meanwhile, which says nothing about the model.
    """
    if model not in _fits:
        try:
            gap = with_room(model, lambda: run_bare(model, lambda: cache_gap(model)))
        except NoMemoryLeft:
            raise
        except Exception as error:  # an architecture may refuse a cache in any way it likes
            again()
            gap, why = float("inf"), f"{type(error).__name__}: {error}"
        else:
            why = f"logits differ by {gap:.2g}"
        _fits[model] = gap <= TOLERANCE.get(model.rounds_to, LOOSE)
        if not _fits[model]:
            warnings.warn(
                f"mechcla generates with {model.name} by full passes, without a cache ({why})",
                stacklevel=3,
            )
    return _fits[model]


def cache_gap(model: HookedModel) -> float:
    """Largest difference in log-probability between the two ways, on two random rows of 12."""
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(0, model.vocab_size, (2, 12), generator=generator).tolist()
    prompts, special = [t[:9] for t in tokens], [1, 1]
    vector = torch.randn(model.d_model, generator=generator)
    edit = Intervention(
        vector, model.n_layers // 2, 1.0, unit="relative", norm=_stream_norm(model, prompts)
    )
    past, gap = None, 0.0
    for t in range(4):
        answers = [row[9 : 9 + t] for row in tokens]
        fast, past = cached_logits(model, prompts, special, answers, [edit], past)
        slow = full_logits(model, prompts, special, answers, [edit])
        gap = max(
            gap, float((fast.float().log_softmax(-1) - slow.float().log_softmax(-1)).abs().max())
        )
    return gap


@torch.inference_mode()
def _stream_norm(model: HookedModel, prompts: list[list[int]]) -> float:
    """A tenth of the embeddings' median norm: an edit that matters and does not drown the rest."""
    rows: Int[Tensor, "row seq"] = torch.tensor(prompts, device=model.device)
    return 0.1 * float(model.embed(rows).float().norm(dim=-1).median())
