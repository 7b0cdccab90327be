"""A soft gate against the hard one, at the layers and strengths that dev chose for the hard one.

    python -m analyses.soft_gate docs/reference/confirm-2/choices.json --out docs/reference

Takes gated Surgical Steering as dev chose it, from a finished run or from the choices.json of a
confirmation; makes EN, LOC and the gate of all dev items; and scores it with a hard gate and with
soft ones of several scales, on the dev and the test questions of a sweep, in the languages where
it steers. Writes soft_gate.csv: pooled over these languages, the paired change of each gate from
the unsteered model and from the hard gate, in share, with 95% bootstrap interval over questions,
sign-flip p (on test after Holm over its rows) and n. `chosen` marks the scale with the largest sum
of both gains on dev. Nothing of test decides anything.
"""

import argparse
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import mechcla
from analyses.align_seeds import changes
from analyses.common import one_message, write
from analyses.gated_choices import asked_of, opened, parser, scores_of
from mechcla.scoring.scores import Scores
from mechcla.statistics import correct
from mechcla.steering.method import Method
from mechcla.sweep.config import SweepConfig
from mechcla.vectors.extract import extract
from mechcla.vectors.gates import gates

UNSTEERED, HARD = "unsteered", "hard"
KEPT = ("difference", "difference_low", "difference_high", "n", "questions", "p_value")
Tables = dict[str, dict[str, Scores]]  # by split and gate


def parsed() -> argparse.Namespace:
    made = parser(__doc__)
    made.add_argument("--scales", default="0.25,0.5,1", help="of the soft gates")
    return made.parse_args()


def scored(
    model: mechcla.HookedModel,
    items: mechcla.ItemSet,
    methods: Mapping[str, Method],
    scales: list[float],
    config: SweepConfig,
) -> Tables:
    """The questions of a sweep under each gate."""
    vectors = dict(extract(model, items.dev))
    vectors |= {name: gate.to_vectors() for name, gate in gates(model, items.dev).items()}
    ways: dict[str, float | None] = {UNSTEERED: None, HARD: None} | {
        f"soft {s:g}": s for s in scales
    }
    found: Tables = {}
    for split in ("dev", "test"):
        asked = asked_of(items, methods, config, split)
        found[split] = {}
        for name, scale in ways.items():
            steered = {} if name == UNSTEERED else methods
            under = {k: replace(m, gate_scale=scale) for k, m in steered.items()}
            found[split][name] = scores_of(model, asked, under, vectors)
            print(split, name, "scored", flush=True)
    return found


def rows(tables: Tables, resamples: int) -> list[dict[str, Any]]:
    """Each gate against the unsteered model and against the hard gate, and what dev would take."""
    made: list[dict[str, Any]] = []
    for split, by_gate in tables.items():
        names = [name for name in by_gate if name != UNSTEERED]
        for against, than in ((UNSTEERED, names), (HARD, names[1:])):
            for value in changes(by_gate, against, than, resamples):
                row = value.flat()
                here = {"split": split, "gate": value.model, "against": against}
                made.append(here | {"metric": value.metric} | {k: row.get(k) for k in KEPT})
    best = max(
        (r["gate"] for r in made if r["gate"].startswith("soft")),
        key=lambda gate: sum(
            r["difference"]
            for r in made
            if (r["split"], r["gate"], r["against"]) == ("dev", gate, UNSTEERED)
            and r["metric"] in ("transfer", "localization")
        ),
    )
    tested = {k: r["p_value"] for k, r in enumerate(made) if r["split"] == "test"}
    holm = correct({k: float(p) for k, p in tested.items() if p not in (None, "")})
    return [
        row | {"p_holm": holm.get(k, ""), "chosen": row["gate"] == best}
        for k, row in enumerate(made)
    ]


def main() -> None:
    sys.excepthook = one_message
    args = parsed()
    methods, items, model, config = opened(args)
    scales = [float(s) for s in args.scales.split(",")]
    found = rows(scored(model, items, methods, scales, config), args.resamples)
    for r in found:
        if r["split"] == "test":
            print(
                f"{r['gate']} less {r['against']}, {r['metric']}: {r['difference']:+.3f} "
                f"[{r['difference_low']:.3f}, {r['difference_high']:.3f}], n={r['n']}, "
                f"p after Holm {r['p_holm']:.3f}"
            )
    write(args.out, "soft_gate", found)


if __name__ == "__main__":
    main()
