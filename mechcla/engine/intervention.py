"""What is added where, how strongly and at which tokens; EN, LOC and SUR are built here.

How v acts on the activation at the chosen tokens is its operator's part (`operators`). raw unit:
the strength counts multiples of v. relative unit: it counts multiples of r u, where u = v / |v| and
r is the mean norm of the activations from which v was made (last prompt token, this layer, site and
language), so that a strength means the same share of the stream at every layer. Source: the units
are ours.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mechcla.engine.gating import PromptGate, check_gates
from mechcla.engine.operators import OPERATORS, Strength
from mechcla.engine.transfers import lent, sent
from mechcla.errors import MechclaError, unknown
from mechcla.models.chat import Chat, chat_settings
from mechcla.user_code import ours

if TYPE_CHECKING:
    from mechcla.models.hooked_model import HookedModel


Operator = str  # a name in OPERATORS; these names are checked when an Intervention is made
Positions = str  # one of POSITIONS
Unit = str  # one of UNITS

POSITIONS: tuple[str, ...] = (
    "last_prompt_token",
    "prompt",
    "prompt_and_answer",
    "answer",
    "last_and_answer",
)
BEHIND = ("last_prompt_token", "answer", "last_and_answer")  # no token before the prompt's last
UNITS: tuple[str, ...] = ("raw", "relative")


@dataclass(frozen=True, eq=False)
class Intervention:
    """One edit of one site of one block.

    vector: d_model values. norm: the reference norm r of the relative unit. operator: how the
    vector acts, a name in `operators.OPERATORS`. positions: which tokens are edited: the last
    prompt token; the prompt; prompt and answer; the answer; the last prompt token and the answer
    (what steering during generation edits). `prompt` is what the user wrote: tokens that the
    tokenizer (BOS) or a chat template (turn markers, a system turn) added are not edited, save that
    the last prompt token, where vectors are read, is edited by its name whoever put it there.
    made_with: digest of the model that the vector was made with, if known. made_in: whether its
    prompts stood in a chat template, and in which, if known. matrix: W of the operator map, or of
    another that takes one. language: whose rows the vector is for; None suits any. It decides what
    is refused, no number. gate: which rows it acts on (`gating`); None is all. A zero vector
    without a matrix changes nothing. The vector is taken as frozen: its length is taken once, so
    make a new Intervention for other values. Raises MechclaError for a strength or vector that is
    not finite, an unknown name, or the relative unit with an operator (ablate, map) for whose
    strength it has no meaning.
    """

    vector: Float[Tensor, " d_model"]
    layer: int
    strength: float
    site: str = "resid_post"
    operator: Operator = "add"
    positions: Positions = "prompt_and_answer"
    unit: Unit = "raw"
    norm: float | None = None
    label: str = ""
    made_with: str | None = None
    matrix: Float[Tensor, "d_model d_model"] | None = None
    made_in: Mapping[str, Any] | None = None
    language: str | None = None
    gate: PromptGate | None = None

    def __post_init__(self) -> None:
        operation = OPERATORS.get(self.operator)
        for name, known in (("positions", POSITIONS), ("unit", UNITS)):
            if getattr(self, name) not in known:
                raise unknown(name, getattr(self, name), known)
        if isinstance(self.strength, bool) or not isinstance(self.strength, (int, float)):
            raise MechclaError(f"strength is {self.strength!r}; expected a number")
        if not math.isfinite(self.strength):
            raise MechclaError(f"strength is {self.strength!r}; expected a finite number")
        if self.vector.ndim != 1 or not bool(torch.isfinite(self.vector).all()):
            raise MechclaError(
                f"the {self.label or 'steering'} vector has shape {tuple(self.vector.shape)} or "
                "values that are not finite; expected d_model finite values"
            )
        if self.unit != "raw" and not operation.unit:
            raise MechclaError(
                f"operator {self.operator!r} {operation.does}; its strength has no unit, so leave "
                "unit='raw'"
            )
        if operation.takes_matrix != (self.matrix is not None):
            take = [repr(name) for name, one in OPERATORS.items() if one.takes_matrix]
            raise MechclaError(
                f"operator {self.operator!r} with matrix "
                f"{'missing' if self.matrix is None else 'given'}; {' and '.join(take)} alone "
                f"{'takes' if len(take) == 1 else 'take'} one"
            )
        if self.matrix is not None and not bool(torch.isfinite(self.matrix).all()):
            raise MechclaError(
                "the map has values that are not finite; expected d_model x d_model finite values"
            )
        if self.unit == "relative" and not (self.norm and math.isfinite(self.norm)):
            raise MechclaError(
                "unit 'relative' needs `norm`, the mean residual norm at this layer; "
                "SteeringVectors has it"
            )

    @cached_property
    def _length(self) -> Tensor:
        """|v|, without dimensions, on the CPU: to ask a GPU for it would wait for all its work."""
        length: Tensor = self.vector.detach().to("cpu", torch.float32).norm()
        return length

    @cached_property
    def _zero(self) -> bool:
        return float(self._length) == 0.0

    @cached_property
    def _copies(self) -> dict[torch.device, Tensor]:
        return {}

    def _on(self, device: torch.device) -> Tensor:
        """The vector in float32 on a device, sent there once."""
        if device not in self._copies:
            self._copies[device] = sent(self.vector.to(dtype=torch.float32), device)
        return self._copies[device]

    def apply(
        self,
        h: Float[Tensor, "row seq d_model"],
        where: Bool[Tensor, "row seq"],
        weight: Float[Tensor, " row"] | None = None,
    ) -> Float[Tensor, "row seq d_model"]:
        """The edited activation; tokens outside `where` keep their values to the last bit.

        weight: how much of the edit each row gets, where it has a gate; a row of weight 0 keeps its
        values too. Raises MechclaError for an edit with a gate that is given none.
        """
        if self.gate is not None and weight is None:
            raise MechclaError(
                f"the {self.label or 'steering'} edit has a gate; expected `weight`, what the gate "
                "makes of each row"
            )
        v, matrix, scale = self._on(h.device), self.matrix, cast(Strength, self.strength)
        if matrix is not None:  # too large to be kept there by every intervention
            matrix = lent(matrix, h.device)
        elif self._zero:
            return h
        elif self.unit == "relative":
            scale = self.strength * float(self.norm or 0.0) / self._length
        operation = OPERATORS.get(self.operator)
        given = h if ours(operation.act) else h.clone()  # a user's may edit it in place
        new = operation.act(given, v, scale, matrix)
        if not isinstance(new, Tensor) or new.shape != h.shape:
            made = tuple(new.shape) if isinstance(new, Tensor) else type(new).__name__
            raise MechclaError(
                f"operator {self.operator!r} made {made} of an activation {tuple(h.shape)}; "
                "expected the same shape"
            )
        if weight is not None:
            weight = weight.to(h.device)  # read at another block, which may lie elsewhere
            where = where & (weight > 0).unsqueeze(-1)
            if self.gate is not None and self.gate.scale is not None:
                precise = torch.promote_types(h.dtype, torch.float32)
                before = h.to(precise)
                new = before + weight[:, None, None].to(precise) * (new.to(precise) - before)
        return torch.where(where.unsqueeze(-1), new.to(h.dtype), h)

    @property
    def idle(self) -> bool:
        """Whether it is no intervention: of strength 0, with an operator that does nothing then."""
        return self.strength == 0.0 and OPERATORS.get(self.operator).nothing_at_zero

    def describe(self) -> dict[str, object]:
        """Settings and a digest of the vector's bytes: the part of a result's identity that is this
        edit.
        """

        def sha256(values: Tensor) -> str:
            return hashlib.sha256(
                values.detach().to("cpu", torch.float32).contiguous().numpy().tobytes()
            ).hexdigest()

        more = {} if self.matrix is None else {"matrix_sha256": sha256(self.matrix)}
        if (code := OPERATORS.get(self.operator).code) is not None:
            more["operator_sha256"] = code
        return {
            "label": self.label,
            "layer": self.layer,
            "strength": float(self.strength),
            "site": self.site,
            "operator": self.operator,
            "positions": self.positions,
            "unit": self.unit,
            "norm": self.norm,
            "vector_sha256": sha256(self.vector),
            "language": self.language,
            **more,
            **(self.gate.describe() if self.gate is not None else {}),
        }


def active(
    interventions: Intervention | Sequence[Intervention], model: HookedModel
) -> tuple[Intervention, ...]:
    """The interventions that do something, checked against the model.

    One of strength 0 is no intervention and is left out, so its scores are the unsteered ones to
    the last bit. Raises MechclaError for a vector of another width, a layer or site that the model
    lacks, or a gate that would read a steered stream.
    """
    listed = (interventions,) if isinstance(interventions, Intervention) else tuple(interventions)
    for one in listed:
        if not isinstance(one, Intervention):
            raise MechclaError(
                f"expected Intervention objects, got a {type(one).__name__}: {one!r:.80}"
            )
        if one.vector.shape[0] != model.d_model:
            raise MechclaError(
                f"the {one.label or 'steering'} vector has {one.vector.shape[0]} values, "
                f"{model.name} has d_model {model.d_model}: it was made with another model"
            )
        if one.made_with is not None and one.made_with != model.digest:
            raise MechclaError(
                f"the {one.label or 'steering'} vector was made with another model (digest "
                f"{one.made_with[:12]}...) than {model.name} in {model.dtype} (digest "
                f"{model.digest[:12]}...): other weights, config, tokenizer or chat template; "
                "make it again, or, to use it all the same, take the record off: "
                "dataclasses.replace(vectors, record={})"
            )
        model.hook_name(one.layer, one.site)
    acting = tuple(one for one in listed if not one.idle)
    check_gates(acting, model)
    return acting


def chat_of(record: Mapping[str, Any]) -> dict[str, Any] | None:
    """The part of a vector's record that says how its prompts were put; None where none does."""
    if "chat" not in record:
        return None
    return {key: record[key] for key in ("chat", "chat_template") if key in record}


def check_chat(
    interventions: Intervention | Sequence[Intervention], model: HookedModel, chat: bool | Chat
) -> None:
    """Raises MechclaError for a vector whose prompts stood in another template, or in none."""
    asked = chat_settings(chat, model.tokenizer)
    given = (interventions,) if isinstance(interventions, Intervention) else interventions
    acting = [one for one in given if isinstance(one, Intervention) and not one.idle]
    parts = [(f"{one.label or 'steering'} vector", one.made_in) for one in acting]
    parts += [(one.gate.label, one.gate.made_in) for one in acting if one.gate is not None]
    for what, made_in in parts:
        if made_in is None or dict(made_in) == asked:
            continue
        made, now = (
            {"chat": how["chat"], **how.get("chat_template", {})} for how in (made_in, asked)
        )
        keys = [key for key in dict.fromkeys([*made, *now]) if made.get(key) != now.get(key)]
        keys = ["chat"] if "chat" in keys else keys
        listed = "; ".join(
            f"{'the template (SHA-256)' if key == 'sha256' else key} was {_short(made.get(key))}, "
            f"is now {_short(now.get(key))}"
            for key in keys
        )
        raise MechclaError(
            f"the {what} was made with prompts put another way than "
            f"these: {listed}. Make it again with this chat, or pass the chat that it was made "
            "with; to use it all the same, take the record off: dataclasses.replace(vectors, "
            "record={})"
        )


def _short(value: object) -> str:
    return repr(value) if len(repr(value)) <= 60 else f"{value!r:.57}..."
