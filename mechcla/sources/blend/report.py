"""What became of every published question: the counts, and the ids of all that were left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from mechcla.sources.loaded import LeftOut

Ids = tuple[str, ...]


def _nothing() -> Mapping[str, Ids]:
    return MappingProxyType({})


@dataclass(frozen=True)
class RegionReport:
    """One region's questions: `questions` = valid + invalid; valid = made + skipped.

    invalid, skipped: reason to ids. still_named: id to the words by which the failed implicit form
    still names the country (these are among `skipped`). us_differs: valid ids whose local and US
    answers are disjoint; us_uncarried: those of the made items without a US candidate because it
    has no word in the local language. answer_names: made items whose right answer itself names the
    country, people or language.
    """

    code: str
    language: str
    questions: int
    valid: int
    made: int
    three: int
    with_english: int
    invalid: Mapping[str, Ids] = field(default_factory=_nothing)
    skipped: Mapping[str, Ids] = field(default_factory=_nothing)
    no_implicit: Mapping[str, Ids] = field(default_factory=_nothing)
    still_named: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    us_differs: Ids = ()
    us_uncarried: Ids = ()
    answer_names: Ids = ()


@dataclass(frozen=True)
class BlendReport:
    """What `blend_items` made of each region, and why the rest was left out. `str()` of it is a
    table.
    """

    form: str
    min_votes: int
    regions: tuple[RegionReport, ...]
    absent: Ids = ()

    def __getitem__(self, code: str) -> RegionReport:
        """The report of one region by its code."""
        return next(r for r in self.regions if r.code == code)

    @property
    def left_out(self) -> tuple[LeftOut, ...]:
        """Every published question that is no item, region by region."""
        return tuple(
            LeftOut(id, reason, region.language)
            for region in self.regions
            for why in (region.invalid, region.skipped)
            for reason, ids in why.items()
            for id in ids
        )

    def __str__(self) -> str:
        lines = [
            f"BLEnD, form={self.form!r}, min_votes={self.min_votes}: "
            f"{sum(r.made for r in self.regions)} items "
            f"of {sum(r.valid for r in self.regions)} valid questions "
            f"in {len(self.regions)} regions, "
            f"{sum(r.three for r in self.regions)} with three distractors or more",
            f"{'region':7}{'tag':7}{'valid':>6}{'made':>6}{'three':>6}"
            f"{'US':>5}{'differs':>8}  left out",
        ]
        for r in self.regions:
            why = "; ".join(f"{reason}: {len(ids)}" for reason, ids in r.skipped.items())
            lines.append(
                f"{r.code:7}{r.language:7}{r.valid:6}{r.made:6}{r.three:6}"
                f"{r.with_english:5}{len(r.us_differs):8}  {why or '-'}"
            )
        for r in self.regions:
            for reason, ids in r.no_implicit.items():
                named = [f"{i} ({r.still_named[i]!r})" if i in r.still_named else i for i in ids]
                lines.append(f"{r.code}: {reason}: {', '.join(named)}")
        if self.absent:
            lines.append(f"absent from the data: {', '.join(self.absent)}")
        return "\n".join(lines)
