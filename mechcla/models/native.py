"""A model's blocks as transformers' own modules, without TransformerLens' hook points.

They share the parameters of the modules that the bridge wraps, so what is changed in place is
changed in both.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from mechcla.models.hooking import Bridged, hooks_on, library_hooks_on

MOST_KINDS = 256


class _Changed(Exception):
    """A module that does not run as its class says."""


@dataclass(frozen=True, eq=False)
class NativeBlock:
    """One block without hook points. watched: the bridge's modules; library: how many hooks
    libraries have on them.
    """

    run: Callable[..., Any]
    watched: tuple[nn.Module, ...]
    library: int

    @property
    def unhooked(self) -> bool:
        """Whether running it now would pass by no hook of the user's or of mechcla's."""
        found = hooks_on(self.watched)
        # Libraries may put hooks of their own on it later.
        return found == self.library or found == library_hooks_on(self.watched)

    def __call__(self, h: Tensor, given: Mapping[str, Any]) -> Tensor:
        """The residual stream behind the block: [row, seq, d_model], as `h`."""
        out = self.run(h, **given)
        ended: Tensor = out[0] if isinstance(out, tuple) else out
        return ended


def compiled(block: NativeBlock) -> NativeBlock:
    """The block as torch.compile's code, made at its first use; blocks of one kind share it."""
    import torch._dynamo as dynamo

    module: Any = block.run
    code: Any = torch.compile(module.forward, dynamic=True)

    def run(*args: Any, **given: Any) -> Any:
        # One for each kind of block and each shape in which a size is 1. Beyond its limit torch
        # would run blocks as they are, without a word.
        with dynamo.config.patch(recompile_limit=MOST_KINDS):
            return code(*args, **given)

    return replace(block, run=run)


def takes_sdpa(model: Bridged) -> bool:
    """Whether transformers runs this family with sdpa, and its scores uncapped: sdpa leaves a cap
    (Gemma 2) out without a word.
    """
    own = model.bridge.original_model
    caps = getattr(own.config.get_text_config(), "attn_logit_softcapping", None)
    return bool(getattr(own, "_supports_sdpa", False)) and not caps


def with_sdpa(block: NativeBlock) -> NativeBlock:
    """The block with torch's scaled_dot_product_attention in its attention's place."""
    return replace(block, run=_with_attention(cast(nn.Module, block.run), "sdpa"))


def _with_attention(module: nn.Module, name: str) -> nn.Module:
    own = dict(vars(module))
    own["_modules"] = {
        n: None if c is None else _with_attention(c, name) for n, c in module._modules.items()
    }
    if hasattr(own.get("config"), "_attn_implementation"):
        own["config"] = copy.copy(own["config"])
        own["config"]._attn_implementation = name
    twin: nn.Module = object.__new__(type(module))
    vars(twin).update(own)
    return twin


def made_of(model: Bridged) -> tuple[Any, ...]:
    """What a model's blocks are made of: as long as this stays, their copies hold.

    The modules and the numbers that they hold, where the weights lie and in which dtype, and what
    TransformerLens was told to do with them.
    """
    bridge = model.bridge
    weight = next(bridge.parameters())
    modules = (_state(module) for block in bridge.blocks for module in block.modules())
    compatible = getattr(bridge, "compatibility_mode", False)
    return bridge.training, compatible, weight.dtype, weight.device, *modules


def _state(module: nn.Module) -> tuple[Any, ...]:
    own = vars(module)
    if type(module).__module__.startswith("transformer_lens"):
        return (id(module),)
    told = tuple((k, v) for k, v in own.items() if isinstance(v, bool | int | float | str))
    return id(module), "forward" in own, "_hf_hook" in own, told


def bare_blocks(model: Bridged) -> list[NativeBlock | None]:
    """Every block without hook points; None for one whose modules were given another forward pass,
    as accelerate does where it moves weights.
    """
    return [_made(tuple(block.modules())) for block in model.bridge.blocks]


def _made(watched: tuple[nn.Module, ...]) -> NativeBlock | None:
    try:
        return NativeBlock(_bare(watched[0]), watched, library_hooks_on(watched))
    except _Changed:
        return None


def _bare(module: nn.Module | None) -> nn.Module:
    from transformer_lens.hook_points import HookPoint
    from transformer_lens.model_bridge.generalized_components.base import GeneralizedComponent

    while isinstance(module, GeneralizedComponent):
        module = module.original_component
    if module is None or isinstance(module, HookPoint):
        raise _Changed
    if "forward" in vars(module) or hasattr(module, "_hf_hook"):
        raise _Changed
    twin: nn.Module = object.__new__(type(module))
    children = {n: None if c is None else _bare(c) for n, c in module._modules.items()}
    vars(twin).update(vars(module) | {"_modules": children})
    return twin
