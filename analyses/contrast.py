"""The matched-pair contrast: does each country's cue, and each country's LOC vector, favour its own answer?

Every cultural test item is scored under two conditions, one of the language's own country and one of the US: two prompts
that name them, or the same implicit prompt under their two LOC vectors (made on dev from the same two cues), and, as a
control, under two random directions of the same norms. Chance is 0.5, with no prior or length of an answer in it. A sweep
reports it at the layer and strength that dev chose; this is the course over layers.
"""

from typing import Any

import mechcla
from analyses.common import arguments, load, write
from mechcla import plots
from mechcla.controls import like, random_like
from mechcla.scores import Scores
from mechcla.scoring import prepare, score_many
from mechcla.statistics import contrast

STRENGTH = 2.0

if __name__ == "__main__":
    args = arguments(__doc__)
    model, dev = load(args)
    languages = [k for k in dev.languages if k != "en"]
    test = mechcla.load_items("demo", languages=languages).test.cultural.where(lambda i: i.language != "en")
    own = mechcla.loc_vectors(model, dev.cultural)
    us = like(mechcla.loc_vectors(model, dev.cultural.language(*languages), cue="us"), own, "LOC of the US")
    pairs = {"LOC": (own, us), "random": (random_like(own, 1), random_like(own, 2))}
    layers = sorted({model.n_layers * k // 18 for k in (2, 5, 9, 13, 16)})
    keys = [(name, layer, side) for name in pairs for layer in layers for side in (0, 1)]
    scored: dict[tuple[str, int, int], list[Any]] = {key: [] for key in keys}
    for language in languages:
        steps = [
            mechcla.loc_steering(pairs[name][side], language=language, layer=layer, strength=STRENGTH) for name, layer, side in keys
        ]
        for n, table in score_many(prepare(model, test.language(language), prior=False), steps):
            scored[keys[n]].extend(table.rows)
        print(f"{language}: {len(keys)} variants scored", flush=True)
    found = {("prompt", -1): contrast(*(mechcla.score(model, test, prompt=form, prior=False) for form in ("explicit", "us")))}
    found |= {
        (name, layer): contrast(*(Scores(tuple(scored[name, layer, side])) for side in (0, 1))) for name in pairs for layer in layers
    }
    rows = [{"condition": name, "layer": layer, "language": k} | c.flat() for (name, layer), by in found.items() for k, c in by.items()]
    for (name, layer), by in found.items():
        print(f"{name:<8}{'' if layer < 0 else layer:<4}{by['all']}")
    write(args.out, "contrast", rows, plots.contrasts(rows))
