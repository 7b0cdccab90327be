"""Figure 3, before and after: PCA, CKA with English and mean-pooled retrieval of the English text,
of a base and of each model aligned from it, on the same parallel questions.

  OUT/align_geometry       every model, language and block, and each model's change from the base,
                           paired by question; as figure: PCA at chosen blocks
  OUT/align_geometry_layers      the languages' mean by block
  OUT/align_pca.csv        what the PCA panels show
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mechcla
from analyses.common import arguments, is_made, load, say_made, write
from mechcla import plots
from mechcla.geometry import Curve, Projection, cka_with_english, project, retrieval_of_english
from mechcla.models.adapters import WEIGHTS
from mechcla.storage import file_sha256
from mechcla.vectors.residuals import Residuals, cache_residuals

NAME, LAYERS, PCA = "align_geometry", "align_geometry_layers", "align_pca"
POOLED = "all"


def blocks(model: mechcla.HookedModel, given: Sequence[int] = ()) -> list[int]:
    """The blocks whose PCA is shown; default: early, middle, late."""
    n = model.n_layers
    chosen = sorted(set(given)) or sorted({n // 6, n // 2, n - 2})
    for layer in chosen:
        model.hook_name(layer, "resid_post")  # refuses what the model has not
    return chosen


def before_and_after(
    base: mechcla.HookedModel,
    adapters: Mapping[str, Path],
    items: mechcla.ItemSet,
    out: Path,
    layers: Sequence[int] = (),
    resamples: int = 200,
) -> None:
    """Write tables and figures; nothing, if they are there and made of the same.

    adapters: the base's, by name. items: universal ones, parallel to English.
    """
    chosen = blocks(base, layers)
    decides = {
        "base": base.describe(),
        "adapters": {name: file_sha256(folder / WEIGHTS) for name, folder in adapters.items()},
        "items": items.digest,
        "layers": chosen,
        "resamples": resamples,
    }
    if is_made(out, NAME, decides):
        print(f"{out / NAME}.csv is made already")
        return
    rows: list[dict[str, Any]] = []
    shown: dict[str, list[Projection]] = {}
    drawn: dict[str, dict[str, Curve]] = {"CKA": {}, "retrieval": {}}
    before: tuple[Residuals, Residuals] | None = None
    for name, folder in {"base": None, **adapters}.items():
        model = base if folder is None else mechcla.load_model(base.name, adapter=folder)
        last = cache_residuals(model, items)
        pooled = cache_residuals(model, items, position="mean_prompt_token")
        before = before or (last, pooled)
        shown[name] = [project(last, layer) for layer in chosen]
        found = {
            "CKA": cka_with_english(last, None, resamples),
            "retrieval": retrieval_of_english(pooled, None, "cosine", resamples),
        }
        changes = (
            []
            if folder is None
            else [
                cka_with_english(last, before[0], resamples),
                retrieval_of_english(pooled, before[1], "cosine", resamples),
            ]
        )
        for curves in (*found.values(), *changes):
            rows += [r for k, c in curves.items() for r in c.rows(model=name, language=k)]
        for what, curves in found.items():
            drawn[what][name] = curves[POOLED]
    write(out, NAME, rows, plots.before_after(shown, drawn))
    titles = {"CKA": "linear CKA with English", "retrieval": "retrieval, mean-pooled"}
    by_layer = plots.curves({titles[what]: curves for what, curves in drawn.items()})
    print(plots.save(by_layer, out / LAYERS))
    points = [
        {"model": name, "layer": p.layer, "language": language, "x": x, "y": y}
        for name, projections in shown.items()
        for p in projections
        for language, xy in p.coordinates.items()
        for x, y in xy.tolist()
    ]
    write(out, PCA, points)
    names = [f"{n}.{kind}" for n in (NAME, LAYERS) for kind in ("png", "svg")]
    say_made(out, NAME, decides, [f"{NAME}.csv", f"{PCA}.csv", *names])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--adapters", default="", help="comma-separated folders")
    parser.add_argument("--layers", default="", help="blocks of the PCA panels, as 3,9,16")
    args = arguments(__doc__, parent=parser)
    folders = [Path(a) for a in args.adapters.split(",") if a]
    base, items = load(args)
    before_and_after(
        base,
        {folder.name: folder for folder in folders},
        items.universal,
        args.out,
        [int(k) for k in args.layers.split(",") if k],
        args.resamples,
    )
