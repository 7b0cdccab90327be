"""Figure 4, left, with uncertainty: perpendicularity of EN and LOC by layer, with intervals and a
permutation null.

The right half (gains by layer) is figures/fig4_layers of a run of mechcla.sweep.
"""

from analyses.common import arguments, load, residuals, write
from mechcla import plots
from mechcla.geometry import perpendicularity, random_perpendicularity, without_common
from mechcla.vectors.residuals import en_differences, loc_differences

if __name__ == "__main__":
    args = arguments(__doc__)
    model, items = load(args)
    universal, implicit, explicit = residuals(model, items)
    raw, cleaned = {}, {}
    for language in (k for k in universal.languages if k != "en"):
        en, loc = en_differences(universal, language), loc_differences(explicit, implicit, language)
        raw[language] = perpendicularity(en, loc, args.resamples)
        stream = implicit[language]
        cleaned[language] = perpendicularity(
            without_common(en, stream), without_common(loc, stream), args.resamples
        )
    both = {"perpendicularity of EN and LOC": raw, "common direction removed": cleaned}
    rows = [
        row
        for name, curves in both.items()
        for k, c in curves.items()
        for row in c.rows(variant=name, language=k)
    ]
    write(
        args.out,
        "fig4_perpendicularity",
        rows,
        plots.curves(both, level=random_perpendicularity(model.d_model)),
    )
