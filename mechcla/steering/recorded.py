"""A recorded choice: what dev chose per language, with the vectors that it needs and no others.

    FOLDER/steering.json                     methods, manner, what they were chosen for; sealed
    FOLDER/en.safetensors, loc.safetensors   the chosen layers of the chosen languages

It lies beside an adapter, so that the steering of a reference run can be had without a search.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mechcla.engine.intervention import Intervention
from mechcla.errors import MechclaError, nearest
from mechcla.steering.method import Manner, Method
from mechcla.storage import file_sha256, read_sealed, write_sealed
from mechcla.vectors.steering_vectors import SteeringVectors

if TYPE_CHECKING:
    from mechcla.models.hooked_model import HookedModel

CHOICE = "steering.json"


@dataclass(frozen=True)
class RecordedChoice:
    """One family's methods by language, their manner, and their vectors ("EN", "LOC").

    record: what it was chosen for and on, such as the digests of model and items.

    >>> choice = read_choice("data/adapters/clo")               # doctest: +SKIP
    >>> edits = choice.interventions("es")                         # doctest: +SKIP
    """

    family: str
    methods: Mapping[str, Method]
    manner: Manner
    vectors: Mapping[str, SteeringVectors] = field(repr=False)
    record: Mapping[str, Any] = field(repr=False)

    @property
    def languages(self) -> tuple[str, ...]:
        return tuple(self.methods)

    def interventions(self, language: str) -> tuple[Intervention, ...]:
        """What `mechcla.score` takes in this language; () where dev left the model unsteered.

        Raises MechclaError for a language without a choice.
        """
        if language not in self.methods:
            raise MechclaError(
                f"no {self.family} choice is recorded for {language!r}; "
                f"{nearest(language, self.methods)}"
            )
        return self.methods[language].interventions(self.vectors, language, self.manner)

    def on(self, model: HookedModel) -> RecordedChoice:
        """The same for a model that is known to be the one chosen for, whatever its digest says.

        Merging an adapter rounds, and on another processor the last bits may differ, so that the
        digest does, too. Whoever calls this has compared the adapter's file and the base.
        """
        bound = {
            name: replace(v, record=v.record | {"model": {"digest": model.digest}})
            for name, v in self.vectors.items()
        }
        return replace(self, vectors=bound)

    def save(self, folder: Path) -> None:
        """Write the choice and its vectors' chosen layers into a folder; `read_choice` reads it."""
        files = {}
        for name, layers in self._layers().items():
            path = folder / _file(name)
            self.vectors[name].only(layers).save(path)
            files[name] = file_sha256(path)
        described = {k: m.describe() for k, m in self.methods.items()}
        write_sealed(
            folder / CHOICE,
            {
                **self.record,
                "format": 1,
                "family": self.family,
                "methods": described,
                "manner": asdict(self.manner),
                "vectors": files,
            },
        )

    def _layers(self) -> dict[str, dict[str, list[int]]]:
        """The layers that are needed, by vector and language."""
        found: dict[str, dict[str, list[int]]] = {}
        for language, m in self.methods.items():
            needed = {"EN": (m.en_layer, m.restore_layer), "LOC": (m.loc_layer,)}
            for name, layers in needed.items():
                if there := sorted({layer for layer in layers if layer is not None}):
                    found.setdefault(name, {})[language] = there
        return found


def method_of(described: Mapping[str, Any]) -> Method:
    """The method that `Method.describe` described."""
    known = Method.__dataclass_fields__
    made = Method(**{k: v for k, v in described.items() if k in known})
    return made if made.family == described["family"] else made.named_as(described["family"])


def read_choice(folder: Path) -> RecordedChoice:
    """The choice that lies in a folder, verified.

    Raises MechclaError, naming the file, for one that is not there or damaged, and for vectors that
    are not the choice's own.
    """
    if not (folder / CHOICE).exists():
        raise MechclaError(
            f"{str(folder)!r} holds no {CHOICE}, so no choice of steering is recorded for it; "
            "sweep it, or name an adapter that has one"
        )
    record = read_sealed(folder / CHOICE, "family", "methods", "manner", "vectors")
    if record is None:
        raise MechclaError(
            f"{str(folder / CHOICE)!r} is damaged: its digest is not that of what it holds; put a "
            "copy of it back"
        )
    vectors = {}
    for name, digest in record["vectors"].items():
        path = folder / _file(name)
        if not path.exists() or file_sha256(path) != digest:
            raise MechclaError(
                f"{str(path)!r} is {'damaged' if path.exists() else 'missing'}: it is not the "
                f"vectors that {CHOICE} names; put a copy of it back"
            )
        vectors[name] = SteeringVectors.load(path)
    methods = {language: method_of(m) for language, m in record["methods"].items()}
    return RecordedChoice(record["family"], methods, Manner(**record["manner"]), vectors, record)


def check_chosen_for(folder: Path, weights: Path) -> None:
    """Raises MechclaError where the folder's choice was made for other weights than this file's."""
    if read_choice(folder).record["adapter"] != file_sha256(weights):
        raise MechclaError(
            f"{str(folder / CHOICE)!r} was chosen for another adapter than {weights.name!r} holds; "
            "put a copy of it back, or sweep anew"
        )


def _file(name: str) -> str:
    return f"{name.lower()}.safetensors"
