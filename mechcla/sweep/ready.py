"""A sweep before anything is written: items and model, checked against config and each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mechcla.engine.capability import fits
from mechcla.engine.packing import pack
from mechcla.errors import MechclaError
from mechcla.items.item import KINDS
from mechcla.items.item_set import ItemSet
from mechcla.models.chat import chat_settings
from mechcla.models.hooked_model import HookedModel
from mechcla.runs.identity import DECIDING, code_digest, versions
from mechcla.sweep.axes import Axes
from mechcla.sweep.batches import with_batches
from mechcla.sweep.checks import check_items
from mechcla.sweep.config import SweepConfig
from mechcla.sweep.held import DIGEST, find_items, find_model, item_settings, of_model
from mechcla.sweep.making import imported_digests
from mechcla.sweep.plugins import plugin_digests, users_code


@dataclass(frozen=True, eq=False)
class Ready:
    """What a run is made of. identity: all that decides its numbers beside the settings."""

    config: SweepConfig
    model: HookedModel
    items: ItemSet
    axes: Axes
    identity: dict[str, Any]


def make_ready(config: SweepConfig, model: HookedModel | None, items: ItemSet | None) -> Ready:
    """Load what is not given, and check it.

    Raises MechclaError for items, layers or a model that a sweep could not finish with.
    """
    if items is None:
        items = find_items(config)
        if config.items.startswith(DIGEST):  # of the languages that were asked for
            config = config.model_copy(update=item_settings(items))
    check_items(items, config)
    axes = Axes.of(items)
    pairs = bool(axes.having(*KINDS))
    given = config.layers if isinstance(config.layers, list) else []
    if pairs and given and len(set(given)) < 2:
        raise MechclaError(
            f"Surgical Steering needs EN above LOC, but only layers {given} were to be "
            "swept; give --layers at least two"
        )
    if model is None:
        model = find_model(config)
    if pairs and model.n_layers < 2:
        raise MechclaError(
            f"Surgical Steering needs EN above LOC, but {model.name} has {model.n_layers} block; "
            "expected two or more"
        )
    for layer in given:
        model.hook_name(layer, config.site)
    model.hook_name(0, config.site)
    for item in items:  # whatever a text can do wrong is said before anything is written
        for form in (
            ("implicit", "explicit", *(["us"] if item.prompt_us else []))
            if item.kind == "cultural"
            else ("implicit",)
        ):
            pack(item, model.tokenizer, form, model.window, config.chat_form, model.vocab_size)
    config = with_batches(config, model)
    packages = {k: v for k, v in versions().items() if k in DECIDING}
    identity = {
        "model": model.digest,
        **packages,
        "items": items.digest,
        "code": code_digest(),
        **plugin_digests(),
        **users_code(config.recipe, *filter(None, (config.operator, config.en_operator))),
        **imported_digests(config),
        **of_model(model),
        **chat_settings(config.chat_form, model.tokenizer),
        "path": "packed" if fits(model) else "plain",
    }
    return Ready(config, model, items, axes, identity)
