"""The tables that are made of analyses.cultural_steering, and of analyses.choice_rules for several
sources.
"""

from __future__ import annotations

from collections.abc import Sequence
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
FAMILY = METHODS[2:]  # dev chooses their layers and strengths
SOURCES = {"choice_demo": "demo", "choice_blend": "BLEnD", "choice_locqa": "LocQA"}


@named("cultural-steering")
def cultural_steering(folder: Path, run: str, *metrics: str) -> str:
    """Values and changes under every condition of a run, pooled over languages, with n of the
    first metric; bold: p < 0.05 after Holm.
    """
    table = [r for r in read(TABLE, folder) if (r["run"], r["language"]) == (run, "all")]
    found = {(r["condition"], r["metric"]): r for r in table}
    asked = metrics or tuple(COLUMNS)
    rows = []
    for condition in sorted(dict.fromkeys(r["condition"] for r in table), key=_order):
        if (condition, asked[0]) in found:
            cells = [x for m in asked for x in _value_and_change(found.get((condition, m)))]
            one = found[condition, asked[0]]
            rows.append([_name(condition), f"{one['n']} ({one['questions']})", *cells])
    heads = [x for m in asked for x in (COLUMNS[m], "change")]
    return markdown(["share", "n (questions)", *heads], rows)


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


@named("choice-sources")
def choice_sources(folder: Path, *names: str) -> str:
    """Tables of analyses.choice_rules, one below the other: LOC's gains on left-out questions."""
    rows = []
    for name in names:
        for found in read(name, folder):
            if found["family"] == "LOC":
                on = found["chosen_on"]
                on = f"{on} questions" if on.isdigit() else on
                apart = "" if found["rule"] == "pooled" else with_interval(found, "difference")
                shown = [found["rule"], with_interval(found, "gain"), apart]
                rows.append([SOURCES[name], on, *shown, f"{found['n']} ({found['questions']})"])
    return markdown(["source", "chosen on", "rule", "gain", "less pooled", "n (questions)"], rows)


def _order(condition: str) -> int:
    return METHODS.index(Condition.parse(condition).family)


def _name(condition: str) -> str:
    found = Condition.parse(condition)
    if not found.is_arm:
        return NAMES[found.family]
    if found.family == "explicit":
        return "the United States named in the prompt"
    named = "chosen on the demo's items" if found.arm == "carried" else ARMS[found.arm]
    return f"{NAMES[found.family]}: {named}"


def _value_and_change(found: Row | None) -> Sequence[str]:
    if found is None:
        return "", ""
    return with_interval(found, "value"), _change(found)


def _change(found: Row) -> str:
    if not found["difference"]:
        return ""
    shown = with_interval(found, "difference")
    return f"**{shown}**" if found["p_holm"] and float(found["p_holm"]) < 0.05 else shown
