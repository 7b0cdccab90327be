"""What a command that makes several runs needs: their folder, and a name for each."""

from __future__ import annotations

from pathlib import Path

from mechcla.errors import MechclaError
from mechcla.models.revisions import at_revision
from mechcla.runs.folder import RECORD, reading
from mechcla.storage import user_path
from mechcla.sweep.config import SweepConfig


def folder_of_runs(config: SweepConfig, setting: str, default: str) -> Path:
    """The folder in which runs lie side by side: `out`, or the default where none is named.

    setting: the one that asks for several runs. Raises MechclaError where it is a run itself.
    """
    out = user_path(config.out if "out" in config.model_fields_set else default)
    with reading(out):
        is_run = (out / RECORD).exists()
    if is_run:
        raise MechclaError(
            f"--out {str(out)!r} holds a run of one model, and --{setting} makes a folder of runs; "
            f"expected another folder, e.g. --out {default}"
        )
    return out


def run_name(repository: str) -> str:
    """A run's name: the last part of a Hugging Face id, with its revision where one is named.

    >>> run_name("org/name"), run_name("org/name@refs/pr/3")
    ('name', 'name@refs-pr-3')
    """
    whole, revision = at_revision(repository)
    name = whole.rpartition("/")[2]
    return name if revision is None else f"{name}@{revision.replace('/', '-')}"
