"""Trains each alignment method and control, sweeps each, and puts all on one plane with the base.

Resumable: an adapter or run that is whole is not made again. By hand, hours: `make align`.
  ADAPTERS/METHOD-SEED   the adapters                  RUNS/METHOD-SEED   a run each, RUNS/base first
  OUT/align_plane        every run against the base, paired by item, as table and figure
  OUT/align_held_out     universal items that no training text names: relations in training or not
"""

import argparse
from pathlib import Path

import mechcla
from analyses.common import one_message
from mechcla import plots
from mechcla.align.data import align_data_folder
from mechcla.align.methods import METHODS
from mechcla.metrics.estimates import POOLED
from mechcla.metrics.metrics import difference
from mechcla.runs.tables import csv_text
from mechcla.storage import write_text
from mechcla.sweep.config import make
from mechcla.sweep.sweep import run_config

TRAINED = ("capital", "symbol")  # relations that the shipped facts have, of other things


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
    parser.add_argument("--sweep-config", type=Path, help="settings of every sweep, as a file")
    parser.add_argument("--train-only", action="store_true", help="no sweeps")
    return parser.parse_args()


def settings(path: Path | None) -> dict[str, object]:
    from mechcla.sweep.config_file import read_config

    return {} if path is None else read_config(path)


def trained(args: argparse.Namespace) -> dict[str, Path]:
    """The folder of each method and seed; the headline's are mist and english_only."""
    found = {}
    methods = args.methods.split(",")
    for seed in range(args.seeds):
        for method in methods:
            if seed and method not in ("mist", "english_only"):
                continue
            name = f"{method}-{seed}"
            result = mechcla.align(
                method,
                args.model,
                args.adapters / name,
                **{**settings(args.config), "seed": seed},
            )
            print(result)
            found[name] = result.folder
    return found


def swept(args: argparse.Namespace, adapters: dict[str, Path]) -> list[Path]:
    """A run folder per model, the base's first."""
    folders = []
    for name, model in {"base": args.model, **adapters}.items():
        out = args.runs / name
        given = {**settings(args.sweep_config), "model": str(model), "out": str(out)}
        run_config(make(given))
        folders.append(out)
    return folders


def held_out(args: argparse.Namespace, adapters: dict[str, Path]) -> list[dict[str, object]]:
    """Transfer on test items that no training text names, against the base, by relation."""
    items = mechcla.load_items(str(align_data_folder() / "heldout.jsonl")).test
    rows: list[dict[str, object]] = []
    parts = {
        "in training": items.where(lambda i: i.topic in TRAINED),
        "not in training": items.where(lambda i: i.topic not in TRAINED),
    }
    base = mechcla.load_model(args.model)
    before = {relations: mechcla.score(base, part) for relations, part in parts.items()}
    del base
    for name, folder in adapters.items():
        model = mechcla.load_model(args.model, adapter=folder)
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
    return rows


def main() -> None:
    import sys

    sys.excepthook = one_message
    args = parsed()
    adapters = trained(args)
    write_text(args.out / "align_held_out.csv", csv_text(held_out(args, adapters)))
    if args.train_only:
        return
    compared = mechcla.compare_runs(swept(args, adapters))
    print(compared)
    write_text(args.out / "align_plane.csv", csv_text(compared.rows()))
    plots.save(plots.compared(compared, "share"), args.out / "align_plane")


if __name__ == "__main__":
    main()
