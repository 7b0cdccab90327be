"""Which tokens an intervention edits, and the edits as hooks of a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from mechcla.engine.gating import SITE, PromptGate, Readings, gates_of, weight_of
from mechcla.engine.intervention import Intervention
from mechcla.engine.packing import Layout
from mechcla.engine.transfers import sent
from mechcla.models.hooking import Place

if TYPE_CHECKING:
    from mechcla.models.hooked_model import HookedModel


def token_mask(layout: Layout, positions: str) -> Bool[Tensor, "row seq"]:
    """Which tokens an intervention edits: the user's own and the answer's; padding never.

    The last prompt token, where vectors are read, is edited by name even where a chat template
    wrote it; what a tokenizer puts before a prompt without words is not.
    """
    place = torch.arange(layout.ids.shape[1]).unsqueeze(0)
    prompt = layout.prompt.unsqueeze(1)
    in_prompt, answer = (place < prompt) & ~layout.added, place >= prompt
    last = (place == prompt - 1) & in_prompt.any(1, keepdim=True)
    chosen = {
        "last_prompt_token": last,
        "prompt": in_prompt,
        "prompt_and_answer": in_prompt | answer,
        "answer": answer,
        "last_and_answer": last | answer,
    }[positions]
    return chosen & layout.real


def mask_on(layout: Layout, positions: str, device: torch.device) -> Bool[Tensor, "row seq"]:
    """`token_mask` on a device: made and sent there once per layout."""
    key = positions, device
    if key not in layout.masks:
        layout.masks[key] = sent(token_mask(layout, positions), device)
    return layout.masks[key]


def prompts_on(layout: Layout, device: torch.device) -> Int[Tensor, " row"]:
    """How many tokens of each row are its prompt, on a device: sent there once per layout."""
    if device not in layout.prompt_on:
        layout.prompt_on[device] = sent(layout.prompt, device)
    return layout.prompt_on[device]


def edit_places(
    model: HookedModel,
    edits: Sequence[Intervention],
    layout: Layout,
    readings: Readings | None = None,
) -> list[Place]:
    """The edits as hooks, for `run_hooked`, and before them those that read their gates.

    readings: what gates have read already; those that are read on the way are added to it.

    resid_mid is the stream between attention and MLP. TransformerLens' bridge hooks it where the
    MLP branch reads it; the skip connection gets the same change at the end of the block, so the
    edit reaches both, as the stream's name says. A HookedTransformer's is whole already.
    """
    readings = {} if readings is None else readings
    places = [
        _reader(model, gate, layout, readings)
        for gate in gates_of(edits)
        if gate.key not in readings
    ]
    # The end of a block comes after its inside.
    for edit in sorted(edits, key=lambda e: e.site == "resid_post"):
        point = model.hook_point(edit.layer, edit.site)
        change: list[Tensor] = []

        def act(
            h: Tensor,
            edit: Intervention = edit,
            change: list[Tensor] = change,
        ) -> Tensor:
            where = mask_on(layout, edit.positions, h.device)
            new = edit.apply(h, where, weight_of(edit, readings))
            if edit.site == "resid_mid" and not model.mid_is_whole:
                change.append(new - h)
            return new

        places.append(("site", point, act))
        if edit.site == "resid_mid" and not model.mid_is_whole:
            end = model.hook_point(edit.layer, "resid_post")

            def carry(h: Tensor, change: list[Tensor] = change) -> Tensor:
                return h + change.pop()

            places.append(("site", end, carry))
    return places


def _reader(model: HookedModel, gate: PromptGate, layout: Layout, readings: Readings) -> Place:
    """A hook that reads a gate and changes nothing."""

    def read(h: Tensor) -> None:
        readings[gate.key] = gate.read(h, prompts_on(layout, h.device))

    return "site", model.hook_point(gate.layer, SITE), read
