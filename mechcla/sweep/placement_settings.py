"""PlacementSettings: where a model's weights lie, as every command that loads one takes it.

The same weights give the same numbers wherever they lie, so these are in a run's record and not in
its identity: the same run may go on with another map. Source: ours; the maps are accelerate's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Field
from pydantic_settings import NoDecode

from mechcla.errors import MechclaError, nearest
from mechcla.models.placement import SETTINGS
from mechcla.sweep.setting_types import Given, json_object

MAPS = ("auto", "balanced", "balanced_low_0", "sequential")  # accelerate's, by name
SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([KMG])(i?)B", re.IGNORECASE)  # what accelerate takes for one
PER_MODULE, PER_DEVICE = """'{"": "cpu"}'""", """'{"0": "70GiB", "1": "70GiB"}'"""


def _map(value: Any) -> Any:
    """A map's name, or places by module."""
    if value is None:
        return None
    if isinstance(value, str) and not value.lstrip().startswith("{"):
        if value not in MAPS:
            raise ValueError(
                f"{nearest(value, MAPS)}, or a place per module as {PER_MODULE}; for one place "
                "there is device"
            )
        return value
    found = json_object(value, PER_MODULE)
    if not isinstance(found, Mapping) or not found:
        raise ValueError(f"expected {', '.join(MAPS)}, or a place per module as {PER_MODULE}")
    for module, place in found.items():
        if not isinstance(module, str) or isinstance(place, bool) or not _is_place(place):
            raise ValueError(
                f"{module!r} lies at {place!r}; expected a module's name and a device: a number of "
                "a GPU, 'cuda:1', 'cpu' or 'disk'"
            )
    return dict(found)


def _is_place(value: Any) -> bool:
    return value >= 0 if isinstance(value, int) else isinstance(value, str) and bool(value)


def _memory(value: Any) -> Any:
    """Sizes by device. The number of a GPU is a text in JSON."""
    if value is None:
        return None
    found = json_object(value, PER_DEVICE)
    if not isinstance(found, Mapping) or not found:
        raise ValueError(f"expected an object such as {PER_DEVICE}")
    sizes = {int(k) if isinstance(k, str) and k.isdecimal() else k: v for k, v in found.items()}
    for device, size in sizes.items():
        try:
            bytes_of(size)
        except ValueError as error:
            raise ValueError(f"device {device!r} may give {size!r}; {error}") from None
    return sizes


def bytes_of(size: Any) -> int:
    """A size in bytes: a whole number as it is, or a text. Raises ValueError for anything else.

    >>> bytes_of(512), bytes_of("1.5GiB"), bytes_of("2 GB")
    (512, 1610612736, 2000000000)
    """
    if isinstance(size, int) and not isinstance(size, bool) and size > 0:
        return size
    found = SIZE.fullmatch(size) if isinstance(size, str) else None
    if found is None:
        raise ValueError("expected bytes, or a size such as '70GiB'")
    base = 1024 if found[3] else 1000
    return int(float(found[1]) * base ** (1 + "KMG".index(found[2].upper())))


def _bytes(value: Any) -> Any:
    """Bytes of one size, whose number is a text on the command line."""
    is_digits = isinstance(value, str) and value.isdecimal()
    return None if value is None else bytes_of(int(value) if is_digits else value)


if TYPE_CHECKING:
    MapOrName = str | dict[str, str | int]
    Sizes = dict[int | str, int | str]
    Bytes = int
else:  # plain texts on the command line, which the validators read
    MapOrName = Annotated[Any, NoDecode, BeforeValidator(_map)]
    Sizes = Annotated[Any, NoDecode, BeforeValidator(_memory)]
    Bytes = Annotated[int, Field(ge=1), BeforeValidator(_bytes)]


class PlacementSettings(Given):
    """Where a model's weights lie, if not on one device."""

    device_map: MapOrName | None = Field(
        None,
        description=f"weights on several devices, instead of --device: {', '.join(MAPS)}, or a "
        """place per module as JSON: '{"model.embed_tokens": 0, ...}' ('disk' on a machine """
        "without a GPU)",
    )
    n_devices: int | None = Field(
        None, ge=1, le=1_000, description="weights on so many CUDA devices, evenly"
    )
    max_memory: Sizes | None = Field(
        None,
        description=f"what each device may give to weights, as JSON: {PER_DEVICE}",
    )

    def placed(self) -> dict[str, Any]:
        """Those of these settings that were given, as a record has them; {} for one device."""
        return self.model_dump(mode="json", include={*SETTINGS}, exclude_none=True)

    def place(self) -> dict[str, Any]:
        """The same as `load_model` takes them."""
        return {name: getattr(self, name) for name in SETTINGS}


def check_place(device: str | None, asked: PlacementSettings) -> None:
    """Refuse one device beside a map of several, before anything is loaded."""
    placed = [k for k, v in asked.placed().items() if (k, v) != ("n_devices", 1)]
    if device is not None and placed:
        raise MechclaError(
            f"device={device!r} is one place, and {', '.join(placed)} several; expected one or the "
            "other"
        )
