"""SteeringVectors: one vector per language and layer, with what it was made from; saved as safetensors."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from mechcla.errors import MechclaError, nearest

if TYPE_CHECKING:
    pass


@dataclass(frozen=True, eq=False)
class SteeringVectors:
    """One vector a language and layer, with what it was made from.

    vectors[L]: Float[layer, d_model]; norms[L]: Float[layer], the mean activation norm of the unsteered
    side (L's own plain prompts), which the relative strength unit refers to; counts[L]: pairs averaged.
    record: model and items digests and settings.
    """

    name: str
    site: str
    vectors: dict[str, Float[Tensor, "layer d_model"]]
    norms: dict[str, Float[Tensor, " layer"]]
    counts: dict[str, int]
    record: dict[str, Any] = field(default_factory=dict)

    @property
    def languages(self) -> tuple[str, ...]:
        return tuple(self.vectors)

    def __getitem__(self, language: str) -> Float[Tensor, "layer d_model"]:
        if language not in self.vectors:
            raise MechclaError(
                f"no {self.name} vector for language {language!r}; {nearest(language, self.vectors)}"
            )
        return self.vectors[language]

    def at(self, language: str, layer: int) -> tuple[Float[Tensor, " d_model"], float]:
        """The vector of one language and layer, and the reference norm there."""
        stack = self[language]
        if not isinstance(layer, int) or not 0 <= layer < len(stack):
            raise MechclaError(
                f"layer {layer!r}: the {self.name} vectors have layers 0 to {len(stack) - 1}"
            )
        return stack[layer], float(self.norms[language][layer])

    def save(self, path: str | Path) -> None:
        """Write one safetensors file, atomically; `load` reads it back to the last bit."""
        path = Path(path)
        tensors = {f"vectors.{k}": v.contiguous() for k, v in self.vectors.items()}
        tensors |= {f"norms.{k}": v.contiguous() for k, v in self.norms.items()}
        meta = {"name": self.name, "site": self.site, "counts": self.counts, "record": self.record}
        handle, temporary = tempfile.mkstemp(prefix=".vectors-", dir=path.parent)
        os.close(handle)
        try:
            save_file(tensors, temporary, metadata={"mechcla": json.dumps(meta, sort_keys=True)})
            os.replace(temporary, path)
        finally:
            Path(temporary).unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | Path) -> SteeringVectors:
        """Read what `save` wrote. Raises MechclaError for another kind of file."""
        try:
            with safe_open(str(path), framework="pt") as file:
                meta = json.loads((file.metadata() or {}).get("mechcla", "null"))
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            raise MechclaError(
                f"cannot read steering vectors from {str(path)!r}: {error}"
            ) from error
        if meta is None:
            raise MechclaError(
                f"{path} is a safetensors file without mechcla's metadata; expected SteeringVectors.save's"
            )
        parts: dict[str, dict[str, Tensor]] = {"vectors": {}, "norms": {}}
        for key, tensor in tensors.items():
            part, language = key.split(".", 1)
            parts[part][language] = tensor
        return cls(
            meta["name"],
            meta["site"],
            parts["vectors"],
            parts["norms"],
            meta["counts"],
            meta["record"],
        )

    def __repr__(self) -> str:
        shape = (
            "x".join(str(n) for n in next(iter(self.vectors.values())).shape)
            if self.vectors
            else "0"
        )
        return f"SteeringVectors({self.name}, {self.site}, {shape}, {' '.join(self.languages)})"
