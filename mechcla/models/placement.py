"""Where the weights of a model lie: one device, several by a map, or partly on disk.

A map is accelerate's: transformers reads every tensor straight to its place, once, and
TransformerLens' bridge runs the model where it lies. Source: ours; the checks are the bridge's.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch
from torch import nn

from mechcla.errors import MechclaError
from mechcla.models.hooking import Bridged

# Beside `device`: what `load_model` takes for weights in several places.
SETTINGS = ("device_map", "n_devices", "max_memory")
DeviceMap = str | Mapping[str, str | int]
MaxMemory = Mapping[int | str, int | str]


@dataclass(frozen=True)
class Placement:
    """Where a model goes: `device`, or a map by module with the memory that each device may give.

    keywords: what `from_pretrained` is given for it; {} reads to the CPU.
    """

    device: torch.device | None
    keywords: Mapping[str, Any]

    def move(self, model: Any) -> Any:
        """The model on its one device; where a map placed it, as it is."""
        return model if self.device is None else model.to(self.device)


def placement(
    device: str | torch.device | None = None,
    device_map: DeviceMap | None = None,
    n_devices: int | None = None,
    max_memory: MaxMemory | None = None,
) -> Placement:
    """What `load_model`'s four settings of placement come to.

    Raises MechclaError for settings that exclude each other, a device that this machine does not
    have, or a map that the bridge refuses.

    >>> placement("cpu").keywords
    {}
    """
    if n_devices is not None and (not isinstance(n_devices, int) or n_devices < 1):
        raise MechclaError(f"n_devices is {n_devices!r}; expected a whole number from 1")
    mapped = device_map is not None or max_memory is not None or (n_devices or 1) > 1
    if not mapped:
        return _single(device)
    if device is not None:
        raise MechclaError(
            f"device={str(device)!r} is one place, and device_map, n_devices and max_memory are "
            "several; expected one or the other"
        )
    if find_spec("accelerate") is None:
        raise MechclaError(
            "device_map, n_devices and max_memory need the package 'accelerate'; install it with: "
            "pip install 'mechcla[align]'"
        )
    from transformer_lens.utilities.multi_gpu import resolve_device_map

    asked: Any = dict(device_map) if isinstance(device_map, Mapping) else device_map
    limits = None if max_memory is None else dict(max_memory)
    try:
        found, memory = resolve_device_map(n_devices, asked, None, limits)
    except ValueError as error:
        raise MechclaError(
            f"device_map={asked!r}, n_devices={n_devices!r}, max_memory={limits!r}: {error}"
        ) from error
    keywords: dict[str, Any] = {"device_map": "auto" if found is None else found}
    return Placement(None, keywords | ({} if memory is None else {"max_memory": memory}))


def _single(device: str | torch.device | None) -> Placement:
    """One device, tried once."""
    if device is None:
        target = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    else:
        try:
            torch.zeros(1, device=device)
        # Torch's own for no such name, cuda, mps and a plug-in that is absent.
        except (RuntimeError, AssertionError, NotImplementedError, ImportError) as error:
            first = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise MechclaError(
                f"device {str(device)!r} cannot be used here: {first}; try 'cpu'"
            ) from error
        target = torch.device(device)
    straight = target.type == "cuda" and find_spec("accelerate") is not None
    return Placement(target, {"device_map": {"": target}} if straight else {})


def check_spread(bridge: Any, name: str) -> None:
    """Refuse a state-space model in several places: the bridge keeps its state in one. It says so
    itself only of models that it reads itself.
    """
    places = set(map(str, (getattr(bridge.original_model, "hf_device_map", None) or {}).values()))
    if len(places) > 1 and getattr(bridge.cfg, "is_stateful", False):
        raise MechclaError(
            f"{name!r} carries a state along the row, which TransformerLens keeps on one device; "
            f"expected one place for all of it, not {', '.join(sorted(places))}"
        )


def home(model: Any) -> torch.device:
    """Where ids go in: the device of the first tensor that lies on one (on disk, it has none)."""
    there = (p.device for p in model.parameters() if p.device.type != "meta")
    return next(there, torch.device("cpu"))


def on_gpus(model: Bridged) -> dict[torch.device, int]:
    """The bytes of a model's weights on each CUDA device that has any."""
    found: dict[torch.device, int] = {}
    for weight in model.bridge.parameters():
        if weight.device.type == "cuda":
            found[weight.device] = found.get(weight.device, 0) + weight.nbytes
    return found


def brought(module: nn.Module) -> AbstractContextManager[Any]:
    """While this is open, a module's own tensors are in memory, wherever they lie."""
    if not any(p.device.type == "meta" for p in module.parameters(recurse=False)):
        return nullcontext()
    from accelerate.utils import align_module_device

    opened: AbstractContextManager[Any] = align_module_device(module)
    return opened
