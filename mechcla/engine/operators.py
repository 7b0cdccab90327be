"""How a vector acts on an activation, behind one registry, so that a user can add a way.

With the activation h at one token, the vector v, its unit direction u = v / |v| and the strength s:

    add       h + s v
    add_norm  (h + s v) rescaled to |h|: a turn towards v that leaves the norm as it was
    ablate    h - s (h . u) u: strength 1 projects v out
    map       h + s (h W + v - h): strength 1 replaces h by its image under an affine map
              (mechcla.steering.linear_map)

Which tokens are edited, and in which unit a strength is given, is `Intervention`'s part. Source:
adding and projecting out directions is common practice; add_norm's rescaling is ours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from mechcla.errors import MechclaError
from mechcla.registry import Registry
from mechcla.user_code import user_code

Strength = float | Tensor  # a tensor without dimensions where the unit is relative
Act = Callable[[Tensor, Tensor, Strength, Tensor | None], Tensor]


@dataclass(frozen=True)
class Operation:
    """One operator: act(h, v, strength, matrix) gives the edited activation, in h's shape.

    h: [row, seq, d_model], in the model's dtype. v: [d_model], float32, not zero unless there is a
    matrix: a zero vector changes nothing. strength: in multiples of v. matrix: [d_model, d_model],
    float32, or None. act is given all tokens, in a copy that it may change; what it returns is used
    at the edited ones. unit: whether a strength may be given in the relative unit, which is of the
    vector's length. takes_matrix: whether it needs a matrix, or refuses one; it then has no unit.
    nothing_at_zero: strength 0 is no intervention, so it is left out, and scores are the unsteered
    ones to the last bit. taken_back: whether strength -s takes back what s did, so that EN can be
    restored. does: for messages, what the strength is of.

    >>> def reflect(h, v, strength, matrix):
    ...     return h - 2 * strength * (h.float() @ v).unsqueeze(-1) * v / v.dot(v)
    >>> mirror = OPERATORS.register("reflect", Operation(reflect, unit=False))
    >>> "reflect" in OPERATORS
    True
    """

    act: Act
    unit: bool = True
    takes_matrix: bool = False
    nothing_at_zero: bool = True
    taken_back: bool = False
    does: str = "takes its strength as it is"

    def __post_init__(self) -> None:
        if self.takes_matrix and self.unit:
            raise MechclaError("an operator that takes a matrix has no unit; set unit=False")

    @property
    def code(self) -> str | None:
        """Digest of a user's function; None for mechcla's own, whose code is in every identity."""
        return user_code(self.act)


def add(
    h: Float[Tensor, "row seq d_model"],
    v: Float[Tensor, " d_model"],
    strength: Strength,
    matrix: Tensor | None = None,
) -> Float[Tensor, "row seq d_model"]:
    """h + s v."""
    return h + (strength * v).to(h.dtype)


def add_norm(
    h: Float[Tensor, "row seq d_model"],
    v: Float[Tensor, " d_model"],
    strength: Strength,
    matrix: Tensor | None = None,
) -> Float[Tensor, "row seq d_model"]:
    """h + s v at the norm of h."""
    new = add(h, v, strength).float()
    kept: Tensor = h.float().norm(dim=-1, keepdim=True)
    kept = kept / new.norm(dim=-1, keepdim=True).clamp_min(1e-12)
    return (new * kept).to(h.dtype)


def ablate(
    h: Float[Tensor, "row seq d_model"],
    v: Float[Tensor, " d_model"],
    strength: Strength,
    matrix: Tensor | None = None,
) -> Float[Tensor, "row seq d_model"]:
    """h - s (h . u) u."""
    unit = v / v.norm()
    along: Tensor = strength * (h.float() @ unit).unsqueeze(-1) * unit
    return h - along.to(h.dtype)


def affine_map(
    h: Float[Tensor, "row seq d_model"],
    v: Float[Tensor, " d_model"],
    strength: Strength,
    matrix: Tensor | None = None,
) -> Float[Tensor, "row seq d_model"]:
    """h + s (h W + v - h)."""
    assert matrix is not None  # Intervention has seen to it
    image = h.float() @ matrix + v
    return (h.float() + strength * (image - h.float())).to(h.dtype)


OPERATORS: Registry[Operation] = Registry("operator")


def acting() -> tuple[str, ...]:
    """Names of the operators that need a vector alone, which a sweep can take."""
    return tuple(name for name, one in OPERATORS.items() if not one.takes_matrix)


def check_use(name: str, *, restored: bool, relative: bool) -> None:
    """Raises MechclaError for a sweep's settings that ask of an operator what it cannot do."""
    one = OPERATORS.get(name)
    if restored > one.taken_back or relative > one.unit:
        can = {"restoration": one.taken_back, "unit": one.unit}
        hints = {"restoration": "add --no-restore", "unit": "leave --unit raw"}
        missing = [what for what, has in can.items() if not has]
        raise MechclaError(
            f"operator {name!r} has no {' and no '.join(missing)}; "
            + " and ".join(hints[what] for what in missing)
        )


OPERATORS.register("add", Operation(add, taken_back=True))
OPERATORS.register("add_norm", Operation(add_norm, taken_back=True))
OPERATORS.register("ablate", Operation(ablate, unit=False, does="projects v out"))
OPERATORS.register(
    "map",
    Operation(affine_map, unit=False, takes_matrix=True, does="moves h towards its image"),
)
