"""merge_runs: parts over different languages become the run that one sweep over all would make."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from mechcla.errors import MechclaError
from mechcla.items.item_set import ItemSet
from mechcla.runs.parts import Parts, read_parts
from mechcla.runs.run import Run
from mechcla.runs.store import Store
from mechcla.sources import SOURCES, load_items
from mechcla.storage import user_path
from mechcla.sweep.choosing import RULES
from mechcla.sweep.config import make
from mechcla.sweep.held import DIGEST, item_settings
from mechcla.sweep.plugins import load_plugins
from mechcla.sweep.sweep import run_config


def merge_runs(
    folders: Sequence[str | Path], out: str | Path, say: Callable[[str], None] = print
) -> Run:
    """Join complete runs over different languages into one run over all of them.

    Cells and vectors are the parts'. Computed anew is what looks across languages: the control arm
    other_country, whose cells need the model, and pooled rows, tests and figures, which do not. The
    result equals `--apart` over all languages in one go, to the last bit where each part is of one
    language or was made with `--apart`; else its vectors may differ in their last digits, which is
    said. The same call again goes on where it was.

    Raises MechclaError before anything is written for what `mechcla.runs.parts.read_parts` refuses,
    for a choice rule that decides over all languages together, for items that have changed, and for
    another model, code or version than the parts were made with. Source: ours.
    Example: `merge_runs(["runs/es", "runs/ko"], "runs/both")`.
    """
    parts = read_parts(folders)
    if any(user_path(out).resolve() == run.folder.resolve() for run in parts.runs):
        raise MechclaError(f"--out {str(out)!r} is one of the parts; expected another folder")
    load_plugins(parts.settings.get("plugins"))
    rule = parts.settings["choose"]
    if RULES.get(rule).together:
        raise MechclaError(
            f"the parts chose with --choose {rule}, which decides over all languages together, so "
            "their choices are not those of one run, and test is open; expected parts made with "
            "--choose language, or one run over all languages"
        )
    Store.check(out)
    items = _items(parts)
    named = parts.runs[0].config["items"]
    own = (
        item_settings(items) if named.startswith(DIGEST) or not _there(named) else {"items": named}
    )
    config = make({**parts.settings, **own, "out": str(out)})
    if not parts.exact:
        say(
            "mechcla: a part holds several languages whose vectors were made together; a run of "
            "all languages in one go may differ from the joined one in its last digits"
        )
    return run_config(config, items=items, say=say, parts=parts)


def _there(source: str) -> bool:
    return source in SOURCES or user_path(source).exists()


def _items(parts: Parts) -> ItemSet:
    """The items of all languages, from where the parts had them, in that order; else the parts'."""
    named = parts.runs[0].config["items"]
    if named.startswith(DIGEST) or not _there(named):
        return parts.items()
    whole = load_items(named, parts.settings["languages"])
    parts.check_items(whole, named)
    return whole
