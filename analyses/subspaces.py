"""Do EN and LOC share more than one direction: principal angles of their leading subspaces, by
layer and language.
"""

from analyses.common import arguments, load, residuals, write
from mechcla import plots
from mechcla.geometry import subspace_angles
from mechcla.vectors.residuals import en_differences, loc_differences

K = 4

if __name__ == "__main__":
    args = arguments(__doc__)
    model, items = load(args)
    universal, implicit, explicit = residuals(model, items)
    found = {
        k: subspace_angles(
            en_differences(universal, k), loc_differences(explicit, implicit, k), K, args.resamples
        )
        for k in universal.languages
        if k != "en"
    }
    panels = {
        f"cosine of principal angle {a}": {k: s.curve(a) for k, s in found.items()} for a in (1, 2)
    }
    write(
        args.out,
        "subspaces",
        [row for k, s in found.items() for row in s.rows(language=k)],
        plots.curves(panels),
    )
