"""Do languages come together after an alignment: convergence of two models on the same items, layer
by layer.

--other names the aligned model. Without it the same model under EN-steering is the other one: the
alignment that needs no training.
"""

import argparse

import mechcla
from analyses.common import all_items, arguments, load, write
from mechcla import plots
from mechcla.geometry import convergence
from mechcla.vectors.residuals import Residuals, cache_residuals

MEASURES = ("separation", "silhouette", "question")

if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument(
        "--other", default=None, help="the aligned model: a folder or a Hugging Face id"
    )
    parser.add_argument(
        "--en-layer",
        type=int,
        default=None,
        help="without --other: the EN layer; default: the middle",
    )
    parser.add_argument("--en-strength", type=float, default=1.0)
    args = arguments(__doc__, parent=parser)
    model, items = load(args)
    kinds = {"universal": items.universal, "cultural": items.cultural}
    before = {k: cache_residuals(model, part) for k, part in kinds.items()}
    after: dict[str, Residuals] = {}
    if args.other:
        other = mechcla.load_model(args.other)
        after, name = {k: cache_residuals(other, part) for k, part in kinds.items()}, args.other
    else:
        layer = model.n_layers // 2 if args.en_layer is None else args.en_layer
        # Vectors from other questions: with these, languages would coincide at the steered block.
        shown = set(items.ids)
        rest = all_items(args).dev.universal.where(lambda i: i.id not in shown)
        en = mechcla.en_vectors(model, rest)
        steps = {
            k: mechcla.en_steering(en, language=k, layer=layer, strength=args.en_strength)
            for k in en.languages
        }
        after, name = (
            {k: cache_residuals(model, part, interventions=steps) for k, part in kinds.items()},
            f"EN-steered at {layer}",
        )
    curves = {
        (m, k): {
            "before": convergence(before[k], m, args.resamples),
            name: convergence(after[k], m, args.resamples),
        }
        for m in MEASURES
        for k in kinds
    }
    rows = [
        row
        for (_, k), pair in curves.items()
        for which, c in pair.items()
        for row in c.rows(kind=k, model=which)
    ]
    write(
        args.out,
        "two_models",
        rows,
        plots.curves({f"{m}, {k}": pair for (m, k), pair in curves.items()}),
    )
