"""What every script shares: arguments, a run folder read back, a table and a figure written."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from matplotlib.figure import Figure

import mechcla
from mechcla import plots
from mechcla.metrics.estimates import Estimate
from mechcla.metrics.plane_point import PlanePoint
from mechcla.runs.identity import code_digest, versions
from mechcla.runs.tables import csv_text
from mechcla.storage import digest, file_sha256, read_sealed, write_sealed
from mechcla.vectors.residuals import Residuals, cache_residuals


def arguments(
    doc: str | None, run: bool = False, parent: argparse.ArgumentParser | None = None
) -> argparse.Namespace:
    """--out, and either a run folder or a model, items, languages and how many; and what a script's
    own parent adds.
    """
    parser = argparse.ArgumentParser(
        description=doc,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[parent] if parent else [],
    )
    parser.add_argument(
        "--out", type=Path, default=Path("runs/figures"), help="folder for PNG, SVG and CSV"
    )
    if run:
        parser.add_argument(
            "run",
            type=Path,
            nargs="?",
            default=Path("runs/demo"),
            help="run folder of mechcla.sweep",
        )
    else:
        parser.add_argument("--model", default="demo", help="'demo', a folder or a Hugging Face id")
        parser.add_argument("--languages", default=None, help="comma-separated; default: all")
        parser.add_argument(
            "--items",
            default="demo",
            help="'demo', another source, a file or folder of items, or a run folder",
        )
        parser.add_argument(
            "--questions", type=int, default=48, help="how many dev questions per kind and language"
        )
        parser.add_argument("--resamples", type=int, default=200)
    sys.excepthook = one_message
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    return args


def one_message(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Bad input ends in its message and exit code 2; anything else in its traceback, as ever."""
    if not issubclass(kind, mechcla.MechclaError):
        sys.__excepthook__(kind, error, trace)
        return
    print(f"{Path(sys.argv[0]).stem}: {error}", file=sys.stderr, flush=True)
    os._exit(2)


def all_items(args: argparse.Namespace) -> mechcla.ItemSet:
    """The items asked for, both splits, in the languages asked for and English."""
    within = Path(args.items) / "items.jsonl"  # a run folder has them there
    return mechcla.load_items(
        str(within) if within.exists() else args.items,
        languages=args.languages.split(",") if args.languages else None,
    )


def load(args: argparse.Namespace) -> tuple[mechcla.HookedModel, mechcla.ItemSet]:
    """The model and the same `questions` dev questions of either kind in every language, spread
    over the topics.
    """
    items = all_items(args).dev
    chosen: set[str] = set()
    for kind in ("universal", "cultural"):
        ids = list(dict.fromkeys(i.id for i in items if i.kind == kind))
        if not ids:
            raise mechcla.MechclaError(
                f"--items {args.items} has no {kind} dev questions "
                f"in {', '.join(items.languages) or 'any language'}; the figures need both kinds"
            )
        n = min(args.questions, len(ids))
        chosen |= {ids[int(k * len(ids) / n)] for k in range(n)}
    return mechcla.load_model(args.model), items.where(lambda i: i.id in chosen)


def residuals(
    model: mechcla.HookedModel, items: mechcla.ItemSet
) -> tuple[Residuals, Residuals, Residuals]:
    """What EN and LOC are made of: of universal items, and of cultural ones asked implicitly and
    explicitly.
    """
    return (
        cache_residuals(model, items.universal),
        cache_residuals(model, items.cultural, "implicit"),
        cache_residuals(model, items.cultural, "explicit"),
    )


def read_json(path: Path) -> Any:
    """A JSON file of a run. Raises MechclaError that says which command makes it."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise mechcla.MechclaError(
            f"{path} is not there; "
            f"make the run first: python -m mechcla.sweep --out {path.parent.parent}"
        ) from error


def planes(run: Path, measure: str = "") -> list[PlanePoint]:
    """The plane's points of a run, read back."""
    points = read_json(run / "figures" / f"plane{measure}.json")
    keys = ("transfer", "localization", "d_transfer", "d_localization")
    return [
        PlanePoint(**{k: Estimate(**v) if k in keys else v for k, v in p.items()}) for p in points
    ]


def write(
    out: Path, name: str, rows: Iterable[Mapping[str, Any]], figure: Figure | None = None
) -> None:
    """NAME.csv, and NAME.png and .svg of the figure."""
    listed = [dict(row) for row in rows]
    keys = list(dict.fromkeys(k for row in listed for k in row))
    (out / f"{name}.csv").write_text(csv_text(listed, keys), encoding="utf-8", newline="")
    if figure is not None:
        print(plots.save(figure, out / name))
    print(out / f"{name}.csv")


def is_made(out: Path, name: str, decides: Mapping[str, Any]) -> bool:
    """Whether NAME's files lie in `out` as `say_made` left them, made of the same by this code."""
    seal = out / f"{name}.json"
    found = read_sealed(seal, "decides", "files") if seal.is_file() else None
    if found is None or found["decides"] != _decided(decides):
        return False
    files = found["files"].items()
    return all((out / f).is_file() and file_sha256(out / f) == sha for f, sha in files)


def say_made(out: Path, name: str, decides: Mapping[str, Any], files: Iterable[str]) -> None:
    """Note in NAME.json of what these files were made, so that they are not made again."""
    made = {f: file_sha256(out / f) for f in files}
    write_sealed(out / f"{name}.json", {"decides": _decided(decides), "files": made})


def _decided(decides: Mapping[str, Any]) -> str:
    return digest({**decides, "code": code_digest(), "versions": versions()})


def write_record(path: Path, record: Mapping[str, Any]) -> str:
    """Write what was measured as JSON, its folder made; returns the text."""
    text = json.dumps(record, indent=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n", encoding="utf-8")
    return text
