"""What a model's layers allow, measured once per model and not assumed.

`fits`: whether candidates may be packed as a tree under one prompt and blocks resumed (the engine).
`pads`: whether rows of different lengths may run together with padding. The oracle of both is the
model's own forward pass on rows of one length, one row per candidate. Both are measured without the
user's hooks. Source: ours.
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
from mechcla.engine.native import CannotFuse
from mechcla.engine.packing import Batch, Packed, collate
from mechcla.engine.state import advance, advance_together, scored, start
from mechcla.interrupts import again
from mechcla.models.hooking import first_time, run_bare, users_hooks

if TYPE_CHECKING:
    from mechcla.models.hooked_model import HookedModel
from mechcla.engine.reference import Rows, plain_log_probs

TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-8}
LOOSE = 0.25
# Of what the blocks added to the stream: the same error is a small change of the logits in a model
# whose blocks do little, and it must show there too. 16-bit types round by some per cent over many
# blocks.
SHARE = {torch.float32: 3e-4, torch.float64: 1e-8}
LOOSE_SHARE = 0.1
# Of the change where a token is seen, how much may show where it is not. A masked token has weight
# 0, so 0 to the last bit, save where experts gather the tokens of all rows and their sums round
# differently.
LEAK = {torch.float32: 1e-5, torch.float64: 1e-9}
LOOSE_LEAK = 5e-3
# Candidates as the indices of random tokens: branches within branches, inner nodes with sisters, a
# lone leaf.
TREE = ((0, 1, 2, 3), (0, 1, 4), (0, 5, 6, 7, 8), (0, 5, 9, 10), (11, 12), (11, 13, 14, 15), (16,))
SISTERS = ((0, 1, 2), (0, 3, 4), (5, 6, 7, 8), (5, 6, 9))
ALONE = tuple((k, 20 + k, 10 + k) for k in range(8))  # many behind one token, as priors are packed
DEEPEST = 5
_fits: weakref.WeakKeyDictionary[HookedModel, bool] = weakref.WeakKeyDictionary()
_why: weakref.WeakKeyDictionary[HookedModel, str] = weakref.WeakKeyDictionary()
_pads: weakref.WeakKeyDictionary[HookedModel, bool] = weakref.WeakKeyDictionary()
_shares: weakref.WeakKeyDictionary[HookedModel, bool] = weakref.WeakKeyDictionary()
EIGHT_BITS = (
    "weights in 8 bits: each token is rounded to 8 bits by what is in the same pass, so that rows "
    "run one by one, as in transformers"
)
BEGINNING = 20  # tokens of the probe's beginning, where the windows leave room for them


def fits(model: HookedModel) -> bool:
    """Whether the engine's pass (shared prompt, resumed blocks, joined strengths, own head) equals
    the plain pass.

    Measured once per model on random tokens with an edit in the middle; a model that deviates is
    announced by a warning and runs on the plain path. Raises MechclaError where memory runs out
    meanwhile: that says nothing about the model, and the other path's numbers differ by rounding.
    """
    if model not in _fits:
        why = EIGHT_BITS if model.alone_only else _misfit(model)
        if why and model.fused:
            raise CannotFuse(
                f"{model.name} runs on the plain path ({why}), where no block is compiled or runs "
                "with sdpa; leave compile and attention out (--compile, --attention)"
            )
        _fits[model] = not why
        if why:
            _why[model] = why
            warnings.warn(f"mechcla runs {model.name} on the slow plain path ({why})", stacklevel=3)
    return _fits[model]


def _misfit(model: HookedModel) -> str:
    """What the two passes differ in; empty where they are equal."""
    try:
        gap, leaked = with_room(model, lambda: run_bare(model, lambda: (probe(model), leak(model))))
    except (NoMemoryLeft, CannotFuse):
        raise
    # An architecture may refuse a tree mask or a lone block in any way it likes.
    except Exception as error:
        again()
        return f"{type(error).__name__}: {error}"
    if not gap < 1.0:
        return f"packed candidates differ from single rows by {gap:.2g} times the tolerance"
    if not leaked <= LEAK.get(model.rounds_to, LOOSE_LEAK):
        return f"{leaked:.2g} of a candidate's change reaches the candidates beside it"
    return ""


def plain_because(model: HookedModel) -> str:
    """Why the model runs on the plain path; empty where it `fits`."""
    return "" if fits(model) else _why.get(model, "it does not fit the engine")


def pads(model: HookedModel) -> bool:
    """Whether right-padded rows with a mask give what the same rows give without padding.

    Layers that carry a state along the row may not keep to the mask; such a model runs rows of one
    length at a time.
    """
    if model not in _pads:
        try:
            gap = with_room(model, lambda: run_bare(model, lambda: padding_gap(model)))
            _pads[model] = gap < 1.0
        except NoMemoryLeft:
            raise
        except Exception:  # a model that refuses padding needs none
            again()
            _pads[model] = False
    return _pads[model]


def shares(model: HookedModel) -> bool:
    """Whether prompts that begin alike may run their beginning once, and look back upon its keys
    and values.

    Measured once per model, as `fits` is, against the plain pass, with an edit behind the
    beginning. Layers that carry a state along the row do not, and nothing is lost by that but
    time.
    """
    if model not in _shares:
        try:
            gap = with_room(model, lambda: run_bare(model, lambda: probe(model, BEGINNING)))
            _shares[model] = gap < 1.0
        except NoMemoryLeft:
            raise
        except Exception:  # as with `fits`: an architecture may refuse in any way it likes
            again()
            _shares[model] = False
    return _shares[model]


def alone(model: HookedModel, packed: bool = False) -> bool:
    """Whether prompts must run one by one, unpadded, unless packed=True: while hooks of the user's
    own are in place, or with weights in 8 bits.

    Said once per model, by a warning that names the first of the hooks.
    """
    if model.alone_only and not packed:
        return not fits(model)
    found = () if packed else users_hooks(model)
    if found and first_time(model):
        shown = ", ".join(dict.fromkeys(found[:3])) + (", ..." if len(found) > 3 else "")
        warnings.warn(
            f"{model.name} has hooks that are not mechcla's ({shown}): prompts run one by one, "
            "unpadded, on the plain path, so that a hook sees each text alone; packed=True runs "
            "them packed and padded all the same",
            stacklevel=3,
        )
    return bool(found)


def plain_rows(model: HookedModel, packed: bool = False) -> Rows:
    """How rows run on the plain path of this model: padded together, one length at a time, or one
    by one.
    """
    if alone(model, packed):
        return "alone"
    return "padded" if pads(model) else "lengths"


def _tokens(model: HookedModel, count: int) -> list[int]:
    """Distinct random ids of rows that the model has, without the first few, which are often never
    trained.
    """
    known = min(model.vocab_size, len(model.tokenizer))  # rows beyond the tokenizer are all alike
    generator = torch.Generator().manual_seed(0)
    begin = min(16, max(0, known - count))
    order = begin + torch.randperm(known - begin, generator=generator)
    return order.repeat(-(-count // len(order)))[:count].tolist()


def _trees(model: HookedModel, beginning: int = 0) -> list[Packed]:
    """Two items of different lengths, and candidates behind one token, within the model's
    windows; all of them behind the same beginning.
    """
    room = min(n for n in (model.window, model.sliding_window, 64) if n is not None)
    beginning = min(beginning, max(0, room - DEEPEST - 5))
    room -= beginning
    long, short = min(9, room - DEEPEST), min(5, room - DEEPEST)
    if short < 1:
        raise ValueError(f"a window of {room} tokens holds no prompt with candidates")
    tokens = _tokens(model, 64)
    branch = tokens[16:]
    head = tuple(tokens[-beginning:] if beginning else ())

    def named(tree: tuple[tuple[int, ...], ...]) -> tuple[tuple[int, ...], ...]:
        return tuple(tuple(branch[k] for k in path) for path in tree)

    return [
        Packed(None, head + tuple(tokens[:long]), named(TREE), 1),
        Packed(None, head + tuple(tokens[10 : 10 + short]), named(SISTERS), 1),
        Packed(None, (*head, tokens[0]), named(ALONE), 1),
    ]


@torch.inference_mode()
def probe(model: HookedModel, beginning: int = 0) -> float:
    """The largest difference between the two paths, in tolerances: from 1 on the model does not
    fit.

    beginning: of how many tokens the packed path's prompts share one that is run once. Differences
    of log-probabilities, and of what the blocks added to the stream at the scored positions, in its
    own norm.
    """
    packed = _trees(model, beginning)
    shared = len(packed[-1].prompt) - 1 if beginning else 0
    fast = collate(packed, model.pad_id, beginning=shared)
    plain = collate(packed, model.pad_id, share_prompt=False)
    layer = model.n_layers // 2
    vector = torch.randn(model.d_model, generator=torch.Generator().manual_seed(1))
    begun = start(model, fast)
    state = advance(replace(begun, trunk=()), layer)
    norm = 0.1 * float(state.resid.float().norm(dim=-1).median())
    positions = "last_and_answer" if beginning else "prompt_and_answer"
    edit = Intervention(vector, layer, 1.0, positions=positions, unit="relative", norm=norm)
    steered = advance(state, layer + 1, [edit])
    ended = advance_together([steered, steered], model.n_layers, 2 * fast.layout.ids.numel())[1]
    left = fast.sums(log_probs(model, [scored(ended)])[0])
    streams = torch.empty(len(plain.edge_token), model.d_model)
    right = plain.sums(plain_log_probs(model, plain, [edit], rows="lengths", streams=streams))
    nats = max(abs(a - b) for a, b in zip(left, right, strict=True))
    by_edge = {
        key: e
        for e, key in enumerate(_edges(fast))  # one edge of the tree is many rows' edge
    }
    there = torch.tensor([by_edge[key] for key in _edges(plain)])
    # On the CPU, as indices may be: the first block and the last may lie on different devices.
    at = fast.edge_row[there], fast.edge_place[there]
    entered = begun.resid[at].float().cpu()
    added = (streams - entered).norm(dim=-1)
    share = (ended.resid[at].float().cpu() - streams).norm(dim=-1) / added.clamp_min(1e-12)
    return max(
        nats / TOLERANCE.get(model.rounds_to, LOOSE),
        float(share.max()) / SHARE.get(model.rounds_to, LOOSE_SHARE),
    )


def _edges(batch: Batch) -> list[tuple[tuple[int, ...], tuple[int, ...], int]]:
    """Every edge by what it means: the prompt, the tokens after it, the token that is scored."""
    found = []
    for row, place, token in zip(
        batch.edge_row.tolist(), batch.edge_place.tolist(), batch.edge_token.tolist(), strict=True
    ):
        view = batch.packed[row]
        after = place + len(batch.beginning) - len(view.prompt)
        found.append((view.prompt, view.trie[after] if after >= 0 else (), token))
    return found


@torch.inference_mode()
def leak(model: HookedModel) -> float:
    """Another token in one branch: the largest change where it is not seen, per change where it is.

    It needs no tolerance for rounding, so it holds in 16-bit types as well.
    """
    batch = collate(_trees(model)[:2], model.pad_id)
    layout = batch.layout
    # The first inner node: what follows it in the row is mostly not below it.
    place = len(batch.packed[0].prompt)
    ids = layout.ids.clone()
    ids[0, place] = layout.ids[0, 0]
    other = replace(batch, layout=replace(layout, ids=ids))
    before, after = (start(model, b).trunk[-1].float().cpu() for b in (batch, other))
    change = (after - before).norm(dim=-1)
    sees = torch.zeros_like(layout.real)
    sees[0] = layout.visible[0, :, place]
    unseen = change[layout.real & ~sees].max()
    return float(unseen / change[layout.real & sees].max().clamp_min(1e-12))


@torch.inference_mode()
def padding_gap(model: HookedModel) -> float:
    """The largest difference that padding makes at the scored positions, in tolerances."""
    tokens = _tokens(model, 32)
    room = min(n for n in (model.window, 12) if n is not None)
    lengths = sorted({max(1, room // 4), max(1, room // 2), room})
    rows = [
        Packed(None, tuple(tokens[k : k + n]), ((tokens[k],),), 1) for k, n in enumerate(lengths)
    ]
    batch = collate(rows, model.pad_id, share_prompt=False)
    streams = [torch.empty(len(batch.edge_token), model.d_model) for _ in range(2)]
    together = plain_log_probs(model, batch, rows="padded", streams=streams[0])
    single = plain_log_probs(model, batch, rows="lengths", streams=streams[1])
    share = (streams[0] - streams[1]).norm(dim=-1) / streams[1].norm(dim=-1).clamp_min(1e-12)
    return max(
        float((together - single).abs().max()) / TOLERANCE.get(model.rounds_to, LOOSE),
        float(share.max()) / SHARE.get(model.rounds_to, LOOSE_SHARE),
    )
