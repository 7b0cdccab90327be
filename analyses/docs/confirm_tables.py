"""The tables of docs/confirmation.md, of docs/reference/confirm or of the folder that is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from analyses.docs.tables import ARMS, AXES, METRICS, NAMES, markdown, named
from analyses.docs.values import Typed, number, p_value, read, with_interval

MODELS = {"base": "base", "mist": "MIST", "midalign": "MidAlign", "clo": "CLO"}


@named("confirm-hypotheses")
def confirm_hypotheses(folder: Path, of: str = "confirm") -> str:
    """What was frozen: contrast, direction, the demo's difference, what this set detects."""
    frozen = read(f"{of}/frozen", folder)
    power = {row["id"]: row for row in frozen["power"]}
    rows = []
    for h in frozen["plan"]["hypotheses"]:
        p = power[h["id"]]
        shown = [number(p["first"], 3, True), f"{p['n']} ({p['questions']})"]
        shown += [number(p["detectable"]), number(p["detectable_holm"])]
        rows.append([*_said(h), *shown])
    head = ["", "contrast", "metric", "expected", "demo's test items", "n (questions)"]
    return markdown([*head, "detectable", "at Holm's first step"], rows)


@named("confirm-results")
def confirm_results(folder: Path, of: str = "confirm") -> str:
    """The hypotheses with what the new items say; that they are not scored, where they are not."""
    if not (folder / of / "hypotheses.csv").exists():
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
        for r in read(f"{of}/hypotheses", folder)
    ]
    head = ["", "contrast", "metric", "expected", "difference", "n", "p (Holm)", "detectable"]
    return markdown([*head, "confirmed"], rows)


@named("confirm-short")
def confirm_short(folder: Path, of: str = "confirm") -> str:
    """The same in short: contrast, difference with its interval, whether it was confirmed."""
    if not (folder / of / "hypotheses.csv").exists():
        return "Not scored yet."
    rows = []
    for r in read(f"{of}/hypotheses", folder):
        said = [METRICS[r["metric"]], _direction(r), with_interval(r, "difference")]
        rows.append([_contrast(r), *said, r["confirmed"]])
    return markdown(["", "metric", "expected", "change", "confirmed"], rows)


@named("confirm-doubted")
def confirm_doubted(folder: Path, of: str = "confirm") -> str:
    """The hypotheses with all items, and without those that a later reading doubted."""
    if not (folder / of / "doubted.csv").exists():
        return "Not scored yet."
    every = {r["id"]: r for r in read(f"{of}/hypotheses", folder)}
    cells = {i: [with_interval(r, "difference"), str(r["n"])] for i, r in every.items()}
    for r in read(f"{of}/doubted", folder):
        cells[r["id"]] += [with_interval(r, "difference"), str(r["n"]), p_value(r["p_holm"])]
    head = ["", "all items", "n", "without the wrong", "n", "p (Holm)"]
    head += ["without the doubtful too", "n", "p (Holm)"]
    rows = [[f"{i} {_contrast(every[i])}", *shown] for i, shown in cells.items()]
    return markdown(head, rows)


@named("confirm-values")
def confirm_values(folder: Path, of: str = "confirm") -> str:
    """Every pooled value that was scored, the controls too, and its change."""
    if not (folder / of / "values.csv").exists():
        return "Not scored yet."
    rows = [
        [MODELS[r["model"]], _condition(r["condition"]), METRICS[r["metric"]]]
        + [with_interval(r, "value"), str(r["n"])]
        + ([with_interval(r, "difference"), MODELS[r["against"]]] if r["against"] else ["", ""])
        for r in read(f"{of}/values", folder)
        if r["language"] == "all"
    ]
    head = ["model", "condition", "metric", "value", "n", "change", "against, unsteered"]
    return markdown(head, rows)


@named("confirm-contrasts")
def confirm_contrasts(folder: Path, of: str) -> str:
    """Pairs of conditions that are described and not tested, on both axes of the plane."""
    if not (folder / of / "contrasts.csv").exists():
        return "Not scored yet."
    pairs: dict[tuple[str, ...], dict[str, str]] = {}
    for r in read(f"{of}/contrasts", folder):
        if r["language"] == "all":
            key = (r["model"], r["condition"], r["than"])
            shown = with_interval(r, "difference")
            pairs.setdefault(key, {})[r["metric"]] = f"{shown}; {number(r['detectable'])}"
    rows = [
        [MODELS[model], _condition(new), _condition(old), *(by.get(m, "") for m in AXES)]
        for (model, new, old), by in pairs.items()
    ]
    return markdown(["model", "", "less", *(METRICS[m] for m in AXES)], rows)


FRONT = (("EN", "localization"), ("LOC", "transfer"))  # what SUR and GATED are held against


@named("confirm-languages")
def confirm_languages(folder: Path, of: str) -> str:
    """The front's two differences of SUR and GATED, language by language; described, not tested."""
    if not (folder / of / "contrasts.csv").exists():
        return "Not scored yet."
    found = {
        tuple(r[k] for k in ("model", "condition", "than", "metric", "language")): r
        for r in read(f"{of}/contrasts", folder)
    }
    languages = list(dict.fromkeys(k[-1] for k in found if k[-1] != "all"))
    rows = []
    for model in dict.fromkeys(k[0] for k in found):
        for than, metric in FRONT:
            for new in ("SUR", "GATED"):
                by = [found[model, new, than, metric, k] for k in languages]
                label = [MODELS[model], _condition(new), _condition(than), METRICS[metric]]
                rows.append([*label, *(with_interval(r, "difference") for r in by)])
    return markdown(["model", "", "less", "on", *languages], rows)


def _condition(name: str) -> str:
    family, _, arm = name.partition(" ")
    return NAMES[family] + (f": {ARMS[arm]}" if arm else "")


def _said(h: Any) -> list[str]:
    return [h["id"], _contrast(h), METRICS[h["metric"]], _direction(h)]


def _contrast(h: Any) -> str:
    new, old = (
        (MODELS[h[m]], _condition(h[c]))
        for m, c in (("model", "condition"), ("than_model", "than_condition"))
    )
    if new[0] == old[0] and h["than_condition"] != "unsteered":
        return f"{new[1]} on {new[0]}, against {old[1]}"
    if new[0] == old[0]:
        return f"{new[1]} on {new[0]}, against it {old[1]}"
    return f"{new[0]} {new[1]}, against {old[0]} {old[1]}"


def _direction(h: Any) -> str:
    if float(h["margin"]):
        return f"above -{Typed(h['margin'])}"
    return {"up": "above zero", "down": "below zero"}[h["direction"]]
