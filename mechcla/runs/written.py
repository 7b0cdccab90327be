"""What `compare_runs` and `compare_aligned` write alike: a difference as columns and as text, its
corrected p-value, and what was not compared.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from mechcla.items.item import PIVOT
from mechcla.metrics.estimates import POOLED, Estimate
from mechcla.results import Rows
from mechcla.statistics import TestResult, correct


def columns(name: str, found: Estimate | None) -> dict[str, float | None]:
    """An estimate's value and interval as columns: NAME, NAME_low, NAME_high; "value", "low",
    "high" for the name "value".
    """
    ends = ("low", "high") if name == "value" else (f"{name}_low", f"{name}_high")
    numbers = (found.value, found.low, found.high) if found else (None, None, None)
    return dict(zip((name, *ends), numbers, strict=True))


def tested(
    test: TestResult | None, p_holm: float | None, detectable: float | None
) -> dict[str, Any]:
    """A test's columns, the corrected p-value and what could have been seen among them."""
    return {
        "p_value": test.p_value if test else None,
        "p_holm": p_holm,
        "exact": test.exact if test else None,
        "detectable": detectable,
        "questions": test.clusters if test else None,
        "changed": test.changed if test else None,
    }


def after_holm(tests: Sequence[tuple[str, TestResult | None]]) -> list[float | None]:
    """Each test's p-value after Holm, given its language: over the pooled tests, and over those of
    single languages. None where there is no test.
    """
    found: dict[int, float] = {}
    for pooled in (True, False):
        found |= correct(
            {
                k: test.p_value
                for k, (language, test) in enumerate(tests)
                if test is not None and (language == POOLED) == pooled
            }
        )
    return [found.get(k) for k in range(len(tests))]


def change_text(difference: Estimate | None) -> str:
    """Such as "+0.051 [+0.034, +0.068]"; "" without a difference."""
    if difference is None:
        return ""
    return f"{difference.value:+.3f} [{difference.low:+.3f}, {difference.high:+.3f}]"


def p_text(p_holm: float | None) -> str:
    return "" if p_holm is None else f"{p_holm:.4f}"


def pooled_alike(x: Collection[str], y: Collection[str], language: str) -> bool:
    """Whether a point of this language may be drawn: the pool's only if both axes were measured in
    the same languages.
    """
    return language != POOLED or set(x) - {PIVOT} == set(y) - {PIVOT}


def not_compared(differing: Mapping[str, tuple[Any, ...]], left_out: Rows) -> list[str]:
    """A line per setting in which the runs differ, and per group of items that was left out."""
    lines = [
        f"the runs differ in {key}: {' | '.join(map(shortened, values))}"
        for key, values in differing.items()
    ]
    for row in left_out:
        where = " ".join(filter(None, (row["condition"], row["language"], row["kind"])))
        where = f"{row['items']} items, {where}" if row["items"] else where
        lines.append(f"left out of {row['run']}: {where}; {row['why']}")
    return lines


def shortened(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
