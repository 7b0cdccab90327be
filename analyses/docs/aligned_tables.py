"""The tables of docs/aligned.md, made of docs/reference/align."""

from __future__ import annotations

from pathlib import Path

from analyses.docs.tables import AXES, METRICS, NAMES, markdown, named
from analyses.docs.values import Row, number, read, with_interval

TABLE = "align/aligned"
PLANE = "align_run/plane"
RELATIONS = ("in training", "not in training")
MODELS = {
    "base": "base",
    "mist": "MIST",
    "midalign": "MidAlign",
    "clo": "CLO",
    "english_only": "control: English only",
    "broken_pairing": "control: broken pairing",
}


@named("aligned")
def aligned(folder: Path) -> str:
    """Each aligned model, unsteered, against the unsteered base; pooled over languages."""
    rows = []
    for model in _models(folder):
        if model != "base":
            changes = (_one(folder, model, "unsteered", "base", metric) for metric in AXES)
            rows.append([MODELS[model], *map(_change, changes)])
    return markdown(["", *(f"change in {METRICS[m]}" for m in AXES)], rows)


@named("aligned-english")
def aligned_english(folder: Path) -> str:
    """The same in English, which no vector steers."""
    rows = []
    for model in _models(folder):
        if model != "base":
            changes = (
                _one(folder, model, "unsteered", "base", metric, "en") for metric in AXES[:2]
            )
            rows.append([MODELS[model], *map(_change, changes)])
    return markdown(["", *(f"change in {METRICS[m]}" for m in AXES[:2])], rows)


@named("aligned-steered")
def aligned_steered(folder: Path, *conditions: str) -> str:
    """Conditions on every model: against the model itself, and against the unsteered base."""
    rows = []
    for model in _models(folder):
        for condition in conditions:
            cells = [MODELS[model], NAMES[condition]]
            if not _has(folder, model, condition):
                continue
            for against in dict.fromkeys((model, "base")):
                for metric in AXES[:2]:
                    if (condition, metric) == ("explicit", "transfer") and against == model:
                        cells.append("")  # explicit prompting leaves universal items as they are
                    else:
                        cells.append(_change(_one(folder, model, condition, against, metric)))
            lost = _one(folder, model, condition, model, "localization")
            cells += ["", ""] * (model == "base")
            found = bool(lost and lost["recovered"])
            rows.append([*cells, with_interval(lost, "recovered", 2) if found and lost else ""])
    head = [f"{METRICS[m]}, {than}" for than in ("to itself", "to the base") for m in AXES[:2]]
    return markdown(["model", "", *head, "of the loss came back"], rows)


@named("aligned-in-one-go")
def in_one_go(folder: Path) -> str:
    """What `make align` wrote: each training, then Surgical Steering on it, with what came back."""
    table = [r for r in read(PLANE, folder) if r["language"] == "all"]
    shown = [r for r in table if r["condition"] in ("unsteered", "SUR") and r["model"] != "base"]
    rows = []
    for model, condition in dict.fromkeys((r["model"], r["condition"]) for r in shown):
        against = "base" if condition == "unsteered" else model
        key = (model, condition, against)
        cells = {r["metric"]: r for r in table if _key(r) == key}
        name = _seeded(model) + (" + Surgical Steering" if condition == "SUR" else "")
        lost = cells["localization"]
        back = with_interval(lost, "recovered", 2) if lost["recovered"] else ""
        than = "base" if against == "base" else "itself"
        rows.append([name, than, *(_change(cells.get(m)) for m in AXES), back])
    return markdown(["", "less", *(METRICS[m] for m in AXES), "of the loss came back"], rows)


@named("aligned-held-out")
def held_out(folder: Path) -> str:
    """Transfer on items that no training text names, by whether training had their relation."""
    table = [r for r in read("align_run/held_out", folder) if r["language"] == "all"]
    rows = []
    for name in dict.fromkeys(r["adapter"] for r in table):
        by = {r["relations"]: r for r in table if r["adapter"] == name}
        rows.append([_seeded(name), *(with_interval(by[k], "change") for k in RELATIONS)])
    counts = {r["relations"]: r["n"] for r in table}
    return markdown(["", *(f"{k} (n = {counts[k]})" for k in RELATIONS)], rows)


@named("aligned-time")
def spent(folder: Path) -> str:
    """Minutes by part of `make align`."""
    table = read("align_run/time", folder)
    rows = [[_part(r["part"]), number(float(r["seconds"]) / 60, 1)] for r in table]
    total = sum(float(r["seconds"]) for r in table)
    return markdown(["part", "minutes"], [*rows, ["whole", number(total / 60, 1)]])


def _part(name: str) -> str:
    what, _, adapter = name.partition(" ")
    return f"training: {_seeded(adapter)}" if what == "training" else name


def _key(row: Row) -> tuple[str, ...]:
    return (row["model"], row["condition"], row["against"])


def _models(folder: Path) -> list[str]:
    there = {r["model"] for r in read(TABLE, folder)}
    return [name for name in MODELS if name in there]


def _has(folder: Path, model: str, condition: str) -> bool:
    return any((r["model"], r["condition"]) == (model, condition) for r in read(TABLE, folder))


def _one(
    folder: Path, model: str, condition: str, against: str, metric: str, language: str = "all"
) -> Row | None:
    wanted = (model, condition, against, metric, language)
    columns = ("model", "condition", "against", "metric", "language")
    found = [r for r in read(TABLE, folder) if tuple(r[c] for c in columns) == wanted]
    return found[0] if found else None


def _change(found: Row | None) -> str:
    """A difference with its interval, bold where p < 0.05 after Holm."""
    if found is None:
        return ""
    shown = with_interval(found, "difference")
    return f"**{shown}**" if found["p_holm"] and float(found["p_holm"]) < 0.05 else shown


SEEDS = "align/seeds"


@named("aligned-seeds")
def aligned_seeds(folder: Path) -> str:
    """Every training by itself: against the base, and a method against its control of that seed."""
    rows = []
    found = [r for r in read(SEEDS, folder) if not r["seeds"]]
    for model, against in dict.fromkeys((r["model"], r["against"]) for r in found):
        cells = {r["metric"]: r for r in found if (r["model"], r["against"]) == (model, against)}
        rows.append([_seeded(model), _seeded(against), *(_change(cells.get(m)) for m in AXES)])
    return markdown(["", "less", *(METRICS[m] for m in AXES)], rows)


@named("aligned-seed-means")
def aligned_seed_means(folder: Path) -> str:
    """The mean over seeds, the standard deviation between them, the least and the most."""
    rows = []
    found = [r for r in read(SEEDS, folder) if r["seeds"]]
    for model, against in dict.fromkeys((r["model"], r["against"]) for r in found):
        cells = {r["metric"]: r for r in found if (r["model"], r["against"]) == (model, against)}
        shown = [MODELS[model], MODELS[against], next(iter(cells.values()))["seeds"]]
        for cell in (cells[m] for m in AXES):
            mean, sd, least, most = (float(cell[c]) for c in ("average", "sd", "least", "most"))
            shown.append(f"{mean:+.3f} (sd {sd:.3f}; {least:+.3f} to {most:+.3f})")
        rows.append(shown)
    return markdown(["", "less", "seeds", *(METRICS[m] for m in AXES)], rows)


def _seeded(name: str) -> str:
    """`mist-1` as the page names it."""
    method, _, seed = name.rpartition("-")
    return f"{MODELS[method]}, seed {seed}" if seed.isdigit() else MODELS[name]
