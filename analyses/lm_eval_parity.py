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
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np

import mechcla
from analyses.benchmarks.report import table
from analyses.common import load, one_message, write
from analyses.lm_eval_report import (
    ACCURACIES,
    COMPARED,
    NOTHING,
    REFUSED,
    SPLIT,
    TOKENS,
    TWINS,
    WINDOW,
    Compared,
    Key,
    agree,
    summary,
)
from mechcla.engine.packing import Packed, pack
from mechcla.items.item import RIGHT, Item
from mechcla.items.item_set import ItemSet
from mechcla.metrics.metrics import item_value
from mechcla.models.demo import demo_folder
from mechcla.models.hooked_model import HookedModel
from mechcla.scoring.scores import ItemScore

FORMS = {"universal": ("implicit",), "cultural": ("implicit", "explicit")}


def plain_backend(
    folder: str | Path, device: str = "cpu", dtype: str = "float32", rows: int = 8
) -> Any:
    """lm-eval's Hugging Face backend with its own defaults: no option on BOS, so the tokenizer's
    own one is in front.
    """
    from lm_eval.models.huggingface import HFLM

    return HFLM(pretrained=str(folder), device=device, dtype=dtype, batch_size=rows)


def compare(model: HookedModel, lm: Any, items: ItemSet) -> list[Compared]:
    """Score every item in every prompt form with both: a row per item and form, universal ones in
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
    """lm-eval's logged sample of every item: a task per language, kind, form, separator and status,
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
                    f"lm-eval reports {metric} {reported} for {keys[0][1:]}, "
                    f"its samples say {logged}"
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
        f"{args.model}, {dtype}, {model.device}; "
        f"mechcla {mechcla.__version__}, lm-eval {lm_eval.__version__}\n"
    )
    print(table(summary(rows)))
    holds = agree(rows, args.tolerance)
    print(
        f"\n{'equal' if holds else 'NOT equal'}: "
        f"log-likelihoods within {args.tolerance:g} and the same accuracies"
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
        "--questions", type=int, default=20, help="dev questions per kind and language"
    )
    parser.add_argument("--rows", type=int, default=8, help="rows per batch of lm-eval")
    parser.add_argument(
        "--tolerance", type=float, default=1e-3, help="on a candidate's log-likelihood"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/parity"))
    return parser.parse_args()


if __name__ == "__main__":
    sys.excepthook = one_message
    raise SystemExit(main())
