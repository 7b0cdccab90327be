"""Residuals at the last prompt token of many prompts, or their mean, reduced as they come.

Nothing of shape batch x length x d_model outlives the block that made it: a hook picks the last
token's row, or takes the mean, and the sums are float64, so memory depends on layers and languages
and not on the number of prompts. The unembedding never runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from mechcla.engine.beginnings import shared_lengths
from mechcla.engine.capability import plain_rows, shares
from mechcla.engine.hooks import edit_places
from mechcla.engine.intervention import BEHIND, Intervention
from mechcla.engine.memory import halved, is_out_of_memory, limit, too_large
from mechcla.engine.packing import Packed, collate, plan
from mechcla.engine.state import Known, run_batch
from mechcla.errors import MechclaError
from mechcla.models.chat import Chat, prompt_tokens
from mechcla.models.hooking import Place, run_hooked, users_hooks
from mechcla.models.tokens import Pool, Tokens, check_known, pooled
from mechcla.progress import bar

if TYPE_CHECKING:
    from mechcla.models.hooked_model import HookedModel


MAX_TOKENS = 4096
Position = Literal["last_prompt_token", "mean_prompt_token"]
# Called with the texts of a batch and their activations, [layer, prompt, d_model], as they come.
See = Callable[[Sequence[str], Tensor], None]


@dataclass(frozen=True, slots=True)
class Request:
    """One prompt and the (group, sign) pairs whose sums its residual enters."""

    text: str
    groups: list[tuple[Any, int]]


@dataclass
class Sums:
    """Float64 sums over the plus and the minus side of one group, each [layer, d_model]."""

    plus: Float[Tensor, "layer d_model"]
    minus: Float[Tensor, "layer d_model"]
    minus_norm: Float[Tensor, " layer"]
    n_plus: int = 0
    n_minus: int = 0


def watching(model: HookedModel, site: str, see: Callable[[int, Tensor], None]) -> list[Place]:
    """Hooks that call see(layer, activation) at one site of every block, for `run_hooked`.

    Raises MechclaError for a site that some block of the model lacks.
    """

    def at(layer: int) -> Callable[[Tensor], None]:
        return lambda activation: see(layer, activation)

    return [("site", model.hook_point(layer, site), at(layer)) for layer in range(model.n_layers)]


def last_token_residuals(
    model: HookedModel,
    texts: Sequence[str],
    site: str = "resid_post",
    max_tokens: int = MAX_TOKENS,
    edits: Sequence[Intervention] = (),
    chat: bool | Chat = False,
    packed: bool = False,
    position: Position = "last_prompt_token",
    share: bool = True,
) -> Iterator[tuple[list[int], Float[Tensor, "layer prompt d_model"]]]:
    """Yields (indices into texts, residuals) batch by batch, shortest prompts first, in the model's
    dtype.

    position: "mean_prompt_token" takes the mean over a prompt's tokens, in float32, in the last
    one's place: over those that the text wrote, since what was added around it, such as BOS, has
    one vector in every text, in some models one so long that all means point its way.

    edits: the model is steered meanwhile; what a site shows is behind its own edit. chat: each text
    is a user's turn in the model's chat template, whose last token is then the one before the
    answer. packed: pad prompts to batches although hooks of your own are in place; without it they
    then run one by one, unpadded. A model whose layers mind padding runs one length at a time.
    share: run a long beginning that prompts share, and that no edit and no mean reaches, once.
    Raises MechclaError for a prompt that is longer than the model's window, or has a token that the
    model does not know.
    """
    pool: Pool = {}
    rows = [pooled(prompt_tokens(text, model.tokenizer, chat), pool) for text in texts]
    for text, row in zip(texts, rows, strict=True):
        if not row.ids:
            raise MechclaError(f"the prompt {text[:60]!r} has no token")
        check_known(row.ids, model.tokenizer, model.vocab_size, f"prompt {text[:60]!r}")
        if model.window is not None and len(row.ids) > model.window:
            raise MechclaError(
                f"a prompt is {len(row.ids)} tokens, the window of {model.name} is "
                f"{model.window}: {text[:60]!r}..."
            )
    lengths = [len(row.ids) for row in rows]
    how = plain_rows(model, packed)
    waiting = [[i] for i in sorted(range(len(rows)), key=lambda i: (lengths[i], i))][::-1]
    begin, once = [0] * len(rows), Known()
    if how != "alone":
        waiting = plan(lengths, limit(model, max_tokens))[::-1]
    if how == "lengths":
        same = [
            [i for i in g if lengths[i] == n] for g in waiting for n in range(max(lengths), 0, -1)
        ]
        waiting = [group for group in same if group]
    if how == "padded" and share:
        begin = beginnings_of(model, rows, edits, position)
    if any(begin):
        waiting = planned(rows, begin, limit(model, max_tokens))[::-1]
    done = bar("extraction", len(rows), "prompt")
    while waiting:
        group = waiting.pop()
        try:
            found = _forward(
                model, [rows[i] for i in group], site, edits, position, begin[group[0]], once
            )
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            if len(group) == 1:
                raise too_large(model, len(rows[group[0]].ids)) from error
            halved(model, len(group) * max(len(rows[i].ids) for i in group), error)
            waiting += [group[len(group) // 2 :], group[: len(group) // 2]]
        else:
            done.update(len(group))
            yield group, found
    done.close()


def planned(rows: Sequence[Tokens], begin: Sequence[int], most: int) -> list[list[int]]:
    """The batches of prompts, as places in `rows`: those that share a beginning stand together.

    begin: tokens of each prompt that are run once. most: tokens of a batch, without these.
    """
    found = []
    for key in sorted({row.ids[:n] for row, n in zip(rows, begin, strict=True)}, key=len):
        mine = [i for i, row in enumerate(rows) if row.ids[: begin[i]] == key]
        parts = plan([len(rows[i].ids) - len(key) for i in mine], most)
        found += [[mine[k] for k in part] for part in parts]
    return found


def beginnings_of(
    model: HookedModel,
    rows: Sequence[Tokens],
    edits: Sequence[Intervention] = (),
    position: Position = "last_prompt_token",
) -> list[int]:
    """How many tokens of each prompt are run once for all that begin so."""
    # A mean is of what the texts wrote, and so are most edits.
    written = position == "last_prompt_token" and all(e.positions in BEHIND for e in edits)
    lengths = shared_lengths([Packed(None, row.ids, (), row.added) for row in rows], written)
    window, longest = model.sliding_window, max((len(row.ids) for row in rows), default=0)
    fits = window is None or longest <= window
    if not any(lengths) or not fits or users_hooks(model) or not shares(model):
        return [0] * len(rows)
    return lengths


@torch.inference_mode()
def _forward(
    model: HookedModel,
    rows: Sequence[Tokens],
    site: str,
    edits: Sequence[Intervention],
    position: Position,
    begin: int,
    once: Known,
) -> Float[Tensor, "layer prompt d_model"]:
    prompts = [Packed(None, row.ids, (), row.added) for row in rows]
    batch = collate(prompts, model.pad_id, beginning=begin)
    layout = batch.layout
    last = layout.prompt - 1
    kept: list[Tensor] = [torch.empty(0)] * model.n_layers
    written = torch.zeros(layout.ids.shape)
    for k, row in enumerate(rows):
        own = [place - begin for place in range(len(row.ids)) if place not in row.added]
        written[k, [place for place in own if place >= 0] or list(range(len(row.ids)))] = 1.0
    shares = (written / written.sum(1, keepdim=True)).unsqueeze(1)

    def see(layer: int, activation: Tensor) -> None:
        if position == "mean_prompt_token":
            # A product with shares would take a padding's inf or nan along as nan.
            real = torch.where(shares.mT.to(activation.device) > 0, activation.float(), 0.0)
            kept[layer] = (shares.to(activation.device) @ real).squeeze(1)
            return
        kept[layer] = activation[
            torch.arange(len(rows), device=activation.device), last.to(activation.device)
        ]

    device = model.device
    places = [*edit_places(model, edits, layout), *watching(model, site, see)]
    if begin:
        run_batch(model, batch, places, once)
        return torch.stack([k.to(device) for k in kept])
    # Padding stands at positions of its own, as it does in a pass that is given none.
    positions = torch.arange(layout.ids.shape[1]).repeat(len(rows), 1)
    run_hooked(
        places,
        lambda: model.run_decoder(
            layout.ids.to(device), layout.real.long().to(device), positions.to(device)
        ),
    )
    return torch.stack([k.to(device) for k in kept])


def streaming_means(
    model: HookedModel,
    requests: Sequence[Request],
    site: str = "resid_post",
    chat: bool | Chat = False,
    packed: bool = False,
    see: See | None = None,
) -> dict[Any, Sums]:
    """For every group, the sums that make its difference of means; each prompt runs once.

    see: is shown each batch's activations before they are summed; they are the pass's own.
    """
    groups = dict.fromkeys(group for request in requests for group, _ in request.groups)
    # On mps there is no float64.
    device = torch.device("cpu") if model.device.type == "mps" else model.device
    zero = torch.zeros(model.n_layers, model.d_model, dtype=torch.float64, device=device)
    sums = {group: Sums(zero.clone(), zero.clone(), zero[:, 0].clone()) for group in groups}
    for indices, residuals in last_token_residuals(
        model, [r.text for r in requests], site, chat=chat, packed=packed
    ):
        if see is not None:
            see([requests[i].text for i in indices], residuals)
        batch = residuals.to(device, torch.float64)
        for group, total in sums.items():
            for sign in (+1, -1):
                weight = [
                    sum(s == sign for g, s in requests[i].groups if g == group) for i in indices
                ]
                if not any(weight):
                    continue
                w = torch.tensor(weight, dtype=torch.float64, device=device)
                part = torch.einsum("lpd,p->ld", batch, w)
                if sign > 0:
                    total.plus += part
                    total.n_plus += int(w.sum())
                else:
                    total.minus += part
                    total.minus_norm += batch.norm(dim=-1) @ w
                    total.n_minus += int(w.sum())
    return {
        group: Sums(s.plus.cpu(), s.minus.cpu(), s.minus_norm.cpu(), s.n_plus, s.n_minus)
        for group, s in sums.items()
    }
