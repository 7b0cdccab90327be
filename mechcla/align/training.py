"""align: from a method, a base and texts to the folder of a LoRA adapter."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mechcla.align.config import make
from mechcla.align.curves import loss_curve, write_losses
from mechcla.align.data import TrainingData
from mechcla.align.kept import keep
from mechcla.align.loaders import load_data
from mechcla.align.modules import check_trainable, target_modules
from mechcla.align.plan import Plan, make_plan
from mechcla.align.record import CARD, LIMIT, LOSSES, RECORD, AlignResult, card, read_result
from mechcla.align.settings import AlignConfig
from mechcla.align.trainer import train
from mechcla.errors import MechclaError
from mechcla.models.adapters import CONFIG, WEIGHTS
from mechcla.models.load import DTYPES, base_weights, load_model
from mechcla.models.quantised import no_adapters
from mechcla.runs.identity import code_digest, versions
from mechcla.sources import load_items
from mechcla.storage import (
    TEMPORARY,
    file_sha256,
    read_sealed,
    write_sealed,
    write_text,
    writing,
)
from mechcla.sweep.plugins import plugin_digests

STARTED = "started.json"
NO_PEFT = (
    "training an adapter needs the packages 'peft' and 'accelerate'; install them with: "
    "pip install 'mechcla[align]'"
)


def align(
    method: str,
    model: str | Path = "demo",
    out: str | Path = "",
    data: TrainingData | str | Path = "demo",
    **settings: Any,
) -> AlignResult:
    """Train a LoRA adapter with an alignment method (or a control) into the folder `out`.

    method: "mist", "midalign", "clo", "english_only", "broken_pairing", or a registered name.
    data: "demo", the shipped parallel facts; a file or data set (`mechcla.align.loaders`); or
    TrainingData. settings: those of `python -m mechcla align --help`. Checkpoints lie in
    `out + ".training"` until the adapter is whole; the same call goes on from the last one, and
    returns what is there once it is done. Raises MechclaError for bad input, a loss that is not
    finite (the last good checkpoint stays), or a folder that holds another training.
    Source: docs/align.md, per method.

    >>> adapter = mechcla.align("midalign", model="demo", out="adapters/midalign")  # doctest: +SKIP
    >>> mechcla.load_model("demo", adapter=adapter.folder)                     # doctest: +SKIP
    """
    held = data if isinstance(data, TrainingData) else None
    named = {"data": held.name if held else str(data)}
    config = make({"method": method, "model": str(model), "out": str(out), **named, **settings})
    return align_config(config, held)


def align_config(config: AlignConfig, data: TrainingData | None = None) -> AlignResult:
    """The same from a config, as the command line makes it. PyTorch's threads are as before after
    it.
    """
    _check_packages()
    before = torch.get_num_threads()
    try:
        if config.threads is not None:
            torch.set_num_threads(config.threads)
        return _aligned(config, load_data(config) if data is None else data)
    finally:
        torch.set_num_threads(before)


def _aligned(config: AlignConfig, data: TrainingData) -> AlignResult:
    out, work = config.folder, config.folder.parent / f"{config.folder.name}.training"
    if out.exists():
        read_result(out)  # whatever else is there is said before a base is loaded
    base = load_model(
        config.model, device=config.device, dtype=config.dtype, revision=config.revision
    )
    described, tokenizer = base.describe(), base.tokenizer
    if packed := described.get("quantised"):
        raise no_adapters(packed["bits"], f"the model {config.model!r}")
    window, vocab_size = base.window, base.vocab_size
    mine = _decided_by(config, data, described)
    if out.exists():
        return _done(config, out, mine)
    _start(config, work, mine)
    plan = make_plan(config, data, tokenizer, window, vocab_size, base.pad_id)
    device = base.device
    del base
    with _own_chance(config.seed):
        adapted, modules = _adapted(config)
        adapted.to(device)
        losses, dev = train(adapted, plan, config, work)
    record = {
        "format": 1,
        "settings": config.resolved(),
        "data": _described(data, plan),
        "base": described,
        "modules": modules,
        **{name: mine[name] for name in ("plugins", "dev_items", "code", "versions")},
        "losses": losses,
        "dev": dev,
        "limit": LIMIT,
    }
    return _write(adapted, record, config, out, work)


def losses_again(
    trained: AlignResult, steps: int = 2, data: TrainingData | None = None
) -> list[dict[str, Any]]:
    """The losses of a recorded training's first steps, trained anew from its seed and settings.

    Nothing is written that stays; on this machine's own device. data: the texts, where the record
    does not name them. Raises MechclaError for other texts than the record's. On other processors
    and thread counts sums round otherwise, so losses agree to about 1e-5 of their size, not to the
    bit. The base is not compared: its digest differs between versions of transformers, too.

    >>> losses_again(read_result(Path("data/adapters/clo")))[0]["loss"]       # doctest: +SKIP
    """
    _check_packages()
    config = make(dict(trained.settings) | {"dev_items": None, "device": None})
    texts = load_data(config) if data is None else data
    base = load_model(
        config.model, device=config.device, dtype=config.dtype, revision=config.revision
    )
    there = trained.record["data"]["digest"]
    if texts.digest != there:
        raise MechclaError(
            f"{str(trained.folder)!r} was trained with texts of digest {there[:12]}..., and those "
            f"here have {texts.digest[:12]}...; its losses cannot be had again with them"
        )
    plan = make_plan(config, texts, base.tokenizer, base.window, base.vocab_size, base.pad_id)
    device = base.device
    del base
    with _own_chance(config.seed), tempfile.TemporaryDirectory() as work:
        adapted, _ = _adapted(config)
        adapted.to(device)
        losses, _ = train(adapted, plan, config, Path(work), stop_after=steps)
    return losses


def _check_packages() -> None:
    try:
        import accelerate  # noqa: F401
        import peft  # noqa: F401
    except ImportError as error:
        raise MechclaError(NO_PEFT) from error


def _decided_by(config: AlignConfig, data: TrainingData, base: Mapping[str, Any]) -> dict[str, Any]:
    """All that decides an adapter: other checkpoints are not gone on from."""
    return {
        "settings": config.resolved(),
        "data": data.digest,
        "base": base["digest"],
        "plugins": plugin_digests(),
        "dev_items": load_items(config.dev_items).dev.digest if config.dev_items else None,
        "device": base["device"],
        "code": code_digest(others=("plots", "report")),
        "versions": versions(("peft", "accelerate")),
    }


OTHER = {
    "data": "other training texts",
    "base": "another base",
    "plugins": "other plug-ins, or other code of theirs",
    "dev_items": "other dev items",
    "device": "another device",
    "code": "another version of mechcla's code",
    "versions": "other versions of packages",
}


def _done(config: AlignConfig, out: Path, mine: Mapping[str, Any]) -> AlignResult:
    """What `out` holds, if it is this training; with whatever code and on whatever device."""
    found = read_result(out)
    record = found.record
    held = {
        "settings": found.settings,
        "data": record["data"]["digest"],
        "base": record["base"]["digest"],
        "plugins": record.get("plugins", {}),
        "dev_items": record.get("dev_items"),
    }
    if other := _other(held, {name: mine[name] for name in held}):
        raise MechclaError(
            f"{str(out)!r} holds another training ({other}); name another folder with --out, or "
            "remove it"
        )
    return found


def _start(config: AlignConfig, work: Path, mine: Mapping[str, Any]) -> None:
    """Make the folder of checkpoints, or see that it is this training's."""
    path = work / STARTED
    if not path.exists():
        with writing(path):
            work.mkdir(parents=True, exist_ok=True)
        write_sealed(path, dict(mine))
        return
    there = read_sealed(path, *mine)
    if other := "damaged" if there is None else _other(there, mine):
        raise MechclaError(
            f"{str(work)!r} holds the checkpoints of another training ({other}); "
            "name another folder with --out, or remove it"
        )


def _other(there: Mapping[str, Any], mine: Mapping[str, Any]) -> str:
    """How what is there differs from this training; "" if it does not."""
    old, new = there["settings"], mine["settings"]
    # A setting that came later had its default before.
    was = {k: old.get(k, AlignConfig.model_fields[k].get_default()) for k in new}
    odd = [f"{k} {was[k]!r}, not {new[k]!r}" for k in new if was[k] != new[k]]
    return ", ".join(
        odd[:4] or [what for name, what in OTHER.items() if there.get(name) != mine.get(name)]
    )


@contextmanager
def _own_chance(seed: int) -> Iterator[None]:
    """The adapter's first weights by the seed alone; the caller's generators stay as they were."""
    held = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(held[0])
            np.random.set_state(held[1])  # noqa: NPY002


def _adapted(config: AlignConfig) -> tuple[Any, list[str]]:
    """The base with a fresh adapter in it, its own dropout off, and the modules adapted."""
    return with_adapter(base_weights(config.model, DTYPES[config.dtype], config.revision), config)


def with_adapter(model: Any, config: AlignConfig) -> tuple[Any, list[str]]:
    """The same of a transformers model that is here already, in place."""
    import warnings

    from peft import LoraConfig, get_peft_model

    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        if isinstance(getattr(module, "attention_dropout", None), float):
            module.attention_dropout = 0.0
    modules = target_modules(model, config.modules)
    lora = LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,  # type: ignore[arg-type]
        lora_dropout=config.dropout,
        target_modules=modules,
        task_type="CAUSAL_LM",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Conv1D's layout, which peft sets itself
        adapted = get_peft_model(model, lora)
    check_trainable(adapted, modules)
    return adapted, modules


def _described(data: TrainingData, plan: Plan) -> dict[str, Any]:
    return {
        "name": data.name,
        "digest": data.digest,
        "languages": list(data.languages),
        "facts": len(data.facts),
        "preferences": len(data.preferences),
        "examples": plan.n_examples,
        "licence": "; ".join(sorted({f.licence for f in data.facts if f.licence})),
    }


def _write(
    adapted: Any, record: dict[str, Any], config: AlignConfig, out: Path, work: Path
) -> AlignResult:
    """The whole folder beside `out`, then one rename; the checkpoints go when it is there."""
    part = out.parent / f"{TEMPORARY}{out.name}"
    with writing(out):
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        # The name that load_model was given, so that the adapter finds its base on other machines.
        adapted.peft_config["default"].base_model_name_or_path = config.model
        adapted.peft_config["default"].revision = config.revision
        adapted.save_pretrained(str(part), safe_serialization=True, save_embedding_layers=False)
        (part / CARD).unlink(missing_ok=True)  # peft's own
        for name in (CONFIG, WEIGHTS):
            if not (part / name).exists():
                raise MechclaError(f"peft wrote no {name} into {str(part)!r}")
        if config.adapter_dtype != "float32":
            keep(part, config.adapter_dtype)
        record["adapter"] = file_sha256(part / WEIGHTS)
        write_losses(part / LOSSES, record["losses"])
        loss_curve(part / "losses", record["losses"], config.method)
        write_text(part / CARD, card(record))
        write_sealed(part / RECORD, record)
        part.replace(out)
        shutil.rmtree(work, ignore_errors=True)
    return read_result(out)
