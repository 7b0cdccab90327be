"""Which blocks may run without TransformerLens' hook points: those that give the same without.

A block of the bridge passes through some sixty hook points, and computes each norm twice, once for
its hooks. Where no hook is in place none of it is seen, and it is a third of what a block
launches (`tests/engine/test_native.py` counts). So a block that no hook is on runs as the modules
that the bridge wraps, if these gave, to the last bit, what the bridge gave; where they round
otherwise, the bridge's own block runs. Of a model that was loaded with compile=True, these blocks
run as torch.compile's code, the unsteered pass too, but not behind a beginning that prompts share.
Source: ours.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mechcla.engine.memory import is_out_of_memory
from mechcla.errors import MechclaError
from mechcla.interrupts import again
from mechcla.models.native import NativeBlock, bare_blocks, compiled, made_of, takes_sdpa, with_sdpa

if TYPE_CHECKING:
    from mechcla.models.hooked_model import HookedModel

Blocks = tuple[NativeBlock | None, ...]
# Numbers that are compared in 16 bits. By the first batch's alone, and by as many near them,
# Cohere's blocks seemed the same and round otherwise; streams of other sizes, as of steering, tell.
DRAWS = 2**18
_known: weakref.WeakKeyDictionary[HookedModel, dict[tuple[Any, ...], Blocks]] = (
    weakref.WeakKeyDictionary()
)


class CannotFuse(MechclaError):
    """Compiled blocks, or sdpa, were asked for, and the model has none."""


def native_blocks(
    model: HookedModel,
    behind_beginning: bool,
    trunk: Sequence[Float[Tensor, "row seq d_model"]],
    calls: Sequence[Mapping[str, Any]],
) -> Blocks:
    """A native block for each of the model's, None where the bridge's must run.

    behind_beginning: whether rows look back upon one that was run before, which blocks take by
    other ways. trunk: the streams before every block and behind the last, as the bridge gave them;
    calls: the arguments of every block. Compared once per model, and anew where its modules were
    replaced, moved or cast. () while hooks are in place: nothing can be told then.
    """
    key = (behind_beginning, *made_of(model))
    known = _known.setdefault(model, {})
    if key not in known:
        bare = bare_blocks(model)
        if not all(block.unhooked for block in bare if block is not None):
            return ()
        same = tuple(
            native
            if native is not None and _same(native, model.blocks[k], trunk[k : k + 2], calls[k])
            else None
            for k, native in enumerate(bare)
        )
        if model.sdpa:
            same = _with_sdpa(model, same)
        # Behind a beginning a block names its own layer, and each would be compiled by itself.
        if model.compiled and not behind_beginning:
            same = _compiled(model, same, trunk[0], calls)
        known[key] = same
    return known[key]


def _with_sdpa(model: HookedModel, blocks: Blocks) -> Blocks:
    """The blocks with torch's own attention; how far it rounds otherwise, `fits` measures."""
    if not any(blocks) or not takes_sdpa(model):
        why = "transformers has no sdpa for this family, or it would leave out a cap on scores"
        if takes_sdpa(model):
            why = "they give other last digits without hook points, or lie on several devices"
        raise CannotFuse(
            f"no block of {model.name} runs with attention='sdpa': {why}; expected "
            "attention='eager' (--attention eager)"
        )
    return tuple(block and with_sdpa(block) for block in blocks)


def _compiled(
    model: HookedModel, blocks: Blocks, h: Tensor, calls: Sequence[Mapping[str, Any]]
) -> Blocks:
    """The blocks as compiled code, each run once; how far it rounds otherwise, `fits` measures."""
    made = tuple(block and compiled(block) for block in blocks)
    if not any(made):
        raise CannotFuse(
            f"no block of {model.name} can be compiled: without TransformerLens' hook points they "
            "give other last digits, or the weights lie on several devices; leave compile out "
            "(--compile)"
        )
    for k, block in enumerate(made):
        try:
            if block is not None:
                block(h, calls[k])
        except Exception as error:
            if is_out_of_memory(error):
                raise
            again()
            first = next(iter(str(error).strip().splitlines()), type(error).__name__)
            needs = "Triton" if h.device.type == "cuda" else "a C++ compiler such as g++"
            raise CannotFuse(
                f"torch.compile cannot compile block {k} of {model.name} ({first}); it needs "
                f"{needs}. Or leave compile out (--compile): blocks then run as they are"
            ) from error
    return made


def _same(
    native: NativeBlock, block: nn.Module, seen: Sequence[Tensor], given: Mapping[str, Any]
) -> bool:
    """Whether a block gives what the bridge's does; seen: the streams before and behind that one.

    In 16 bits most of a rounding is rounded away again, so that more numbers must be seen.
    """
    h, behind = seen
    try:
        if not torch.equal(native(h, given), behind):
            return False
        generator = torch.Generator().manual_seed(0)
        for k in range(-(-DRAWS // h.numel()) if h.element_size() == 2 else 0):
            drawn = torch.randn(h.shape, generator=generator) * 2.0 ** (k % 8 - 3)
            other = h + h.std() * drawn.to(h.device, h.dtype)  # and what steering makes of it
            out = block(other, **given)
            if not torch.equal(native(other, given), out[0] if isinstance(out, tuple) else out):
                return False
    except Exception as error:  # an architecture may lean on its hook points in any way it likes
        if is_out_of_memory(error):
            raise
        again()
        return False
    return True
