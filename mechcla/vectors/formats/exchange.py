"""Formats by name, and the two functions that write and read them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from mechcla.engine.intervention import Intervention
from mechcla.errors import MechclaError, unknown
from mechcla.registry import Registry
from mechcla.storage import user_path, write_whole
from mechcla.vectors.formats.added import Added, added_by, added_of
from mechcla.vectors.steering_vectors import SteeringVectors

Held = Mapping[str | None, Mapping[int, Tensor]]  # by language, None where a file says none


@dataclass(frozen=True)
class Format:
    """A file that another tool reads or writes.

    about: a line about it. suffix: what its files end in. note: what the tool does with the vector,
    and how its numbers then differ from mechcla's. write: fills a file. read: its vectors by
    language and block; None where mechcla only writes it. options: the names of the format's own
    settings. first_block: the lowest block that a file can have a vector for.
    """

    about: str
    suffix: str
    note: str
    write: Callable[[Added, Path, Mapping[str, Any]], None]
    read: Callable[[Path], Held] | None = None
    options: tuple[str, ...] = ()
    first_block: int = 0


FORMATS: Registry[Format] = Registry("format of vectors")


def tensors_of(path: Path) -> dict[str, Tensor]:
    """A safetensors file's tensors by name. Raises MechclaError for one that cannot be read."""
    try:
        with safe_open(str(path), framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise MechclaError(f"cannot read tensors from {str(path)!r}: {error}") from error


def export_vectors(
    what: SteeringVectors | Intervention | Sequence[Intervention],
    path: str | Path,
    format: str,
    *,
    language: str | None = None,
    layers: Collection[int] | None = None,
    strength: float = 1.0,
    **options: Any,
) -> Added:
    """Write vectors, or what edits add, as a file that another tool reads; docs/exports.md.

    what: SteeringVectors, of which language, layers and strength choose; or interventions, whose
    layers and strengths are in them. format: "gguf" (llama.cpp, repeng), "lm-eval",
    "steering-vectors", "tensors", or another of `FORMATS`. options: the format's own, such as
    module="h.{layer}" of "lm-eval". Returns what was written. Raises MechclaError for an unknown
    format, and for edits that the tool cannot make.

    >>> added = mechcla.export_vectors(loc, "loc-es.gguf", "gguf", language="es", layers=[13])
    >>> sorted(added.vectors)
    [13]
    """
    chosen = FORMATS.get(format)
    for option in options:
        if option not in chosen.options:
            raise unknown(f"option of the format {format!r}", option, chosen.options)
    if isinstance(what, SteeringVectors):
        added = added_of(what, language, layers, strength)
    else:
        if language is not None or layers is not None or strength != 1.0:
            raise MechclaError(
                "language, layers and strength choose among SteeringVectors; edits have their own, "
                "so leave them out"
            )
        added = added_by(what)
    write_whole(user_path(path), lambda part: chosen.write(added, part, options))
    return added


def import_vectors(
    path: str | Path,
    format: str,
    *,
    name: str,
    language: str | None = None,
    n_layers: int | None = None,
) -> SteeringVectors:
    """SteeringVectors of a file that another tool wrote: repeng's or llama.cpp's "gguf", "tensors".

    name: "EN" or "LOC", the part that they play in a sweep, or any other. language: whose, where
    the file does not say. n_layers: the model's blocks, where the file ends before the last; blocks
    that it leaves out are not there (`SteeringVectors.layers`). Raises MechclaError for a format
    that is only written, and for a file that cannot be read.

    >>> added = mechcla.export_vectors(loc, "one.gguf", "gguf", language="es", layers=[13])
    >>> mechcla.import_vectors("one.gguf", "gguf", name="LOC", language="es").layers("es")
    (13,)
    """
    chosen = FORMATS.get(format)
    if chosen.read is None:
        able = ", ".join(k for k, f in FORMATS.items() if f.read is not None)
        raise MechclaError(f"{format!r} files are written, not read; mechcla reads {able}")
    where = user_path(path)
    if not where.is_file():
        raise MechclaError(f"no file {str(path)!r}; expected one in the format {format!r}")
    return gathered(chosen.read(where), name, language, n_layers, f"the file {str(path)!r}")


def gathered(
    held: Held, name: str, language: str | None, n_layers: int | None, where: str
) -> SteeringVectors:
    """Vectors by language and block as SteeringVectors. Raises MechclaError, naming where they came
    from, for none, for a language that nobody said, or for widths that differ."""
    if not held or not all(held.values()):
        raise MechclaError(f"{where} holds no vector")
    if None in held and language is None:
        raise MechclaError(f'{where} does not say its language; expected language="es", ...')
    made, there = {}, {}
    for key, blocks in held.items():
        found = language if key is None else key
        assert found is not None
        depth = max(blocks) + 1 if n_layers is None else n_layers
        if min(blocks) < 0 or max(blocks) >= depth:
            raise MechclaError(
                f"{where} has vectors of blocks {min(blocks)} to {max(blocks)}; the model has "
                f"blocks 0 to {depth - 1}"
            )
        widths = {tuple(v.shape) for v in blocks.values()}
        if len(widths) > 1 or len(next(iter(widths))) != 1:
            raise MechclaError(
                f"{where}: vectors of {', '.join(map(str, sorted(widths)))}; expected one width"
            )
        rows = torch.zeros(depth, *next(iter(widths)))
        for block, vector in blocks.items():
            rows[block] = vector.float()
        made[found], there[found] = rows, sorted(blocks)
    whole = SteeringVectors.from_tensors(name, made)
    full = all(len(there[k]) == len(made[k]) for k in made)
    return whole if full else whole.only(there)
