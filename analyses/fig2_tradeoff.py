"""Figure 2: transfer against localization, from a run folder.

One panel per method, one point per language.
"""

import csv

from analyses.common import arguments, planes, write
from mechcla import plots
from mechcla.sweep.evidence import ALPHA

if __name__ == "__main__":
    args = arguments(__doc__, run=True)
    points = planes(args.run)
    with (args.run / "tests.csv").open(encoding="utf-8", newline="") as file:
        corrected = {
            (r["method"], r["language"], r["measure"]): float(r["p_holm"])
            for r in csv.DictReader(file)
            if r["metric"] == "localization"
        }
    p_values = [corrected.get((p.method, p.language, p.measure)) for p in points]
    rows = [
        {
            "method": p.method,
            "language": p.language,
            "measure": p.measure,
            "d_transfer": str(p.d_transfer),
            "d_localization": str(p.d_localization),
            "p_localization_holm": q,
            "erasure": q is not None and q < ALPHA and p.d_localization.value < 0,
        }
        for p, q in zip(points, p_values, strict=True)
    ]
    write(args.out, "fig2_tradeoff", rows, plots.tradeoff(points))
