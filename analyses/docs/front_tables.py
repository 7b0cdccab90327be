"""The tables of docs/gate.md that are made of analyses.front's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from analyses.docs.tables import ARMS, NAMES, markdown, named
from analyses.docs.values import Row, number, p_value, read, with_interval
from mechcla.steering.families import BOTH, Condition

SHOWN = ("EN", "LOC", "SUR", "GATED")
CLAIM = ("run", "method", "against", "metric")


@named("front-points")
def points(folder: Path, name: str = "front", *runs: str) -> str:
    """Changes against a run's own unsteered model, pooled; whether on its front, and how often."""
    table = [r for r in read(name, folder) if r["against"] in (r["model"], "")]
    rows = []
    for run in runs or list(dict.fromkeys(r["model"] for r in table)):
        mine = [r for r in table if r["model"] == run]
        for condition in _conditions(mine):
            both = {r["metric"]: r for r in mine if r["condition"] == condition}
            if set(both) != set(BOTH) or not both[BOTH[0]]["front_with_arms"]:
                continue
            cells = [_change(both[axis]) for axis in BOTH]
            of = both[BOTH[0]]
            share = f"{of['front']}, {number(of['front_share'], 2)}" if of["front"] else ""
            rows.append([run, _name(condition), *cells, share, _recovered(both[BOTH[1]])])
    head = ["run", "", "change in transfer", "change in localization"]
    return markdown([*head, "on the front, share of draws", "of the explicit prompt's gain"], rows)


@named("front-claims")
def claims(folder: Path) -> str:
    """SUR and GATED against EN on localization and LOC on transfer, pooled, one family of tests."""
    return _tests(folder, "claim")


@named("front-beside")
def beside(folder: Path) -> str:
    """SUR and GATED on both axes, less EN, LOC, SUR and the unsteered model, where not claimed."""
    return _tests(folder, "beside")


@named("front-arms")
def arms(folder: Path) -> str:
    """SUR and GATED against their control arms, pooled, one family of tests."""
    return _tests(folder, "arms")


@named("front-languages")
def languages(folder: Path) -> str:
    """SUR and GATED against EN on localization and LOC on transfer, language by language."""
    table = [r for r in read("front_tests", folder) if r["family"] == "claim"]
    there = [k for k in dict.fromkeys(r["language"] for r in table) if k != "all"]
    rows = []
    for key in dict.fromkeys(tuple(r[k] for k in CLAIM) for r in table):
        by = {r["language"]: r for r in table if tuple(r[k] for k in CLAIM) == key}
        run, method, against, metric = key
        rows.append([run, NAMES[method], _name(against), metric, *(_change(by[k]) for k in there)])
    return markdown(["run", "method", "less", "on", *there], rows)


@named("soft-gate")
def soft_gate(folder: Path) -> str:
    """Hard and soft gates on test, against the unsteered model and against the hard gate."""
    table = [r for r in read("soft_gate", folder) if r["split"] == "test"]
    rows = []
    for gate in dict.fromkeys(r["gate"] for r in table):
        cells = [gate + ", dev's choice" * (gate in _taken(table))]
        for against in ("unsteered", "hard"):
            by = {r["metric"]: r for r in table if (r["gate"], r["against"]) == (gate, against)}
            cells += [_change(by[axis]) if axis in by else "" for axis in BOTH]
        rows.append(cells)
    head = [f"{axis}, less {than}" for than in ("unsteered", "hard") for axis in BOTH]
    return markdown(["gate", *head], rows)


def _taken(table: Sequence[Row]) -> set[str]:
    return {r["gate"] for r in table if r["chosen"] == "True"}


@named("gate-shuffled")
def gate_shuffled(folder: Path, *places: str) -> str:
    """What gates of shuffled kinds make of test prompts, at LANGUAGE:BLOCK each."""
    table = {(r["language"], r["layer"]): r for r in read("gate_shuffled", folder)}
    columns = ("right", "least", "most", "first_seed", "first_seed_as_the_real_one")
    rows = []
    for place in places:
        language, _, layer = place.partition(":")
        found = table[language, layer]
        rows.append([language, layer, *(number(found[c], 2) for c in columns)])
    seeds = next(iter(table.values()))["seeds"]
    head = ["", "block", f"told rightly, mean of {seeds} seeds", "least", "most"]
    return markdown([*head, "seed 0, told rightly", "seed 0, decides as the real gate"], rows)


@named("shuffled-gates")
def shuffled_gates(folder: Path, single: str) -> str:
    """The real gate, so many single gates of shuffled kinds, and the mean over all of them."""
    table = read("shuffled_gates", folder)
    mean = {r["metric"]: r for r in table if r["seed"] == "mean"}
    seeds = mean[BOTH[0]]["seeds"]
    names = {"real": "the real one"} | {str(k): f"seed {k}" for k in range(int(single))}
    rows = []
    for seed, name in (names | {"mean": f"mean of {seeds} seeds"}).items():
        both = {r["metric"]: r for r in table if r["seed"] == seed}
        cells = [with_interval(both[axis], "change") for axis in BOTH]
        for axis in BOTH:
            less = with_interval(both[axis], "difference") if both[axis]["difference"] else ""
            p = both[axis]["p_holm"]
            cells.append(f"**{less}**" if p and float(p) < 0.05 else less)
        same = [number(both[axis]["as_the_real_one"], 2) for axis in BOTH]
        rows.append([name, *cells, ", ".join(same) if seed != "real" else ""])
    for end in ("least", "most"):
        cells = [number(mean[axis][end], 3, sign=True) for axis in BOTH]
        rows.append([f"{end} of {seeds} seeds", *cells, "", "", ""])
    head = [f"{axis}, less unsteered" for axis in BOTH] + [f"real less it, {a}" for a in BOTH]
    return markdown(["gate", *head, "decides as the real one: universal, cultural"], rows)


def _tests(folder: Path, family: str) -> str:
    rows = [
        [
            r["run"],
            NAMES[r["method"]],
            _name(r["against"]),
            r["metric"],
            with_interval(r, "difference"),
            p_value(r["p_holm"]),
            number(r["detectable_holm"]),
        ]
        for r in read("front_tests", folder)
        if (r["family"], r["language"]) == (family, "all")
    ]
    head = ["run", "method", "less", "on", "difference", "p (Holm)", "smallest detectable (Holm)"]
    return markdown(head, rows)


@named("front-cost")
def cost(folder: Path) -> str:
    """Cells and minutes by stage, a column per run."""
    table = read("front_cost", folder)
    runs, stages = (list(dict.fromkeys(r[k] for r in table)) for k in ("run", "stage"))
    rows = []
    for stage in stages:
        cells: list[str] = []
        for run in runs:
            found = [r for r in table if (r["run"], r["stage"]) == (run, stage)]
            cells += [_spent(found[0])] if found else [""]
        rows.append([stage, *cells])
    return markdown(["stage", *(f"{run}: cells, minutes" for run in runs)], rows)


def _spent(found: Row) -> str:
    minutes = number(float(found["seconds"]) / 60, 1)
    return f"{found['cells']}, {minutes}" if found["cells"] != "0" else minutes


def _conditions(rows: Sequence[Row]) -> list[str]:
    """Methods first, each followed by its arms."""
    there = list(dict.fromkeys(r["condition"] for r in rows))
    return [c for f in SHOWN for c in there if Condition.parse(c).family == f]


def _name(condition: str) -> str:
    found = Condition.parse(condition)
    if not found.is_arm:
        return NAMES[found.family]
    return f"{NAMES[found.family]}: {ARMS[found.arm]}"


def _change(found: Row) -> str:
    shown: Any = with_interval(found, "difference")
    return f"**{shown}**" if float(found["p_holm"]) < 0.05 else shown


def _recovered(found: Row) -> str:
    return with_interval(found, "of_ceiling", 2) if found["of_ceiling"] else ""
