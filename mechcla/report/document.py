"""report: the page of a run, or of several beside each other.

mechcla.report("runs/demo")                                  # runs/demo/report.html
mechcla.report(["runs/base", "runs/midalign"], out="both.html")
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mechcla.errors import MechclaError
from mechcla.report.aligned import aligned_models
from mechcla.report.numbers import run_numbers, shown, table
from mechcla.report.questions import DIGITS, questions
from mechcla.report.rendering import html
from mechcla.runs.compare import compare_runs
from mechcla.runs.folder import PAGE
from mechcla.runs.run import Run
from mechcla.runs.several import complete_runs
from mechcla.storage import user_path, write_text

MEASURES = ("share", "accuracy")


def report(
    runs: Run | str | Path | Sequence[Run | str | Path],
    out: str | Path | None = None,
) -> Path:
    """Write the page of one run, or of several beside each other; returns its path.

    One HTML file that opens from disk: the plane, curves by layer, English bias, the Pareto front,
    control arms, and every test item with its candidates' shares under each condition. It loads
    nothing, and what a run holds is never run by it. Several runs are also compared with the first
    one, as `mechcla.compare_runs` does.

    out: the file; default: report.html in the run's folder, or in the present one for several.
    Raises MechclaError for a run that is not complete or damaged, where the extra `report` is not
    installed, and where the system refuses to write.

    >>> mechcla.report("runs/demo")
    PosixPath('runs/demo/report.html')
    """
    given = [runs] if isinstance(runs, Run | str | Path) else list(runs)
    if not given:
        raise MechclaError("report needs a run, e.g. report('runs/demo'), given none")
    read = complete_runs(given, "reported")
    if out is None:
        path = next(iter(read.values())).folder / PAGE if len(read) == 1 else Path(PAGE)
    else:
        path = user_path(out)
    if path.is_dir():
        raise MechclaError(
            f"the page's file {str(out)!r} is a folder; expected e.g. {str(path / PAGE)!r}"
        )
    write_text(path, html(page_data(read)))
    return path


def page_data(runs: Mapping[str, Run]) -> dict[str, Any]:
    """Everything that the page shows, as its script reads it: JSON but for nan."""
    items, scored = questions(runs)
    return {
        "title": ", ".join(runs),
        "runs": [
            {**run_numbers(name, run), "aligned": aligned_models(run), "scored": scored[name]}
            for name, run in runs.items()
        ],
        "items": items,
        "digits": DIGITS,
        "comparison": _comparison(runs),
    }


def _comparison(runs: Mapping[str, Run]) -> dict[str, Any] | None:
    """What `compare_runs` finds, in both measures; the reason, where runs cannot be compared."""
    if len(runs) < 2:
        return None
    try:
        found = [compare_runs(list(runs.values()), measure) for measure in MEASURES]
    except MechclaError as error:
        return {"why_not": str(error)}
    first = found[0]
    return {
        "values": table([row for one in found for row in one.rows()]),
        "left_out": table(first.left_out),
        "differing": [[k, *(shown(v) for v in values)] for k, values in first.differing.items()],
        "limit": first.limit,
    }
