"""The tables of docs/confirmation.md, made of docs/reference/confirm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from analyses.docs.tables import METRICS, NAMES, markdown, named
from analyses.docs.values import Typed, number, p_value, read, with_interval

MODELS = {"base": "base", "mist": "MIST", "midalign": "MidAlign", "clo": "CLO"}


@named("confirm-hypotheses")
def confirm_hypotheses(folder: Path) -> str:
    """What was frozen: contrast, direction, the first set's difference, what this set detects."""
    frozen = read("confirm/frozen", folder)
    power = {row["id"]: row for row in frozen["power"]}
    rows = []
    for h in frozen["plan"]["hypotheses"]:
        p = power[h["id"]]
        shown = [number(p["first"], 3, True), f"{p['n']} ({p['questions']})"]
        shown += [number(p["detectable"]), number(p["detectable_holm"])]
        rows.append([*_said(h), *shown])
    head = ["", "contrast", "metric", "expected", "first test set", "n (questions)"]
    return markdown([*head, "detectable", "at Holm's first step"], rows)


@named("confirm-results")
def confirm_results(folder: Path) -> str:
    """The hypotheses with what the new items say; that they are not scored, where they are not."""
    if not (folder / "confirm" / "hypotheses.csv").exists():
        return "Not scored yet."
    rows = [
        [
            *_said(r),
            with_interval(r, "difference"),
            str(r["n"]),
            p_value(r["p_holm"]),
            number(r["detectable"]),
            r["confirmed"],
        ]
        for r in read("confirm/hypotheses", folder)
    ]
    head = ["", "contrast", "metric", "expected", "difference", "n", "p (Holm)", "detectable"]
    return markdown([*head, "confirmed"], rows)


@named("confirm-short")
def confirm_short(folder: Path) -> str:
    """The same in short: contrast, difference with its interval, whether it was confirmed."""
    if not (folder / "confirm" / "hypotheses.csv").exists():
        return "Not scored yet."
    rows = []
    for r in read("confirm/hypotheses", folder):
        said = [METRICS[r["metric"]], _direction(r), with_interval(r, "difference")]
        rows.append([_contrast(r), *said, r["confirmed"]])
    return markdown(["", "metric", "expected", "change", "confirmed"], rows)


@named("confirm-doubted")
def confirm_doubted(folder: Path) -> str:
    """The hypotheses with all items, and without those that a later reading doubted."""
    if not (folder / "confirm" / "doubted.csv").exists():
        return "Not scored yet."
    every = {r["id"]: r for r in read("confirm/hypotheses", folder)}
    cells = {i: [with_interval(r, "difference"), str(r["n"])] for i, r in every.items()}
    for r in read("confirm/doubted", folder):
        cells[r["id"]] += [with_interval(r, "difference"), str(r["n"]), p_value(r["p_holm"])]
    head = ["", "all items", "n", "without the wrong", "n", "p (Holm)"]
    head += ["without the doubtful too", "n", "p (Holm)"]
    rows = [[f"{i} {_contrast(every[i])}", *shown] for i, shown in cells.items()]
    return markdown(head, rows)


@named("confirm-values")
def confirm_values(folder: Path) -> str:
    """Every pooled value that was scored, the controls too, and its change."""
    if not (folder / "confirm" / "values.csv").exists():
        return "Not scored yet."
    rows = [
        [MODELS[r["model"]], NAMES[r["condition"]], METRICS[r["metric"]]]
        + [with_interval(r, "value"), str(r["n"])]
        + ([with_interval(r, "difference"), MODELS[r["against"]]] if r["against"] else ["", ""])
        for r in read("confirm/values", folder)
        if r["language"] == "all"
    ]
    head = ["model", "condition", "metric", "value", "n", "change", "against, unsteered"]
    return markdown(head, rows)


def _said(h: Any) -> list[str]:
    return [h["id"], _contrast(h), METRICS[h["metric"]], _direction(h)]


def _contrast(h: Any) -> str:
    new, old = (
        (MODELS[h[m]], NAMES[h[c]])
        for m, c in (("model", "condition"), ("than_model", "than_condition"))
    )
    if new[0] == old[0]:
        return f"{new[1]} on {new[0]}, against it {old[1]}"
    return f"{new[0]} {new[1]}, against {old[0]} {old[1]}"


def _direction(h: Any) -> str:
    if float(h["margin"]):
        return f"above -{Typed(h['margin'])}"
    return {"up": "above zero", "down": "below zero"}[h["direction"]]
