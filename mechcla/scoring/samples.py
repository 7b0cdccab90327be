"""Scores as lm-eval's samples file: a JSON line per item, with the keys that lm-eval's own lines
have.

What reads lm-eval's samples_*.jsonl reads these. Two things lm-eval knows and scores do not:
whether a candidate was the greedy continuation ("None" here), and the number of few-shot examples.
Layout as `EvaluationTracker.save_results_samples` of lm-eval 0.4.13 writes it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mechcla.errors import MechclaError
from mechcla.items.item import Item
from mechcla.scoring.scores import ItemScore, Scores
from mechcla.storage import user_path, write_text


def write_samples(scores: Scores, path: str | Path, items: Sequence[Item]) -> None:
    """Write the file, whole or not at all. items: what was scored, whose prompts stand in it.

    Raises MechclaError for a row without its item.

    >>> write_samples(scores, "samples_es.jsonl", items)
    """
    known = {(i.id, i.language, i.kind): i for i in items}
    lines = [json.dumps(s, ensure_ascii=False) for s in samples(scores, known)]
    write_text(user_path(path), "".join(f"{line}\n" for line in lines))


def samples(scores: Scores, items: Mapping[tuple[str, str, str], Item]) -> Iterator[dict[str, Any]]:
    """A line per row. Raises MechclaError for a row without its item."""
    for place, row in enumerate(scores):
        key = (row.id, row.language, row.kind)
        if key not in items:
            raise MechclaError(
                f"{row.id!r} ({row.language}, {row.kind}) was scored and is not among the "
                f"{len(items)} items given; give those that were scored"
            )
        yield _sample(place, row, items[key], scores.settings)


def _sample(place: int, row: ItemScore, item: Item, settings: Mapping[str, Any]) -> dict[str, Any]:
    prompt, right = item.prompt_text(row.prompt_form), row.right
    resps = [[[str(value), "None"]] for value in row.log_likelihood]
    doc = {
        "id": row.id,
        "language": row.language,
        "kind": row.kind,
        "split": row.split,
        "topic": row.topic,
        "country": row.country,
        "prompt_form": row.prompt_form,
        "prompt": prompt,
        "choices": list(row.texts),
        "roles": list(row.roles),
        "right": right,
    }
    found: dict[str, Any] = {"acc": 0.0, "acc_norm": 0.0}
    if row.finite:
        found["acc"] = float(row.values().argmax() == right)
        found["acc_norm"] = float(row.values("char").argmax() == right)
    return {
        "doc_id": place,
        "doc": doc,
        "target": str(right),
        "arguments": {
            f"gen_args_{k}": {"arg_0": prompt, "arg_1": item.separator + text}
            for k, text in enumerate(row.texts)
        },
        "resps": resps,
        "filtered_resps": [one[0] for one in resps],
        "filter": "none",
        "metrics": list(found),
        "doc_hash": _hash(json.dumps(doc, indent=2, ensure_ascii=False)),
        "prompt_hash": _hash(prompt),
        "target_hash": _hash(str(right)),
        **found,
    }


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
