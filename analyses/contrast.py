"""The matched-pair contrast: does each country's cue, and each country's LOC vector, favour its own
answer?

Every cultural test item is scored under two conditions, one of the language's own country and one
of the US: two prompts that name them, or the same implicit prompt under their two LOC vectors (made
on dev from the same two cues). Chance is 0.5, with no prior or length of an answer in it. Two
vectors that mean nothing still move all items together, so the null is the spread of pairs of
random directions with the same norms: where 95% of pairs fall. A sweep reports the contrast at the
layer and strength that dev chose; this is the course over layers.
"""

import argparse
from itertools import combinations
from typing import Any

import numpy as np

import mechcla
from analyses.common import all_items, arguments, load, write
from mechcla import plots
from mechcla.metrics.estimates import POOLED
from mechcla.scoring.prepared import prepare
from mechcla.scoring.scorer import score_many
from mechcla.scoring.scores import Scores
from mechcla.statistics import contrast
from mechcla.steering.controls import like, random_like

STRENGTH = 2.0


def spread(pairs: list[dict[str, Any]], language: str) -> dict[str, float]:
    """Where 95% of pairs of random directions fall; a pair the other way round has one less its
    share.
    """
    away = float(np.percentile([abs(c[language].share.value - 0.5) for c in pairs], 95))
    return {
        "share": 0.5,
        "low": 0.5 - away,
        "high": 0.5 + away,
        "n": pairs[0][language].share.n,
        "pairs": len(pairs),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument(
        "--draws",
        type=int,
        default=6,
        help="random directions per language and layer; all their pairs are the null",
    )
    args = arguments(__doc__, parent=parser)
    if args.draws < 2:
        raise mechcla.MechclaError(
            f"--draws {args.draws}: the null needs at least 2 random directions to make a pair"
        )
    model, dev = load(args)
    languages = [k for k in dev.languages if k != "en"]
    test = all_items(args).test.cultural.where(lambda i: i.language != "en")
    own = mechcla.loc_vectors(model, dev.cultural)
    us = like(
        mechcla.loc_vectors(model, dev.cultural.language(*languages), cue="us"),
        own,
        "LOC of the US",
    )
    vectors = {"own": own, "us": us} | {
        f"random {k}": random_like(own, k) for k in range(args.draws)
    }
    layers = sorted({model.n_layers * k // 18 for k in (2, 5, 9, 13, 16)})
    keys = [(name, layer) for name in vectors for layer in layers]
    scored: dict[tuple[str, int], list[Any]] = {key: [] for key in keys}
    for language in languages:
        steps = [
            mechcla.loc_steering(vectors[name], language=language, layer=layer, strength=STRENGTH)
            for name, layer in keys
        ]
        for n, table in score_many(prepare(model, test.language(language), prior=False), steps):
            scored[keys[n]].extend(table.rows)
        print(f"{language}: {len(keys)} variants scored", flush=True)
    tables = {key: Scores(tuple(rows)) for key, rows in scored.items()}
    named = contrast(
        *(mechcla.score(model, test, prompt=form, prior=False) for form in ("explicit", "us"))
    )
    rows = [
        {"condition": "prompt", "layer": -1, "language": k} | c.flat() for k, c in named.items()
    ]
    print(f"prompt     {named[POOLED]}")
    for layer in layers:
        found = contrast(tables["own", layer], tables["us", layer])
        null = [
            contrast(tables[f"random {a}", layer], tables[f"random {b}", layer], resamples=100)
            for a, b in combinations(range(args.draws), 2)
        ]
        rows += [
            {"condition": "LOC", "layer": layer, "language": k} | c.flat() for k, c in found.items()
        ]
        rows += [
            {"condition": "random", "layer": layer, "language": k} | spread(null, k) for k in found
        ]
        print(
            f"LOC {layer:<6} {found[POOLED]}; "
            f"random pairs within {rows[-1]['low']:.3f} to {rows[-1]['high']:.3f}"
        )
    write(args.out, "contrast", rows, plots.contrasts(rows))
