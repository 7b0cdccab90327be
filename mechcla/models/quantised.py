"""Quantised weights: bitsandbytes' in 4 and 8 bits run as transformers runs them; others do not.

Each layer keeps its weights packed and unpacks them as it runs. On a CPU with AVX512-BF16,
bitsandbytes 0.49 and later pack 4-bit weights anew, in place, at the first pass, and round what
they compute to bfloat16. Reading the state dict, as a digest does, turns that back, but leaves the
scales in another order (or, where these are quantised too, quantises them again), and from then on
the layer computes something else. Here this is switched off: the weights stay as the file has them,
layers compute in their own dtype on every device, and a digest disturbs nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from mechcla.errors import MechclaError
from mechcla.models.placement import home

METHOD = "bitsandbytes"
EXTRA = "pip install 'mechcla[quantised]'"
# Classes of bitsandbytes' parameters, by name, as transformers tells them: it need not be there.
PACKED = ("Params4bit", "Int8Params")
PLAIN = (
    "load the checkpoint that it was quantised from, with dtype='bfloat16' where memory is short"
)
FUSED = (
    " Its weights are quantised, and where query, key and value are one matrix (GPT-2, GPT-NeoX, "
    f"BLOOM, Phi 3) TransformerLens splits it, which it cannot with packed weights: {PLAIN}."
)
CLOSE = 0.05  # of the largest logit: TransformerLens' attention rounds otherwise than transformers'


def asked_of(path: str, options: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a checkpoint's config.json says of quantisation; empty where its weights are plain.

    options: as `from_pretrained` takes them. Raises what transformers raises for a config that
    cannot be had.
    """
    from transformers import PreTrainedConfig

    known = {k: v for k, v in options.items() if k in ("revision", "local_files_only")}
    config, _ = PreTrainedConfig.get_config_dict(path, **known)
    # Of a model with a vision tower, some keep it with the text decoder's config.
    inner = config.get("text_config")
    found = config.get("quantization_config")
    if not found and isinstance(inner, Mapping):
        found = inner.get("quantization_config")
    return dict(found) if isinstance(found, Mapping) else {}


def check_asked(asked: Mapping[str, Any], what: str, plain_only: bool) -> None:
    """Refuse, before they are read, bitsandbytes' weights that cannot be run here.

    plain_only: for an adapter, which is merged into, or trained on, plain weights. Raises
    MechclaError for that, and where the package is absent.
    """
    if plain_only:
        raise no_adapters(_bits(asked), what)
    absent = [name for name in (METHOD, "accelerate") if find_spec(name) is None]
    if absent:
        raise MechclaError(
            f"cannot load {what}: its weights are quantised in {_bits(asked)} bits, which needs "
            f"the package {' and '.join(map(repr, absent))}; install it with: {EXTRA}"
        )


def method_of(asked: Mapping[str, Any]) -> str:
    """The method's name, as config.json has it; old ones of bitsandbytes have bits alone."""
    return str(asked.get("quant_method") or (METHOD if _bits(asked) else "packed"))


def no_adapters(bits: int, what: str) -> MechclaError:
    """For an adapter on quantised weights."""
    return MechclaError(
        f"{what} is quantised ({METHOD}, {bits} bits), and adapters are trained on plain weights "
        "and merged into plain weights. Do that with the model that it was quantised from, save it "
        "(PeftModel.from_pretrained(base, adapter).merge_and_unload().save_pretrained(folder)), "
        "and quantise what that makes; docs/models.md has the lines"
    )


def refused(method: str, what: str) -> MechclaError:
    """For weights of a method that mechcla does not run."""
    return MechclaError(
        f"cannot load {what}: its weights are quantised ({method}), and mechcla takes plain ones, "
        f"and of quantised ones those of {METHOD}; {PLAIN}"
    )


def cast(model: Any, dtype: torch.dtype) -> None:
    """Give what is not packed the dtype that was asked for.

    transformers leaves it as the file has it wherever the weights are quantised already.
    """
    single = tuple(getattr(model, "_keep_in_fp32_modules", None) or ())
    for name, parameter in model.named_parameters():
        if not is_packed(parameter) and not any(part in name for part in single):
            parameter.data = parameter.data.to(dtype)


def settle(model: Any, what: str) -> None:
    """Make a transformers model with bitsandbytes' weights compute what the file says, always.

    Nothing happens to one of plain weights. Raises MechclaError where the embedding or the
    unembedding is quantised, whose weights mechcla uses as they are, and for a model that was run
    before and has its weights packed anew.
    """
    layers = list(_layers(model))
    if not layers:
        return
    for end, name in (
        (model.get_input_embeddings(), "embedding"),
        (model.get_output_embeddings(), "unembedding"),
    ):
        end = getattr(end, "original_component", end)
        if end is not None and any(is_packed(p) for p in end.parameters(recurse=False)):
            raise MechclaError(
                f"cannot load {what}: its {name} is quantised, and mechcla needs a plain one, as "
                "transformers leaves it by itself; quantise it again with 'lm_head' among "
                "llm_int8_skip_modules, or without that setting"
            )
    check_as_stored(model, what)
    if alone_only(model):
        logging.getLogger("bitsandbytes.autograd._functions").addFilter(_no_casts)
    for layer in layers:
        if hasattr(layer, "support_avx512bf16_for_cpu"):
            layer.support_avx512bf16_for_cpu = False
        own, bias = getattr(layer, "compute_dtype", None), getattr(layer, "bias", None)
        if own is not None and bias is not None:  # as the first pass would, behind a digest
            bias.data = bias.data.to(own)


def _no_casts(record: logging.LogRecord) -> bool:
    """Leaves out what bitsandbytes says at every layer of every pass in float32 or bfloat16."""
    return not record.getMessage().startswith("MatMul8bitLt: inputs will be cast")


def check_as_stored(model: Any, what: str) -> None:
    """Refuse 4-bit weights that a pass on a CPU has packed anew: reading them would change them."""
    for layer in _layers(model):
        state = getattr(layer.weight, "quant_state", None)
        if getattr(state, "packing_format_for_cpu", False):
            raise MechclaError(
                f"the 4-bit weights of {what} were packed anew by a pass on this CPU, and reading "
                "them would change what they compute; load the model with mechcla.load_model, or "
                "give it to mechcla.wrap_model before its first pass"
            )


@torch.inference_mode()
def own_logits(model: Any, what: str) -> Tensor | None:
    """What transformers' model of quantised weights gives on a few ids; None for plain weights.

    Raises MechclaError where transformers itself cannot run it.
    """
    if next(_layers(model), None) is None:
        return None
    ids = _few(model)
    try:
        logits: Tensor = model(input_ids=ids).logits
    except Exception as error:  # as of layers whose weight the family uses without calling them
        raise MechclaError(
            f"cannot load {what}: transformers does not run a {type(model).__name__} with these "
            f"quantised weights: {type(error).__name__}: {error}; {PLAIN}"
        ) from error
    return logits


@torch.inference_mode()
def check_booted(bridge: Any, expected: Tensor | None, what: str) -> None:
    """Refuse a bridge whose logits are not `own_logits`: it took packed numbers for weights."""
    if expected is None:
        return
    gap = float((bridge(_few(bridge.original_model)).float() - expected.float()).abs().max())
    if not gap <= CLOSE * float(expected.float().abs().max()):
        raise MechclaError(
            f"cannot load {what}: with its quantised weights TransformerLens gives other logits "
            f"than transformers (by {gap:.2g}); {PLAIN}"
        )


def _few(model: Any) -> Tensor:
    """Eight ids that every model has."""
    weight = model.get_input_embeddings().weight
    ids: Tensor = torch.arange(8, device=home(model)) % weight.shape[0]
    return ids[None]


def is_packed(parameter: Tensor) -> bool:
    """Whether a parameter holds packed numbers, whose dtype is that of the packing."""
    return type(parameter).__name__ in PACKED


def stream_dtype(model: nn.Module) -> torch.dtype:
    """The dtype between the layers: that of the first parameter that is not packed."""
    return next(p.dtype for p in model.parameters() if not is_packed(p))


def coarsest_dtype(model: nn.Module) -> torch.dtype:
    """What a pass rounds to: the dtype between the layers, or a 4-bit layer's own if coarser."""
    own = {getattr(layer, "compute_dtype", None) for layer in _layers(model)}
    dtypes = {stream_dtype(model), *(d for d in own if d is not None)}
    coarsest: torch.dtype = max(dtypes, key=lambda dtype: torch.finfo(dtype).eps)
    return coarsest


def scale_bytes(model: nn.Module) -> int:
    """Bytes of what unpacks the weights, which is no parameter: scales and their tables."""
    return sum(t.numel() * t.element_size() for layer in _layers(model) for t in _scales(layer))


def alone_only(model: nn.Module) -> bool:
    """Whether a row has its own numbers only where it runs by itself: weights in 8 bits.

    What goes into such a layer is rounded to 8 bits as well, token by token, so a difference in the
    last digit becomes one of a per cent. And a column in which any token of the pass exceeds the
    threshold is computed apart for all of them: tokens further on, and in other rows, count.
    """
    return any(type(layer.weight).__name__ == "Int8Params" for layer in _layers(model))


def described(bridge: Any) -> dict[str, Any] | None:
    """What a record says of quantised weights; None for plain ones."""
    if next(_layers(bridge), None) is None:
        return None
    found = getattr(bridge.original_model.config, "quantization_config", None) or {}
    asked = found if isinstance(found, Mapping) else found.to_dict()
    bits = _bits(asked)
    if bits == 8:
        how = {"threshold": asked.get("llm_int8_threshold")}
    else:
        how = {
            "type": asked.get("bnb_4bit_quant_type"),
            "double": asked.get("bnb_4bit_use_double_quant"),
            "computes_in": str(asked.get("bnb_4bit_compute_dtype")).removeprefix("torch."),
        }
    return {"method": METHOD, "version": version(METHOD), "bits": bits, **how}


def _layers(model: nn.Module) -> Iterator[Any]:
    """The modules whose own weight is packed."""
    for module in model.modules():
        weight = module._parameters.get("weight")
        if weight is not None and is_packed(weight):
            yield module


def _scales(layer: Any) -> Iterator[Tensor]:
    state = getattr(layer.weight, "quant_state", None)
    held: list[Any] = []
    if state is not None:
        held = [state.absmax, state.code]
        inner = getattr(state, "state2", None)
        held += [] if inner is None else [state.offset, inner.absmax, inner.code]
    else:  # 8 bits: with the weight until the first pass, then with the layer
        own = getattr(layer.weight, "SCB", None)
        held = [own if own is not None else getattr(layer.state, "SCB", None)]
    yield from (t for t in held if isinstance(t, Tensor))


def _bits(asked: Mapping[str, Any]) -> int:
    for bits in (4, 8):
        if asked.get(f"load_in_{bits}bit") or asked.get(f"_load_in_{bits}bit"):
            return bits
    return 0
