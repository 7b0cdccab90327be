"""Control arms: each family's change on its own axis beside that of vectors which are like it in
all but one thing.
"""

import csv

from analyses.common import arguments, write
from mechcla import MechclaError, plots
from mechcla.steering.families import FAMILIES, Condition

if __name__ == "__main__":
    args = arguments(__doc__, run=True)
    path = args.run / "summary.csv"
    if not path.exists():
        raise MechclaError(
            f"{path} is not there; make the run first: python -m mechcla.sweep --out {args.run}"
        )
    with path.open(newline="", encoding="utf-8") as file:
        rows = [
            {
                "method": r["method"],
                "metric": r["metric"],
                "change": float(r["difference"]),
                "low": float(r["difference_low"]),
                "high": float(r["difference_high"]),
                "n": int(r["n"]),
            }
            for r in csv.DictReader(file)
            if r["language"] == "all"
            and r["measure"] == "share"
            and r["difference"]
            and r["metric"] in FAMILIES[Condition.parse(r["method"]).family].axes
        ]
    if not any(" " in r["method"] for r in rows):
        raise MechclaError(f"{args.run} has no control arms; run the sweep without --no-controls")
    write(args.out, "controls", rows, plots.arms(rows))
