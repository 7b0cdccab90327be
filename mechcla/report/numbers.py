"""A run's tables as what the page holds: columns and rows, as the run's files have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from mechcla.geometry import perpendicularity_by_layer, random_perpendicularity
from mechcla.plots.style import colours
from mechcla.report.projected import projected
from mechcla.results import Rows
from mechcla.runs.run import Run
from mechcla.steering.families import AXIS_OF, Condition, axes_of, is_steered, look

Table = dict[str, Any]  # columns: names; rows: a list of values per record
AXES = tuple(AXIS_OF.values())
SETTINGS = ("layer", "strength", "positions")


def run_numbers(name: str, run: Run) -> dict[str, Any]:
    """All numbers of one run but its items, under the names that the page's script reads.

    Raises MechclaError for a run that is not complete, or whose files are damaged.
    """
    languages = list(run.item_set.test.languages)
    measured = {row["language"] for row in run.summary}
    return {
        "name": name,
        "model": last_part(run.config["model"]),
        "measure": run.config["measure"],
        "languages": [k for k in languages if k in measured],
        "colours": colours(languages),
        "conditions": [_condition(c) for c in run.conditions],
        "summary": table(run.summary),
        "tests": table(run.tests),
        "arms": table(run.arms),
        "contrast": table(run.contrast),
        "perpendicularity": _perpendicularity(run),
        "projection": projected(run),
        "dev": _dev(run.selection),
        "settings": [[k, shown(v)] for k, v in run.config.items()],
        "versions": [[k, shown(v)] for k, v in run.record.get("versions", {}).items()],
        "limit": run.limit,
    }


def table(rows: Rows | Sequence[Mapping[str, Any]]) -> Table:
    """Records as columns and rows; a number that is not there is None.

    >>> table([{"n": 3, "value": 0.5}])
    {'columns': ['n', 'value'], 'rows': [[3, 0.5]]}
    """
    records = list(rows)
    columns = list(records[0]) if records else []
    return {"columns": columns, "rows": [[r.get(c) for c in columns] for r in records]}


def last_part(text: str) -> str:
    """A path's last part, so that a page that is shared tells no folder; another text as it is.

    >>> last_part("/home/me/models/tiny"), last_part("google/gemma-3-1b-pt")
    ('tiny', 'google/gemma-3-1b-pt')
    """
    return PurePath(text).name if PurePath(text).is_absolute() else text


def shown(value: Any) -> str:
    """A setting's value as people read it."""
    if isinstance(value, list | tuple):
        return ", ".join(shown(part) for part in value)
    return "" if value is None else last_part(str(value))


def _condition(name: str) -> dict[str, Any]:
    condition, (mark, colour) = Condition.parse(name), look(name)
    return {
        "name": name,
        "family": condition.family,
        "arm": condition.arm,
        "axes": list(axes_of(condition.family)),
        "steered": is_steered(condition.family),
        "mark": mark,
        "colour": colour,
    }


def _perpendicularity(run: Run) -> dict[str, Any]:
    """1 - |cosine| of EN and LOC by layer and language, and what random directions would have."""
    en, loc = run.vectors.get("EN"), run.vectors.get("LOC")
    if en is None or loc is None or not set(en.languages) & set(loc.languages):
        return {"layers": {}, "random": None}
    found = perpendicularity_by_layer(en, loc)
    d_model = en[en.languages[0]].shape[-1]
    return {
        "layers": {language: values.tolist() for language, values in found.items()},
        "random": random_perpendicularity(d_model),
    }


def _dev(selection: Mapping[str, Any]) -> dict[str, Any]:
    """Every method that dev tried, with its gains by language; per choice, the front and the
    methods taken.
    """
    methods: dict[str, dict[str, Any]] = {}
    choices = []
    for choice in selection["choices"]:
        for point in choice["points"]:
            mine = methods.setdefault(point["name"], {**_settings(point), "gains": {}})
            mine["gains"] |= point["by_language"]
        choices.append(
            {
                "languages": choice["languages"],
                "points": [_gains(p) for p in choice["points"]],
                "front": [_gains(p) for p in choice["pareto_front"]],
                "chosen": {family: p["name"] for family, p in choice["chosen"].items()},
            }
        )
    return {"methods": methods, "choices": choices, "rule": selection["rule"]}


def _gains(point: Mapping[str, Any]) -> list[Any]:
    """The method's name and its gain on either axis of the plane; None where it is not finite."""
    return [point["name"], *(point[f"d_{axis}"] for axis in AXES)]


def _settings(point: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in point.items() if k == "family" or k.endswith(SETTINGS)}
