"""Hooks of mechcla's own, which never stay behind, and the user's, which are told from them.

`run_hooked` is the one place where mechcla hooks a model. Its hooks act only while a lock is held,
and a lock is let go by the interpreter itself, so an interrupt (Ctrl-C) at any moment leaves
nothing that acts; what was registered is found again by its mark, not by a handle that the
interrupt may have kept from being noted.
"""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from threading import Lock
from typing import Any, Literal, Protocol, TypeVar, runtime_checkable

import torch
from torch import nn

T = TypeVar("T")
Kind = Literal["site", "before", "after"]
Place = tuple[Kind, nn.Module, Callable[..., Any]]

MARK = "<mechcla hook"
# Whose own hooks are not a user's.
LIBRARIES = ("transformer_lens", "transformers", "torch", "accelerate")
_TABLES = ("_forward_hooks", "_forward_pre_hooks")
_FLAGS = (
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks_with_kwargs",
)


@runtime_checkable
class Bridged(Protocol):
    """What has a TransformerLens bridge, whose modules carry the hooks: a HookedModel."""

    @property
    def bridge(self) -> Any: ...
    @property
    def roots(self) -> tuple[nn.Module, ...]: ...


class Hook:
    """A function that acts while its switch is held, and a name that no other hook has."""

    def __init__(self, act: Callable[..., Any], switch: Any) -> None:
        self.act, self.switch = act, switch

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.act(*args, **kwargs) if self.switch.locked() else None

    def __repr__(self) -> str:  # TransformerLens names the function that it registers after this
        return f"{MARK} {id(self)}>"


def wired(bridge: Any) -> Any:
    """The bridge with TransformerLens' own hooks in place, which it would install at the first
    pass.
    """
    for block in bridge.blocks:
        getattr(block, "_maybe_wire_capture_hooks", lambda: None)()
    return bridge


def run_hooked(places: Sequence[Place], run: Callable[[], T]) -> T:
    """run() while hooks are in place, which are gone afterwards, whatever ended it.

    A place is ("site", hook point, f) with f(activation), through TransformerLens' own API, which
    alone fires every site; ("before", module, f) with f(module, args, kwargs); or ("after", module,
    f) with f(module, args, output). What f returns replaces the activation, the arguments or the
    output; None leaves it.
    """
    switch = Lock()
    hooks = [(kind, module, Hook(act, switch)) for kind, module, act in places]
    try:
        try:
            for kind, module, hook in hooks:
                _register(kind, module, hook)
            with switch:
                return run()
        finally:
            _take_off(hooks)
    finally:  # once more, for an interrupt that came as the first was about to begin
        _take_off(hooks)


def _register(kind: Kind, module: Any, hook: Hook) -> None:
    if kind == "before":
        module.register_forward_pre_hook(hook, with_kwargs=True)
    elif kind == "after":
        module.register_forward_hook(hook)
    else:
        act = hook.act
        hook.act = lambda activation, hook: act(activation)
        module.add_hook(hook)


def _take_off(hooks: Sequence[tuple[Kind, nn.Module, Hook]]) -> None:
    for _, module, hook in hooks:
        handles = getattr(module, "fwd_hooks", None)
        if isinstance(handles, list):
            handles[:] = [h for h in handles if getattr(h, "user_hook", None) is not hook]
        for table in _TABLES:
            held = getattr(module, table)
            for key, function in list(held.items()):
                if function is hook or getattr(function, "__name__", None) == repr(hook):
                    for name in _FLAGS:
                        getattr(module, name).pop(key, None)
                    held.pop(key, None)


def _of_a_library(function: Any) -> bool:
    while hasattr(function, "func"):  # functools.partial
        function = function.func
    module = str(getattr(function, "__module__", None) or type(function).__module__)
    return module.split(".")[0] in LIBRARIES


def _foreign(module: Any) -> Iterator[tuple[str, int, Any]]:
    """One module's hooks that are neither mechcla's nor a library's: (table, key, function)."""
    own: set[int] = set()
    given: dict[int, Any] = {}
    for handle in getattr(module, "fwd_hooks", ()):
        key = getattr(getattr(handle, "hook", None), "id", None)
        if key is None:
            continue
        user = getattr(handle, "user_hook", None)
        given[key] = user
        # What TransformerLens ties together at boot is permanent and its own; a function of its
        # that a user hooks is not.
        if isinstance(user, Hook) or (handle.is_permanent and _of_a_library(user)):
            own.add(key)
    point = hasattr(module, "fwd_hooks")
    for table in _TABLES:
        for key, function in getattr(module, table).items():
            if (table == "_forward_hooks" and key in own) or isinstance(function, Hook):
                continue
            if str(getattr(function, "__name__", "")).startswith(MARK):
                continue
            if table == "_forward_hooks" and key in given:
                yield table, key, given[key] or function
            elif point or not _of_a_library(function):
                yield table, key, function


def hooks_on(modules: Sequence[nn.Module]) -> int:
    """How many forward hooks of any kind are in place on these modules."""
    everywhere = torch.nn.modules.module
    found = len(everywhere._global_forward_hooks) + len(everywhere._global_forward_pre_hooks)
    for module in modules:
        found += len(module._forward_hooks) + len(module._forward_pre_hooks)
    return found


def library_hooks_on(modules: Sequence[nn.Module]) -> int:
    """How many of them are TransformerLens', transformers', torch's or accelerate's own."""
    own = 0
    for module in modules:
        held = [f for table in _TABLES for f in getattr(module, table).values()]
        marked = [f for f in held if str(getattr(f, "__name__", "")).startswith(MARK)]
        own += len(held) - len(marked) - sum(isinstance(f, Hook) for f in held)
        own -= sum(1 for _ in _foreign(module))
    return own


def _modules(model: Bridged) -> Iterator[tuple[str, nn.Module]]:
    seen: set[int] = set()
    for root in model.roots:
        for name, module in root.named_modules():
            if id(module) not in seen:
                seen.add(id(module))
                yield name, module


def users_hooks(model: Bridged) -> tuple[str, ...]:
    """Names of the modules that carry forward hooks of the user's own, a name per hook.

    Hooks through TransformerLens (add_hook, hooks, permanent ones too) and torch's own on any
    module count; what TransformerLens, transformers, torch and mechcla install does not.

    >>> model.bridge.add_hook("blocks.1.hook_out", lambda h, hook: h)
    >>> users_hooks(model)
    ('blocks.1.hook_out',)
    >>> model.bridge.reset_hooks()
    """
    found = [
        str(getattr(module, "name", None) or name or type(module).__name__)
        for name, module in _modules(model)
        for _ in _foreign(module)
    ]
    everywhere = torch.nn.modules.module
    for table in (everywhere._global_forward_hooks, everywhere._global_forward_pre_hooks):
        found += ["every module" for f in table.values() if not _of_a_library(f)]
    return tuple(found)


def run_bare(model: Bridged, run: Callable[[], T]) -> T:
    """run() on the model as it is without the user's hooks, which are in place again afterwards.

    What a model can do is measured so: a hook may change the numbers, and it need not see rows of
    no text of its user's.
    """
    swaps: list[tuple[nn.Module, str, Any]] = []
    for _, module in _modules(model):
        away: dict[str, set[int]] = {}
        for table, key, _ in _foreign(module):
            away.setdefault(table, set()).add(key)
        swaps += [(module, table, (getattr(module, table), keys)) for table, keys in away.items()]
    try:
        try:
            for module, table, (held, keys) in swaps:
                module.__dict__[table] = OrderedDict(
                    (k, f) for k, f in held.items() if k not in keys
                )
            return run()
        finally:
            _put_back(swaps)
    finally:
        _put_back(swaps)


def _put_back(swaps: Sequence[tuple[nn.Module, str, Any]]) -> None:
    for module, table, (held, _) in swaps:
        module.__dict__[table] = held


_told: weakref.WeakSet[Any] = weakref.WeakSet()


def first_time(model: Bridged) -> bool:
    """Whether this model's user is told for the first time about hooks."""
    new = model not in _told
    _told.add(model)
    return new
