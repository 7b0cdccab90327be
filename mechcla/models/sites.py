"""Which sites of a model do what their names say, found by one small pass and not assumed.

A site works at a block if its hook fires once with [row, seq, d_model], what is written there is
used, and

    resid_pre + attn_out + mlp_out = resid_post,   resid_mid + mlp_out = resid_post

so that attn_out and mlp_out are what is added to the stream: behind a post-norm (Gemma 2, OLMo 2),
scaled where a family scales it (Granite). A site that fails at a block is refused there by name.
Source: ours; the sites are TransformerLens'.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from mechcla.errors import MechclaError
from mechcla.models.hooking import Bridged, Place, run_bare, run_hooked

SITES = ("resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out")
ROWS, LENGTH = 2, 5
_known: weakref.WeakKeyDictionary[Any, tuple[dict[str, str | None], ...]] = (
    weakref.WeakKeyDictionary()
)


@runtime_checkable
class Runs(Bridged, Protocol):
    """What the pass needs of a model; a HookedModel has it."""

    @property
    def name(self) -> str: ...
    @property
    def n_layers(self) -> int: ...
    @property
    def d_model(self) -> int: ...
    @property
    def vocab_size(self) -> int: ...
    @property
    def device(self) -> torch.device: ...
    @property
    def dtype(self) -> torch.dtype: ...

    def run_decoder(self, ids: Tensor, mask: Tensor, positions: Tensor) -> None: ...


@dataclass(frozen=True, eq=False)
class _Seen:
    """What one hook point showed in the pass: how often it fired, and the last value that it let
    through.
    """

    times: int = 0
    value: Tensor | None = None

    def usable(self, d_model: int) -> bool:
        return (
            self.times == 1
            and self.value is not None
            and tuple(self.value.shape) == (ROWS, LENGTH, d_model)
        )


def faults(model: Runs, layer: int) -> dict[str, str | None]:
    """For every site, why it does not work at this block of the model; None where it does.

    Measured once per model, without the user's hooks. Raises MechclaError if the model does not run
    at all.
    """
    if model not in _known:
        _known[model] = run_bare(model, lambda: _measure(model))
    return _known[model][layer]


@torch.inference_mode()
def _measure(model: Runs) -> tuple[dict[str, str | None], ...]:
    seen: dict[tuple[int, str], _Seen] = {}
    generator = torch.Generator().manual_seed(0)

    def watch(layer: int, site: str) -> Callable[[Any], Any]:
        nudge = torch.randn(model.d_model, generator=generator)

        def act(h: Any) -> Any:
            before = seen.get((layer, site), _Seen())
            fits = isinstance(h, Tensor) and h.ndim == 3 and h.shape[-1] == model.d_model
            new = None
            if fits and site in ("attn_out", "mlp_out"):  # what is written there must be used
                size = h.float().std() + 0.1
                new = h + (size * nudge.to(h.device)).to(h.dtype)
            value = (h if new is None else new).detach().float().clone() if fits else None
            seen[(layer, site)] = _Seen(before.times + 1, value)
            return new

        return act

    points: list[Place] = [
        ("site", model.bridge.hook_dict[name], watch(layer, site))
        for layer in range(model.n_layers)
        for site in SITES
        if (name := f"blocks.{layer}.hook_{site}") in model.bridge.hook_dict
    ]
    ids = torch.randint(0, model.vocab_size, (ROWS, LENGTH), generator=generator)
    ids = ids.to(model.device)
    positions = torch.arange(LENGTH, device=model.device).repeat(ROWS, 1)
    try:
        run_hooked(points, lambda: model.run_decoder(ids, torch.ones_like(ids), positions))
    except Exception as error:  # an architecture may fail in any way it likes
        dtype = str(model.dtype).removeprefix("torch.")
        advice = "" if dtype == "float32" else "; try dtype='float32'"
        raise MechclaError(
            f"TransformerLens boots {model.name!r} but cannot run it in {dtype}: "
            f"{type(error).__name__}: {error}\n"
            f"mechcla takes the decoders that TransformerBridge runs{advice}."
        ) from error
    exact = torch.finfo(model.dtype).eps
    return tuple(
        _block({s: seen.get((k, s), _Seen()) for s in SITES}, model.d_model, exact)
        for k in range(model.n_layers)
    )


def _block(seen: dict[str, _Seen], d_model: int, eps: float) -> dict[str, str | None]:
    why: dict[str, str | None] = {}
    value: dict[str, Tensor] = {}
    for site, one in seen.items():
        if one.usable(d_model) and one.value is not None:
            value[site] = one.value
            why[site] = None
        elif one.times == 0:
            why[site] = "it does not fire"
        elif one.times == 1:
            why[site] = "it does not show [row, seq, d_model]"
        else:
            why[site] = f"it fires {one.times} times in one pass"
    pre, mid, post = (value.get(s) for s in ("resid_pre", "resid_mid", "resid_post"))
    attn, mlp = value.get("attn_out"), value.get("mlp_out")

    def equal(total: Tensor | None, *parts: Tensor | None) -> bool:
        if total is None or any(p is None for p in parts):
            return False
        given = [p for p in parts if p is not None]
        gap = (torch.stack(given).sum(0) - total).norm(dim=-1)
        room = 1e-4 * given[-1].norm(dim=-1) + 16 * eps * sum(p.norm(dim=-1) for p in given)
        return bool((gap <= room).all())

    before_mlp = equal(post, mid, mlp)
    behind_attn = equal(mid, pre, attn)
    together = equal(post, pre, attn, mlp)
    if attn is not None and not (behind_attn or (mid is None and together)):
        why["attn_out"] = "it is not what the block adds to the stream"
    if mlp is not None and not (before_mlp or (mid is None and together)):
        why["mlp_out"] = "it is not what the block adds to the stream"
    if mid is not None and not (before_mlp if mlp is not None else behind_attn):
        why["resid_mid"] = "it is not the stream between attention and MLP"
    return why
