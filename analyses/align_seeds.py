"""What the seed moves: every trained adapter against the base, and each method against its control.

    python -m analyses.align_seeds --adapters adapters --out runs/align/figures

Reads the adapters ADAPTERS/METHOD-SEED that `make align` made, and scores base and adapters
unsteered on the demo's test items. Writes OUT/align_seeds.csv: pooled over languages but English,
the paired change of each adapter against the base, of each method against the control trained on
the same seed, and the mean over seeds with its standard deviation between them. Nothing is chosen.
"""

import argparse
import statistics
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import mechcla
from analyses.common import one_message, write
from mechcla.metrics.estimates import POOLED
from mechcla.models.adapters import WEIGHTS
from mechcla.runs.aligned import aligned_tables
from mechcla.runs.aligned_values import AlignedValue
from mechcla.scoring.scores import Scores
from mechcla.statistics import correct
from mechcla.storage import file_sha256

CONTROL = {"mist": "english_only", "midalign": "broken_pairing"}


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="demo")
    parser.add_argument("--items", default="demo")
    parser.add_argument("--adapters", type=Path, default=Path("adapters"))
    parser.add_argument("--out", type=Path, default=Path("runs/align/figures"))
    parser.add_argument("--resamples", type=int, default=1000)
    return parser.parse_args()


def scored(model: str, adapters: dict[str, Path], items: mechcla.ItemSet, out: Path) -> Any:
    """Unsteered scores of the base and of each adapter; what is there is not made again."""
    base = mechcla.load_model(model)
    kept = {"base": f"base-{base.describe()['digest'][:12]}"}
    kept |= {n: f"{n}-{file_sha256(f / WEIGHTS)[:12]}" for n, f in adapters.items()}
    found: dict[str, Scores] = {}
    for name, stem in kept.items():
        path = out / "unsteered" / f"{stem}-{items.digest[:12]}.parquet"
        if not path.exists():
            own = base if name == "base" else mechcla.load_model(model, adapter=adapters[name])
            scores = mechcla.score(own, items)
            path.parent.mkdir(parents=True, exist_ok=True)
            scores.to_parquet(path)
        found[name] = Scores.from_parquet(path)
        print(f"{name} scored", flush=True)
    return found


def changes(tables: dict[str, Scores], against: str, models: Iterable[str], resamples: int) -> Any:
    """The pooled differences of these models to one of them, each with its sign-flip test."""
    given = {name: {"unsteered": tables[name]} for name in (against, *models)}
    found = aligned_tables(given, resamples=resamples)
    return [v for v in found.values if v.against == against and v.language == POOLED]


def rows(found: list[AlignedValue]) -> list[dict[str, Any]]:
    """A row per change, with p-values after Holm over all of them, and a mean per method."""
    holm = correct({k: v.test.p_value for k, v in enumerate(found) if v.test is not None})
    made = [{**value.flat(), "p_holm": holm.get(k)} for k, value in enumerate(found)]
    groups: dict[tuple[str, str, str], list[float]] = {}
    for v in found:
        against = str(v.against).rpartition("-")[0] or str(v.against)
        key = (v.model.rpartition("-")[0], against, v.metric)
        groups.setdefault(key, []).append(v.difference.value if v.difference else float("nan"))
    means = [
        {
            "model": method,
            "against": against,
            "metric": metric,
            "seeds": len(values),
            "average": statistics.fmean(values),
            "sd": statistics.stdev(values),
            "least": min(values),
            "most": max(values),
        }
        for (method, against, metric), values in groups.items()
        if len(values) > 1
    ]
    columns = ("model", "against", "metric", "measure", "difference", "difference_low")
    columns += ("difference_high", "n", "questions", "p_value", "p_holm", "detectable")
    columns += ("seeds", "average", "sd", "least", "most")
    return [{c: row.get(c) for c in columns} for row in (*made, *means)]


def seeds(
    model: str, adapters: dict[str, Path], items: mechcla.ItemSet, out: Path, resamples: int = 1000
) -> None:
    """align_seeds.csv of these adapters, by METHOD-SEED, on these items."""
    tables = scored(model, adapters, items, out)
    found = changes(tables, "base", adapters, resamples)
    for name in adapters:
        method, _, seed = name.rpartition("-")
        control = f"{CONTROL.get(method)}-{seed}"
        if control in adapters:
            found += changes(tables, control, [name], resamples)
    made = rows(found)
    for row in made:
        if row["seeds"]:
            print(f"{row['model']} less {row['against']}, {row['metric']}: {row['average']:+.3f}")
    write(out, "align_seeds", made)


def main() -> None:
    sys.excepthook = one_message
    args = parsed()
    there = sorted(args.adapters.glob("*-[0-9]*")) if args.adapters.is_dir() else []
    adapters = {f.name: f for f in there if (f / WEIGHTS).exists()}
    if not adapters:
        raise mechcla.MechclaError(
            f"--adapters {str(args.adapters)!r} has no adapter METHOD-SEED with {WEIGHTS}; "
            "`make align` trains them"
        )
    args.out.mkdir(parents=True, exist_ok=True)
    items = mechcla.load_items(args.items).test
    seeds(args.model, adapters, items, args.out, args.resamples)


if __name__ == "__main__":
    main()
