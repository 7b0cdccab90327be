"""Run: a finished (or unfinished) run folder, read back; every file is verified against its digest.

    run = mechcla.read_run("runs/demo")
    run.status, run.choice["SUR"]["es"]
    run.scores("SUR")                      # item-level scores of a condition
    run.flips("SUR")                       # whose answer changed, from what to what

Reading never writes, and needs no model.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

from mechcla.errors import MechclaError, nearest
from mechcla.items.item import PIVOT
from mechcla.items.item_set import ItemSet, open_jsonl
from mechcla.metrics.item_values import AnyTable, cells_of, of_languages
from mechcla.metrics.plane_point import PlanePoint, plane
from mechcla.results import Rows
from mechcla.runs import lock
from mechcla.runs.folder import (
    ARMS,
    CELL,
    CELLS,
    CONDITIONS,
    CONTRAST,
    FROZEN,
    ITEMS,
    PROJECTION,
    RECORD,
    SEAL,
    SELECTION,
    STATUS,
    SUMMARY,
    TESTS,
    VECTOR,
    VECTORS,
    reading,
    refuse_other_schema,
    seal,
)
from mechcla.runs.projected import projection_rows
from mechcla.scoring.scores import ItemScore, Scores
from mechcla.steering.families import Condition
from mechcla.storage import digest, read_sealed, sha256, user_path
from mechcla.vectors.steering_vectors import SteeringVectors

AGAIN = "the sweep's command makes it again"
LIMIT = "test items were scored under a choice that was frozen before; one run is one model"


@dataclass(frozen=True, eq=False)
class Run:
    """One run folder. Make it with `mechcla.read_run`.

    record: versions, identity and settings. config: the settings alone. limit: what its numbers
    claim.
    """

    folder: Path
    record: dict[str, Any] = field(repr=False)
    limit: str = LIMIT

    @property
    def config(self) -> dict[str, Any]:
        """The settings that decide the results."""
        config: dict[str, Any] = self.record["config"]
        return config

    @property
    def status(self) -> str:
        """ "complete", "running", "interrupted", or "failed: " and the message that it ended in."""
        found = read_sealed(self.folder / STATUS, "status") if self._has(STATUS) else None
        if found is None or found["status"] == "running":
            return "running" if lock.is_held(self.folder) else "interrupted"
        return ": ".join(filter(None, (found["status"], found.get("message", ""))))

    @cached_property
    def vectors(self) -> dict[str, SteeringVectors]:
        """Vectors by name: "EN", "LOC", and the controls that were made."""
        paths = sorted((self.folder / VECTORS).glob(f"*{VECTOR}"))
        run = digest(self.record["identity"])
        return {
            _vector_name(path): SteeringVectors.load(
                path, bound=f"{path.relative_to(self.folder).as_posix()} of run {run}"
            )
            for path in paths
        }

    @cached_property
    def choice(self) -> dict[str, dict[str, dict[str, Any]]]:
        """What dev chose: {family: {language: method}}, as it was frozen before test was opened."""
        frozen = self._sealed(FROZEN, "choice")
        choice: dict[str, dict[str, dict[str, Any]]] = frozen["choice"]["methods"]
        return choice

    @cached_property
    def selection(self) -> dict[str, Any]:
        """selection.json: per choice, every method that dev tried with its gains, the Pareto front,
        and what was chosen.
        """
        return self._sealed(SELECTION, "choices")

    @cached_property
    def _cells(self) -> dict[str, list[str]]:
        cells: dict[str, list[str]] = self._sealed(CONDITIONS, "conditions")["conditions"]
        return cells

    @cached_property
    def projections(self) -> Rows:
        """Dev prompts on two principal components at a few blocks; no rows where a run has none.

        Columns: kind, layer, language, id, x, y, explained_x and explained_y, the shares of the
        variance. Each kind and layer has axes of its own. Limit: two axes of many.
        """
        folder = str(self.folder)
        if not self._has(PROJECTION):
            return Rows((), {"run": folder})
        held = self._sealed(PROJECTION, "kinds", "run")
        if held["run"] != digest(self.record["identity"]):
            raise MechclaError(f"{PROJECTION} in {folder!r} is of another run; {AGAIN}")
        return projection_rows(held, folder)

    @property
    def conditions(self) -> tuple[str, ...]:
        """Names of what was scored on test: unsteered, explicit, each family, each control arm."""
        return tuple(self._cells)

    def scores(self, condition: str | Condition = "unsteered") -> Scores:
        """Item-level test scores of a condition, all languages, English too where it was scored.

        Raises MechclaError for an unknown condition, and for a cell that is damaged or missing.
        """
        name = str(condition)
        if name not in self._cells:
            raise MechclaError(
                f"the run {str(self.folder)!r} has no condition {name!r}; "
                f"{nearest(name, self._cells, 30)}"
            )
        tables = [self._cell(stem) for stem in self._cells[name]]
        settings = tables[0].settings | {"condition": name, "run": str(self.folder)}
        return Scores(tuple(row for table in tables for row in table), settings)

    def _cell(self, stem: str) -> Scores:
        found = self.cell(self.folder / stem)
        if found is not None:
            return found
        raise MechclaError(
            f"the cell {stem!r} of the run {str(self.folder)!r} is damaged or missing; the sweep's "
            "command runs it again and leaves the rest"
        )

    def cell(self, path: Path) -> Scores | None:
        """The scores of the cell that `mechcla.runs.store.cell_path` names; None if it is damaged
        or not there.
        """
        with reading(self.folder):
            for file in sorted(path.parent.glob(f"{path.name}-*{CELL}")):
                data = file.read_bytes()
                if file.stem == f"{path.name}-{seal(self.folder, path, data)}":
                    return Scores.from_parquet(BytesIO(data))
        return None

    def damaged(self) -> list[str]:
        """The cells whose bytes are not those that their names say, by their path in the folder."""
        found = []
        with reading(self.folder):
            for file in sorted((self.folder / CELLS).rglob(f"*{CELL}")):
                path = file.with_name(file.stem[: -SEAL - 1])
                if file.stem != f"{path.name}-{seal(self.folder, path, file.read_bytes())}":
                    found.append(file.relative_to(self.folder).as_posix())
        return found

    @cached_property
    def item_set(self) -> ItemSet:
        """The items of the run, dev and test."""
        items = open_jsonl(self.folder / ITEMS)
        if items.digest != self.record["identity"]["items"]:
            raise MechclaError(
                f"{ITEMS} in the run folder {str(self.folder)!r} does not match its digest: it is "
                "damaged or was edited; the sweep's command writes it again"
            )
        return items

    def items(self, *conditions: str) -> Rows:
        """One row per test item and condition: what was asked, what was chosen, and what flipped.

        Columns: condition, id, language, kind, topic, prompt (as it was asked), choice, role, share
        (of the right or local answer), flipped ("local -> english", "" where the role of the choice
        is the unsteered model's). conditions: all by default.
        """
        prompts = {(i.id, i.language, i.kind): i for i in self.item_set.test}
        base = {_key(row): row for row in self.scores("unsteered")}
        records = []
        for name in conditions or self.conditions:
            for row in self.scores(name):
                item = prompts.get(_key(row))
                before = base.get(_key(row))
                choice, role = _choice(row)
                was = _choice(before)[1] if before else role
                records.append(
                    {
                        "condition": name,
                        "id": row.id,
                        "language": row.language,
                        "kind": row.kind,
                        "topic": row.topic,
                        "prompt": item.prompt_text(row.prompt_form) if item else "",
                        "choice": choice,
                        "role": role,
                        "share": float(row.shares()[row.right]),
                        "flipped": "" if was == role else f"{was} -> {role}",
                    }
                )
        return Rows(tuple(records), {"run": str(self.folder)})

    def flips(self, condition: str) -> Rows:
        """The items whose choice has another role than the unsteered model's, with both shares."""
        base = {(r["id"], r["language"], r["kind"]): r for r in self.items("unsteered")}
        records = []
        for row in self.items(condition):
            before = base.get((row["id"], row["language"], row["kind"]))
            if before is not None and row["flipped"]:
                was = {"choice_unsteered": before["choice"], "share_unsteered": before["share"]}
                records.append({**row, **was})
        return Rows(tuple(records), {"run": str(self.folder), "condition": condition})

    def plane(self, measure: str = "share", resamples: int | None = None) -> tuple[PlanePoint, ...]:
        """The plane's points, the unsteered model first; control arms are left out.

        A language is on the plane if it has both kinds of items. resamples: of the bootstrap;
        default: the run's own. Raises MechclaError for a run over items of one kind alone.
        """
        names = [n for n in self.conditions if not Condition.parse(n).is_arm]
        tables = on_plane({n: self.scores(n) for n in names})
        if not tables:
            raise MechclaError(
                f"the run {str(self.folder)!r} has no language with both universal and cultural "
                "items, so it has no plane; its summary has the axis that there is"
            )
        often = resamples or self.config["resamples"]
        return plane(tables, measure, resamples=often, seed=self.config["seed"])

    @cached_property
    def summary(self) -> Rows:
        """summary.csv: each method, language, metric and measure, with interval, n and change."""
        return self._csv(SUMMARY)

    @cached_property
    def tests(self) -> Rows:
        """tests.csv: each family against the unsteered model, with p-values after Holm."""
        return self._csv(TESTS)

    @cached_property
    def arms(self) -> Rows:
        """arms.csv: each family against its control arms; no rows without them."""
        return self._csv(ARMS)

    @cached_property
    def contrast(self) -> Rows:
        """contrast.csv: the own country's answer against the American one; no rows without the
        control.
        """
        return self._csv(CONTRAST)

    def _csv(self, name: str) -> Rows:
        self._needs(name)
        with reading(self.folder):
            data = (self.folder / name).read_bytes()
        status = read_sealed(self.folder / STATUS, "tables") if self._has(STATUS) else None
        if status is not None and status["tables"].get(name) not in (None, sha256(data)):
            raise MechclaError(
                f"{name} in the run folder {str(self.folder)!r} does not match its digest: it is "
                "damaged or was edited; the sweep's command makes it again from the cells"
            )
        rows = csv.DictReader(StringIO(data.decode("utf-8")))
        records = tuple({k: _value(k, v) for k, v in row.items()} for row in rows)
        return Rows(records, {"run": str(self.folder), "file": name})

    def _sealed(self, name: str, *needed: str) -> dict[str, Any]:
        self._needs(name)
        found = read_sealed(self.folder / name, *needed)
        if found is None:
            raise MechclaError(
                f"{name} in the run folder {str(self.folder)!r} does not match its digest: it is "
                "damaged or was edited"
            )
        return found

    def _has(self, name: str) -> bool:
        return (self.folder / name).exists()

    def _needs(self, name: str) -> None:
        if not self._has(name):
            raise MechclaError(
                f"the run {str(self.folder)!r} is not complete (status {self.status}): it has no "
                f"{name} yet; the sweep's command goes on from what is there"
            )

    def __str__(self) -> str:
        return f"Run({str(self.folder)!r}, {self.status}, model {self.config['model']!r})"


def read_run(folder: str | Path) -> Run:
    """A run folder read back. Raises MechclaError for a folder that holds no run, naming what it
    holds.

    A folder of mechcla 0.1, whose record has no digest, is refused by name.

    >>> run = mechcla.read_run("runs/demo")
    >>> len(run.tests.where(method="LOC", language="all", measure="share"))
    2
    """
    path = user_path(folder)
    with reading(path):
        if not (path / RECORD).exists():
            held = sorted(p.name for p in path.iterdir())[:5] if path.is_dir() else None
            what = f"it holds {', '.join(held) or 'nothing'}" if held is not None else "no folder"
            raise MechclaError(
                f"{str(folder)!r} holds no run ({what}); expected a folder that "
                "python -m mechcla.sweep --out made"
            )
        text = (path / RECORD).read_text(encoding="utf-8", errors="replace")
    record = read_sealed(path / RECORD, "config", "identity")
    if record is None:
        if _is_of_0_1(text):
            raise MechclaError(
                f"{str(folder)!r} is a run of mechcla 0.1, whose files carry no digests; run the "
                "same config.yaml again with this version"
            )
        raise MechclaError(f"{RECORD} in {str(folder)!r} is damaged, so the run cannot be read")
    refuse_other_schema(path, record)
    return Run(path, record)


def on_plane(tables: Mapping[str, AnyTable]) -> dict[str, AnyTable]:
    """The rows of the steered languages that have both kinds of items, by condition.

    None at all where no language has both. The first table is the unsteered model's.
    """
    base = cells_of(next(iter(tables.values())))
    both = [k for k, kind in base if kind == "universal" and (k, "cultural") in base and k != PIVOT]
    cut = {n: of_languages(t, both) for n, t in tables.items()}
    return {n: t for n, t in cut.items() if len(t)}


def _is_of_0_1(text: str) -> bool:
    try:
        record = json.loads(text)
    except ValueError:
        return False
    return isinstance(record, dict) and "versions" in record and "config_sha256" not in record


def _key(row: ItemScore) -> tuple[str, str, str]:
    return (row.id, row.language, row.kind)


def _choice(row: ItemScore) -> tuple[str, str]:
    best = int(row.values().argmax())
    return row.texts[best], row.roles[best]


def _vector_name(path: Path) -> str:
    """The key of a vector file: "loc_us" is "LOC US", "en_shuffled" is "EN shuffled"."""
    first, *rest = path.stem.split("_")
    return " ".join([first.upper(), *(w.upper() if w == "us" else w for w in rest)])


TEXTS = {"method", "against", "metric", "language", "measure", "condition"}  # never numbers


def _value(column: str, text: str) -> Any:
    """A CSV cell as what was written: a number, True or False, nothing, or a text."""
    if column in TEXTS:
        return text.removeprefix("'")
    if text == "":
        return None
    if text in ("True", "False"):
        return text == "True"
    readers: tuple[Callable[[str], Any], ...] = (int, float)
    for read in readers:
        try:
            return read(text)
        except ValueError:
            continue
    return text
