"""Does coarse to fine lose anything: mechcla.configure against the full grid of layers and pairs,
on dev and on test.

The full grid is every layer and strength of either vector and every pair of layers (each at its
better strength).
"""

import argparse
import time

import mechcla
from analyses.common import all_items, arguments, write
from mechcla.metrics.metrics import difference

AXES = {"EN": ("transfer",), "LOC": ("localization",), "SUR": ("transfer", "localization")}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument(
        "--dev-items", type=int, default=12, help="dev items per kind and language in every cell"
    )
    args = arguments(__doc__, parent=parser)
    args.languages = args.languages or "es"
    languages = args.languages.split(",")
    model, items = mechcla.load_model(args.model), all_items(args)
    # The same positions in both.
    common = {"dev_items": args.dev_items, "restore": False, "try_positions": []}
    ways = {
        "coarse to fine": {},
        "full grid": {"coarse_step": 1, "refine": 0, "pair_layers": model.n_layers},
    }
    rows = []
    for way, settings in ways.items():
        begun = time.perf_counter()
        found = mechcla.configure(model, items, languages, **(common | settings))
        seconds = time.perf_counter() - begun
        print(f"{way}: {found}")
        for language in languages:
            test = items.test.language(language)
            base = mechcla.score(model, test)
            for family, axes in AXES.items():
                steps = found.interventions(family, language)
                scores = mechcla.score(model, test, steps)
                point = found.choices.by_language[language].chosen[family]
                for axis in axes:
                    gain = difference(
                        scores, base, axis, "share", resamples=max(args.resamples, 200)
                    )[language]
                    rows.append(
                        {
                            "way": way,
                            "language": language,
                            "family": family,
                            "chosen": point.method.name,
                            "axis": axis,
                            "dev_gain": getattr(point, f"d_{axis}"),
                            "test_gain": gain.value,
                            "low": gain.low,
                            "high": gain.high,
                            "n": gain.n,
                            "cells": found.cells,
                            "of_full_grid": found.fraction,
                            "seconds": seconds,
                        }
                    )
    write(args.out, "configure_cost", rows)
