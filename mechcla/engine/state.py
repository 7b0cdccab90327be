"""Runs a model under interventions and does no work twice.

    trace = start(model, batch)      # one unsteered pass; remembers what every block was given
    deep = advance(trace, 9)         # the stream that enters block 9
    finish(deep, interventions)      # blocks 9.. and the scored positions only

A `State` is the residual stream at the entrance of one block. Steering leaves the blocks below it
unchanged, so a sweep advances an unsteered State block by block and finishes it once per cell; a
pair of layers shares the steered State between them. Blocks get the very arguments (masks, rotary
tables) that the model's own forward pass gave them, recorded on the way, so this is exact for any
decoder whose blocks form a chain. Whether a model is one is not assumed but checked once, against
its plain forward pass (`fits`); one that is not runs on the plain path.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mechcla.engine.gating import PromptGate, Readings, gates_of, weight_of
from mechcla.engine.intervention import Intervention
from mechcla.engine.packing import Batch, Layout
from mechcla.errors import MechclaError

if TYPE_CHECKING:
    from mechcla.models.hooked_model import HookedModel
from mechcla.engine.head import Scored, log_probs
from mechcla.engine.hooks import edit_places, mask_on, prompts_on
from mechcla.engine.native import native_blocks
from mechcla.engine.transfers import sent
from mechcla.models.beginning import Beginning
from mechcla.models.hooking import Place, run_hooked
from mechcla.models.native import NativeBlock


@dataclass(frozen=True, eq=False)
class State:
    """The residual stream entering block `layer` (or the final norm, at n_layers) for one batch.

    resid_pre edits of `layer` are not yet applied; all edits of earlier blocks are. Two things the
    recording pass leaves behind, so that nothing unsteered runs again; a State that was steered has
    neither. trunk: what each block was given, and what the last one gave, where there is memory for
    it. unsteered: the rows for the unembedding; it belongs to block 0 alone. readings: what gates
    read at the blocks that were run. native: the blocks without hook points, where they do the
    same.
    """

    model: HookedModel
    batch: Batch
    layer: int
    resid: Float[Tensor, "row seq d_model"]
    calls: tuple[dict[str, Any], ...]
    trunk: tuple[Float[Tensor, "row seq d_model"], ...] = ()
    unsteered: Scored | None = None
    readings: Readings = field(default_factory=dict)
    native: tuple[NativeBlock | None, ...] = ()


def tree_mask(
    visible: Bool[Tensor, "row seq seq"], dtype: torch.dtype
) -> Float[Tensor, "row 1 seq seq"]:
    """An additive attention mask: 0 where a token may look, the dtype's minimum elsewhere."""
    mask = torch.zeros(visible.shape, dtype=dtype, device=visible.device)
    return mask.masked_fill_(~visible, torch.finfo(dtype).min).unsqueeze(1)


Known = dict[tuple[int, ...], Beginning]  # by the tokens


@torch.inference_mode()
def run_batch(
    model: HookedModel, batch: Batch, places: Sequence[Place], known: Known | None = None
) -> None:
    """One pass of a batch's layout through the decoder under hooks, and before it, without them,
    one of the beginning that its prompts share, unless that is known already.

    known: beginnings by their tokens, added to here, so that batches which share one run it once.
    """
    device, layout, past = model.device, batch.layout, None
    mask = tree_mask(layout.visible.to(device), model.dtype)
    if batch.beginning:
        known = {} if known is None else known
        if batch.beginning not in known:
            known[batch.beginning] = _begun(model, batch.beginning)
        past = known[batch.beginning]
        mask = torch.nn.functional.pad(mask, (len(batch.beginning), 0))  # all of it is seen
    run_hooked(
        places,
        lambda: model.run_decoder(layout.ids.to(device), mask, layout.positions.to(device), past),
    )


def _begun(model: HookedModel, tokens: tuple[int, ...]) -> Beginning:
    past, n = Beginning(), len(tokens)
    ids = torch.tensor([tokens], device=model.device)
    seen = torch.ones(1, n, n, dtype=torch.bool, device=model.device).tril()
    positions = torch.arange(n, device=model.device).unsqueeze(0)
    model.run_decoder(ids, tree_mask(seen, model.dtype), positions, past)
    past.closed = True
    return past


@torch.inference_mode()
def start(model: HookedModel, batch: Batch, known: Known | None = None) -> State:
    """One unsteered pass through the decoder, without the unembedding, which records each block's
    arguments.

    known: as `run_batch` has it. Returns the State at block 0. Hooks of the user's own fire.
    """
    calls: list[dict[str, Any]] = []
    trunk: list[Tensor] = []
    last: list[Tensor] = []

    def end(_block: Any, _args: Any, out: Any) -> None:
        last.append(out[0] if isinstance(out, tuple) else out)

    def record(_block: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        names = model.block_arguments(len(calls))
        given = dict(zip(names, args, strict=False)) | kwargs
        trunk.append(given.pop(names[0]))
        unused = () if batch.beginning else ("past_key_values", "use_cache")
        calls.append({k: v for k, v in given.items() if k not in unused})

    places: list[Place] = [("before", block, record) for block in model.blocks]
    run_batch(model, batch, [*places, ("after", model.blocks[-1], end)], known)
    trunk.append(last[0])
    ended = scored(State(model, batch, model.n_layers, last[0], ()))
    native = native_blocks(model, bool(batch.beginning), trunk, calls)
    if model.fused and native:  # else steered passes would round otherwise than unsteered ones
        trunk[1:] = _run_through(native, model, trunk[0], calls)
        ended = scored(State(model, batch, model.n_layers, trunk[-1], ()))
    return State(model, batch, 0, trunk[0], tuple(calls), tuple(trunk), ended, native=native)


def _run_through(
    native: Sequence[NativeBlock | None],
    model: HookedModel,
    h: Tensor,
    calls: Sequence[dict[str, Any]],
) -> list[Tensor]:
    """The streams behind every block, by the blocks that steered passes run."""
    found = []
    for block, bridged, given in zip(native, model.blocks, calls, strict=True):
        if block is not None and block.unhooked:
            h = block(h, given)
        else:
            out = bridged(h, **given)
            h = out[0] if isinstance(out, tuple) else out
        found.append(h)
    return found


def _read(gate: PromptGate, h: Tensor, layout: Layout) -> Tensor:
    return gate.read(h, prompts_on(layout, h.device))


def _apply(h: Tensor, state: State, edits: Iterable[Intervention]) -> Tensor:
    for edit in edits:
        where = mask_on(state.batch.layout, edit.positions, h.device)
        h = edit.apply(h, where, weight_of(edit, state.readings))
    return h


@torch.inference_mode()
def advance(
    state: State,
    layer: int,
    edits: Sequence[Intervention] = (),
    gates: Sequence[PromptGate] = (),
) -> State:
    """Run blocks state.layer .. layer-1 under the edits that belong to them.

    A resid_post edit of block layer-1 is included; a resid_pre edit of block `layer` is not yet.
    Edits of other blocks are ignored here, so the same list can be passed to every step; their
    gates are read where their block is run. gates: more of them to be read, for edits to come.
    """
    model = state.model
    if not state.layer <= layer <= model.n_layers:
        raise MechclaError(
            f"cannot advance from block {state.layer} to {layer} of {model.n_layers}"
        )
    # Below it nothing is steered.
    first = min((e.layer for e in edits if state.layer <= e.layer < layer), default=layer)
    known = min(first, len(state.trunk) - 1) if state.trunk else state.layer
    h = (state.trunk[known] if known > state.layer else state.resid).to(model.device)
    layout = state.batch.layout
    unread = [g for g in (*gates_of(edits), *gates) if g.key not in state.readings]
    readings = state.readings | {
        g.key: _read(g, state.trunk[g.layer + 1].to(model.device), layout)
        for g in unread
        if g.layer < max(known, state.layer) and state.trunk
    }
    state = replace(state, readings=readings)
    for k in range(max(known, state.layer), layer):
        mine = [e for e in edits if e.layer == k]
        h = _apply(h, state, (e for e in mine if e.site == "resid_pre"))
        inner = [e for e in mine if e.site not in ("resid_pre", "resid_post")]
        native, given = state.native[k] if state.native else None, _on(state.calls[k], h.device)
        if native is not None and not inner and native.unhooked:
            h = native(h, given)
        else:
            places = edit_places(model, inner, layout, readings)
            out = run_hooked(places, partial(model.blocks[k], h, **given))
            h = out[0] if isinstance(out, tuple) else out
        readings |= {g.key: _read(g, h, layout) for g in unread if g.layer == k}
        h = _apply(h, state, (e for e in mine if e.site == "resid_post"))
    return replace(
        state, layer=layer, resid=h, trunk=state.trunk if first == layer else (), unsteered=None
    )


def _on(value: Any, device: torch.device) -> Any:
    """Recorded arguments on the model's device; what was offloaded lies on the CPU."""
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, dict):
        return {k: _on(v, device) for k, v in value.items()}
    return type(value)(_on(v, device) for v in value) if type(value) in (tuple, list) else value


@torch.inference_mode()
def steer_here(state: State, edits: Sequence[Intervention]) -> State:
    """The State after resid_post edits of the block that was just run, without running it again."""
    for edit in edits:
        if edit.site != "resid_post" or edit.layer != state.layer - 1:
            raise MechclaError(
                f"{edit.site} of block {edit.layer} is not at the entrance of block {state.layer}"
            )
    return replace(
        state,
        resid=_apply(state.resid.to(state.model.device), state, edits),
        trunk=(),
        unsteered=None,
    )


def join(states: Sequence[State]) -> State | None:
    """States of one batch at one block, stacked row upon row, so that many strengths run as one
    batch.

    Recorded arguments with a row per batch row are repeated; those that broadcast stay. None where
    it cannot be told which of the two an argument is (as many rows as tokens), and the States must
    run one by one.
    """
    first, k = states[0], len(states)
    rows, width = first.resid.shape[:2]

    def widen(value: Any) -> Any:
        if type(value) in (tuple, list):
            return type(value)(widen(v) for v in value)
        if isinstance(value, Tensor) and value.ndim > 1 and value.shape[0] == rows > 1:
            return value.repeat(k, *[1] * (value.ndim - 1))
        return value

    if rows == width:
        return None
    calls = tuple({name: widen(value) for name, value in call.items()} for call in first.calls)
    return replace(
        first,
        # Parts may lie where different blocks do; `advance` begins on the model's own device.
        resid=torch.cat([s.resid.to(first.model.device) for s in states]),
        calls=calls,
        trunk=(),
        unsteered=None,
        readings={},
    )


@torch.inference_mode()
def advance_together(states: Sequence[State], layer: int, max_tokens: int) -> list[State]:
    """`advance` for States of one batch at one block, several at once while rows x length stay
    within max_tokens.

    No edits are left to do on the way. Equal to one by one up to the rounding of a larger matrix
    product.
    """
    done: list[State] = []
    most = max(1, max_tokens // states[0].batch.layout.ids.numel())
    for begin in range(0, len(states), most):
        part = states[begin : begin + most]
        wide = join(part) if len(part) > 1 and layer > part[0].layer else None
        if wide is None:
            done += [advance(s, layer) for s in part]
        else:
            rows = advance(wide, layer).resid.chunk(len(part))
            done += [
                replace(s, layer=layer, resid=h, trunk=(), unsteered=None)
                for s, h in zip(part, rows, strict=True)
            ]
    return done


@torch.inference_mode()
def finish(state: State, edits: Sequence[Intervention] = ()) -> Float[Tensor, " edge"]:
    """Log-probabilities of the batch's scored edges, float32 on the CPU, after the remaining
    blocks.
    """
    ended = None if edits else state.unsteered
    return log_probs(state.model, [ended or scored(advance(state, state.model.n_layers, edits))])[0]


def scored(state: State) -> Scored:
    """The rows of a State behind the last block at which something is scored."""
    batch, h = state.batch, state.resid
    flat, place = batch.scored
    if h.device not in batch.scored_on:
        batch.scored_on[h.device] = sent(flat, h.device)
    rows = h.reshape(-1, h.shape[-1])[batch.scored_on[h.device]]
    return Scored(rows, place, batch.edge_token)
