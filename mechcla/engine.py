"""Runs a model under interventions and does no work twice.

    trace = start(model, batch)            # one unsteered pass; remembers what every block was given
    deep = advance(trace, 9)               # the stream that enters block 9
    finish(deep, interventions)            # blocks 9.. and the scored positions only

A `State` is the residual stream at the entrance of one block. Steering leaves the blocks below it
unchanged, so a sweep advances an unsteered State block by block and finishes it once a cell; a pair of
layers shares the steered State between them. Blocks get the very arguments (masks, rotary tables) that the
model's own forward pass gave them, recorded on the way, so this is exact for any decoder whose blocks
form a chain. Whether a model is one is not assumed but checked once, against its plain forward pass
(`fits`); one that is not runs on the plain path.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mechcla.errors import MechclaError
from mechcla.interventions import Intervention
from mechcla.packing import Batch

if TYPE_CHECKING:
    from mechcla.models import HookedModel

HEAD_ROWS = 1_024
CPU_PIECE, GPU_PIECE = 2_048, 32_768


@dataclass(frozen=True, eq=False)
class State:
    """The residual stream entering block `layer` (or the final norm, at n_layers) for one batch.

    resid_pre edits of `layer` are not yet applied; all edits of earlier blocks are. Two things the recording pass leaves
    behind, so that nothing unsteered runs again; a State that was steered has neither. trunk: what each block was given, and
    what the last one gave, where there is memory for it. unsteered: the rows for the unembedding; it belongs to block 0 alone.
    """

    model: HookedModel
    batch: Batch
    layer: int
    resid: Float[Tensor, "row seq d_model"]
    calls: tuple[dict[str, Any], ...]
    trunk: tuple[Float[Tensor, "row seq d_model"], ...] = ()
    unsteered: Scored | None = None


def tree_mask(
    visible: Bool[Tensor, "row seq seq"], dtype: torch.dtype
) -> Float[Tensor, "row 1 seq seq"]:
    """An additive attention mask: 0 where a token may look, the dtype's minimum where it may not."""
    mask = torch.zeros(visible.shape, dtype=dtype, device=visible.device)
    return mask.masked_fill_(~visible, torch.finfo(dtype).min).unsqueeze(1)


@torch.inference_mode()
def start(model: HookedModel, batch: Batch) -> State:
    """One unsteered pass through the decoder, without the unembedding, which records each block's arguments.

    Returns the State at block 0. Hooks of the user's own fire.
    """
    device = model.device
    calls: list[dict[str, Any]] = []
    trunk: list[Tensor] = []
    last: list[Tensor] = []

    def end(_block: Any, _args: Any, out: Any) -> None:
        last.append(out[0] if isinstance(out, tuple) else out)

    def record(block: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        names = list(inspect.signature(block.original_component.forward).parameters)
        given = dict(zip(names, args, strict=False)) | kwargs
        trunk.append(given.pop(names[0]))
        calls.append({k: v for k, v in given.items() if k not in ("past_key_values", "use_cache")})

    mask = tree_mask(batch.visible.to(device), model.dtype)
    with ExitStack() as stack:
        for block in model.blocks:
            stack.callback(block.register_forward_pre_hook(record, with_kwargs=True).remove)
        stack.callback(model.blocks[-1].register_forward_hook(end).remove)
        model.bridge.original_model.base_model(
            input_ids=batch.ids.to(device),
            attention_mask=mask,
            position_ids=batch.positions.to(device),
            use_cache=False,
        )
    ended = scored(State(model, batch, model.n_layers, last[0], ()))
    return State(model, batch, 0, trunk[0], tuple(calls), (*trunk, last[0]), ended)


def token_mask(batch: Batch, positions: str) -> Bool[Tensor, "row seq"]:
    """Which tokens an intervention edits; special tokens and padding never."""
    place = torch.arange(batch.ids.shape[1]).unsqueeze(0)
    prompt = torch.tensor(batch.prompt_lengths).unsqueeze(1)
    special = torch.tensor([p.n_special for p in batch.packed]).unsqueeze(1)
    in_prompt, last, answer = place < prompt, place == prompt - 1, place >= prompt
    chosen = {
        "last_prompt_token": last,
        "prompt": in_prompt,
        "prompt_and_answer": in_prompt | answer,
        "answer": answer,
        "last_and_answer": last | answer,
    }[positions]
    return chosen & (place >= special) & batch.real


def _apply(h: Tensor, state: State, edits: Iterable[Intervention]) -> Tensor:
    for edit in edits:
        h = edit.apply(h, token_mask(state.batch, edit.positions).to(h.device))
    return h


def attach(
    model: HookedModel, edits: Sequence[Intervention], batch: Batch, stack: ExitStack
) -> None:
    """Hook the edits into a model for as long as `stack` is open.

    resid_mid is the stream between attention and MLP. TransformerLens' bridge hooks it where the MLP branch
    reads it; the skip connection gets the same change at the end of the block, so the edit reaches both, as
    the stream's name says.
    """
    for edit in sorted(
        edits, key=lambda e: e.site == "resid_post"
    ):  # the end of a block comes after its inside
        where = token_mask(batch, edit.positions).to(model.device)
        point = model.bridge.hook_dict[model.hook_name(edit.layer, edit.site)]
        change: list[Tensor] = []

        def hook(
            _m: object,
            _a: object,
            h: Tensor,
            edit: Intervention = edit,
            where: Tensor = where,
            change: list[Tensor] = change,
        ) -> Tensor:
            new = edit.apply(h, where)
            if edit.site == "resid_mid":
                change.append(new - h)
            return new

        stack.callback(point.register_forward_hook(hook).remove)
        if edit.site == "resid_mid":
            end = model.bridge.hook_dict[model.hook_name(edit.layer, "resid_post")]

            def carry(_m: object, _a: object, h: Tensor, change: list[Tensor] = change) -> Tensor:
                return h + change.pop()

            stack.callback(end.register_forward_hook(carry).remove)


@torch.inference_mode()
def advance(state: State, layer: int, edits: Sequence[Intervention] = ()) -> State:
    """Run blocks state.layer .. layer-1 under the edits that belong to them.

    A resid_post edit of block layer-1 is included; a resid_pre edit of block `layer` is not yet.
    Edits of other blocks are ignored here, so the same list can be passed to every step.
    """
    model = state.model
    if not state.layer <= layer <= model.n_layers:
        raise MechclaError(
            f"cannot advance from block {state.layer} to {layer} of {model.n_layers}"
        )
    first = min(
        (e.layer for e in edits if state.layer <= e.layer < layer), default=layer
    )  # below it nothing is steered
    known = min(first, len(state.trunk) - 1) if state.trunk else state.layer
    h = (state.trunk[known] if known > state.layer else state.resid).to(model.device)
    for k in range(max(known, state.layer), layer):
        mine = [e for e in edits if e.layer == k]
        h = _apply(h, state, (e for e in mine if e.site == "resid_pre"))
        inner = [e for e in mine if e.site not in ("resid_pre", "resid_post")]
        with ExitStack() as stack:
            attach(model, inner, state.batch, stack)
            out = model.blocks[k](h, **_on(state.calls[k], h.device))
        h = out[0] if isinstance(out, tuple) else out
        h = _apply(h, state, (e for e in mine if e.site == "resid_post"))
    return replace(
        state, layer=layer, resid=h, trunk=state.trunk if first == layer else (), unsteered=None
    )


def _on(value: Any, device: torch.device) -> Any:
    """Recorded arguments on the model's device; what was spilled lies on the CPU."""
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
    """States of one batch at one block, stacked row upon row, so that many strengths run as one batch.

    Recorded arguments with a row a batch row are repeated; those that broadcast stay. None where it cannot
    be told which of the two an argument is (as many rows as tokens), and the States must run one by one.
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
        first, resid=torch.cat([s.resid for s in states]), calls=calls, trunk=(), unsteered=None
    )


@torch.inference_mode()
def advance_together(states: Sequence[State], layer: int, max_tokens: int) -> list[State]:
    """`advance` for States of one batch at one block, several at once while rows x length stay within max_tokens.

    No edits are left to do on the way. Equal to one by one up to the rounding of a larger matrix product.
    """
    done: list[State] = []
    most = max(1, max_tokens // states[0].batch.ids.numel())
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
    """Log-probabilities of the batch's scored edges, float32 on the CPU, after the remaining blocks."""
    ended = None if edits else state.unsteered
    return log_probs(state.model, [ended or scored(advance(state, state.model.n_layers, edits))])[0]


@dataclass(frozen=True, eq=False)
class Scored:
    """What a finished State leaves for the unembedding: each distinct scored position once.

    Edge e is the log-probability of `token[e]` at row `place[e]`.
    """

    rows: Float[Tensor, "row d_model"]
    place: Int[Tensor, " edge"]
    token: Int[Tensor, " edge"]


def scored(state: State) -> Scored:
    """The rows of a State behind the last block at which something is scored."""
    batch, width = state.batch, state.batch.ids.shape[1]
    flat, place = torch.unique(batch.edge_row * width + batch.edge_place, return_inverse=True)
    return Scored(
        state.resid.reshape(-1, state.resid.shape[-1])[flat.to(state.resid.device)],
        place,
        batch.edge_token,
    )


@torch.inference_mode()
def log_probs(model: HookedModel, parts: Sequence[Scored]) -> list[Float[Tensor, " _"]]:
    """Final norm and unembedding of scored rows; float32 on the CPU, a tensor a part, an entry an edge.

    The rows of all parts go through together, HEAD_ROWS at a time, and the vocabulary in pieces with a running
    log-sum-exp: no tensor is larger than HEAD_ROWS x a piece.
    """
    weight, bias, shape_logits = output_head(model)
    hidden, totals = [], []
    if not parts:
        return []
    together = torch.cat([part.rows for part in parts])
    for rows in together.chunk(
        max(1, -(-len(together) // HEAD_ROWS))
    ):  # even pieces: each reads the whole matrix once
        hidden.append(model.bridge.ln_final(rows.unsqueeze(0)).squeeze(0))
        totals.append(_log_normaliser(hidden[-1], weight, bias, shape_logits))
    normed, total = torch.cat(hidden), torch.cat(totals)
    offsets = torch.tensor([0] + [len(part.rows) for part in parts]).cumsum(0)
    place = torch.cat(
        [part.place + offset for part, offset in zip(parts, offsets, strict=False)]
    ).to(normed.device)
    token = torch.cat([part.token for part in parts]).to(normed.device)
    chosen = (normed[place] * weight[token]).sum(-1, dtype=total.dtype)
    if bias is not None:
        chosen = chosen + bias[token]
    return list(
        (shape_logits(chosen) - total[place])
        .float()
        .cpu()
        .split([len(part.token) for part in parts])
    )


def _log_normaliser(
    rows: Tensor, weight: Tensor, bias: Tensor | None, shape_logits: Any
) -> Float[Tensor, " row"]:
    """log of the sum over the vocabulary of exp(logit), at least in float32."""
    precise = torch.float64 if rows.dtype == torch.float64 else torch.float32
    total = torch.full((len(rows),), -torch.inf, device=rows.device, dtype=precise)
    step = CPU_PIECE if rows.device.type == "cpu" else GPU_PIECE
    buffer = torch.empty(len(rows), step, dtype=rows.dtype, device=rows.device)
    for begin in range(0, len(weight), step):
        piece = weight[begin : begin + step]
        logits = torch.mm(
            rows, piece.T, out=buffer[:, : len(piece)] if len(piece) == step else None
        )
        if bias is not None:
            logits = logits + bias[begin : begin + step]
        shaped = shape_logits(logits.to(precise))
        most = shaped.amax(-1, keepdim=True)
        total = torch.logaddexp(
            total, shaped.sub_(most).exp_().sum(-1).log_() + most.squeeze(-1)
        )  # in place: no copies
    return total


def output_head(model: HookedModel) -> tuple[Tensor, Tensor | None, Any]:
    """Unembedding weight [vocab, d_model], bias, and what the family does to its logits afterwards."""
    hf = model.bridge.original_model
    head = hf.get_output_embeddings()
    head = getattr(head, "original_component", head)
    config = model._text_config
    cap = getattr(config, "final_logit_softcapping", None)
    scale = getattr(config, "logit_scale", None) or 1.0 / (
        getattr(config, "logits_scaling", None) or 1.0
    )

    def finish_logits(logits: Tensor) -> Tensor:
        logits = logits * scale if scale != 1.0 else logits
        return cap * torch.tanh(logits / cap) if cap else logits

    bias = getattr(head, "bias", None)
    return head.weight, bias if bias is not None and bool(bias.any()) else None, finish_logits
