"""The tables of docs/blend.md and docs/locqa.md that are made of analyses.cultural_steering's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from analyses.docs.tables import ARMS, NAMES, markdown, named
from analyses.docs.values import Row, read, with_interval
from mechcla.steering.families import Condition

TABLE = "cultural_steering"
COLUMNS = {
    "localization": "localization",
    "english_bias": "English bias",
    "collision_aware_bias": "collision-aware bias",
    "transfer": "transfer",
}
METHODS = ("unsteered", "explicit", "EN", "LOC", "SUR", "GATED")


@named("cultural-steering")
def cultural_steering(folder: Path, run: str, *metrics: str) -> str:
    """Values and changes of the methods of a run, pooled over languages; bold: p < 0.05 after
    Holm.
    """
    found = _pooled(folder, run)
    asked = metrics or tuple(COLUMNS)
    rows = []
    for method in METHODS:
        if any(condition == method for condition, _ in found):
            cells = [x for m in asked for x in _value_and_change(found.get((method, m)))]
            rows.append([NAMES[method], *cells])
    heads = []
    for m in asked:
        n = found["unsteered", m]["n"] if ("unsteered", m) in found else "0"
        heads += [f"{COLUMNS[m]} (n={n})", "change"]
    return markdown(["share", *heads], rows)


@named("cultural-arms")
def cultural_arms(folder: Path, run: str, *methods: str) -> str:
    """Changes under these methods and their control arms, pooled over languages."""
    found = _pooled(folder, run)
    rows = []
    for condition in dict.fromkeys(c for c, _ in found):
        parsed = Condition.parse(condition)
        if parsed.family in methods:
            axes = ("localization", "transfer")
            cells = [_value_and_change(found.get((condition, m)))[1] for m in axes]
            rows.append([_name(parsed), *cells])
    return markdown(["", "change in localization", "change in transfer"], rows)


@named("cultural-languages")
def cultural_languages(folder: Path, run: str, *methods: str) -> str:
    """Localization by language: unsteered, and the changes; what dev chose."""
    table = [r for r in read(TABLE, folder) if r["run"] == run and r["metric"] == "localization"]
    rows = []
    for language in dict.fromkeys(r["language"] for r in table if r["language"] != "all"):
        mine = {r["condition"]: r for r in table if r["language"] == language}
        base = mine["unsteered"]
        cells = [language, base["n"], with_interval(base, "value")]
        for method in methods:
            cells += [
                _change(mine[method]),
                *([mine[method]["chosen"]] if method in FAMILY else []),
            ]
        rows.append(cells)
    head = ["language", "n", "unsteered"]
    for method in methods:
        head += [NAMES[method], *(["chosen"] if method in FAMILY else [])]
    return markdown(head, rows)


FAMILY = ("EN", "LOC", "SUR", "GATED")


def _pooled(folder: Path, run: str) -> Mapping[tuple[str, str], Row]:
    return {
        (r["condition"], r["metric"]): r
        for r in read(TABLE, folder)
        if (r["run"], r["language"]) == (run, "all")
    }


def _name(condition: Condition) -> str:
    if not condition.is_arm:
        return NAMES[condition.family]
    if condition.family == "explicit":
        return "the United States named in the prompt"
    return f"{NAMES[condition.family]}: {ARMS[condition.arm]}"


def _value_and_change(found: Row | None) -> Sequence[str]:
    if found is None:
        return "", ""
    return with_interval(found, "value"), _change(found)


def _change(found: Row) -> str:
    if not found["difference"]:
        return ""
    shown = with_interval(found, "difference")
    return f"**{shown}**" if found["p_holm"] and float(found["p_holm"]) < 0.05 else shown
