"""The package steering-vectors: its SteeringVector object, and its layer_activations as a file.

The package has no file format of its own, so the file is safetensors, a tensor per block, named by
the block's number, which is what layer_activations holds:

    steering_vectors.SteeringVector({int(k): v for k, v in load_file(path).items()})
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from mechcla.errors import MechclaError
from mechcla.vectors.formats.added import Added
from mechcla.vectors.formats.exchange import FORMATS, Format, gathered, tensors_of
from mechcla.vectors.steering_vectors import SteeringVectors

LAYER_TYPE = "decoder_block"
NOTE = (
    "steering-vectors adds it from min_token_index on, which is 0 and so BOS too unless you say 1; "
    "answers are steered as well"
)


def to_steering_vector(added: Added) -> Any:
    """A steering_vectors.SteeringVector that adds the same behind the same blocks.

    `to_steering_vector(added_by(sur)).apply(model, min_token_index=1)` steers a transformers model.
    Raises MechclaError where the package is not installed.
    """
    try:
        from steering_vectors import SteeringVector
    except ImportError as error:
        raise MechclaError(
            "a SteeringVector needs the package 'steering-vectors': pip install steering-vectors"
        ) from error
    return SteeringVector({k: v.clone() for k, v in added.vectors.items()}, LAYER_TYPE)


def from_steering_vector(
    vector: Any, name: str, language: str, n_layers: int | None = None
) -> SteeringVectors:
    """SteeringVectors of a steering_vectors.SteeringVector of block outputs.

    Raises MechclaError for one of another layer type, or another kind of object.
    """
    held = getattr(vector, "layer_activations", None)
    if not isinstance(held, Mapping):
        raise MechclaError(
            f"expected a steering_vectors.SteeringVector, with layer_activations, got a "
            f"{type(vector).__name__}"
        )
    if (kind := getattr(vector, "layer_type", LAYER_TYPE)) != LAYER_TYPE:
        raise MechclaError(f"the SteeringVector is of {kind!r}; expected {LAYER_TYPE!r}")
    blocks = {int(k): v for k, v in held.items()}
    return gathered({language: blocks}, name, None, n_layers, "the SteeringVector")


def write(added: Added, path: Path, options: Mapping[str, Any]) -> None:
    """layer_activations as safetensors."""
    save_file({str(k): v.clone().contiguous() for k, v in added.vectors.items()}, str(path))


def read(path: Path) -> dict[str | None, dict[int, Tensor]]:
    """The tensors by block. Raises MechclaError for names that are no numbers."""
    tensors = tensors_of(path)
    for key in tensors:
        if not key.isdecimal():
            raise MechclaError(f"{str(path)!r} holds {key!r}; expected blocks by number, as '13'")
    return {None: {int(key): tensor for key, tensor in tensors.items()}}


FORMATS.register(
    "steering-vectors",
    Format("layer_activations of the package steering-vectors", ".safetensors", NOTE, write, read),
)
