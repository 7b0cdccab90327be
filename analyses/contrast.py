"""The matched-pair contrast: does each country's cue, and each country's LOC vector, favour its own answer?

Every cultural test item is scored under two conditions, one of the language's own country and one of the US: two prompts
that name them, or the same implicit prompt under their two LOC vectors (made on dev from the same two cues), and, as a
control, under two random directions of the same norms. Chance is 0.5, with no prior or length of an answer in it.
"""

from dataclasses import replace

import mechcla
from analyses.common import arguments, load, write
from mechcla.controls import like, random_like
from mechcla.items import ItemSet
from mechcla.sources.demo import cues
from mechcla.statistics import Contrast, contrast

STRENGTH, OTHER = 2.0, "US"


def named(items: ItemSet, country: str) -> ItemSet:
    """The items with an explicit prompt that names this country, whatever their own one is."""
    said = cues()
    return ItemSet(tuple(replace(i, prompt_explicit=f"{said[i.language][country]}{i.separator}{i.prompt}") for i in items))


if __name__ == "__main__":
    args = arguments(__doc__)
    model, dev = load(args)
    languages = [k for k in dev.languages if k != "en"]
    test = mechcla.load_items("demo", languages=languages).test.cultural
    layers = [model.n_layers * k // 18 for k in (5, 9, 13)]
    scored: dict[str, dict[str, Contrast]] = {}
    for language in languages:
        mine, own = test.language(language), next(i.country for i in test.language(language) if i.country)
        vectors = [mechcla.loc_vectors(model, named(dev.cultural.language(language), c)) for c in (own, OTHER)]
        vectors[1] = like(vectors[1], vectors[0], "LOC of the US")  # equal pushes, so that neither only sharpens more
        conditions = {"prompt": [mechcla.score(model, named(mine, c), prompt="explicit") for c in (own, OTHER)]}
        for layer in layers:
            for name, pair in (("LOC", vectors), ("random", [random_like(vectors[0], 1), random_like(vectors[0], 2)])):
                conditions[f"{name} at {layer}"] = [
                    mechcla.score(model, mine, mechcla.loc_steering(v, language=language, layer=layer, strength=STRENGTH)) for v in pair
                ]  # fmt: skip
        for name, (first, second) in conditions.items():
            found = contrast(first, second, (own, OTHER))[language]
            scored.setdefault(name, {})[language] = found
            print(f"{language} {name:<14} {found}")
    rows = [
        {"condition": name, "language": k, "share": c.share.value, "low": c.share.low, "high": c.share.high, "n": c.share.n,
         "p_value": c.p_value, "nats": c.nats.value, "nats_low": c.nats.low, "nats_high": c.nats.high}
        for name, by in scored.items() for k, c in by.items()
    ]  # fmt: skip
    write(args.out, "contrast", rows)
