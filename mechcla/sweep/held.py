"""Models and items that a caller holds as objects, and configs that name them.

A config says a model's name, and items by their digest, "sha256:..."; the items themselves lie as
items.jsonl in the run folder. `--config RUN/config.yaml` therefore finds both again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from mechcla.errors import MechclaError
from mechcla.items.item_set import STREAMED, ItemSet, open_jsonl
from mechcla.models.adapters import find_shipped
from mechcla.models.hooked_model import HookedModel
from mechcla.models.hooking import users_hooks
from mechcla.models.load import load_model
from mechcla.models.packaged import PACKAGED
from mechcla.models.placement import SETTINGS
from mechcla.models.revisions import REPOSITORY, at_revision
from mechcla.runs.folder import ITEMS
from mechcla.sources import load_items
from mechcla.storage import user_path
from mechcla.sweep.config import SweepConfig

DIGEST = "sha256:"  # what items that were given as an object begin with in a config


def model_settings(model: HookedModel) -> dict[str, Any]:
    """What a config says of a model that is held: its name, dtype, device, and revision if any, and
    what its blocks run as.
    """
    described = model.describe()
    found = {"model": model.name, "dtype": described["dtype"], "device": described["device"]}
    found |= {"revision": model.revision} if model.revision else {}
    found |= {"compile": True} if model.compiled else {}
    return found | ({"attention": "sdpa"} if model.sdpa else {})


def held_settings(model: HookedModel, given: Mapping[str, Any]) -> dict[str, Any]:
    """`model_settings`, where what was given beside the model agrees with it.

    Raises MechclaError for a dtype, device or revision that the loaded model has not.
    """
    found = model_settings(model)
    for name in SETTINGS:
        if given.get(name) is not None:
            raise MechclaError(
                f"setting {name!r} is {given[name]!r}, but the model {model.name!r} is loaded "
                f"already; leave the setting out, or give it to load_model"
            )
    for name in ("dtype", "device", "revision", "compile", "attention"):
        asked, has = given.get(name), found.get(name)
        said = str(asked).removeprefix("torch.")
        same = (
            asked == has or said == has or (name == "device" and said == str(has).partition(":")[0])
        )
        if asked not in (None, False, "eager") and not same:
            raise MechclaError(
                f"setting {name!r} is {asked!r}, but the model {model.name!r} is loaded already, "
                f"with {name} {has!r}; leave the setting out, or load the model so"
            )
    return found


def of_model(model: HookedModel) -> dict[str, str]:
    """A model's part of a run's identity.

    What the user's own hooks do cannot be told from outside, so a run under them is like no other:
    it is never resumed.
    """
    described, hooks = model.describe(), users_hooks(model)
    own = {"hooks of your own": f"{', '.join(hooks)} ({uuid4().hex})"} if hooks else {}
    if packed := described.get("quantised"):  # with the version of what unpacks the weights
        own["quantised"] = ", ".join(f"{key} {value}" for key, value in packed.items())
    return own | {k: described[k] for k in ("dtype", "device", "attention")}


def item_settings(items: ItemSet) -> dict[str, Any]:
    """What a config says of items that are held."""
    return {"items": f"{DIGEST}{items.digest}"}


def find_items(config: SweepConfig) -> ItemSet:
    """The items that a config names.

    Raises MechclaError for items that it names by their digest alone, if they do not lie beside its
    file.
    """
    languages = list(config.languages) if config.languages else None
    if not config.items.startswith(DIGEST):
        return _load(config.items, languages)
    beside = config.config.parent / ITEMS if config.config is not None else None
    if beside is None or not beside.is_file():
        where = f"beside {str(config.config)!r}" if config.config else "beside a --config file"
        raise MechclaError(
            f"items {config.items!r} were given as an object, so they are expected as {ITEMS} "
            f"{where}, and are not there; give --items, or the config.yaml of a whole run folder"
        )
    items = open_jsonl(beside)
    if f"{DIGEST}{items.digest}" != config.items:
        raise MechclaError(
            f"{str(beside)!r} holds other items than {str(config.config)!r} was made with; put a "
            f"copy of them back, or give --items {beside}"
        )
    return items if languages is None else _load(beside, languages)


def _load(source: str | Path, languages: list[str] | None) -> ItemSet:
    path = user_path(source)
    large = path.suffix == ".jsonl" and path.is_file() and path.stat().st_size > STREAMED
    return load_items(source, languages, **({"stream": True} if large else {}))


def find_model(config: SweepConfig) -> HookedModel:
    """The model that a config names; "BASE+ADAPTER" is a base with an adapter's folder."""
    name, adapter = _parts(config.model)
    return load_model(
        name,
        adapter=adapter,
        dtype=config.dtype,
        device=config.device,
        revision=config.revision,
        compile=config.compile,
        attention=config.attention,
        **config.place(),
    )


def _parts(name: str) -> tuple[str, str | None]:
    """The base and the adapter of a name that `load_model(base, adapter=...)` gave a model."""
    if not user_path(name).exists():
        for place in (k for k, letter in enumerate(name) if letter == "+"):
            base, adapter = name[:place], name[place + 1 :]
            if base and find_shipped(adapter) is not None:
                return base, adapter
            if base and (user_path(adapter) / "adapter_config.json").is_file():
                return base, str(Path(user_path(adapter)))
            known = base in PACKAGED or user_path(base).exists() or re.fullmatch(REPOSITORY, base)
            if known and re.fullmatch(REPOSITORY, at_revision(adapter)[0]):  # which holds no "+"
                return base, adapter
    return name, None
