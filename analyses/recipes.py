"""Which recipe's vector steers best, on dev: made from one half of the questions, scored on the
other, both ways.

Beside the recipes for a direction: random ones of the same norms, the mean difference taken back at
a deep layer (EN with restoration), and the least-squares map from a language to English, which is
no direction.
"""

from collections.abc import Iterator

from analyses.common import arguments, load, residuals, write
from mechcla import Intervention, ItemSet, Scores, difference, en_steering, loc_steering, plots
from mechcla.models.hooked_model import HookedModel
from mechcla.scoring.prepared import prepare
from mechcla.scoring.scorer import score_many
from mechcla.steering.controls import random_like
from mechcla.steering.linear_map import fit_map, map_steering
from mechcla.vectors.extract import extract
from mechcla.vectors.recipes import RECIPES
from mechcla.vectors.residuals import cache_residuals
from mechcla.vectors.steering_vectors import SteeringVectors

EN_STRENGTH, LOC_STRENGTH, MAP_STRENGTH = 0.3, 2.0, 0.5
RESTORE_AT = 16  # of 18 blocks
Arms = dict[tuple[str, str, int], tuple[Intervention, ...]]  # (vector, recipe, layer)


def vectors(model: HookedModel, items: ItemSet) -> Iterator[tuple[str, str, SteeringVectors]]:
    """Every recipe's EN and LOC vectors from these items, and random ones of the same norms."""
    cached = residuals(model, items)
    for name in RECIPES:
        for kind, made in extract(model, items, name, cached=cached).items():
            yield kind, name, made
    for kind, made in extract(model, items, cached=cached).items():
        yield kind, "random", random_like(made)


def arms(
    model: HookedModel, items: ItemSet, languages: list[str], layers: list[int]
) -> dict[str, Arms]:
    """By language, what each recipe does at each layer."""
    found: dict[str, Arms] = {language: {} for language in languages}
    deep = model.n_layers * RESTORE_AT // 18
    for kind, name, made in vectors(model, items):
        for language in languages:
            for layer in layers:
                found[language][kind, name, layer] = (
                    en_steering(made, language=language, layer=layer, strength=EN_STRENGTH)
                    if kind == "EN"
                    else loc_steering(made, language=language, layer=layer, strength=LOC_STRENGTH)
                )
                if (kind, name) == ("EN", "mean_difference") and layer < deep:
                    found[language]["EN", f"restored at {deep}", layer] = en_steering(
                        made,
                        language=language,
                        layer=layer,
                        strength=EN_STRENGTH,
                        restore_layer=deep,
                    )
    universal = cache_residuals(model, items.universal)
    for language in languages:
        for layer in layers:
            found[language]["EN", "linear map", layer] = map_steering(
                fit_map(universal, language, layer), MAP_STRENGTH
            )
    return found


if __name__ == "__main__":
    args = arguments(__doc__)
    model, items = load(args)
    layers = [model.n_layers * k // 18 for k in (5, 9, 13)]
    languages = [k for k in items.languages if k != "en"]
    half = {i: k % 2 for kind in (items.universal, items.cultural) for k, i in enumerate(kind.ids)}
    base: dict[str, list] = {"EN": [], "LOC": []}
    scored: dict[tuple[str, str, int], list] = {}
    for held in (0, 1):
        made = arms(model, items.where(lambda i, held=held: half[i.id] != held), languages, layers)
        for language in languages:
            mine = items.language(language).where(lambda i, held=held: half[i.id] == held)
            for kind, part in (("EN", mine.universal), ("LOC", mine.cultural)):
                keys = [k for k in made[language] if k[0] == kind]
                for n, table in score_many(
                    prepare(model, part), [(), *(made[language][k] for k in keys)]
                ):
                    (base[kind] if n == 0 else scored.setdefault(keys[n - 1], [])).extend(
                        table.rows
                    )
    rows = []
    for (kind, name, layer), found in scored.items():
        metric = "transfer" if kind == "EN" else "localization"
        gain = difference(
            Scores(tuple(found)),
            Scores(tuple(base[kind])),
            metric,
            "share",
            resamples=max(args.resamples, 100),
        )
        rows += [
            {
                "vector": kind,
                "recipe": name,
                "layer": layer,
                "language": k,
                "gain": g.value,
                "low": g.low,
                "high": g.high,
                "n": g.n,
            }
            for k, g in gain.items()
        ]
    write(args.out, "recipes", rows, plots.gains([r for r in rows if r["language"] == "all"]))
