"""mechcla's numbers against lm-eval-harness's: the same items, the same folder, lm-eval's own
evaluator and backend.

    python -m analyses.lm_eval_parity --help

Items become lm-eval multiple-choice tasks on the fly (nothing is fetched) and
`lm_eval.simple_evaluate` runs them on its plain Hugging Face backend. Compared are each candidate's
log-likelihood and three accuracies: acc with mechcla's "sum", acc_norm with "char" (lm-eval divides
by the characters of the choice, without the delimiter) and acc_bytes with "byte". Items whose
answer the two cut out at another token are named, counted and left out of the claim. Unsteered
models only; needs lm-eval (the extra `bench`).
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import numpy as np

import mechcla
from analyses.benchmarks.report import table
from analyses.common import load, one_message, write
from mechcla.engine.packing import Packed, pack
from mechcla.items.item import RIGHT, Item
from mechcla.items.item_set import ItemSet
from mechcla.metrics.metrics import item_value
from mechcla.models.demo import demo_folder
from mechcla.models.hooked_model import HookedModel
from mechcla.scoring.scores import ItemScore

Key = tuple[str, str, str, str]  # an item and how it is asked: id, language, kind, prompt form
ACCURACIES = {
    "acc": "sum",
    "acc_norm": "char",
    "acc_bytes": "byte",
}  # lm-eval's name: mechcla's normalisation
FORMS = {"universal": ("implicit",), "cultural": ("implicit", "explicit")}
COMPARED = "compared"
SPLIT = "token across the join"  # mechcla scores it, lm-eval takes it for prompt
NOTHING = "lm-eval has nothing to score"  # a candidate lies wholly in that token; lm-eval stops with an AssertionError
TOKENS = (
    "other token ids"  # e.g. a tokenizer that adds an end-of-text token, which mechcla takes off
)
WINDOW = "longer than lm-eval's window"  # lm-eval cuts from the left, mechcla refuses beyond the model's own
TWINS = (
    "two candidates share a text"  # a tie: mechcla shares the point, lm-eval gives it to the first
)
REFUSED = "refused by mechcla"


@dataclass(frozen=True)
class Compared:
    """One item under one prompt form: both sides' numbers, empty where a side could not score it.

    `same_tokens` is lm-eval's log-likelihoods for exactly the tokens that mechcla scores, for items
    left out.
    """

    item: Item
    form: str
    why: str
    refusal: str = ""  # mechcla's message where `why` is REFUSED
    mechcla: tuple[float, ...] = ()
    lm_eval: tuple[float, ...] = ()
    same_tokens: tuple[float, ...] = ()
    right: tuple[tuple[float, float], ...] = ()  # (mechcla, lm-eval) for each of ACCURACIES
    choices: tuple[tuple[int, int], ...] = ()  # the same for the index of the best candidate

    @property
    def difference(self) -> float:
        return _gap(self.mechcla, self.lm_eval)

    @property
    def difference_same_tokens(self) -> float:
        return _gap(self.mechcla, self.same_tokens)

    def row(self) -> dict[str, Any]:
        """The CSV's row."""
        item = self.item
        row: dict[str, Any] = {
            "id": item.id,
            "language": item.language,
            "kind": item.kind,
            "prompt": self.form,
            "status": self.why,
            "refusal": self.refusal,
            "candidates": len(item.candidates),
            "largest_difference": self.difference,
            "largest_difference_same_tokens": self.difference_same_tokens,
        }
        for k, name in enumerate(ACCURACIES):
            row |= (
                {f"{name}_mechcla": self.right[k][0], f"{name}_lm_eval": self.right[k][1]}
                if self.right
                else {}
            )
            row |= {f"{name}_choices": json.dumps(self.choices[k])} if self.choices else {}
        return row | {"mechcla": json.dumps(self.mechcla), "lm_eval": json.dumps(self.lm_eval)}


def _gap(left: Sequence[float], right: Sequence[float]) -> float:
    return (
        max((abs(a - b) for a, b in zip(left, right, strict=True)), default=float("nan"))
        if left and right
        else float("nan")
    )


def plain_backend(
    folder: str | Path, device: str = "cpu", dtype: str = "float32", rows: int = 8
) -> Any:
    """lm-eval's Hugging Face backend with its own defaults: no option on BOS, so the tokenizer's
    own one is in front.
    """
    from lm_eval.models.huggingface import HFLM

    return HFLM(pretrained=str(folder), device=device, dtype=dtype, batch_size=rows)


def compare(model: HookedModel, lm: Any, items: ItemSet) -> list[Compared]:
    """Score every item in every prompt form with both: a row an item and form, universal ones in
    one form.

    Raises MechclaError if lm-eval was not asked exactly what mechcla's items say.
    """
    why: dict[Key, str] = {}
    packed: dict[Key, Packed] = {}
    refusals: dict[Key, str] = {}
    mine: dict[Key, ItemScore] = {}
    asked: dict[Key, Item] = {}
    for form in ("implicit", "explicit"):
        for item in items:
            if form not in FORMS[item.kind]:
                continue
            key = _key(item, form)
            asked[key] = item
            try:
                packed[key] = pack(item, model.tokenizer, form, model.window)
                why[key] = status(item, packed[key], lm, form)
            except mechcla.MechclaError as error:
                why[key], refusals[key] = REFUSED, str(error)
        scorable = items.where(lambda item, form=form: _key(item, form) in packed)  # type: ignore[misc]
        scores = mechcla.score(model, scorable, prompt=form) if len(scorable) else ()
        mine |= {_key(item, form): row for item, row in zip(scorable, scores, strict=True)}
    theirs = lm_eval_samples(
        lm, {k: asked[k] for k in packed if why[k] not in (NOTHING, WINDOW)}, why
    )
    again = _same_tokens(lm, {k: p for k, p in packed.items() if why[k] != COMPARED})
    return [
        Compared(i, k[3], why[k], refusals[k])
        if k in refusals
        else _joined(i, k[3], why[k], mine[k], theirs.get(k), again.get(k, ()))
        for k, i in asked.items()
    ]


def _key(item: Item, form: str) -> Key:
    return item.id, item.language, item.kind, form


def status(item: Item, packed: Packed, lm: Any, form: str) -> str:
    """COMPARED if lm-eval scores exactly the tokens that mechcla scores, after the same ones; else
    why not.
    """
    text, answers = item.prompt_text(form), [c.text for c in item.candidates]
    pairs = [lm._encode_pair(text, item.separator + answer) for answer in answers]
    if any(not after for _, after in pairs):
        return NOTHING
    if any(len(before) + len(after) > lm.max_length for before, after in pairs):
        return WINDOW
    for (before, after), tokens in zip(pairs, packed.candidates, strict=True):
        whole = (*packed.prompt, *tokens)
        if whole[len(before) :] != tuple(after):
            return TOKENS
        if len(before) != len(packed.prompt) or whole != (*before, *after):
            return SPLIT
    return TWINS if len(set(answers)) < len(answers) else COMPARED


def task(name: str, items: Sequence[Item], form: str, separator: str) -> Any:
    """An lm-eval multiple-choice task that holds these items: prompt, choices, the index of the
    right one.
    """
    from lm_eval.api.task import ConfigurableTask

    docs = [
        {
            "id": i.id,
            "prompt": i.prompt_text(form),
            "choices": [c.text for c in i.candidates],
            "right": i.right,
        }
        for i in items
    ]
    config = {
        "task": name,
        "custom_dataset": lambda **_: {"test": datasets.Dataset.from_list(docs)},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "prompt",
        "doc_to_choice": "choices",
        "doc_to_target": "right",
        "target_delimiter": separator,
        "num_fewshot": 0,
        "metric_list": [
            {"metric": m, "aggregation": "mean", "higher_is_better": True} for m in ACCURACIES
        ],
    }
    return ConfigurableTask(config=config)


def lm_eval_samples(
    lm: Any, items: dict[Key, Item], why: dict[Key, str]
) -> dict[Key, dict[str, Any]]:
    """lm-eval's logged sample of every item: a task a language, kind, form, separator and status,
    in one simple_evaluate.

    Raises MechclaError if a logged request is not (prompt, separator + candidate).
    """
    import lm_eval
    from lm_eval.tasks import TaskManager

    groups: dict[tuple[str, ...], list[Key]] = {}
    for key, item in items.items():
        groups.setdefault((*key[1:], item.separator, why[key]), []).append(key)
    if not groups:
        return {}
    named = {f"mechcla_{n}": keys for n, keys in enumerate(groups.values())}
    tasks = [
        task(n, [items[k] for k in keys], keys[0][3], items[keys[0]].separator)
        for n, keys in named.items()
    ]
    result = lm_eval.simple_evaluate(
        model=lm,
        tasks=tasks,
        log_samples=True,
        bootstrap_iters=0,
        task_manager=TaskManager(include_defaults=False),
    )
    assert result is not None  # None on all but the first process, and there is one
    samples = {}
    for name, keys in named.items():
        for sample in result["samples"][name]:
            key = keys[sample["doc_id"]]
            item = items[key]
            asked = [tuple(pair) for pair in sample["arguments"]]
            expected = [
                (item.prompt_text(key[3]), item.separator + c.text) for c in item.candidates
            ]
            if asked != expected:
                raise mechcla.MechclaError(
                    f"{item.label}: lm-eval was asked {asked}, the item says {expected}"
                )
            samples[key] = sample
        for metric in ACCURACIES:  # what lm-eval reports is the mean of what its samples say
            reported, logged = (
                result["results"][name][f"{metric},none"],
                float(np.mean([samples[k][metric] for k in keys])),
            )
            if abs(reported - logged) > 1e-9:
                raise mechcla.MechclaError(
                    f"lm-eval reports {metric} {reported} for {keys[0][1:]}, its samples say {logged}"
                )
    return samples


def _same_tokens(lm: Any, packed: dict[Key, Packed]) -> dict[Key, tuple[float, ...]]:
    """lm-eval's backend on mechcla's own tokens: if this agrees, where the answer begins is all
    that differs.
    """
    requests = [(("", ""), list(p.prompt), list(c)) for p in packed.values() for c in p.candidates]
    values = iter(lm._loglikelihood_tokens(requests, disable_tqdm=True) if requests else ())
    return {key: tuple(float(next(values)[0]) for _ in p.candidates) for key, p in packed.items()}


def _joined(
    item: Item,
    form: str,
    why: str,
    mine: ItemScore,
    theirs: dict[str, Any] | None,
    again: tuple[float, ...],
) -> Compared:
    if theirs is None:
        return Compared(item, form, why, mechcla=mine.log_likelihood, same_tokens=again)
    total = tuple(float(response[0][0]) for response in theirs["resps"])
    other = ItemScore(**{**vars(mine), "log_likelihood": total})
    right = tuple(
        (item_value(RIGHT[item.kind], "accuracy", norm)(mine), float(theirs[metric]))
        for metric, norm in ACCURACIES.items()
    )
    choices = tuple(
        (int(mine.values(n).argmax()), int(other.values(n).argmax())) for n in ACCURACIES.values()
    )
    return Compared(item, form, why, "", mine.log_likelihood, total, again, right, choices)


def summary(rows: Sequence[Compared]) -> list[dict[str, Any]]:
    """The printed table: a row a language, kind and form of what was compared, their total, and a
    row a reason left out.

    `choices that differ` counts the best candidate under all three normalisations.
    """
    groups: dict[tuple[str, str, str, str], list[Compared]] = {}
    for row in rows:
        groups.setdefault((row.item.language, row.item.kind, row.form, row.why), []).append(row)
    made = [_line(*key, part) for key, part in groups.items() if key[3] == COMPARED]
    claim = [r for r in rows if r.why == COMPARED]
    if claim:
        made.append(_line("all", "", "", COMPARED, claim))
    return made + [_line(*key, part) for key, part in groups.items() if key[3] != COMPARED]


def _line(
    language: str, kind: str, form: str, why: str, part: Sequence[Compared]
) -> dict[str, Any]:
    line: dict[str, Any] = {
        "language": language,
        "kind": kind,
        "prompt": form,
        "status": why,
        "items": len(part),
        "candidates": sum(len(r.item.candidates) for r in part),
        "largest difference": _largest(r.difference for r in part),
    }
    both = [r.right for r in part if r.right]
    for k, (metric, norm) in enumerate(ACCURACIES.items()):
        left, right = (
            float(np.mean([r[k][side] for r in both])) if both else float("nan") for side in (0, 1)
        )
        line[f"{norm} / {metric}"] = f"{left:.3f} / {right:.3f}" if both else "none"
    line["choices that differ"] = sum(a != b for r in part for a, b in r.choices)
    line["difference on mechcla's tokens"] = (
        "same" if why == COMPARED else _largest(r.difference_same_tokens for r in part)
    )
    return line


def _largest(values: Iterable[float]) -> float | str:
    found = [v for v in values if not np.isnan(v)]
    return float(max(found)) if found else "none"


def agree(rows: Sequence[Compared], tolerance: float) -> bool:
    """Whether the claim holds: something was compared, and all of it agrees in log-likelihood and
    all accuracies.
    """
    claim = [r for r in rows if r.why == COMPARED]
    return bool(claim) and all(
        r.difference <= tolerance and all(a == b for a, b in r.right) for r in claim
    )


def main() -> int:
    """Compare, write `lm_eval_parity.csv` (a row per item) and print the table. 1 if the claim does
    not hold.
    """
    args = _arguments()
    try:
        import lm_eval
    except ImportError as error:
        print(
            f"lm-eval is not installed ({error}): pip install -c constraints.txt -e '.[bench]'",
            file=sys.stderr,
        )
        return 2
    for name in ("lm_eval", "accelerate"):
        logging.getLogger(name).setLevel(logging.ERROR)
    args.out.mkdir(parents=True, exist_ok=True)
    model, items = load(args)
    folder = str(demo_folder()) if args.model == "demo" else args.model
    dtype = str(model.dtype).removeprefix("torch.")
    rows = compare(model, plain_backend(folder, str(model.device), dtype, args.rows), items)
    write(args.out, "lm_eval_parity", [r.row() for r in rows])
    print(
        f"{args.model}, {dtype}, {model.device}; mechcla {mechcla.__version__}, lm-eval {lm_eval.__version__}\n"
    )
    print(table(summary(rows)))
    holds = agree(rows, args.tolerance)
    print(
        f"\n{'equal' if holds else 'NOT equal'}: log-likelihoods within {args.tolerance:g} and the same accuracies"
    )
    return 0 if holds else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m analyses.lm_eval_parity",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--model", default="demo", help="'demo', a folder or a Hugging Face id")
    parser.add_argument("--languages", default=None, help="comma-separated; default: all")
    parser.add_argument(
        "--items", default="demo", help="'demo', another source, a file or folder, or a run folder"
    )
    parser.add_argument(
        "--questions", type=int, default=20, help="dev questions a kind and language"
    )
    parser.add_argument("--rows", type=int, default=8, help="rows a batch of lm-eval")
    parser.add_argument(
        "--tolerance", type=float, default=1e-3, help="on a candidate's log-likelihood"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/parity"))
    return parser.parse_args()


if __name__ == "__main__":
    sys.excepthook = one_message
    raise SystemExit(main())
