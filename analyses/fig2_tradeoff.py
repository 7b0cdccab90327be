"""Figure 2: transfer against localization, a panel a method, a point a language. From a run folder."""

from analyses.common import arguments, planes, write
from mechcla import plots

if __name__ == "__main__":
    args = arguments(__doc__, run=True)
    points = planes(args.run)
    rows = [
        {
            "method": p.method,
            "language": p.language,
            "measure": p.measure,
            "d_transfer": str(p.d_transfer),
            "d_localization": str(p.d_localization),
            "erasure": p.erasure,
        }
        for p in points
    ]
    write(args.out, "fig2_tradeoff", rows, plots.tradeoff(points))
