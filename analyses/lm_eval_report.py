"""The comparison with lm-eval as rows: what agrees, what does not, and by how much."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mechcla.items.item import Item

Key = tuple[str, str, str, str]  # an item and how it is asked: id, language, kind, prompt form
# By lm-eval's name: mechcla's normalisation.
ACCURACIES = {"acc": "sum", "acc_norm": "char", "acc_bytes": "byte"}
COMPARED = "compared"
SPLIT = "token across the join"  # mechcla scores it, lm-eval takes it for prompt
# A candidate lies wholly in that token; lm-eval stops with an AssertionError.
NOTHING = "lm-eval has nothing to score"
# For example, a tokenizer adds an end-of-text token, which mechcla takes off.
TOKENS = "other token ids"
# lm-eval cuts from the left, mechcla refuses beyond the model's own.
WINDOW = "longer than lm-eval's window"
# A tie: mechcla shares the point, lm-eval gives it to the first.
TWINS = "two candidates share a text"
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


def summary(rows: Sequence[Compared]) -> list[dict[str, Any]]:
    """The printed table: a row per language, kind and form of what was compared, their total, and
    a row per reason left out.

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
