"""SteeringVectors: one vector per language and layer, with what it was made from; saved as
safetensors.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from mechcla.errors import MechclaError, nearest
from mechcla.storage import json_meta, sha256, unsealed, user_path, write_bytes
from mechcla.vectors.card import find, push, write_folder
from mechcla.vectors.paired_rows import PairedRows


@dataclass(frozen=True, eq=False)
class SteeringVectors:
    """One vector per language and layer, with what it was made from.

    vectors[L]: Float[layer, d_model]; norms[L]: Float[layer], the mean activation norm of the
    unsteered side (L's own plain prompts), which the relative strength unit refers to; counts[L]:
    pairs averaged. record: model and items digests and settings. rows: the activations that the
    vectors' languages are mapped to English by, where EN is to be a linear map.
    """

    name: str
    site: str
    vectors: dict[str, Float[Tensor, "layer d_model"]]
    norms: dict[str, Float[Tensor, " layer"]]
    counts: dict[str, int]
    record: dict[str, Any] = field(default_factory=dict)
    rows: PairedRows | None = None

    @classmethod
    def from_tensors(
        cls,
        name: str,
        vectors: Mapping[str, Float[Tensor, "layer d_model"]],
        *,
        site: str = "resid_post",
        norms: Mapping[str, Float[Tensor, " layer"]] | None = None,
        record: Mapping[str, Any] | None = None,
    ) -> SteeringVectors:
        """Vectors that were found elsewhere, by language: one row per layer, from layer 0 on.

        name: "EN" or "LOC", the part that they play in a sweep (`--vectors`), or any other. norms:
        the reference norms of the relative unit; without them only the raw unit can be used. The
        model that they were made with is not known, so it is not checked; put {"model":
        model.describe()} into `record` to have it checked. Raises MechclaError for a language
        without a two-dimensional, finite tensor.

        >>> import torch
        >>> SteeringVectors.from_tensors("LOC", {"es": torch.zeros(4, 8)}).languages
        ('es',)
        """
        if not vectors:
            raise MechclaError(f"the {name} vectors are empty; expected a tensor per language")
        made = {}
        for language, tensor in vectors.items():
            if not isinstance(tensor, Tensor) or tensor.ndim != 2 or not tensor.numel():
                found = getattr(tensor, "shape", type(tensor).__name__)
                raise MechclaError(
                    f"the {name} vectors of {language!r} are {found}; expected [layer, d_model]"
                )
            if not bool(torch.isfinite(tensor).all()):
                raise MechclaError(f"the {name} vectors of {language!r} are not all finite")
            made[language] = tensor.detach().to("cpu", torch.float32).contiguous()
        given = {k: torch.zeros(len(v)) for k, v in made.items()} if norms is None else norms
        kept = {k: given[k].detach().to("cpu", torch.float32) for k in made if k in given}
        for language, tensor in made.items():
            if language not in kept or kept[language].shape != (len(tensor),):
                raise MechclaError(f"norms of {language!r}: expected one per layer, {len(tensor)}")
        origin = {"imported": True} | dict(record or {})
        return cls(name, site, made, kept, dict.fromkeys(made, 0), origin)

    @property
    def languages(self) -> tuple[str, ...]:
        return tuple(self.vectors)

    def __getitem__(self, language: str) -> Float[Tensor, "layer d_model"]:
        if language not in self.vectors:
            raise MechclaError(
                f"no {self.name} vector for language {language!r}; "
                f"{nearest(language, self.vectors)}"
            )
        return self.vectors[language]

    def at(self, language: str, layer: int) -> tuple[Float[Tensor, " d_model"], float]:
        """The vector of one language and layer, and the reference norm there."""
        stack = self[language]
        if not isinstance(layer, int) or not 0 <= layer < len(stack):
            raise MechclaError(
                f"layer {layer!r}: the {self.name} vectors have layers 0 to {len(stack) - 1}"
            )
        if layer not in (there := self.layers(language)):
            raise MechclaError(
                f"layer {layer} was left out of these {self.name} vectors, which have only "
                f"{', '.join(map(str, there))} in {language!r}; make them anew for other layers"
            )
        return stack[layer], float(self.norms[language][layer])

    def layers(self, language: str) -> tuple[int, ...]:
        """The layers that are there: all, but after `only`."""
        stack = self[language]
        kept = self.record.get(ONLY, {}).get(language)
        return tuple(range(len(stack))) if kept is None else tuple(kept)

    def only(self, layers: Mapping[str, Collection[int]]) -> SteeringVectors:
        """These languages and layers alone. The others' rows are nan, and `at` refuses them; `save`
        leaves them out, so that a choice travels with the vectors that it needs.

        Raises MechclaError for a language or layer that is not there.

        >>> loc.only({"es": [13]}).layers("es")
        (13,)
        """
        vectors, norms = {}, {}
        for language, kept in layers.items():
            for layer in kept:
                self.at(language, layer)
            gone = torch.tensor([k not in kept for k in range(len(self[language]))])
            vectors[language] = self[language].masked_fill(gone[:, None], torch.nan)
            norms[language] = self.norms[language].masked_fill(gone, torch.nan)
        counts = {k: self.counts[k] for k in vectors}
        record = self.record | {ONLY: {k: sorted(v) for k, v in layers.items()}}
        rows = None if self.rows is None else self.rows.only(layers)
        return replace(self, vectors=vectors, norms=norms, counts=counts, record=record, rows=rows)

    def save(self, path: str | Path, bound: str = "") -> None:
        """Write one safetensors file, whole or not at all; `load` reads it back to the last bit.

        The file carries a digest of all its tensors and metadata. bound: a text that says where the
        file belongs, for `load` to check. Raises MechclaError where the operating system refuses to
        write, or for a record that JSON cannot hold.
        """
        kept = {k: list(self.layers(k)) for k in self.vectors}
        tensors = {f"vectors.{k}": _own(v[kept[k]]) for k, v in self.vectors.items()}
        tensors |= {f"norms.{k}": _own(v[kept[k]]) for k, v in self.norms.items()}
        meta = {"name": self.name, "site": self.site, "counts": self.counts, "record": self.record}
        if self.rows is not None:
            tensors |= {f"rows.{k}": _own(v) for k, v in self.rows.rows.items()}
            meta |= {"swapped": {k: list(v) for k, v in self.rows.swapped.items()}}
        meta |= {"bound": bound} if bound else {}
        if ONLY in self.record:
            meta |= {"n_layers": {k: len(v) for k, v in self.vectors.items()}}
        what = f"the {self.name} vectors' settings"
        text = json_meta(meta, what)
        # One key of metadata: safetensors writes several in an order that changes from run to run.
        sealed = json_meta(json.loads(text) | {"digest": _digest(text, tensors)}, what)
        write_bytes(user_path(path), save(tensors, metadata={"mechcla": sealed}))

    @classmethod
    def load(cls, path: str | Path, bound: str = "") -> SteeringVectors:
        """Read what `save` wrote, and verify it.

        bound: take only a file that was saved under this text. Raises MechclaError, naming the
        file, for another kind of file and for one that is damaged or bound elsewhere. A file of
        mechcla 0.1 carries no digest: it is read, with a warning, unless a bound is asked for.
        """
        try:
            with safe_open(str(user_path(path)), framework="pt") as file:
                held = file.metadata() or {}
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            meta = json.loads(held.get("mechcla", "null"))
        except (OSError, SafetensorError, ValueError) as error:
            raise MechclaError(
                f"cannot read steering vectors from {str(path)!r}: {error}"
            ) from error
        if not isinstance(meta, dict):
            raise MechclaError(
                f"{path} is a safetensors file without mechcla's metadata; expected "
                "SteeringVectors.save's"
            )
        seal = meta.pop("digest", None)
        whole = seal == _digest(json.dumps(meta, sort_keys=True), tensors)
        if not whole and (seal is not None or set(meta) != set(_FIELDS)):
            raise MechclaError(
                f"the vectors in {str(path)!r} are damaged: they do not match their digest; make "
                "them again, or put a copy of the file back"
            )
        if bound and (seal is None or meta.get("bound") != bound):
            raise MechclaError(
                f"the vectors in {str(path)!r} belong elsewhere: {meta.get('bound')!r}, "
                f"expected {bound!r}"
            )
        if seal is None:
            unsealed(repr(str(path)))
        parts: dict[str, dict[str, Tensor]] = {"vectors": {}, "norms": {}, "rows": {}}
        try:
            for key, tensor in tensors.items():
                part, language = key.split(".", 1)
                parts[part][language] = tensor
            name, site, counts, record = (meta[k] for k in _FIELDS)
            kept = {
                k: tuple(record.get(ONLY, {}).get(k, range(len(v))))
                for k, v in parts["vectors"].items()
            }
            if ONLY in record:
                for part in ("vectors", "norms"):
                    parts[part] = _spread(parts[part], record[ONLY], meta["n_layers"])
            rows = None
            if parts["rows"]:
                swapped = {k: tuple(v) for k, v in meta["swapped"].items()}
                rows = PairedRows(parts["rows"], {k: kept[k] for k in parts["rows"]}, swapped)
        except (KeyError, ValueError, TypeError) as error:
            raise MechclaError(
                f"{str(path)!r} lacks part of what SteeringVectors.save writes: {error}"
            ) from error
        return cls(name, site, parts["vectors"], parts["norms"], counts, record, rows)

    def save_folder(
        self, folder: str | Path, *others: SteeringVectors, effect: Any = None, licence: str = ""
    ) -> Path:
        """Write a folder to share: these vectors, others beside them, and a card (README.md).

        effect: what was measured, rows of `Run.summary` with their intervals. licence: a Hub
        licence id. Raises MechclaError for two sets of one name, or rows without an interval.

        >>> sorted(p.name for p in loc.save_folder("vectors-es", en).iterdir())
        ['README.md', 'en.safetensors', 'loc.safetensors']
        """
        return write_folder(folder, [self, *others], effect, licence)

    def push_to_hub(
        self,
        repo_id: str,
        *others: SteeringVectors,
        effect: Any = None,
        licence: str = "",
        private: bool | None = None,
        token: str | None = None,
        endpoint: str | None = None,
    ) -> str:
        """`save_folder`, uploaded to a Hugging Face repository; returns the commit's address.

        Raises MechclaError where the Hub refuses.

        >>> loc.push_to_hub("me/loc-vectors", en)  # doctest: +SKIP
        """
        sets = [self, *others]
        return push(repo_id, sets, effect, licence, private=private, token=token, endpoint=endpoint)

    @classmethod
    def from_hub(
        cls,
        repo_id: str | Path,
        name: str,
        *,
        revision: str | None = None,
        token: str | None = None,
        endpoint: str | None = None,
    ) -> SteeringVectors:
        """The vectors of this name from a Hugging Face repository, or a local folder, verified.

        Raises MechclaError for one that is not there, or damaged.

        >>> SteeringVectors.from_hub(loc.save_folder("shared"), "LOC").languages
        ('en', 'es', 'ko')
        """
        return cls.load(find(repo_id, name, revision=revision, token=token, endpoint=endpoint))

    def __repr__(self) -> str:
        shape = (
            "x".join(str(n) for n in next(iter(self.vectors.values())).shape)
            if self.vectors
            else "0"
        )
        return f"SteeringVectors({self.name}, {self.site}, {shape}, {' '.join(self.languages)})"


def like(directions: SteeringVectors, real: SteeringVectors, name: str) -> SteeringVectors:
    """The directions of one set with the norms of another, in the languages that both have.

    Where the other is a map's, these directions are added in its place.
    """
    made = {
        k: _resized(directions[k], real[k]) for k in real.languages if k in directions.languages
    }
    rows = None if real.rows is None else real.rows.turned("translation")
    return replace(real, name=name, vectors=made, rows=rows)


def _resized(
    direction: Float[Tensor, "layer d_model"], real: Float[Tensor, "layer d_model"]
) -> Float[Tensor, "layer d_model"]:
    d, r = direction.double(), real.double()
    unit: Tensor = d / d.norm(dim=-1, keepdim=True).clamp_min(1e-30)
    size: Tensor = r.norm(dim=-1, keepdim=True)
    return (unit * size).float()


ONLY = "only_layers"  # in a record: those that `SteeringVectors.only` kept, by language
_FIELDS = ("name", "site", "counts", "record")  # all the metadata that mechcla 0.1 wrote


def _spread(
    held: Mapping[str, Tensor], kept: Mapping[str, list[int]], n_layers: Mapping[str, int]
) -> dict[str, Tensor]:
    """Rows at their layers again, nan at the others."""
    made = {}
    for language, rows in held.items():
        made[language] = rows.new_full((n_layers[language], *rows.shape[1:]), torch.nan)
        made[language][kept[language]] = rows
    return made


def _own(tensor: Tensor) -> Tensor:
    """A copy with memory of its own: safetensors refuses tensors that share theirs."""
    return tensor.detach().cpu().clone(memory_format=torch.contiguous_format)


def _digest(text: str, tensors: dict[str, Tensor]) -> str:
    """SHA-256 of the metadata and of every tensor's name, dtype, shape and bytes."""
    parts: list[str | bytes] = [text]
    for key, tensor in sorted(tensors.items()):
        data = tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        parts += [key, f"{tensor.dtype} {tuple(tensor.shape)}", data]
    return sha256(*parts)
