"""analyses.gate: what gates of shuffled kinds make of test prompts, against gates made anew."""

from __future__ import annotations

import pytest

from analyses.gate import of_shuffled, rows_of
from mechcla.vectors.gates import GATE, SHUFFLED, gates


def test_shuffled_gates_are_told_by_seed(tiny_models, small_items):
    model, dev, test = tiny_models["llama"], small_items.dev, small_items.test
    found = list(of_shuffled(model, dev, rows_of(model, dev), test, 3))
    assert {row["language"] for row in found} == set(dev.languages)
    for language in dev.languages:
        asked = test.language(language)
        residuals = rows_of(model, asked)
        kinds = [item.kind for item in asked]
        right, alike = [], []
        for seed in range(3):
            both = gates(model, dev, shuffled=True, seed=seed)
            real, drawn = (
                (both[name].margins(language, residuals)[:, 2] > 0).tolist()
                for name in (GATE, SHUFFLED)
            )
            by_kind = {
                kind: [
                    d == (k == "universal") for d, k in zip(drawn, kinds, strict=True) if k == kind
                ]
                for kind in set(kinds)
            }
            right.append(sum(sum(v) / len(v) for v in by_kind.values()) / len(by_kind))
            alike.append(sum(a == b for a, b in zip(real, drawn, strict=True)) / len(kinds))
        (row,) = (r for r in found if (r["language"], r["layer"]) == (language, 2))
        assert row["right"] == pytest.approx(sum(right) / 3, abs=1e-4)
        assert (row["least"], row["most"]) == pytest.approx((min(right), max(right)), abs=1e-4)
        assert row["as_the_real_one"] == pytest.approx(sum(alike) / 3, abs=1e-4)
        assert row["first_seed"] == pytest.approx(right[0], abs=1e-4)
