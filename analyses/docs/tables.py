"""The tables that pages show whole, by name: `<!-- = table pooled -->`.

Each is made of the committed tables alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from analyses.docs.values import Row, number, p_value, read, row, with_interval

TABLES: dict[str, Callable[..., str]] = {}
DEMO = "demo"  # the run's folder under docs/reference, unless a page says another
AXES = ("transfer", "localization", "english_bias")
NAMES = {
    "unsteered": "unsteered",
    "explicit": "explicit prompt",
    "EN": "EN-steering",
    "EN+restore": "EN with restoration",
    "LOC": "LOC-steering",
    "SUR": "Surgical Steering",
    "GATED": "gated Surgical Steering",
}
ARMS = {
    "random": "random directions",
    "shuffled": "shuffled labels",
    "us_country": "the LOC vector of the United States, same language",
    "other_country": "the next language's LOC",
    "orthogonal": "LOC orthogonal to EN",
    "swapped": "vectors swapped",
    "same_layer": "both at LOC's layer",
    "gate_shuffled": "a gate of shuffled kinds",
    "gate_always": "both on every prompt",
    "gate_language": "EN or LOC alone, by language",
}
METRICS = {"transfer": "transfer", "localization": "localization", "english_bias": "English bias"}


def named(name: str) -> Callable[[Callable[..., str]], Callable[..., str]]:
    """Register a table under a name."""

    def keep(make: Callable[..., str]) -> Callable[..., str]:
        TABLES[name] = make
        return make

    return keep


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of Markdown.

    >>> print(markdown(["a", "b"], [["1", ""]]))
    | a | b |
    |---|---|
    | 1 | |
    """
    lines = [head, *rows]
    shown = ["|" + "".join(f" {c} |" if c else " |" for c in line) for line in lines]
    return "\n".join([shown[0], "|" + "---|" * len(head), *shown[1:]])


@named("three-results")
def three_results(folder: Path) -> str:
    """README's: the changes under EN, LOC and SUR."""
    return _changes(folder, ["EN", "LOC", "SUR"])


@named("changes")
def all_changes(folder: Path) -> str:
    """The changes of every family, pooled, and the unsteered model's values."""
    return _changes(folder, [m for m in _tried(folder) if m != "unsteered"])


def _changes(folder: Path, methods: Sequence[str]) -> str:
    rows = [
        [NAMES[m], steered(folder, m), *(_change(folder, m, metric) for metric in AXES)]
        for m in methods
    ]
    head = ["", "languages where dev chose steering", *(f"change in {METRICS[m]}" for m in AXES)]
    return markdown(head, rows)


@named("pooled")
def pooled(folder: Path, run: str = DEMO) -> str:
    """Values and changes of every family, pooled over languages, in share."""
    rows = []
    for method in _tried(folder, run):
        cells = []
        for metric in AXES:
            if (method, metric) == ("explicit", "transfer"):
                cells += ["", ""]  # explicit prompting leaves universal items as they are
                continue
            found = _summary(folder, method, metric, run=run)
            cells += [with_interval(found, "value"), _change(folder, method, metric, run=run)]
        rows.append([NAMES[method], *cells])
    head = [x for m in AXES for x in (METRICS[m], "change")]
    return markdown(["share", *head], rows)


@named("by-language")
def by_language(folder: Path, run: str = DEMO) -> str:
    """Changes in share, a column per language."""
    languages = _languages(folder, run)
    rows = []
    for method, metric in (
        ("EN", "transfer"),
        ("explicit", "localization"),
        ("LOC", "localization"),
        ("LOC", "transfer"),
        ("SUR", "localization"),
        ("SUR", "transfer"),
    ):
        cells = [
            _change(folder, method, metric, k, run)
            if _is_steered(folder, method, k, run)
            else "not steered"
            for k in languages
        ]
        rows.append([f"{NAMES[method]}, {metric}", *cells])
    return markdown(["change in share", *languages], rows)


@named("choice")
def choice(folder: Path, run: str = DEMO) -> str:
    """What dev chose, by family and language: block x strength."""
    languages = _languages(folder, run)
    rows = []
    for family, found in read(f"{run}/selection", folder)["chosen"].items():
        steered = [_is_steered(folder, family, k, run) for k in languages]
        names = [found[k]["name"] for k in languages]
        cells = [name if yes else "none" for name, yes in zip(names, steered, strict=True)]
        rows.append([NAMES[family], *cells])
    return markdown(["", *languages], rows)


@named("arms")
def arms(folder: Path, run: str = DEMO) -> str:
    """Each family less its control arms, on its own axes, share, pooled."""
    rows: list[list[str]] = []
    for found in read(f"{run}/arms", folder):
        if (found["language"], found["measure"]) != ("all", "share"):
            continue
        arm = found["against"].split(" ", 1)[1]
        name = "the United States named" if found["method"] == "explicit" else ARMS[arm]
        shown = with_interval(found, "difference")
        p = p_value(found["p_holm"])
        rows.append([NAMES[found["method"]], name, found["metric"], _bold(shown, found), p])
    return markdown(["method", "less the arm", "axis", "difference", "p (Holm)"], rows)


@named("contrast-of-the-run")
def contrast_of_the_run(folder: Path) -> str:
    """The matched-pair contrast of the sweep, by language."""
    languages = _languages(folder)
    names = {
        "prompt": "countries named in the prompt",
        "LOC": "LOC vectors, where dev chose them",
    }
    rows = [
        [
            label,
            *(
                with_interval(row("demo/contrast", folder, condition=c, language=k), "share")
                for k in ("all", *languages)
            ),
        ]
        for c, label in names.items()
    ]
    return markdown(["condition", "all", *languages], rows)


@named("contrast-by-layer")
def contrast_by_layer(folder: Path) -> str:
    """analyses/contrast: LOC vectors against pairs of random directions, by block."""
    table = read("figures/contrast", folder)
    layers = [r["layer"] for r in table if (r["condition"], r["language"]) == ("LOC", "all")]

    def of(condition: str, layer: str, language: str = "all") -> Row:
        cells = {"condition": condition, "layer": layer, "language": language}
        return row("figures/contrast", folder, **cells)

    languages = [k for k in _languages(folder) if any(r["language"] == k for r in table)]
    above = [
        sum(float(of("LOC", b, k)["share"]) > float(of("random", b, k)["high"]) for k in languages)
        for b in layers
    ]
    by_language = [
        "LOC above its language's random pairs",
        *(f"{n} of {len(languages)}" for n in above),
        "",
    ]
    spread = [of("random", layer) for layer in layers]
    return markdown(
        ["block", *layers, "countries named in the prompt"],
        [
            [
                "LOC, pooled",
                *(with_interval(of("LOC", b), "share") for b in layers),
                with_interval(of("prompt", "-1"), "share"),
            ],
            [
                "random pairs, pooled",
                *(f"{number(r['low'])} to {number(r['high'])}" for r in spread),
                "",
            ],
            *([by_language] if languages else []),
        ],
    )


RECIPES = {
    "mean_difference": "difference of means",
    "restored at 16": "difference of means, restored at block 16",
    "pca_difference": "uncentred PCA",
    "logistic": "logistic probe",
    "lda": "LDA",
    "linear map": "linear map (no direction)",
    "random": "random",
}


@named("recipes")
def recipes(folder: Path) -> str:
    """analyses/recipes: gain on dev by recipe and block, pooled; bold: the interval is above 0."""
    table = [r for r in read("figures/recipes", folder) if r["language"] == "all"]
    layers = list(dict.fromkeys(r["layer"] for r in table))
    rows = []
    for vector in ("EN", "LOC"):
        for recipe, label in RECIPES.items():
            cells = [
                _above_zero(r)
                for layer in layers
                for r in table
                if (r["vector"], r["recipe"], r["layer"]) == (vector, recipe, layer)
            ]
            if cells:
                rows.append([f"{vector}, {label}", *cells])
    return markdown(["change in share", *(f"block {b}" for b in layers)], rows)


@named("curves")
def curves(folder: Path, name: str, by: str, blocks: str, *filters: str) -> str:
    """A row per value of a column (or of two, "what+kind"), a column per block, two decimals.

    filters: column=cell, with _ for a space.
    """
    made = (folder / "figures" / f"{name}.csv").exists()  # else beside the run's figures
    table = read(f"figures/{name}" if made else name, folder)
    for word in filters:
        column, cell = word.split("=", 1)
        table = [r for r in table if r[column] == cell.replace("_", " ")]
    column = "value" if "value" in table[0] else "cosine"
    lines: dict[str, dict[str, Row]] = {}
    for found in table:
        label = ", ".join(found[k] for k in by.split("+"))
        lines.setdefault(label, {})[found["layer"]] = found
    wanted = blocks.split(",")
    rows = [[k, *(with_interval(at[b], column, 2) for b in wanted)] for k, at in lines.items()]
    return markdown(["", *(f"block {b}" for b in wanted)], rows)


@named("faults")
def faults(folder: Path) -> str:
    """docs/reliability.md's: what came of each fault."""
    found = read("reliability", folder)["faults"]
    ends = ("identical results", "one message", "otherwise")
    rows = [
        [kind, str(sum(found[kind].values())), *(str(found[kind][e]) for e in ends)]
        for kind in sorted(found)
    ]
    return markdown(["fault", "tried", *ends], rows)


@named("record")
def record(folder: Path, name: str) -> str:
    """A list of a committed record (benchmarks.json, parity.json, ...) as it stands there."""
    rows = read(name, folder)
    return markdown(list(rows[0]), [[str(v) for v in r.values()] for r in rows])


def steered(folder: Path, method: str) -> str:
    """In how many languages dev steered, e.g. "5 of 6 (not fa)"."""
    languages = _languages(folder)
    yes = [k for k in languages if _is_steered(folder, method, k)]
    no = [k for k in languages if k not in yes]
    count = f"{len(yes)} of {len(languages)}"
    if not no or not yes:
        return count
    return f"{count} ({' '.join(yes)})" if len(yes) <= len(no) else f"{count} (not {' '.join(no)})"


def _tried(folder: Path, run: str = DEMO) -> list[str]:
    """The families that a run has, in the order of their names here."""
    there = {r["method"] for r in read(f"{run}/summary", folder)}
    return [name for name in NAMES if name in there]


def _languages(folder: Path, run: str = DEMO) -> list[str]:
    return list(read(f"{run}/selection", folder)["chosen"]["LOC"])


def _is_steered(folder: Path, method: str, language: str, run: str = DEMO) -> bool:
    found = read(f"{run}/selection", folder)["chosen"].get(method)
    return found is None or found[language]["family"] != "unsteered"


def _summary(folder: Path, method: str, metric: str, language: str = "all", run: str = DEMO) -> Row:
    cells = {"method": method, "metric": metric, "language": language, "measure": "share"}
    return row(f"{run}/summary", folder, **cells)


def _change(folder: Path, method: str, metric: str, language: str = "all", run: str = DEMO) -> str:
    """The change from the unsteered model, bold where it is tested and p < 0.05 after Holm."""
    if method == "unsteered" or (method, metric) == ("explicit", "transfer"):
        return ""
    shown = with_interval(_summary(folder, method, metric, language, run), "difference")
    if metric == "english_bias":
        return shown  # not tested
    cells: dict[str, Any] = {"method": method, "metric": metric, "language": language}
    return _bold(shown, row(f"{run}/tests", folder, measure="share", **cells))


def _bold(shown: str, tested: Row) -> str:
    return f"**{shown}**" if float(tested["p_holm"]) < 0.05 else shown


def _above_zero(found: Row) -> str:
    shown = with_interval(found, "gain")
    return f"**{shown}**" if float(found["low"]) > 0 else shown


@named("gains-on-dev")
def gains_on_dev(folder: Path) -> str:
    """Mean gains on dev by block, over the languages, at the blocks that all of them tried."""
    choices = read("demo/selection", folder)["choices"]
    lines: dict[tuple[str, str], dict[int, list[float]]] = {}
    for one in choices:
        for p in one["points"]:
            for family, key, axis in (
                ("EN", "en", "transfer"),
                ("LOC", "loc", "localization"),
                ("LOC", "loc", "transfer"),
            ):
                if p["family"] == family and p.get(f"d_{axis}") is not None:
                    label = f"{NAMES[family]} at strength {p[f'{key}_strength']:g}"
                    at = lines.setdefault((label, axis), {})
                    at.setdefault(p[f"{key}_layer"], []).append(p[f"d_{axis}"])
    full = {k: {b: v for b, v in at.items() if len(v) == len(choices)} for k, at in lines.items()}
    blocks = sorted({b for at in full.values() for b in at})
    rows = [
        [f"{label}, {axis}", *(number(_mean(at[b]), sign=True) for b in blocks)]
        for (label, axis), at in full.items()
    ]
    return markdown(["mean gain on dev", *(f"block {b}" for b in blocks)], rows)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


@named("choice-rules")
def choice_rules(folder: Path, family: str, name: str = "choice_rules") -> str:
    """analyses/choice_rules: gains on left-out folds by rule, and less those of `pooled`."""
    rows = []
    for found in read(name, folder):
        if found["family"] == family:
            apart = "" if found["rule"] == "pooled" else with_interval(found, "difference")
            shown = [found["rule"], with_interval(found, "gain"), apart, found["n"]]
            on = found["chosen_on"]
            on = f"{on} questions" if on.isdigit() else on
            rows.append([found["constraint"], found["axis"], on, *shown])
    guarded = len({r[0] for r in rows}) > 1
    head = ["constraint", "axis", "chosen on", "rule", "gain", "less pooled", "n"]
    return markdown(head[not guarded :], [r[not guarded :] for r in rows])
