"""PEFT adapters (LoRA and its kin): found, checked against their base, merged into its weights.

Some travel with mechcla and are found by plain names (data/adapters, or in the wheel).

Merged, so that TransformerLens sees plain modules and a model's digest, which is over its weights,
is the adapted one's. Source of the arithmetic: peft's own merge (Hu et al. 2021 for LoRA).
"""

from __future__ import annotations

import hashlib
import os
import re
import warnings
from pathlib import Path
from typing import Any

from torch import nn

from mechcla.errors import MechclaError, nearest
from mechcla.models.checkpoint import (
    check_safetensors,
    first_line,
    listed,
    read_object,
    refused_by_hub,
)
from mechcla.models.gguf_header import gguf_digest, is_gguf
from mechcla.models.revisions import COMMIT, at_revision, refused_revision, snapshot
from mechcla.storage import user_path

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PLAIN = r"[\w-]+"  # a name that can only be a shipped adapter's: no path, no hub id


def shipped_folder() -> Path:
    """Where the adapters lie that a plain name finds: MECHCLA_ADAPTERS, else those that travel with
    mechcla, inside an installed wheel or in data/adapters of a checkout.
    """
    if chosen := os.environ.get("MECHCLA_ADAPTERS"):
        return user_path(chosen)
    here = Path(__file__).resolve().parent
    inside = here / "demo_adapters"
    return inside if inside.is_dir() else here.parent.parent / "data" / "adapters"


def shipped_adapters() -> dict[str, Path]:
    """The folder of each shipped adapter, by name; none in a copy of mechcla without them.

    >>> sorted(shipped_adapters())                                             # doctest: +SKIP
    ['clo', 'midalign', 'mist']
    """
    return {path.parent.name: path.parent for path in sorted(shipped_folder().glob(f"*/{CONFIG}"))}


def find_shipped(name: str) -> Path | None:
    """The folder of the shipped adapter of this name, unless the user has a folder of that name."""
    return None if user_path(name).is_dir() else shipped_adapters().get(name)


def find_adapter(path: str, revision: str | None, local: bool) -> Path | None:
    """The folder of the adapter that a folder or hub id is, or holds beside a base, if any."""
    if local:
        return Path(path) if (Path(path) / CONFIG).exists() else None
    from transformers.utils.peft_utils import find_adapter_config_file

    try:
        found = find_adapter_config_file(path, revision=revision)
    except (OSError, ValueError):  # no such id: loading the model says so
        return None
    return None if found is None else adapter_folder(f"{path}@{revision}" if revision else path)


def adapter_folder(adapter: str) -> Path:
    """The adapter's folder here; a hub id is downloaded, or found in the cache, without pickles.

    A plain name is a shipped adapter's; "org/name@revision" is a hub id at a branch, a tag or a
    commit. Raises MechclaError for one that there is none of.
    """
    if Path(adapter).is_dir():
        return Path(adapter)
    if (shipped := find_shipped(adapter)) is not None:
        return shipped
    if re.fullmatch(PLAIN, adapter):
        raise MechclaError(
            f"cannot load the adapter {adapter!r}: there is no such folder, and no adapter of that "
            f"name comes with mechcla; {nearest(adapter, shipped_adapters())}, a folder with "
            f"{CONFIG} and {WEIGHTS}, or a Hugging Face id such as org/adapter"
        )
    from huggingface_hub import snapshot_download

    repository, revision = at_revision(adapter)
    try:
        wanted = ["*.json", WEIGHTS, "*.jinja", "*.model", "*.txt"]
        return Path(snapshot_download(repository, revision=revision, allow_patterns=wanted))
    except Exception as error:  # the hub's client raises what its transport does, too
        advice = refused_by_hub(error, repository)
        if advice := advice or refused_revision(error, repository, revision):
            raise MechclaError(f"cannot load the adapter {adapter!r}: {advice}") from error
        raise MechclaError(
            f"cannot load the adapter {adapter!r}: {first_line(error)}\nExpected a folder with "
            f"{CONFIG} and {WEIGHTS}, or the Hugging Face id of one that is in the local cache or "
            "can be downloaded, as org/adapter or org/adapter@revision"
        ) from error


def recorded_base(folder: Path) -> tuple[str | None, str | None]:
    """The base that an adapter was trained on, as its config names it, and the base's revision."""
    config = read_object(folder / CONFIG, f"the adapter {str(folder)!r}")
    base, revision = config.get("base_model_name_or_path"), config.get("revision")
    return (str(base) if base else None, str(revision) if revision else None)


def check_adapter(folder: Path) -> None:
    """Refuse what is no adapter, or a pickled one, before the base is loaded; or peft absent."""
    what = f"the adapter {str(folder)!r}"
    if not (folder / CONFIG).exists():
        held = ", ".join(sorted(p.name for p in folder.iterdir())[:5]) or "nothing"
        raise MechclaError(f"cannot load {what}: the folder has no {CONFIG} (it holds {held})")
    read_object(folder / CONFIG, what)
    if not (folder / WEIGHTS).exists():
        if (folder / "adapter_model.bin").exists():
            raise MechclaError(
                f"cannot load {what}: its weights are pickled (adapter_model.bin), and mechcla "
                "unpickles nothing. Convert it once, where you trust it: "
                "PeftModel.from_pretrained(base, folder).save_pretrained(new_folder), which "
                "writes safetensors"
            )
        raise MechclaError(f"cannot load {what}: the folder has no {WEIGHTS}")
    check_safetensors(folder / WEIGHTS, what)
    try:
        import peft  # noqa: F401
    except ImportError as error:
        raise MechclaError(
            f"{what} needs the package 'peft', without which its base would be scored under its "
            "name; install it with: pip install 'mechcla[align]'"
        ) from error


def check_base(folder: Path, base: str, path: str) -> None:
    """Refuse an adapter that says that it was trained on another base.

    Two hub ids contradict one another if they differ; two folders, if their weights do; two GGUF
    files, if their bytes do. A folder and a hub id, or a folder or file that is not on this
    machine, say nothing; then the tensors' names and shapes decide.
    """
    recorded, _ = recorded_base(folder)
    if recorded is None or recorded in (base, path):
        return
    here, there = Path(path), Path(recorded)
    if _file(base) and _file(recorded):  # `path` is the folder that the file became
        other = gguf_digest(user_path(base)) != gguf_digest(user_path(recorded))
    elif here.is_dir() and there.is_dir():
        other = here.resolve() != there.resolve() and _weights(here) != _weights(there)
    else:
        other = not (here.is_dir() or there.is_absolute() or there.is_dir()) and (
            recorded.lower() != base.lower()
        )
    if other:
        raise MechclaError(
            f"the adapter {str(folder)!r} was trained on {recorded!r}, not on {base!r}; load it "
            f"with load_model({recorded!r}, adapter=...), or, if the two are one model, name it so "
            f"in the adapter's {CONFIG}"
        )


def check_base_revision(folder: Path, base: str, revision: str | None) -> None:
    """Refuse an adapter that says that it was trained on another revision of its base.

    Where the cache cannot tell whether two names are one commit, a commit that was asked for is
    taken, and another branch or tag is not.
    """
    recorded, trained_on = recorded_base(folder)
    if recorded != base or trained_on in (None, revision or "main"):
        return
    wanted = snapshot(base, trained_on)
    if wanted is not None:
        same = wanted == snapshot(base, revision)
    else:
        same = bool(COMMIT.fullmatch(revision or "")) and not COMMIT.fullmatch(trained_on or "")
    if not same:
        raise MechclaError(
            f"the adapter {str(folder)!r} was trained on {base!r} at revision {trained_on!r}, and "
            f"{revision or 'main'!r} was asked for; expected revision={trained_on!r} "
            f"(--revision {trained_on}), or, if the two are alike, none in the adapter's {CONFIG}"
        )


def _file(name: str) -> bool:
    """Whether a base's name is that of a GGUF file that is here."""
    return is_gguf(name) and user_path(name).is_file()


def _weights(folder: Path) -> list[str]:
    found = []
    for path in sorted(folder.glob("*.safetensors")):
        if path.name != WEIGHTS:
            with path.open("rb") as file:
                found.append(hashlib.file_digest(file, "sha256").hexdigest())
    return found


def apply_adapter(model: Any, folder: Path, base: str) -> Any:
    """The base with the adapter merged into its weights, in place: a plain model again.

    In float32 equal to the last bit to peft's own `merge_and_unload`. A weight that embedding and
    unembedding share is given to each by itself first if the adapter changes one of the two only,
    as peft runs it. Raises MechclaError for an adapter whose tensors are not this base's, or that
    cannot be merged, and for a base with weights on disk.
    """
    from peft import PeftModel

    what = f"the adapter {str(folder)!r}"
    _check_on_devices(model, what, base)
    names, tied = set(model.state_dict()), model.config.get_text_config().tie_word_embeddings
    mapping = getattr(model, "_checkpoint_conversion_mapping", None) or {}
    device = str(next(model.parameters()).device)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # missing keys and tied weights: both are seen to below
            adapted = PeftModel.from_pretrained(model, str(folder), torch_device=device)
            # Again, for the names that did not match.
            result = adapted.load_adapter(
                str(folder), "default", torch_device=device, key_mapping=mapping
            )
    except Exception as error:  # peft raises torch's, Python's and its own
        raise MechclaError(
            f"{what} does not fit the model {base!r}: {_why(error)}; it was trained on another base"
        ) from error
    if not hasattr(adapted.base_model, "merge_and_unload"):
        kind = adapted.peft_config["default"].peft_type
        raise MechclaError(
            f"{what} is of the kind {str(getattr(kind, 'value', kind))!r}, which cannot be merged "
            "into weights; mechcla takes LoRA and the other kinds that peft can merge"
        )
    stray = sorted({*result.missing_keys, *result.unexpected_keys})
    if stray:
        raise MechclaError(
            f"{what} does not fit the model {base!r}: its tensors and the model's places for them "
            f"differ in {listed(stray, 3)}; it was trained on another base, or is not whole"
        )
    _untie(adapted)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of tied weights, which are two by now
            merged = adapted.merge_and_unload(safe_merge=True)
    except Exception as error:  # a kind, or a quantised base, that peft does not merge; NaNs
        raise MechclaError(f"{what} cannot be merged into {base!r}: {_why(error)}") from error
    _check_plain(merged, names, what)
    _untie_config(merged, tied)
    return merged


def _check_on_devices(model: Any, what: str, base: str) -> None:
    """Refuse a base of which weights lie on disk, or on the CPU beside a GPU that runs them.

    peft would write a copy of them below the working folder, and then fail.
    """
    away = [name for name, weight in model.named_parameters() if weight.device.type == "meta"]
    if away:
        raise MechclaError(
            f"{what} cannot be merged into {base!r}, whose map leaves {len(away)} tensors on disk "
            f"or to be brought from the CPU ({listed(away, 3)}). Merge it first and load what that "
            "makes with the map: PeftModel.from_pretrained(base, adapter).merge_and_unload()"
            ".save_pretrained(folder), and the tokenizer's files beside it; or leave device_map, "
            "n_devices and max_memory out"
        )


def _untie(adapted: Any) -> None:
    """Give each wrapped module its own weight where another module has the same tensor."""
    owners: dict[int, int] = {}
    for module in adapted.modules():
        for weight in module._parameters.values():
            if weight is not None:
                owners[id(weight)] = owners.get(id(weight), 0) + 1
    for module in adapted.modules():
        inner = getattr(module, "base_layer", None)
        weight = getattr(inner, "weight", None)
        if isinstance(inner, nn.Module) and weight is not None and owners.get(id(weight), 0) > 1:
            inner.weight = nn.Parameter(weight.detach().clone(), requires_grad=False)


def _untie_config(model: Any, tied: bool) -> None:
    """Say in the config that embedding and unembedding are two, if the adapter made them so."""
    head = model.get_output_embeddings()
    if tied and head is not None and head.weight is not model.get_input_embeddings().weight:
        for config in (model.config, model.config.get_text_config()):
            config.tie_word_embeddings = False


def _check_plain(model: Any, names: set[str], what: str) -> None:
    """The merged model has the base's tensors, and biases at most beside them."""
    left = sorted(set(model.state_dict()) ^ names)
    if left:
        raise MechclaError(
            f"{what} leaves tensors that are not the base's after merging ({listed(left, 3)}); "
            "merge it with peft yourself, save the whole model, and load that"
        )


def _why(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return next((line for line in lines if "mismatch" in line), first_line(error))[:300]
