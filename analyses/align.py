"""Trains each alignment method and control, sweeps each, and puts all on one plane with the base.

Resumable: what is whole is not made again. By hand, hours: `make align`.
  ADAPTERS/METHOD-SEED   the adapters
  RUNS/base, RUNS/METHOD-0   a run each, as python -m mechcla.sweep --adapters makes them
  OUT/unsteered          scores of the controls and of further seeds, which are not steered
  OUT/align_plane        every model, steered or not, against the base and against itself
  OUT/align_bias         English bias per model and condition
  OUT/align_seeds        every adapter, the mean over seeds, each method against its control
  OUT/align_held_out     items that no training text names: relations in training or not
  OUT/align_geometry     before and after: PCA, CKA, retrieval (analyses/align_geometry.py)
  OUT/align_losses       losses by step of every training
  OUT/align_time         wall-clock seconds by part, over all calls that made a part of it
"""

import argparse
import csv
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mechcla
from analyses.align_geometry import before_and_after
from analyses.align_seeds import seeds
from analyses.common import is_made, load, one_message, say_made, write
from mechcla import plots
from mechcla.align.data import align_data_folder
from mechcla.align.methods import METHODS
from mechcla.metrics.estimates import POOLED
from mechcla.metrics.metrics import difference
from mechcla.models.adapters import WEIGHTS
from mechcla.runs.aligned import aligned_tables
from mechcla.runs.run import Run
from mechcla.scoring.scores import Scores
from mechcla.steering.families import Condition
from mechcla.storage import file_sha256
from mechcla.sweep.config import make
from mechcla.sweep.config_file import read_config
from mechcla.sweep.sweep import run_several

TRAINED = ("capital", "symbol")  # relations that the shipped facts have, of other things
HELD_OUT = "align_held_out"
SWEEP = Path(__file__).with_name("align_sweep.yaml")
Tables = dict[str, dict[str, Scores]]  # by model and condition


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="demo")
    parser.add_argument("--methods", default=",".join(METHODS), help="comma-separated")
    parser.add_argument("--seeds", type=int, default=3, help="of the first method and its control")
    parser.add_argument("--adapters", type=Path, default=Path("adapters"))
    parser.add_argument("--runs", type=Path, default=Path("runs/align"))
    parser.add_argument("--out", type=Path, default=Path("runs/align/figures"))
    parser.add_argument("--config", type=Path, help="settings of every training, as a file")
    parser.add_argument("--sweep-config", type=Path, default=SWEEP, help="settings of every sweep")
    parser.add_argument("--train-only", action="store_true", help="no sweeps")
    parser.add_argument("--items", default="demo", help="of the geometry: dev, universal")
    parser.add_argument("--languages", default=None, help="of the geometry; default: all")
    parser.add_argument("--questions", type=int, default=48, help="of the geometry")
    parser.add_argument("--resamples", type=int, default=200, help="of the geometry")
    return parser.parse_args()


def settings(path: Path | None) -> dict[str, object]:
    return {} if path is None else read_config(path)


@contextmanager
def timed(out: Path, part: str, made: bool = False) -> Iterator[None]:
    """Add to OUT/align_time.csv how long a part took, in seconds. made: it was there already."""
    began, path = time.monotonic(), out / "align_time.csv"
    try:
        yield
    finally:
        if not made:
            spent = {}
            if path.exists():
                with path.open(encoding="utf-8") as file:
                    spent = {r["part"]: float(r["seconds"]) for r in csv.DictReader(file)}
            spent[part] = round(spent.get(part, 0.0) + time.monotonic() - began, 1)
            write(out, "align_time", ({"part": k, "seconds": v} for k, v in spent.items()))


def trained(args: argparse.Namespace) -> dict[str, mechcla.AlignResult]:
    """The training of each method and seed; the headline's are mist and english_only."""
    found = {}
    methods = args.methods.split(",")
    for seed in range(args.seeds):
        for method in methods:
            if seed and method not in ("mist", "english_only"):
                continue
            name = f"{method}-{seed}"
            with timed(args.out, f"training {name}", made=(args.adapters / name).exists()):
                result = mechcla.align(
                    method,
                    args.model,
                    args.adapters / name,
                    **{**settings(args.config), "seed": seed},
                )
            print(result)
            found[name] = result
    return found


def losses(found: dict[str, mechcla.AlignResult]) -> list[dict[str, Any]]:
    """Every step of every training."""
    return [
        {"adapter": name, "method": r.method, "seed": r.settings["seed"], **row}
        for name, r in found.items()
        for row in r.losses
    ]


def held_out(base: mechcla.HookedModel, adapters: dict[str, Path], out: Path) -> None:
    """Transfer on test items that no training text names, against the base, by relation."""
    items = mechcla.load_items(str(align_data_folder() / "heldout.jsonl")).test
    decides = {
        "base": base.describe(),
        "adapters": {name: file_sha256(folder / WEIGHTS) for name, folder in adapters.items()},
        "items": items.digest,
    }
    if is_made(out, HELD_OUT, decides):
        print(f"{out / HELD_OUT}.csv is made already")
        return
    rows: list[dict[str, object]] = []
    parts = {
        "in training": items.where(lambda i: i.topic in TRAINED),
        "not in training": items.where(lambda i: i.topic not in TRAINED),
    }
    before = {relations: mechcla.score(base, part) for relations, part in parts.items()}
    for name, folder in adapters.items():
        model = mechcla.load_model(base.name, adapter=folder)
        for relations, part in parts.items():
            changes = difference(mechcla.score(model, part), before[relations], "transfer")
            for language, change in changes.items():
                rows.append(
                    {
                        "adapter": name,
                        "relations": relations,
                        "language": language,
                        "change": change.value,
                        "low": change.low,
                        "high": change.high,
                        "n": change.n,
                    }
                )
                if language == POOLED:
                    print(f"{name}, relations {relations}: {change}")
    write(out, HELD_OUT, rows)
    say_made(out, HELD_OUT, decides, [f"{HELD_OUT}.csv"])


def swept(name: str) -> bool:
    """Whether an adapter is searched over: a method's first seed. Controls and further seeds say
    what alignment does by itself, which needs no steering.
    """
    method, _, seed = name.rpartition("-")
    return seed == "0" and not METHODS.get(method).control


def swept_items(base: Run) -> mechcla.ItemSet:
    """The test items that the base's run scored."""
    there = {(r.id, r.language, r.kind) for r in base.scores("unsteered")}
    return base.item_set.test.where(lambda i: (i.id, i.language, i.kind) in there)


def unsteered(base: Run, model: str, adapters: dict[str, Path], out: Path) -> Tables:
    """Unsteered scores of these adapters on the test items that the base's run scored."""
    items = swept_items(base)
    found = {}
    for name, folder in adapters.items():
        path = out / f"{name}-{file_sha256(folder / WEIGHTS)[:12]}-{items.digest[:12]}.parquet"
        if not path.exists():
            scores = mechcla.score(mechcla.load_model(model, adapter=folder), items)
            path.parent.mkdir(parents=True, exist_ok=True)
            scores.to_parquet(path)
        found[name] = {"unsteered": Scores.from_parquet(path)}
    return found


def main() -> None:
    import sys

    sys.excepthook = one_message
    args = parsed()
    args.out.mkdir(parents=True, exist_ok=True)
    found = trained(args)
    adapters = {name: result.folder for name, result in found.items()}
    write(args.out, "align_losses", losses(found))
    base, items = load(args)
    with timed(args.out, "held-out items", made=(args.out / f"{HELD_OUT}.csv").exists()):
        held_out(base, adapters, args.out)
    with timed(args.out, "geometry", made=(args.out / "align_geometry.csv").exists()):
        before_and_after(base, adapters, items.universal, args.out, resamples=args.resamples)
    del base  # the sweeps load their own
    if args.train_only:
        return
    steered = {name: folder for name, folder in adapters.items() if swept(name)}
    given = {"model": args.model, "out": str(args.runs)}
    given["adapters"] = [str(folder) for folder in steered.values()]
    with timed(args.out, "sweeps", made=(args.out / "align_plane.csv").exists()):
        run_several(make({**settings(args.sweep_config), **given}))
    with timed(args.out, "plane", made=(args.out / "align_plane.csv").exists()):
        compared = together(args, {k: v for k, v in adapters.items() if k not in steered}, steered)
    write(args.out, "align_plane", compared.rows(), plots.aligned_plane(compared))
    print(plots.save(plots.aligned_bias(compared), args.out / "align_bias"))
    with timed(args.out, "seeds", made=(args.out / "align_seeds.csv").exists()):
        seeds(args.model, adapters, swept_items(mechcla.read_run(args.runs / "base")), args.out)


def together(
    args: argparse.Namespace, plain: dict[str, Path], steered: dict[str, Path]
) -> mechcla.AlignedComparison:
    """The runs of the base and of the steered models, and the scores of the others, as one."""
    runs = {name: mechcla.read_run(args.runs / name) for name in ("base", *steered)}
    tables: Tables = {
        name: {c: run.scores(c) for c in run.conditions if not Condition.parse(c).is_arm}
        for name, run in runs.items()
    }
    tables |= unsteered(runs["base"], args.model, plain, args.out / "unsteered")
    return aligned_tables(tables)


if __name__ == "__main__":
    main()
