"""Several runs at once: each read, complete, and under a name of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mechcla.errors import MechclaError
from mechcla.runs.run import Run, read_run


def complete_runs(runs: Sequence[Run | str | Path], use: str) -> dict[str, Run]:
    """The runs by a name for each: the last parts of its folder that tell them apart.

    use: what they are read for, which the message says. Raises MechclaError for a run that is not
    complete, and for one that is given twice.
    """
    found = [run if isinstance(run, Run) else read_run(run) for run in runs]
    for run in found:
        if run.status != "complete":
            raise MechclaError(
                f"the run {str(run.folder)!r} is not complete (status {run.status}), so it cannot "
                f"be {use}; the sweep's command goes on from what is there"
            )
    parts = [run.folder.resolve().parts for run in found]
    if len(set(parts)) < len(parts):
        twice = next(str(r.folder) for r, p in zip(found, parts, strict=True) if parts.count(p) > 1)
        raise MechclaError(f"the run {twice!r} is given twice; expected different run folders")
    depth = 1
    while len({p[-depth:] for p in parts}) < len(parts):
        depth += 1
    return {"/".join(p[-depth:]): run for p, run in zip(parts, found, strict=True)}
