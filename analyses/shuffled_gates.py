"""The real gate against gates of shuffled kinds of many seeds, and what a pass with a gate costs.

    python -m analyses.shuffled_gates docs/reference/confirm-2/choices.json --out docs/reference

The control arm `gate_shuffled` of a sweep is one draw, and one draw may decide nearly as the real
gate does. Here gated Surgical Steering stays as dev chose it (from a finished run or from the
choices.json of a confirmation), with EN, LOC and the real gate of dev items, and the gate is made
again with the kinds of half of the dev questions exchanged, once per seed, and scored in its place
on the test items of a sweep, in the languages where dev steers.

Writes shuffled_gates.csv, in share, pooled over these languages: per seed and metric the change
from the unsteered model and the real gate's less the seed's, with 95% bootstrap interval over
questions, sign-flip p and n, and `as_the_real_one`, the share of the metric's prompts whose scores
are those under the real gate, which is where the two decide alike. `mean` is each question's mean
over seeds: its p is after Holm over both metrics; `least`, `most` and `sd` are of the seeds'
changes; `as_much` is how many seeds change at least as much as the real gate. gate_cost.json: the
seconds of a pass under GATED over those of its arm gate_always on the same items, in turns.

What it can show: whether it matters which prompts the gate takes for universal, at these layers and
strengths, on prompts that are worded as dev's. Intervals and p take the seeds as given: another
draw of seeds has another mean, and `sd` says how far one seed lies from the next. Exploratory: the
test items had been looked at, and nothing is chosen.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import torch

import mechcla
from analyses.benchmarks.price import clock_of, commit
from analyses.common import one_message, write
from analyses.gate import rows_of
from analyses.gated_choices import asked_of, opened, parser, scores_of
from mechcla.items.item import PIVOT
from mechcla.metrics.estimates import POOLED, bootstrap_means
from mechcla.metrics.metrics import METRICS
from mechcla.scoring.scores import Scores
from mechcla.statistics import correct, sign_flip
from mechcla.statistics.differences import Table, clustered, estimate_of, paired_differences
from mechcla.steering.families import BOTH
from mechcla.steering.method import Method, Vectors
from mechcla.vectors.extract import extract
from mechcla.vectors.gates import GATE, SHUFFLED, gates_of_rows
from mechcla.vectors.steering_vectors import SteeringVectors

UNSTEERED, REAL, MEAN = "unsteered", "real", "mean"
ROUNDING = 1e-4  # in log-likelihood


def parsed() -> argparse.Namespace:
    made = parser(__doc__)
    made.add_argument("--seeds", type=int, default=8, help="gates of shuffled kinds, from seed 0")
    made.add_argument("--timed", type=int, default=24, help="items of the timed passes")
    made.add_argument("--repeats", type=int, default=5, help="of the timed passes")
    return made.parse_args()


def scored(
    model: mechcla.HookedModel,
    dev: mechcla.ItemSet,
    asked: mechcla.ItemSet,
    methods: Mapping[str, Method],
    seeds: int,
) -> tuple[dict[str, Scores], Vectors]:
    """Scores unsteered, under the real gate and by seed; EN, LOC and the real gate.

    dev: of a language without a method, but English, nothing is used.
    """
    if seeds < 1:
        raise mechcla.MechclaError(f"--seeds {seeds}; expected at least 1")
    dev = dev.where(lambda i: i.language in methods or i.language == PIVOT)
    residuals = rows_of(model, dev)
    vectors: dict[str, SteeringVectors] = {**extract(model, dev)}
    found = {UNSTEERED: scores_of(model, asked, {}, vectors)}
    for seed in range(seeds):
        made = gates_of_rows(model, dev, residuals, shuffled=True, seed=seed)
        if not seed:
            vectors[GATE] = made[GATE].to_vectors()
            found[REAL] = scores_of(model, asked, methods, vectors)
        shuffled = vectors | {GATE: made[SHUFFLED].to_vectors()}
        found[str(seed)] = scores_of(model, asked, methods, shuffled)
        print(f"seed {seed} scored", flush=True)
    return found, vectors


def rows(tables: Mapping[str, Scores], resamples: int) -> list[dict[str, Any]]:
    """A row per gate and metric, those of the mean over seeds last."""
    made: list[dict[str, Any]] = []
    seeds = [name for name in tables if name not in (UNSTEERED, REAL)]
    for metric in BOTH:
        gates = (REAL, *seeds)
        changes = {n: paired_differences(tables[n], tables[UNSTEERED], metric) for n in gates}
        less = {n: paired_differences(tables[REAL], tables[n], metric) for n in seeds}
        same = {n: alike(tables[n], tables[REAL], METRICS[metric].kind) for n in seeds}
        for name in gates:
            row = {"seed": name, "metric": metric, **_columns("change", changes[name], resamples)}
            if name in less:
                row |= _tested(less[name], resamples) | {"as_the_real_one": same[name]}
            made.append(row)
        means = [pooled(changes[n]).mean for n in seeds]
        real = pooled(changes[REAL]).mean
        made.append(
            {"seed": MEAN, "metric": metric}
            | _columns("change", mean_of([changes[n] for n in seeds]), resamples)
            | _tested(mean_of(list(less.values())), resamples)
            | {
                "as_the_real_one": statistics.fmean(same.values()),
                "seeds": len(seeds),
                "least": min(means),
                "most": max(means),
                "sd": statistics.stdev(means) if len(means) > 1 else "",
                "as_much": sum(m >= real for m in means),
            }
        )
    holm = correct({k: r["p_value"] for k, r in enumerate(made) if r["seed"] == MEAN})
    made = [row | {"p_holm": holm.get(k, "")} for k, row in enumerate(made)]
    return sorted(made, key=lambda row: row["seed"] == MEAN)


def alike(scores: Scores, other: Scores, kind: str) -> float:
    """The share of a kind's items that have the same scores in both tables, but for rounding."""
    pairs = [(a, b) for a, b in zip(scores, other, strict=True) if a.kind == kind]
    return statistics.fmean(
        max(abs(x - y) for x, y in zip(a.log_likelihood, b.log_likelihood, strict=True)) < ROUNDING
        for a, b in pairs
    )


def mean_of(tables: Sequence[Table]) -> Table:
    """Each item's mean over tables of the same items."""
    return {
        language: {i: statistics.fmean(t[language][i] for t in tables) for i in column}
        for language, column in tables[0].items()
    }


def pooled(table: Table) -> Any:
    """All languages' values, summed within questions."""
    return clustered(table)[POOLED]


def _columns(name: str, table: Table, resamples: int) -> dict[str, Any]:
    found = estimate_of(bootstrap_means(table, resamples)[POOLED], pooled(table).n, name)
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high, "n": found.n}


def _tested(table: Table, resamples: int) -> dict[str, Any]:
    sums = pooled(table).sums
    tested = {"questions": len(sums), "p_value": sign_flip(sums)[0]}
    return _columns("difference", table, resamples) | tested


def cost(
    model: mechcla.HookedModel,
    asked: mechcla.ItemSet,
    methods: Mapping[str, Method],
    vectors: Vectors,
    repeats: int,
) -> dict[str, Any]:
    """Seconds of a pass under GATED over those under gate_always, in turns, after one of each."""
    ways = {"gated": dict(methods)}
    ways["always"] = {k: m.with_arm("gate_always") for k, m in methods.items()}
    clock, of_what = clock_of(model.device)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(repeats + 1):
        for name in list(ways)[:: 1 if turn % 2 else -1]:
            begun = clock()
            scores_of(model, asked, ways[name], vectors)
            if turn:
                seconds[name].append(clock() - begun)
    ratios = [a / b for a, b in zip(*seconds.values(), strict=True)]
    return {
        "items": len(asked),
        "languages": list(methods),
        "repeats": repeats,
        "threads": torch.get_num_threads(),
        "clock": of_what,
        "commit": commit(),
        "ratio": statistics.median(ratios),
        "least": min(ratios),
        "most": max(ratios),
        "seconds": {name: statistics.median(values) for name, values in seconds.items()},
    }


def main() -> None:
    sys.excepthook = one_message
    args = parsed()
    methods, items, model, config = opened(args)
    asked = asked_of(items, methods, config, "test")
    tables, vectors = scored(model, items.dev, asked, methods, args.seeds)
    found = rows(tables, args.resamples)
    for r in (r for r in found if r["seed"] == MEAN):
        print(
            f"real less mean of {r['seeds']} seeds, {r['metric']}: {r['difference']:+.3f} "
            f"[{r['difference_low']:.3f}, {r['difference_high']:.3f}], n={r['n']}, p after Holm "
            f"{r['p_holm']:.4f}; {r['as_much']} seeds change as much"
        )
    write(args.out, "shuffled_gates", found)
    timed = min(args.timed, len(asked))
    spread = asked.at([int(k * len(asked) / timed) for k in range(timed)])
    record = cost(model, spread, methods, vectors, args.repeats)
    (args.out / "gate_cost.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(f"gated over always: {record['ratio']:.2f} [{record['least']:.2f}, {record['most']:.2f}]")


if __name__ == "__main__":
    main()
