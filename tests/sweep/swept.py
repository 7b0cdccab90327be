"""A sweep of a small model up to its cells of test, without tables, figures and pages."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

from mechcla.items.item_set import ItemSet
from mechcla.models.hooked_model import HookedModel
from mechcla.runs.run import Run, read_run
from mechcla.sweep.config import make
from mechcla.sweep.held import item_settings, model_settings
from mechcla.sweep.on_test import report_test
from mechcla.sweep.runner import open_sweep
from mechcla.sweep.search import choose
from mechcla.sweep.sweep import telling


def swept(model: HookedModel, items: ItemSet, out: Path, **settings: Any) -> Run:
    """The run in `out`, complete; the same call again goes on where it was."""
    config = make({**settings, **model_settings(model), **item_settings(items)})
    config = config.model_copy(update={"out": str(out)})
    with closing(open_sweep(config, model, items)) as sweep, telling(sweep.store):
        report_test(sweep, choose(sweep).methods())
    return read_run(out)
