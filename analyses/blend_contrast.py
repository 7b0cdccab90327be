"""The matched-pair contrast on BLEnD: two regions' top answers to the same question, each against
itself.

Conditions: two prompts that name the two countries; the same implicit prompt under the two
countries' LOC vectors (made on the dev half of the questions, scored on the test half, equal
norms); and, as a control, under two random directions. Chance is 0.5. Pairs of one language (Spain
and Mexico, the Koreas, the UK and the US) show culture beyond language; a pair of two languages is
asked in English. --path is your own copy of BLEnD's data folder.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import mechcla
from analyses.common import arguments, write
from mechcla.items.item_set import ItemSet
from mechcla.sources.blend import blend_pairs
from mechcla.sources.blend.regions import find_region
from mechcla.statistics import Contrast, contrast
from mechcla.steering.controls import like, random_like

STRENGTH = 2.0
# As the published questions name them.
NAMES = {"ES": "España", "MX": "México", "KR": "대한민국", "KP": "북한"}


def two_ways(path: Path, left: str, right: str) -> tuple[ItemSet, tuple[str, str], int]:
    """The left region's items: prompt_explicit names its country, prompt_us the right one's; the
    two countries; how many were left out.

    One text with either name in it: the two regions' published questions differ in wording too,
    which would be read as culture. Questions whose published text does not name the left country as
    NAMES does are left out.
    """
    sides = find_region(left), find_region(right)
    alike = sides[0].language == sides[1].language
    names = [
        NAMES[side.code] if alike and side.language != "en" else side.english for side in sides
    ]
    items = blend_pairs(path, left, right, form="local" if alike else "english").where(
        lambda i: i.country == sides[0].country
    )
    named = items.where(lambda i: names[0] in (i.prompt_explicit or ""))
    asked = tuple(
        replace(
            i,
            language=sides[0].language if alike else "en",
            prompt_us=str(i.prompt_explicit).replace(*names),
        )
        for i in named
    )
    return ItemSet(asked), (sides[0].country, sides[1].country), len(items) - len(named)


def contrasts(
    model: mechcla.HookedModel, items: ItemSet, countries: tuple[str, str], layers: list[int]
) -> dict[str, Contrast]:
    """By condition. Prompts are scored on all questions, vectors on the test half."""
    (language,) = items.languages
    found = {
        "prompt": contrast(
            *(mechcla.score(model, items, prompt=form, prior=False) for form in ("explicit", "us")),
            countries,
        )[language]
    }
    own = mechcla.loc_vectors(model, items.dev)
    other = like(mechcla.loc_vectors(model, items.dev, cue="us"), own, "LOC of the other")
    pairs = {"LOC": (own, other), "random": (random_like(own, 1), random_like(own, 2))}
    for layer in layers:
        for name, pair in pairs.items():
            steered = (
                mechcla.loc_steering(v, language=language, layer=layer, strength=STRENGTH)
                for v in pair
            )
            scores = [mechcla.score(model, items.test, steps, prior=False) for steps in steered]
            found[f"{name} at {layer}"] = contrast(*scores, countries)[language]
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument(
        "--path",
        type=Path,
        required=True,
        help="BLEnD's data folder: annotations, questions, prompts",
    )
    parser.add_argument(
        "--pairs", default="ES-MX,KR-KP,GB-US,ES-US,KR-US", help="pairs of BLEnD's region codes"
    )
    args = arguments(__doc__, parent=parser)
    model = mechcla.load_model(args.model)
    layers = sorted({model.n_layers * k // 18 for k in (5, 9, 13)})
    rows = []
    for pair in args.pairs.split(","):
        if pair.count("-") != 1:
            raise mechcla.MechclaError(
                f"--pairs has {pair!r}; expected two region codes such as ES-MX"
            )
        items, countries, left_out = two_ways(args.path, *pair.split("-"))
        print(f"{pair}: {len(items)} questions, {left_out} left out")
        for name, c in contrasts(model, items, countries, layers).items():
            print(f"{pair} {name:<14} {c}", flush=True)
            rows.append(
                {"pair": pair, "language": items.languages[0], "condition": name} | c.flat()
            )
    write(args.out, "blend_contrast", rows)
