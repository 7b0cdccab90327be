"""The plain path: TransformerLens' own forward pass, a row a candidate, logits at every position.

It is what a model that does not fit the engine runs on, and what the engine is checked against once a
model (`fits`) and in the tests.
"""

from __future__ import annotations

import warnings
import weakref
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from mechcla.engine.head import log_probs
from mechcla.engine.intervention import Intervention
from mechcla.engine.memory import NoMemoryLeft, with_room
from mechcla.engine.packing import Packed, collate
from mechcla.engine.state import advance, advance_together, scored, start

if TYPE_CHECKING:
    from mechcla.models.hooked_model import HookedModel
from mechcla.engine.reference import plain_log_probs

TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-8}
LOOSE = 0.25
_fits: weakref.WeakKeyDictionary[HookedModel, bool] = weakref.WeakKeyDictionary()
_why: weakref.WeakKeyDictionary[HookedModel, str] = weakref.WeakKeyDictionary()


def fits(model: HookedModel) -> bool:
    """Whether the engine's pass (shared prompt, resumed blocks, joined strengths, own head) equals the plain pass of this model.

    Measured once a model on a few random tokens with an edit in the middle; a model that deviates is
    announced by a warning and runs on the plain path. Raises MechclaError where memory runs out meanwhile: that says
    nothing about the model, and the other path's numbers differ by rounding.
    """
    if model not in _fits:
        try:
            gap = with_room(model, lambda: probe(model))
        except NoMemoryLeft:
            raise
        except (
            Exception
        ) as error:  # an architecture may refuse a tree mask or a lone block in any way it likes
            gap, why = float("inf"), f"{type(error).__name__}: {error}"
        else:
            why = f"log-probabilities differ by {gap:.2g}"
        _fits[model] = gap <= TOLERANCE.get(model.dtype, LOOSE)
        if not _fits[model]:
            _why[model] = why
            warnings.warn(f"mechcla runs {model.name} on the slow plain path ({why})", stacklevel=3)
    return _fits[model]


def plain_because(model: HookedModel) -> str:
    """Why the model runs on the plain path; empty where it `fits`."""
    return "" if fits(model) else _why.get(model, "it does not fit the engine")


def probe(model: HookedModel) -> float:
    """Largest difference between the two paths on two random prompts with overlapping candidates."""
    generator = torch.Generator().manual_seed(0)
    vocab = int(model.bridge.original_model.get_input_embeddings().weight.shape[0])
    tokens = torch.randint(0, vocab, (24,), generator=generator).tolist()
    answers = (tuple(tokens[9:12]), tuple(tokens[9:11] + tokens[13:15]), (tokens[15],))
    packed = [
        Packed(None, tuple(tokens[:9]), answers, 1),
        Packed(None, tuple(tokens[16:21]), answers[1:], 1),
    ]
    layer = model.n_layers // 2
    vector = torch.randn(model.d_model, generator=generator)
    fast, plain = collate(packed, model.pad_id), collate(packed, model.pad_id, share_prompt=False)
    state = advance(replace(start(model, fast), trunk=()), layer)
    edit = Intervention(
        vector,
        layer,
        1.0,
        unit="relative",
        norm=0.1 * float(state.resid.float().norm(dim=-1).median()),
    )
    steered = advance(state, layer + 1, [edit])
    ended = advance_together([steered, steered], model.n_layers, 2 * fast.ids.numel())[1]
    left = log_probs(model, [scored(ended)])[0]
    right = plain_log_probs(model, plain, [edit])
    return max(abs(a - b) for a, b in zip(fast.sums(left), plain.sums(right), strict=True))
