"""The real gate against gates of shuffled kinds of many seeds, and what a pass with a gate costs.

    python -m analyses.shuffled_gates docs/reference/confirm-2/choices.json --out docs/reference

The control arm `gate_shuffled` of a sweep is one draw, and one draw may decide nearly as the real
gate does. Here gated Surgical Steering stays as dev chose it (from a finished run or from the
choices.json of a confirmation), with EN, LOC and the real gate of all dev items, and the gate is
made again with the kinds of half of the dev questions exchanged, once per seed. A hard gate lets EN
alone or LOC alone act on a prompt, so the test items are scored under each of the two once, and a
gate's scores are put together from them, prompt by prompt as that gate decides. The real gate is
scored as it is, too, and anything but rounding between the two ends in an error.

Writes shuffled_gates.csv, in share, pooled over the languages where dev steers: per seed and metric
the change from the unsteered model and the real gate's less the seed's, with 95% bootstrap interval
over questions, sign-flip p and n, and the share of the metric's prompts on which that gate decides
as the real one, and rightly. `mean` is each question's mean over seeds: its p is after Holm over
both metrics; `least`, `most` and `sd` are of the seeds' changes; `p_seeds` is the share of gates,
the real one counted, that change at least as much as the real one. gate_cost.json: the seconds of a
pass under GATED over those of its arm gate_always on the same items, taken in turns.

What it can show: whether it matters which prompts the gate takes for universal, at these layers and
strengths, on prompts that are worded as dev's. The intervals take the seeds as given; p_seeds takes
the questions as given. Exploratory: the test items had been looked at, and nothing is chosen.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

import mechcla
from analyses.benchmarks.price import clock_of, commit
from analyses.common import one_message, write
from analyses.gate import rows_of
from analyses.gated_choices import asked_of, chosen, parser, scores_of
from mechcla.metrics.estimates import POOLED, bootstrap_means
from mechcla.metrics.metrics import METRICS
from mechcla.scoring.scores import Scores
from mechcla.statistics import correct, sign_flip
from mechcla.statistics.differences import Table, clustered, estimate_of, paired_differences
from mechcla.steering.families import BOTH
from mechcla.steering.method import Method, Vectors
from mechcla.sweep.config import make
from mechcla.vectors.extract import extract
from mechcla.vectors.gates import GATE, SHUFFLED, Gate, gates_of_rows

REAL, MEAN, ROUNDING = "real", "mean", 1e-3
Decisions = dict[str, list[bool]]  # by gate: whether each item's prompt is taken for universal


def parsed() -> argparse.Namespace:
    made = parser(__doc__)
    made.add_argument("--seeds", type=int, default=100, help="gates of shuffled kinds, from seed 0")
    made.add_argument("--timed", type=int, default=24, help="items of the timed passes")
    made.add_argument("--repeats", type=int, default=5, help="of the timed passes")
    return made.parse_args()


def decisions(
    gate: Gate, asked: mechcla.ItemSet, residuals: torch.Tensor, methods: Mapping[str, Method]
) -> list[bool]:
    """Whether a gate takes each item's prompt for universal, at its language's gate layer."""
    found = torch.zeros(len(asked), dtype=torch.bool)
    for language, method in methods.items():
        mine = torch.tensor([i.language == language for i in asked])
        found[mine] = gate.margins(language, residuals[mine])[:, method.gate_layer] > 0
    return found.tolist()


def alone(method: Method, part: str) -> Method:
    """EN or LOC of a gated method, without a gate."""
    bare = replace(method, gate_layer=None, gate_constant="")
    if part == "EN":
        return replace(bare, loc_layer=None, loc_strength=0.0, loc_positions=None)
    return replace(bare, en_layer=None, en_strength=0.0, en_positions=None, restore_layer=None)


def together(en: Scores, loc: Scores, universal: Sequence[bool]) -> Scores:
    """What a hard gate makes of two passes: EN's row where it takes a prompt for universal."""
    rows = zip(en, loc, universal, strict=True)
    return Scores(tuple(e if is_universal else x for e, x, is_universal in rows), en.settings)


def off(one: Scores, other: Scores) -> float:
    """The greatest difference of two tables in a candidate's log-likelihood."""
    pairs = zip(one, other, strict=True)
    return max(
        abs(a - b)
        for mine, its in pairs
        for a, b in zip(mine.log_likelihood, its.log_likelihood, strict=True)
    )


def scored(
    model: mechcla.HookedModel,
    dev: mechcla.ItemSet,
    asked: mechcla.ItemSet,
    methods: Mapping[str, Method],
    seeds: int,
) -> tuple[dict[str, Scores], Decisions, Vectors]:
    """Scores by gate, "unsteered" beside them; the gates' decisions; the vectors."""
    if soft := [k for k, m in methods.items() if m.gate_scale is not None]:
        raise mechcla.MechclaError(
            f"the gate of {', '.join(soft)} is soft and lets both vectors act on a prompt; "
            "expected choices of a sweep without --gate-scale"
        )
    if seeds < 1:
        raise mechcla.MechclaError(f"--seeds {seeds}; expected at least 1")
    rows, residuals = rows_of(model, dev), rows_of(model, asked)
    made, decided = {}, {}
    for seed in range(seeds):
        made = gates_of_rows(model, dev, rows, shuffled=True, seed=seed)
        decided[str(seed)] = decisions(made[SHUFFLED], asked, residuals, methods)
    decided = {REAL: decisions(made[GATE], asked, residuals, methods)} | decided
    print(f"{seeds} gates made", flush=True)
    vectors = {**extract(model, dev), GATE: made[GATE].to_vectors()}
    en, loc = (
        scores_of(model, asked, {k: alone(m, part) for k, m in methods.items()}, vectors)
        for part in ("EN", "LOC")
    )
    found = {name: together(en, loc, taken) for name, taken in decided.items()}
    as_it_is = scores_of(model, asked, methods, vectors)
    if (most := off(as_it_is, found[REAL])) > ROUNDING:
        raise mechcla.MechclaError(
            f"the real gate's log-likelihoods are up to {most:.2g} off those of EN and LOC alone "
            "on the prompts that it leaves to each; the difference should be rounding"
        )
    print(f"the gate, scored as it is, is within {most:.1g} of EN and LOC alone", flush=True)
    unsteered = scores_of(model, asked, {}, vectors)
    return {"unsteered": unsteered} | found | {REAL: as_it_is}, decided, vectors


def rows(
    tables: Mapping[str, Scores], asked: mechcla.ItemSet, decided: Decisions, resamples: int
) -> list[dict[str, Any]]:
    """A row per gate and metric, those of the mean over seeds last."""
    made: list[dict[str, Any]] = []
    seeds = [name for name in decided if name != REAL]
    for metric in BOTH:
        kind = METRICS[metric].kind
        changes = {n: paired_differences(tables[n], tables["unsteered"], metric) for n in decided}
        less = {n: paired_differences(tables[REAL], tables[n], metric) for n in seeds}
        told = {n: _told(asked, decided[n], decided[REAL], kind) for n in decided}
        means = [pooled(changes[n]).mean for n in seeds]
        real = pooled(changes[REAL]).mean
        for name in decided:
            row = {"seed": name, "metric": metric, **_columns("change", changes[name], resamples)}
            against = _tested(less[name], resamples) if name in less else {}
            made.append(row | against | told[name])
        made.append(
            {"seed": MEAN, "metric": metric}
            | _columns("change", mean_of([changes[n] for n in seeds]), resamples)
            | _tested(mean_of(list(less.values())), resamples)
            | {k: statistics.fmean(told[n][k] for n in seeds) for k in told[REAL]}
            | {
                "seeds": len(seeds),
                "least": min(means),
                "most": max(means),
                "sd": statistics.stdev(means) if len(means) > 1 else "",
                "p_seeds": (1 + sum(m >= real for m in means)) / (1 + len(means)),
            }
        )
    holm = correct({k: r["p_value"] for k, r in enumerate(made) if r["seed"] == MEAN})
    made = [row | {"p_holm": holm.get(k, "")} for k, row in enumerate(made)]
    return sorted(made, key=lambda row: row["seed"] == MEAN)


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


def _told(
    asked: mechcla.ItemSet, taken: Sequence[bool], real: Sequence[bool], kind: str
) -> dict[str, float]:
    """On the prompts of a kind: the share told as the real gate tells them, and rightly."""
    there = [k for k, item in enumerate(asked) if item.kind == kind]
    return {
        "as_the_real_one": statistics.fmean(taken[k] == real[k] for k in there),
        "right": statistics.fmean(taken[k] == (kind == "universal") for k in there),
    }


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
    args.out.mkdir(parents=True, exist_ok=True)
    methods = chosen(args.choices)
    items = mechcla.load_items(args.items)
    model = mechcla.load_model(args.model)
    config = make({"model": args.model, "items": args.items})
    asked = asked_of(items, methods, config, "test")
    tables, decided, vectors = scored(model, items.dev, asked, methods, args.seeds)
    found = rows(tables, asked, decided, args.resamples)
    for r in (r for r in found if r["seed"] == MEAN):
        print(
            f"real less mean of {r['seeds']} seeds, {r['metric']}: {r['difference']:+.3f} "
            f"[{r['difference_low']:.3f}, {r['difference_high']:.3f}], n={r['n']}, p after Holm "
            f"{r['p_holm']:.4f}; p over seeds {r['p_seeds']:.3f}"
        )
    write(args.out, "shuffled_gates", found)
    timed = min(args.timed, len(asked))
    spread = asked.at([int(k * len(asked) / timed) for k in range(timed)])
    record = cost(model, spread, methods, vectors, args.repeats)
    (args.out / "gate_cost.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(f"gated over always: {record['ratio']:.2f} [{record['least']:.2f}, {record['most']:.2f}]")


if __name__ == "__main__":
    main()
