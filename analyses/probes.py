"""What a line can read by layer: the language of a prompt, and the country named in it, against
shuffled labels.
"""

import random
from dataclasses import replace

import torch

from analyses.common import arguments, load, write
from mechcla import plots
from mechcla.geometry.probes import probe
from mechcla.items.item_set import ItemSet
from mechcla.sources.demo import cues
from mechcla.vectors.residuals import cache_residuals

PROMPTS = 140

if __name__ == "__main__":
    args = arguments(__doc__)
    model, items = load(args)
    found = {}
    for name, h in (
        ("universal", cache_residuals(model, items.universal)),
        ("cultural", cache_residuals(model, items.cultural)),
    ):
        rows = torch.cat([h[k] for k in h.languages])
        labels = [k for k in h.languages for _ in h.ids[k]]
        found[name] = probe(
            rows, labels, [i for k in h.languages for i in h.ids[k]], resamples=args.resamples
        )
    if args.items != "demo":
        print(
            f"--items {args.items}: the country's probe names every country in every language, "
            "for which only the demo items have sentences; left out"
        )
        write(
            args.out,
            "probes",
            [row for k, c in found.items() for row in c.rows(reads="language", of=k)],
            plots.curves({"the language of the prompt": found}),
        )
        raise SystemExit
    named, countries = cues(), sorted({i.country for i in items.cultural if i.country})
    country = {}
    for language in (k for k in items.languages if k != "en"):
        asked = [
            replace(
                i, id=f"{i.id}@{c}", prompt_explicit=f"{named[language][c]}{i.separator}{i.prompt}"
            )
            for i in items.cultural.language(language)
            for c in countries
        ]
        h = cache_residuals(
            model,
            ItemSet(tuple(random.Random(0).sample(asked, min(PROMPTS, len(asked))))),
            "explicit",
        )
        ids = [i.split("@") for i in h.ids[language]]
        country[language] = probe(
            h[language], [c for _, c in ids], [q for q, _ in ids], resamples=args.resamples
        )
    write(
        args.out,
        "probes",
        [
            row
            for kind, cs in (("language", found), ("country", country))
            for k, c in cs.items()
            for row in c.rows(reads=kind, of=k)
        ],
        plots.curves({"the language of the prompt": found}),
    )
    write(
        args.out,
        "probes_country",
        [row for k, c in country.items() for row in c.rows(language=k)],
        plots.curves({"the country named before the prompt": country}),
    )
