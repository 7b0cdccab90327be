"""Figure 1: which questions languages answer alike and which apart, from a run's own unsteered
answers on test.
"""

import mechcla
from analyses.common import arguments, write
from mechcla import MechclaError, plots
from mechcla.plots.fonts import undrawable
from mechcla.scoring.scores import Scores

SHOWN = 10
TITLES = {
    "universal": "Universal questions: one right answer",
    "cultural": "Cultural questions: each language's own answer is right",
}

if __name__ == "__main__":
    args = arguments(__doc__, run=True)
    rows = []
    for path in sorted(args.run.glob("cells/test/*/unsteered-*-implicit-*.parquet")):
        rows += Scores.from_parquet(path).rows
    if not rows:
        raise MechclaError(
            f"{args.run} holds no unsteered test cells; "
            f"make the run first: python -m mechcla.sweep --out {args.run}"
        )
    languages = mechcla.load_items(args.run / "items.jsonl").languages
    by_question: dict[tuple[str, str], dict[str, tuple[str, str]]] = {}
    for r in sorted(rows, key=lambda r: languages.index(r.language)):
        best = max(range(len(r.texts)), key=lambda k, r=r: r.log_likelihood[k])
        by_question.setdefault((r.kind, r.id), {})[r.language] = (r.texts[best], r.roles[best])
    table = [
        {
            "kind": kind,
            "question": id,
            "right_in": sum(role in ("correct", "local") for _, role in found.values()),
            "english_in": sum(role == "english" for _, role in found.values()),
        }
        | {k: f"{t} ({role})" for k, (t, role) in found.items()}
        for (kind, id), found in by_question.items()
        if len(found) >= len(languages) - 1
    ]
    table.sort(key=lambda row: (row["kind"], -row["right_in"], row["english_in"]))
    shown = {}
    for kind, title in TITLES.items():
        mine = [row for row in table if row["kind"] == kind]
        step = max(1, len(mine) // SHOWN)
        shown[title] = {
            row["question"]: by_question[kind, row["question"]] for row in mine[::step][:SHOWN]
        }
    blank = undrawable(
        text for panel in shown.values() for row in panel.values() for text, _ in row.values()
    )
    if blank:
        print(
            f"{len(blank)} answers are in a script that no installed font draws, "
            "and show their colour only; "
            "install Noto Sans CJK and empty matplotlib's font cache (matplotlib.get_cachedir())"
        )
    write(
        args.out,
        "fig1_examples",
        table,
        plots.answers({title: panel for title, panel in shown.items() if panel}),
    )
