"""Parts: complete runs over different languages, joined into the run over all of them.

    parts = read_parts(["runs/es", "runs/ko"])
    parts.languages, parts.settings, parts.items()

A part gives its cells, found by everything that decides them, and its languages' vectors. Tables,
tests and what looks across languages are made again from these (`mechcla.sweep.merge`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mechcla.errors import MechclaError
from mechcla.items.item import PIVOT
from mechcla.items.item_set import ItemSet
from mechcla.models.placement import SETTINGS
from mechcla.runs.folder import RECORD
from mechcla.runs.run import Run, read_run
from mechcla.runs.store import cell_path
from mechcla.scoring.scores import Scores
from mechcla.storage import read_sealed
from mechcla.vectors.steering_vectors import SteeringVectors

# Settings in which parts may differ. Of a device its type decides numbers, and identities have it.
OWN = ("languages", "apart", "items", "device", *SETTINGS)
Vectors = Mapping[str, SteeringVectors]


@dataclass(frozen=True, eq=False)
class Parts:
    """Runs that differ in their languages alone. Make it with `read_parts`.

    languages: the steered ones of each run, in the runs' order. exact: whether one run with
    `--apart` gives the same to the last bit: each part is of one language, or was made apart.
    """

    runs: tuple[Run, ...]
    languages: tuple[tuple[str, ...], ...]
    exact: bool
    _sets: tuple[ItemSet, ...] = field(repr=False)

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of the run over all languages, all but its items.

        Its model lies where the first part's did; on the type of device that all parts had, where
        they say different things of it.
        """
        first = self.runs[0]
        shared = {k: v for k, v in first.config.items() if k != "items"}
        if any(run.config.get("device") != shared.get("device") for run in self.runs):
            mapped = any(shared.get(k) is not None for k in SETTINGS)
            shared["device"] = None if mapped else first.record["identity"]["device"]
        return shared | {"languages": [k for part in self.languages for k in part], "apart": True}

    def items(self) -> ItemSet:
        """The items of all parts: those of the first, and the others' beside English."""
        first, *others = self._sets
        more = (i for items in others for i in items if i.language != PIVOT)
        return ItemSet((*first, *more))

    def check_items(self, whole: ItemSet, where: str) -> None:
        """Refuse items that are no longer those that a part was made from."""
        for run, own, languages in zip(self.runs, self._sets, self.languages, strict=True):
            kept = {PIVOT, *languages}
            if whole.where(lambda i, kept=kept: i.language in kept).digest != own.digest:  # type: ignore[misc]
                raise MechclaError(
                    f"the items {where!r} are no longer those of the part {str(run.folder)!r}; "
                    "put those items back, or make the parts again"
                )

    def check(self, identity: Mapping[str, Any]) -> None:
        """Refuse to join under another model, code or version than the parts were made with."""
        own = self.runs[0].record["identity"]
        differing = _differing(own, identity, ("items",))
        if differing:
            raise MechclaError(
                f"the parts were made under another identity than this process has:\n{differing}\n"
                "Join them with the code, packages and model that made them"
            )

    def cell(self, split: str, language: str, name: str, decides: dict[str, Any]) -> Scores | None:
        """The scores of a cell that a part has; None where none has it."""
        for run in self.runs:
            identity = run.record["identity"]
            found = run.cell(cell_path(run.folder, identity, split, language, name, decides))
            if found is not None:
                return found
        return None

    def vectors(self, dev: ItemSet) -> dict[str, SteeringVectors]:
        """Every part's vectors, joined; dev: the dev items of all parts."""
        own = {
            language: run.vectors
            for run, languages in zip(self.runs, self.languages, strict=True)
            for language in languages
        }
        return join_vectors(own, dev)

    def check_choice(self, chosen: Mapping[str, Mapping[str, Any]]) -> None:
        """Refuse a choice, {family: {language: method}}, under which a part's test was not opened.

        Raises MechclaError that names the part.
        """
        for run, languages in zip(self.runs, self.languages, strict=True):
            for language in languages:
                before = {f: by[language] for f, by in run.choice.items() if language in by}
                now = {f: by[language] for f, by in chosen.items() if language in by}
                if before != now:
                    raise MechclaError(
                        f"test was opened in the part {str(run.folder)!r} under another choice for "
                        f"{language!r} ({before}) than dev gives now ({now}), so they are not "
                        "joined; make the part again"
                    )


def join_vectors(own: Mapping[str, Vectors], dev: ItemSet) -> dict[str, SteeringVectors]:
    """Vectors of one language each, as one set by name; English ones from the first language.

    own: {language: vectors by name}, of every steered language. dev: the items of all, whose order
    of languages the vectors take.
    """
    steered = [k for k in dev.languages if k in own]
    owner = {PIVOT: own[steered[0]]} | {k: own[k] for k in steered}
    order = [k for k in dev.languages if k in owner]
    found = {}
    for name in dict.fromkeys(name for k in steered for name in own[k]):
        has = {k: owner[k][name] for k in order if k in owner[k].get(name, _NONE).languages}
        first = next(iter(has.values()))
        record = first.record | {"items": dev.digest}
        if gates := [v.record["gate"] for v in has.values() if "gate" in v.record]:
            lists = {
                part: [(k, v.record["gate"][part][k]) for k, v in has.items()] for part in gates[0]
            }
            record["gate"] = {part: dict(values) for part, values in lists.items()}
        found[name] = replace(
            first,
            vectors={k: v.vectors[k] for k, v in has.items()},
            norms={k: v.norms[k] for k, v in has.items()},
            counts={k: v.counts[k] for k, v in has.items()},
            record=record,
            rows=first.rows and first.rows.joined({k: v.rows for k, v in has.items() if v.rows}),
        )
    return found


_NONE = SteeringVectors("none", "", {}, {}, {})


def read_parts(folders: Sequence[str | Path]) -> Parts:
    """Run folders as parts of one run; every file is verified, and nothing written.

    Raises MechclaError, naming the parts and what differs, for fewer than two, for one that is not
    complete or is damaged, for parts of other settings, models, items, code or versions, and for a
    language that two of them have. Example: `read_parts(["runs/es", "runs/ko"]).languages`.
    """
    if isinstance(folders, str | Path) or len(folders) < 2:
        raise MechclaError(
            f"merge joins two or more parts, given {folders!r}; expected e.g. runs/es runs/ko"
        )
    runs = tuple(read_run(folder) for folder in folders)
    sets: list[ItemSet] = []
    for run in runs:
        if run.status != "complete":
            raise MechclaError(
                f"the part {str(run.folder)!r} is not complete (status {run.status}); its own "
                "command goes on from what is there"
            )
        if damaged := run.damaged():
            raise MechclaError(
                f"the part {str(run.folder)!r} is damaged: {', '.join(damaged[:3])}"
                f"{f' and {len(damaged) - 3} more' if len(damaged) > 3 else ''}; its own command "
                "runs these cells again"
            )
        sets.append(run.item_set)
    first = runs[0]
    for run, items in zip(runs[1:], sets[1:], strict=True):
        differing = "\n".join(
            filter(
                None,
                (
                    _differing(first.config, run.config, OWN),
                    _differing(first.record["identity"], run.record["identity"], ("items",)),
                    _differing(_versions(first), _versions(run), ("threads", "platform")),
                ),
            )
        )
        if differing:
            raise MechclaError(
                f"{str(run.folder)!r} is no part of the same run as {str(first.folder)!r}:\n"
                f"{differing}\nExpected runs that differ in their languages alone"
                + _measured(first, run)
            )
        if items.where(_english).digest != sets[0].where(_english).digest:
            raise MechclaError(
                f"{str(run.folder)!r} and {str(first.folder)!r} have other English items; "
                "expected parts of one set of items"
            )
    languages = tuple(tuple(k for k in items.languages if k != PIVOT) for items in sets)
    holder: dict[str, Run] = {}
    for run, own in zip(runs, languages, strict=True):
        for language in own:
            if language in holder:
                raise MechclaError(
                    f"both {str(holder[language].folder)!r} and {str(run.folder)!r} have "
                    f"{language!r}; expected each language in one part"
                )
            holder[language] = run
    exact = all(
        len(own) == 1 or run.config.get("apart") for run, own in zip(runs, languages, strict=True)
    )
    return Parts(runs, languages, exact, tuple(sets))


def _measured(one: Run, other: Run) -> str:
    """What to do about batches of two GPUs, which --max-tokens auto, the default, measured."""
    sizes = [run.config.get("max_tokens") for run in (one, other)]
    if sizes[0] == sizes[1] or one.record["identity"].get("device") != "cuda":
        return ""
    return (
        ". Without --max-tokens each GPU was measured for its own; give --max-tokens "
        f"{min(s for s in sizes if s)} to both"
    )


def _english(item: Any) -> bool:
    return bool(item.language == PIVOT)


def _versions(run: Run) -> dict[str, Any]:
    record = read_sealed(run.folder / RECORD, "versions")
    return {} if record is None else dict(record["versions"])


def _differing(one: Mapping[str, Any], other: Mapping[str, Any], but: Sequence[str]) -> str:
    """A line per key in which two mappings differ."""
    keys = [k for k in dict.fromkeys([*one, *other]) if k not in but]
    found = [(k, one.get(k), other.get(k)) for k in keys if one.get(k) != other.get(k)]
    return "\n".join(f"  {k}: {a!r} and {b!r}" for k, a, b in found)
