"""Figure 5: every method on the plane, gains on dev, English bias. From a run folder."""

from analyses.common import arguments, planes, read_json, write
from mechcla import plots
from mechcla.metrics.estimates import Estimate

if __name__ == "__main__":
    args = arguments(__doc__, run=True)
    points = planes(args.run)
    rows = read_json(args.run / "summary.json")["rows"]
    measure = points[0].measure
    found = [
        r
        for r in rows
        if (r["metric"], r["language"], r["measure"]) == ("english_bias", "all", measure)
    ]
    bias = {r["method"]: Estimate(r["value"], r["low"], r["high"], r["n"], measure) for r in found}
    choices = read_json(args.run / "selection.json")["choices"]
    tried = [p for c in choices for p in c["points"] if p["d_localization"] is not None]
    write(
        args.out,
        "fig5_surgical",
        found,
        plots.surgical(points, bias, tried, measure, [c["pareto_front"] for c in choices]),
    )
