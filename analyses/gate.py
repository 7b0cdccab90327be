"""How well a gate tells universal prompts from cultural ones, by block, on prompts of its own
source and of others.

The gate is made of the items' dev questions. A row per source, kind, language and block: the share
of prompts told rightly, with a 95% interval from a bootstrap over questions, and n. BLEnD, LocQA
and Global-MMLU are read from your own copies; what is not named is left out. The test items' own
prompts are also asked in Global-MMLU's layout, with lettered options, for which no copy is needed.
gate_shuffled.csv: the same of gates of shuffled kinds, the control arm, by many seeds: how rightly
they tell test prompts.
"""

import argparse
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import Any

import torch

import mechcla
from analyses.common import all_items, arguments, write
from mechcla.align.data import align_data_folder, demo_facts
from mechcla.items.item import Candidate, Item
from mechcla.items.item_set import ItemSet
from mechcla.metrics.estimates import bootstrap_means
from mechcla.sources.global_mmlu import LANGUAGES
from mechcla.sources.global_mmlu.build import block as question_block
from mechcla.sources.global_mmlu.questions import LETTERS, Question
from mechcla.vectors.activations import last_token_residuals
from mechcla.vectors.gates import GATE, SHUFFLED, Gate, gates_of_rows, left_out

Right = dict[str, dict[str, list[float]]]  # by language and question: a value per block
KINDS = ("universal", "cultural")


def spread(items: ItemSet, most: int) -> ItemSet:
    """At most so many questions per language, spread over the file."""
    chosen: set[tuple[str, str]] = set()
    for language in items.languages:
        ids = items.language(language).ids
        step = max(1.0, len(ids) / most)
        chosen |= {(language, ids[int(k * step)]) for k in range(min(most, len(ids)))}
    return items.where(lambda i: (i.language, i.id) in chosen)


def facts(frames: dict[str, tuple[str, str]]) -> ItemSet:
    """The alignment facts' questions, universal all of them, between two texts per language."""
    made = [
        Item(
            f"fact {fact.id}",
            language,
            "universal",
            "test",
            f"{before}{fact.questions[language]}{after}",
            (Candidate(fact.answers[language], "correct"), Candidate("?", "wrong")),
            topic=fact.topic,
        )
        for fact in demo_facts()
        for language, (before, after) in frames.items()
        if language in fact.questions
    ]
    return ItemSet(tuple(made))


def as_global_mmlu(items: ItemSet) -> ItemSet:
    """The same prompts with four of their candidates as lettered options, in the layout of
    Global-MMLU's loader: both kinds in one shape. Items with fewer candidates, or in a language
    without an answer cue, are left out. The demo's prompts are beginnings of sentences, as ever.
    """
    fit = (i for i in items if len(i.candidates) >= len(LETTERS) and i.language in LANGUAGES)
    return ItemSet(tuple(replace(item, prompt=_lettered(item)) for item in fit))


def _lettered(item: Item) -> str:
    right = item.candidates[item.right]
    wrong = [c for c in item.candidates if c is not right][: len(LETTERS) - 1]
    kept = [c for c in item.candidates if c is right or c in wrong]
    options = tuple(c.text for c in kept)
    asked = Question(item.id, item.topic, item.prompt, options, kept.index(right), "")
    return question_block(asked, item.language, "letters")


def frame(items: ItemSet, language: str) -> tuple[str, str]:
    """What all prompts of a language begin with, up to a line break or a colon, and end with, from
    a line break on: words and marks that the questions themselves share are no frame. Raises
    MechclaError for a single prompt, which shows none.
    """
    prompts = [i.prompt for i in items.language(language)]
    if len(set(prompts)) < 2:
        raise mechcla.MechclaError(f"{language} has one prompt; expected two, to see their frame")
    before = _begin(prompts)
    after = _begin([p[len(before) :][::-1] for p in prompts])[::-1]
    ends = [m.end() for m in re.finditer(r"\n|[:：]\s*", before)]
    _, line, rest = after.partition("\n")
    return before[: max(ends, default=0)], line + rest


def _begin(texts: Sequence[str]) -> str:
    """The letters that all texts begin with."""
    alike = takewhile(lambda letters: len(set(letters)) == 1, zip(*texts, strict=False))
    return "".join(letters[0] for letters in alike)


def sources(args: argparse.Namespace, gate: Gate) -> Iterator[tuple[str, ItemSet]]:
    """Names and items, in the gate's languages; of the user's own copies those that were named."""
    test = all_items(args).test
    test = spread(test.universal, args.most) + spread(test.cultural, args.most)
    yield "test", test
    yield "test as Global-MMLU asks", as_global_mmlu(test)
    confirm = mechcla.load_items("confirm-2").where(lambda i: i.language in gate.languages)
    if args.items == "demo":  # of whose dev items the gate is
        yield (
            "confirm-2",
            spread(confirm.universal, args.most) + spread(confirm.cultural, args.most),
        )
    for name, source, path in (("BLEnD", "blend", args.blend), ("LocQA", "locqa", args.locqa)):
        if path:
            found = mechcla.load_items(source, path=path)
            found = found.where(lambda i: i.language in gate.languages)
            yield name, spread(found, args.most)
            several = [k for k in found.languages if len(found.language(k)) > 1]
            framed = facts({k: frame(found, k) for k in several})
            yield f"facts as {name} asks", spread(framed, args.most)
    heldout = mechcla.load_items(align_data_folder() / "heldout.jsonl")
    yield "heldout", spread(heldout.where(lambda i: i.language in gate.languages), args.most)
    yield "facts", spread(facts(dict.fromkeys(gate.languages, ("", ""))), args.most)
    if args.global_mmlu:
        steered = [k for k in gate.languages if k != "en"]
        found = mechcla.load_items("global_mmlu", steered, path=args.global_mmlu)
        yield "Global-MMLU", spread(found, args.most)


def rows_of(model: mechcla.HookedModel, items: ItemSet) -> torch.Tensor:
    """Residuals at the last prompt token, [item, layer, d_model]."""
    rows = [torch.empty(0)] * len(items)
    for indices, h in last_token_residuals(model, [i.prompt for i in items]):
        for column, i in enumerate(indices):
            rows[i] = h[:, column].float().cpu()
    return torch.stack(rows)


def by_kind(items: ItemSet, language: str, right: torch.Tensor, into: dict[str, Right]) -> None:
    for item, values in zip(items, right, strict=True):
        into.setdefault(item.kind, {}).setdefault(language, {})[item.id] = values.tolist()


def judged(model: mechcla.HookedModel, gate: Gate, items: ItemSet) -> dict[str, Right]:
    """Whether each prompt is told rightly, at every block, by kind."""
    found: dict[str, Right] = {}
    for language in (k for k in items.languages if k in gate.languages):
        asked = items.language(language)
        universal = torch.tensor([i.kind == "universal" for i in asked]).unsqueeze(-1)
        right = (gate.margins(language, rows_of(model, asked)) > 0) == universal
        by_kind(asked, language, right.double(), found)
    return found


def own(rows: torch.Tensor, dev: ItemSet) -> dict[str, Right]:
    """The same on the gate's own prompts, each by means without the prompts of its topic."""
    found: dict[str, Right] = {}
    for language in dev.languages:
        asked = dev.language(language)
        mine = rows[torch.tensor([i.language == language for i in dev])]
        universal = torch.tensor([i.kind == "universal" for i in asked])
        by_kind(asked, language, left_out(mine, universal, [i.topic for i in asked]), found)
    return found


def of_shuffled(
    model: mechcla.HookedModel, dev: ItemSet, rows: torch.Tensor, test: ItemSet, seeds: int
) -> Iterator[dict[str, Any]]:
    """What gates of shuffled kinds make of test prompts, a row per language and block: the share
    told rightly, mean of both kinds, on average over seeds, the least and the most; and the share
    of prompts on which such a gate decides as the real one.
    """
    held = {k: rows_of(model, test.language(k)) for k in dev.languages if test.language(k)}
    told: dict[str, list[torch.Tensor]] = {k: [] for k in held}
    same: dict[str, list[torch.Tensor]] = {k: [] for k in held}
    for seed in range(seeds):
        both = gates_of_rows(model, dev, rows, shuffled=True, seed=seed)
        for language, asked in held.items():
            real, drawn = (both[n].margins(language, asked) > 0 for n in (GATE, SHUFFLED))
            universal = torch.tensor([i.kind == KINDS[0] for i in test.language(language)])
            right = (drawn == universal.unsqueeze(-1)).double()
            told[language].append((right[universal].mean(0) + right[~universal].mean(0)) / 2)
            same[language].append((drawn == real).double().mean(0))
    for language in held:
        by_seed, alike = torch.stack(told[language]), torch.stack(same[language])
        for block in range(by_seed.shape[1]):
            yield {
                "language": language,
                "layer": block,
                "seeds": seeds,
                "right": round(float(by_seed[:, block].mean()), 4),
                "least": round(float(by_seed[:, block].min()), 4),
                "most": round(float(by_seed[:, block].max()), 4),
                "as_the_real_one": round(float(alike[:, block].mean()), 4),
                "first_seed": round(float(by_seed[0, block]), 4),
                "first_seed_as_the_real_one": round(float(alike[0, block]), 4),
            }


def table(source: str, found: dict[str, Right], resamples: int) -> Iterator[dict[str, Any]]:
    """A row per kind, language (and all of them) and block."""
    for kind, right in found.items():
        blocks = len(next(iter(next(iter(right.values())).values())))
        for block in range(blocks):
            values = {k: {i: v[block] for i, v in by.items()} for k, by in right.items()}
            for language, drawn in bootstrap_means(values, resamples).items():
                low, high = (float(q) for q in _quantiles(drawn[1:]))
                yield {
                    "source": source,
                    "kind": kind,
                    "language": language,
                    "layer": block,
                    "value": round(float(drawn[0]), 4),
                    "low": round(low, 4),
                    "high": round(high, 4),
                    "n": len(values[language])
                    if language in values
                    else sum(map(len, values.values())),
                }


def _quantiles(draws: Any) -> Any:
    return torch.from_numpy(draws).quantile(torch.tensor([0.025, 0.975], dtype=torch.float64))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--blend", type=Path, help="your copy of BLEnD's data folder")
    parser.add_argument("--locqa", type=Path, help="your copy of locqa.json")
    parser.add_argument("--global-mmlu", type=Path, help="your folder of Global-MMLU's files")
    parser.add_argument(
        "--most", type=int, default=60, help="questions per kind, language and source beside dev"
    )
    parser.add_argument("--shuffles", type=int, default=20, help="seeds of gate_shuffled.csv")
    args = arguments(__doc__, parent=parser)
    model, dev = mechcla.load_model(args.model), all_items(args).dev
    rows = rows_of(model, dev)
    gate = gates_of_rows(model, dev, rows)[GATE]
    listed = list(table("dev, its topic left out", own(rows, dev), args.resamples))
    for name, items in sources(args, gate):
        listed += table(name, judged(model, gate, items), args.resamples)
        print(f"{name}: {items!r}", flush=True)
        write(args.out, "gate", listed)
    asked = next(items for name, items in sources(args, gate) if name == "test")
    write(args.out, "gate_shuffled", of_shuffled(model, dev, rows, asked, args.shuffles))
