"""Whether an edit acts on a row at all: a gate reads the row's prompt at an earlier block.

With the residual h behind block l at the prompt's last token, a direction d and a threshold t, the
margin is m = h . d - t. A row whose margin is above 0 is on the side "above", every other one on
the side "below". A hard gate lets an edit act on the rows of its own side and leaves the others as
they are, to the last bit. A soft one lets a share of the edit act, h + w (edited - h), with
w = sigmoid(m / scale), or sigmoid(-m / scale) for "below". The gate is read once per row, in the
same forward pass, and stays as it is for every token of the answer.

A gate reads the unsteered stream, which it was learnt on: every edit of a list must lie in a deeper
block than every gate of that list reads. Source: ours, after conditional activation steering (Lee
et al., arXiv 2409.05907).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mechcla.engine.transfers import sent
from mechcla.errors import MechclaError, unknown
from mechcla.models.hooked_model import HookedModel

SIDES = ("above", "below")
SITE = "resid_post"  # what a gate reads: the stream behind its block
Key = tuple[int, str]
Readings = dict[Key, Float[Tensor, " row"]]  # h . d of each row, by the gate's key


@dataclass(frozen=True, eq=False)
class PromptGate:
    """One gate: which rows an edit acts on, by the residual behind one block at the last prompt
    token.

    direction: d_model values. layer: the block that is read, counted from 0. threshold: of h . d.
    side: "above" acts on rows beyond the threshold, "below" on all others. scale: None is a hard
    gate; else the margin at which a soft gate lets sigmoid(1) of the edit act. made_with, made_in,
    language: as an Intervention's. Raises MechclaError for a direction, threshold or scale that is
    not finite, a scale that is not above 0, or an unknown side.

    >>> import torch
    >>> PromptGate(torch.ones(4), layer=2, threshold=0.5).weight(torch.tensor([0.4, 0.6]))
    tensor([0., 1.])
    """

    direction: Float[Tensor, " d_model"]
    layer: int
    threshold: float
    side: str = "above"
    scale: float | None = None
    label: str = "gate"
    made_with: str | None = None
    made_in: Mapping[str, Any] | None = None
    language: str | None = None

    def __post_init__(self) -> None:
        if self.side not in SIDES:
            raise unknown("side", self.side, SIDES)
        if self.direction.ndim != 1 or not bool(torch.isfinite(self.direction).all()):
            raise MechclaError(
                f"the direction of the {self.label} has shape {tuple(self.direction.shape)} or "
                "values that are not finite; expected d_model finite values"
            )
        if not math.isfinite(self.threshold):
            raise MechclaError(f"threshold is {self.threshold!r}; expected a finite number")
        if self.scale is not None and not (math.isfinite(self.scale) and self.scale > 0):
            raise MechclaError(
                f"scale is {self.scale!r}; expected a finite number above 0, or None for a hard "
                "gate"
            )

    @cached_property
    def key(self) -> Key:
        """What is read: the block and the direction's bytes. Gates that share it are read once."""
        values = self.direction.detach().to("cpu", torch.float32).contiguous().numpy().tobytes()
        return self.layer, hashlib.sha256(values).hexdigest()

    def read(
        self, h: Float[Tensor, "row seq d_model"], prompt: Int[Tensor, " row"]
    ) -> Float[Tensor, " row"]:
        """h . d at the last prompt token of each row, summed row by row, whatever runs beside it.

        prompt: how many tokens of a row are its prompt.
        """
        row = torch.arange(len(h), device=h.device)
        last = h[row, (prompt if prompt.device == h.device else sent(prompt, h.device)) - 1]
        precise = torch.float64 if h.dtype == torch.float64 else torch.float32
        return (last.to(precise) * self._on(h.device, precise)).sum(-1)

    @cached_property
    def _copies(self) -> dict[tuple[torch.device, torch.dtype], Tensor]:
        return {}

    def _on(self, device: torch.device, dtype: torch.dtype) -> Float[Tensor, " d_model"]:
        """The direction on a device, sent there once."""
        if (device, dtype) not in self._copies:
            self._copies[device, dtype] = sent(self.direction.to(dtype=dtype), device)
        return self._copies[device, dtype]

    def weight(self, reading: Float[Tensor, " row"]) -> Float[Tensor, " row"]:
        """How much of an edit each row gets: 0 or 1, or a share between them for a soft gate."""
        margin = reading - self.threshold
        if self.scale is None:
            above = margin > 0
            return (above if self.side == "above" else ~above).to(reading.dtype)
        return torch.sigmoid((margin if self.side == "above" else -margin) / self.scale)

    def describe(self) -> dict[str, object]:
        """Settings and a digest of the direction's bytes, for an edit's identity."""
        return {
            "gate_layer": self.layer,
            "gate_threshold": float(self.threshold),
            "gate_side": self.side,
            "gate_scale": self.scale,
            "gate_sha256": self.key[1],
        }


@runtime_checkable
class Gated(Protocol):
    """What a gate's checks need of an edit; every Intervention has it."""

    @property
    def layer(self) -> int: ...
    @property
    def label(self) -> str: ...
    @property
    def gate(self) -> PromptGate | None: ...


def gates_of(edits: Sequence[Gated]) -> tuple[PromptGate, ...]:
    """The gates of these edits, each reading once."""
    return tuple({e.gate.key: e.gate for e in edits if e.gate is not None}.values())


def weight_of(edit: Gated, readings: Mapping[Key, Tensor]) -> Float[Tensor, " row"] | None:
    """How much of an edit each row gets; None for one without a gate, which acts on every row."""
    if edit.gate is None:
        return None
    if edit.gate.key not in readings:
        raise MechclaError(
            f"the {edit.gate.label} of {edit.label or 'an edit'} at block {edit.layer} reads block "
            f"{edit.gate.layer}, which was passed without it; hand the edit to the step that runs "
            "that block, or begin at a State before it"
        )
    return edit.gate.weight(readings[edit.gate.key])


def check_gates(edits: Sequence[Gated], model: HookedModel) -> None:
    """Raises MechclaError for a gate that does not fit the model, or edits that it would read."""
    gated = [(e, e.gate) for e in edits if e.gate is not None]
    for _, gate in gated:
        if gate.direction.shape[0] != model.d_model:
            raise MechclaError(
                f"the direction of the {gate.label} has {gate.direction.shape[0]} values, "
                f"{model.name} has d_model {model.d_model}: it was made with another model"
            )
        if gate.made_with is not None and gate.made_with != model.digest:
            raise MechclaError(
                f"the {gate.label} was made with another model (digest {gate.made_with[:12]}...) "
                f"than {model.name} in {model.dtype} (digest {model.digest[:12]}...); make it again"
            )
        model.hook_name(gate.layer, SITE)
    if not gated:
        return
    owner, deepest = max(gated, key=lambda pair: pair[1].layer)
    for edit in edits:
        if edit.layer <= deepest.layer:
            raise MechclaError(
                f"{edit.label or 'an edit'} is added at block {edit.layer}, but the "
                f"{deepest.label} of {owner.label or 'an edit'} reads block {deepest.layer} of the "
                f"unsteered stream; expected every edit at block {deepest.layer + 1} or deeper, or "
                "a gate that reads an earlier block"
            )
