"""The small tables of one run and its figures, copied to docs/reference, from which pages are
rendered.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from mechcla import MechclaError, read_run
from mechcla.plots.fonts import can_draw
from mechcla.storage import writing

RUN = (
    "summary.csv",
    "tests.csv",
    "arms.csv",
    "contrast.csv",
    "selection.json",
    "record.json",
    "config.yaml",
)
MOST = 1_000_000  # bytes in all, of the run's tables and of the figures'
LARGE = 100_000  # of one figure's table: points of a scatter are not kept


def take(run: Path, figures: Path, folder: Path, images: Path) -> None:
    """Copy a complete run's tables, the figures' tables, and the pictures that pages show.

    The run is verified against its digests first. Raises MechclaError for a run that is not
    complete, for tables that name a path of this machine, and for more than a megabyte.
    """
    _verify(run)
    wanted = [(run / name, folder / "demo" / name) for name in RUN]
    wanted += [
        (path, folder / "figures" / path.name)
        for path in sorted(figures.glob("*.csv"))
        if path.stat().st_size <= LARGE
    ]
    _check_paths([path for path, _ in wanted])
    if (size := sum(path.stat().st_size for path, _ in wanted)) > MOST:
        raise MechclaError(f"the tables have {size:,} bytes; at most {MOST:,} are committed")
    for old in [*(folder / "demo").glob("*"), *(folder / "figures").glob("*")]:
        old.unlink()
    with writing(folder):
        for path, target in wanted:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        for picture in sorted(images.glob("*.png")):
            if picture.name == "fig1_examples.png" and not can_draw("首尔 서울"):
                print(f"{picture.name}: no font for its letters here, so the old one stays")
                continue
            for source in (figures / picture.name, run / "figures" / picture.name):
                if source.exists():
                    shutil.copyfile(source, picture)
                    break


def take_tables(run: Path, target: Path) -> None:
    """Copy the tables of a complete run alone, of any model that has a name, into a folder.

    Raises MechclaError as `take` does.
    """
    _verify(run)
    wanted = [run / name for name in RUN]
    _check_paths(wanted)
    with writing(target):
        target.mkdir(parents=True, exist_ok=True)
        for path in wanted:
            shutil.copyfile(path, target / path.name)


ALIGN = ("plane", "seeds", "held_out", "losses", "time")


def take_align(made: Path, folder: Path) -> None:
    """Copy the tables that `make align` wrote into a folder. Raises MechclaError for one that is
    missing.
    """
    wanted = {made / f"align_{name}.csv": folder / f"{name}.csv" for name in ALIGN}
    if lacking := [path.name for path in wanted if not path.exists()]:
        raise MechclaError(f"{str(made)!r} has no {', '.join(lacking)}; `make align` writes them")
    _check_paths(list(wanted))
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for path, target in wanted.items():
            shutil.copyfile(path, target)


def _verify(run: Path) -> None:
    found = read_run(run)
    if found.status != "complete":
        raise MechclaError(f"{str(run)!r} is {found.status}; expected a complete run")
    for name in ("summary", "tests", "arms", "contrast", "choice"):
        getattr(found, name)  # verified as it is read


def _check_paths(paths: Sequence[Path]) -> None:
    for path in paths:
        if (place := _machine(path.read_text(encoding="utf-8"))) is not None:
            raise MechclaError(
                f"{path} names {place!r}, a path of this machine; use the demo model"
            )


def _machine(text: str) -> str | None:
    """The first folder of this machine that a text names."""
    for place in (str(Path.home()), str(Path.cwd()), tempfile.gettempdir()):
        if place != "/" and place in text:
            return place
    return None
