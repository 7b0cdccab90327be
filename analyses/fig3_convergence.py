"""Figure 3: languages in PCA, and how far apart they are by layer, universal against cultural
items.
"""

from analyses.common import arguments, load, write
from mechcla import plots
from mechcla.geometry import convergence, project
from mechcla.vectors.residuals import cache_residuals

MEASURES = ("separation", "silhouette", "question", "top1")

if __name__ == "__main__":
    args = arguments(__doc__)
    model, items = load(args)
    kinds = {
        "universal": cache_residuals(model, items.universal),
        "cultural": cache_residuals(model, items.cultural),
    }
    curves = {(m, k): convergence(h, m, args.resamples) for m in MEASURES for k, h in kinds.items()}
    write(
        args.out,
        "fig3_convergence",
        [row for (_, k), c in curves.items() for row in c.rows(kind=k)],
        plots.curves({m: {k: curves[m, k] for k in kinds} for m in MEASURES}),
    )
    layers = [model.n_layers // 6, model.n_layers // 2, model.n_layers - 2]
    shown = {k: [project(h, layer) for layer in layers] for k, h in kinds.items()}
    rows = [
        {"kind": k, "layer": p.layer, "language": lang, "x": x, "y": y}
        for k, ps in shown.items()
        for p in ps
        for lang, xy in p.coordinates.items()
        for x, y in xy.tolist()
    ]
    write(args.out, "fig3_pca", rows, plots.projections(shown))
