"""How many items until a direction is stable: split-half reliability of EN and LOC by number of
items and layer.
"""

from analyses.common import arguments, load, residuals, write
from mechcla import plots
from mechcla.geometry import across_languages, reliability
from mechcla.vectors.residuals import en_differences, loc_differences

if __name__ == "__main__":
    args = arguments(__doc__)
    model, items = load(args)
    # Universal questions that are parallel in all languages.
    shared_ids = set.intersection(*(set(items.universal.language(k).ids) for k in items.languages))
    universal, implicit, explicit = residuals(
        model, items.where(lambda i: i.kind == "cultural" or i.id in shared_ids)
    )
    languages = [k for k in universal.languages if k != "en"]
    found = {
        "EN": {k: en_differences(universal, k) for k in languages},
        "LOC": {k: loc_differences(explicit, implicit, k) for k in languages},
    }
    rows, shown = [], {}
    for name, by_language in found.items():
        shown[name] = {k: reliability(d) for k, d in by_language.items()}
        for k, r in shown[name].items():
            rows += [
                {
                    "vector": name,
                    "language": k,
                    "items": size,
                    "layer": layer,
                    "cosine": c,
                    "low": lo,
                    "high": hi,
                }
                for size, cs, ls, hs in zip(r.sizes, r.cosine, r.low, r.high, strict=True)
                for layer, (c, lo, hi) in enumerate(zip(cs, ls, hs, strict=True))
            ]
    write(args.out, "reliability", rows, plots.reliabilities(shown))
    shared = {
        name: across_languages(by_language, name == "EN", args.resamples)
        for name, by_language in found.items()
    }
    write(
        args.out,
        "shared_directions",
        [row for name, m in shared.items() for row in m.rows(vector=name)],
        plots.matrices(shared, 2 * model.n_layers // 3),
    )
