"""BLEnD (Myung et al. 2024, arXiv 2406.09948): everyday questions answered by people of sixteen
regions.

Read from the user's own copy or from Hugging Face; nothing of it is shipped (CC BY-SA 4.0). See
docs/blend.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mechcla.errors import MechclaError
from mechcla.items.item_set import ItemSet
from mechcla.items.open_item import OpenItem
from mechcla.sources.blend.build import build_items, build_pairs, build_questions
from mechcla.sources.blend.hub import read_hub
from mechcla.sources.blend.names import named_country
from mechcla.sources.blend.read import read_folder
from mechcla.sources.blend.regions import REGIONS, Region, check_form, find_region, find_regions
from mechcla.sources.blend.report import BlendReport, RegionReport
from mechcla.sources.blend.rows import RegionRows
from mechcla.sources.loaded import Loaded

__all__ = [
    "BlendReport",
    "RegionReport",
    "blend_items",
    "blend_pairs",
    "blend_questions",
    "blend_report",
    "named_country",
    "read_blend",
]

Regions = str | Iterable[str] | None


def blend_items(
    regions: Regions = None,
    path: str | Path | None = None,
    form: str = "local",
    min_votes: int = 2,
    n_other: int = 2,
    seed: int = 0,
) -> ItemSet:
    """Cultural multiple-choice items, asked without the country's name (`prompt`) and with it
    (`prompt_explicit`).

    regions: codes ("ES", "MX", ...; DZ AS AZ CN ET GR ID IR MX KP NG KR ES GB US JB) or file names;
    None for all. path: a copy of BLEnD's data folder; None reads Hugging Face. form: "local" or
    "english" (tags "en-KR", ...). min_votes: of the top answers, the region's and the distractors'
    (the US one excepted). n_other: distractors beside the US answer, one more without it; an item
    has at least two. seed: which other regions, and the order. Candidates: one `local` (the top
    answer), `english` (the US one) where local and US answers are disjoint, `other`. Raises
    MechclaError for an unknown region or form, or data that is missing, cut off or renamed. Source:
    ours, over BLEnD's questions and annotations. The claim is limited: distractors in local form
    are words the region itself used for that English answer to some question, and implicit forms
    are made by rule.

    >>> items = blend_items(["ES", "KR"], path="BLEnD/data")
    >>> items.languages
    ('es', 'ko')
    """
    return read_blend(regions, path, form, min_votes, n_other, seed).items


def blend_report(
    path: str | Path | None = None,
    regions: Regions = None,
    form: str = "local",
    min_votes: int = 2,
    n_other: int = 2,
    seed: int = 0,
) -> BlendReport:
    """What `blend_items` with the same settings makes and leaves out, by region and reason, with
    every id.

    >>> print(blend_report("BLEnD/data", ["ES"]))
    BLEnD, form='local', min_votes=2: ...
    """
    report: BlendReport = read_blend(regions, path, form, min_votes, n_other, seed).report
    return report


def blend_pairs(
    path: str | Path | None = None,
    left: str = "ES",
    right: str = "MX",
    form: str = "local",
    min_votes: int = 2,
    strict: bool = True,
) -> ItemSet:
    """Culture beyond language: questions that two regions of one language answer differently, as
    items of both.

    Each item has two candidates, its own region's top answer (`local`) and the other region's
    (`other`, or `english` for the US), in the same order in both items, so that the matched-pair
    contrast can be taken. strict: neither top answer is any answer of the other region; otherwise
    only the two top answers differ. min_votes: of both. A question without an implicit form in
    either region is left out. Raises MechclaError as `blend_items` does, and for two languages in
    form "local". Source: ours.

    >>> blend_pairs("BLEnD/data", "ES", "MX").languages
    ('es', 'es-MX')
    """
    check_form(form)
    sides = find_region(left), find_region(right)
    return build_pairs(_data(path, sides), *sides, form, min_votes, strict)


def blend_questions(
    regions: Regions = None, path: str | Path | None = None, form: str = "local"
) -> tuple[OpenItem, ...]:
    """The short-answer questions that pass BLEnD's official filter, with all answers and the US
    ones beside them.

    The filter drops a question with no-answer + not-applicable three times or more, idk five times
    or more, or no annotation. `prompt` is None where no implicit form could be made. Raises
    MechclaError as `blend_items` does. Source: BLEnD's own short-answer task; the implicit prompts
    are ours.

    >>> blend_questions(["KR"], path="BLEnD/data")[0].groups[0].count
    4
    """
    check_form(form)
    asked = find_regions(regions)
    data = _data(path, asked)
    return build_questions(data, _present(asked, data), form)


def read_blend(
    regions: Regions = None,
    path: str | Path | None = None,
    form: str = "local",
    min_votes: int = 2,
    n_other: int = 2,
    seed: int = 0,
) -> Loaded:
    """`load_items("blend", ...)`: the items of `blend_items`, and what was left out.

    >>> read_blend(["ES"], "BLEnD/data").left_out[0].reason
    'fewer than two distractors'
    """
    check_form(form)
    for name, value, least in (("min_votes", min_votes, 1), ("n_other", n_other, 1)):
        if not isinstance(value, int) or value < least:
            raise MechclaError(f"{name}={value!r}; expected a whole number of at least {least}")
    asked = find_regions(regions)
    data = _data(path, asked)
    items, report = build_items(data, _present(asked, data), form, min_votes, n_other, seed)
    return Loaded(items, report.left_out, report)


def _data(path: str | Path | None, asked: tuple[Region, ...] | None) -> dict[str, RegionRows]:
    return read_hub() if path is None else read_folder(path, asked)


def _present(asked: tuple[Region, ...] | None, data: dict[str, RegionRows]) -> tuple[Region, ...]:
    return asked if asked is not None else tuple(r for r in REGIONS if r.code in data)
