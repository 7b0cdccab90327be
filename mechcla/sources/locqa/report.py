"""What became of every question and place: the counts, and the ids of all that were left out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from mechcla.sources.loaded import LeftOut


@dataclass(frozen=True)
class PlaceReport:
    """One place's questions: `questions` = made + left_out.

    with_english: made items with an American answer beside the local one; shared: those of them
    whose American answer other places of the language give too. test: made items of the test half.
    """

    tag: str
    language: str
    country: str
    questions: int
    made: int
    with_english: int
    shared: int
    test: int
    left_out: tuple[LeftOut, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class LocQAReport:
    """What `load_items("locqa", ...)` made of each place, and why the rest was left out. `str()` of
    it is a table.
    """

    places: tuple[PlaceReport, ...]

    @property
    def left_out(self) -> tuple[LeftOut, ...]:
        """Every question that is no item, place by place."""
        return tuple(one for place in self.places for one in place.left_out)

    def by_language(self) -> list[dict[str, Any]]:
        """A row per language: places, items, those of the test half, with an American answer, with
        one that others share.
        """
        rows = []
        for language in dict.fromkeys(p.language for p in self.places):
            own = [p for p in self.places if p.language == language]
            rows.append(
                {
                    "language": language,
                    "places": len(own),
                    "items": sum(p.made for p in own),
                    "test": sum(p.test for p in own),
                    "with a US answer": sum(p.with_english for p in own),
                    "shared": sum(p.shared for p in own),
                    "left out": sum(len(p.left_out) for p in own),
                }
            )
        return rows

    def reasons(self) -> dict[str, int]:
        """How often each reason led to no item, the most frequent first."""
        return dict(Counter(one.reason for one in self.left_out).most_common())

    def __str__(self) -> str:
        lines = [
            f"LocQA: {sum(p.made for p in self.places)} items of "
            f"{sum(p.questions for p in self.places)} questions in {len(self.places)} places",
            f"{'tag':7}{'place':7}{'made':>6}{'test':>6}{'US':>5}{'shared':>8}{'left out':>10}",
        ]
        lines += [
            f"{p.tag:7}{p.country:7}{p.made:6}{p.test:6}{p.with_english:5}{p.shared:8}"
            f"{len(p.left_out):10}"
            for p in self.places
        ]
        return "\n".join([*lines, *(f"{n} {reason}" for reason, n in self.reasons().items())])
