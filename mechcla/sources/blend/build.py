"""From the rows of all regions to items, pairs of items and short-answer questions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from mechcla.errors import MechclaError
from mechcla.items.item import Candidate, Item
from mechcla.items.item_set import ItemSet
from mechcla.items.open_item import OpenItem
from mechcla.sources.blend.choices import (
    Lexicon,
    english_texts,
    local_text,
    make_choice,
    same,
    texts,
)
from mechcla.sources.blend.implicit import Forms, question_forms
from mechcla.sources.blend.names import named_country
from mechcla.sources.blend.regions import REGIONS, Region
from mechcla.sources.blend.report import BlendReport, RegionReport
from mechcla.sources.blend.rows import RegionRows, Row
from mechcla.sources.splits import half

SOURCE, LICENCE = "BLEnD", "CC BY-SA 4.0"
Data = Mapping[str, RegionRows]


def build_items(
    data: Data, regions: Sequence[Region], form: str, min_votes: int, n_other: int, seed: int
) -> tuple[ItemSet, BlendReport]:
    """The items of these regions and the report of what was left out."""
    items: list[Item] = []
    reports = []
    for region in regions:
        made, report = _region_items(data, region, form, min_votes, n_other, seed)
        items += made
        reports.append(report)
    absent = tuple(r.code for r in REGIONS if r.code not in data)
    return ItemSet(tuple(items)), BlendReport(form, min_votes, tuple(reports), absent)


def _region_items(
    data: Data, region: Region, form: str, min_votes: int, n_other: int, seed: int
) -> tuple[list[Item], RegionReport]:
    rows = data[region.code].rows
    lexicon = Lexicon.of(data[region.code])
    invalid: dict[str, list[str]] = defaultdict(list)
    skipped: dict[str, list[str]] = defaultdict(list)
    no_implicit: dict[str, list[str]] = defaultdict(list)
    named: dict[str, str] = {}
    differs, uncarried, answer_names = [], [], []
    items = []
    for id_, row in rows.items():
        if row.invalid:
            invalid[row.invalid].append(id_)
            continue
        forms = question_forms(row, region, form)
        if forms.why:
            no_implicit[forms.why].append(id_)
        if forms.left:
            named[id_] = forms.left
        choice = make_choice(id_, region, data, lexicon, form, min_votes, n_other, seed)
        if choice.us_differs:
            differs.append(id_)
        if why := forms.why or choice.why:
            skipped[why].append(id_)
            continue
        item = _item(data[region.code], row, form, forms, choice.candidates)
        items.append(item)
        if choice.us_uncarried:
            uncarried.append(id_)
        if named_country(item.candidates[item.right].text, region):
            answer_names.append(id_)
    return items, RegionReport(
        code=region.code,
        language=region.language_tag(form),
        questions=len(rows),
        valid=len(rows) - sum(map(len, invalid.values())),
        made=len(items),
        three=sum(len(i.candidates) > 3 for i in items),
        with_english=sum(any(c.role == "english" for c in i.candidates) for i in items),
        invalid=_frozen(invalid),
        skipped=_frozen(skipped),
        no_implicit=_frozen(no_implicit),
        still_named=named,
        us_differs=tuple(differs),
        us_uncarried=tuple(uncarried),
        answer_names=tuple(answer_names),
    )


def build_pairs(
    data: Data, left: Region, right: Region, form: str, min_votes: int, strict: bool
) -> ItemSet:
    """Both regions' items of every question whose top answers differ, each with the other's answer
    beside its own.
    """
    if left == right:
        raise MechclaError(f"left and right are both {left.code}; a pair is two regions")
    if form == "local" and left.language != right.language:
        raise MechclaError(
            f"{left.code} answers in {left.language!r} and {right.code} in {right.language!r}; "
            "pairs in form='local' share a language (ES and MX, KR and KP, GB and US). "
            "Pass form='english' for other pairs"
        )
    items: list[Item] = []
    for id_, row in data[left.code].rows.items():
        other = data[right.code].rows.get(id_)
        if (
            other is None
            or row.invalid
            or other.invalid
            or min(row.groups[0].count, other.groups[0].count) < min_votes
        ):
            continue
        if _overlap(row, other, strict):
            continue
        answers = local_text(row, left, form), local_text(other, right, form)
        both = [
            (left, row, answers[0], right, answers[1]),
            (right, other, answers[1], left, answers[0]),
        ]
        pair = [item for here in both if (item := _pair_item(data, form, *here))]
        items += pair if len(pair) == 2 else []
    by_region = [[i for i in items if i.country == r.country] for r in (left, right)]
    return ItemSet((*by_region[0], *by_region[1]))


def _overlap(left: Row, right: Row, strict: bool) -> bool:
    """Whether the top answers are one; strict: or either is any answer of the other region."""
    ours, theirs = left.groups, right.groups
    tops = texts(ours[:1]), texts(theirs[:1])
    if not strict:
        return bool(tops[0] & tops[1])
    return bool(
        tops[0] & texts(theirs)
        or tops[1] & texts(ours)
        or english_texts(ours[:1]) & english_texts(theirs)
    )


def _pair_item(
    data: Data,
    form: str,
    here: Region,
    row: Row,
    text: str | None,
    there: Region,
    theirs: str | None,
) -> Item | None:
    forms = question_forms(row, here, form)
    if forms.why or text is None or theirs is None or same(text) == same(theirs):
        return None
    role = "english" if there.code == "US" else "other"
    candidates = [Candidate(text, "local", here.country), Candidate(theirs, role, there.country)]
    # the two items of a question show the same two answers in the same order: whose is first is
    # drawn by id
    candidates.sort(key=lambda c: c.country or "", reverse=half(f"{row.id}|order") == "test")
    return _item(data[here.code], row, form, forms, tuple(candidates))


def build_questions(data: Data, regions: Sequence[Region], form: str) -> tuple[OpenItem, ...]:
    """The valid short-answer questions of these regions; a blank published question is left out."""
    made = []
    for region in regions:
        for id_, row in data[region.code].rows.items():
            forms = question_forms(row, region, form)
            text = row.english if form == "english" and region.language != "en" else row.local
            if row.invalid or not text:
                continue
            us = data["US"].rows.get(id_)
            made.append(
                OpenItem(
                    id=id_,
                    language=region.language_tag(form),
                    country=region.country,
                    split=half(id_),
                    topic=row.topic,
                    prompt=_fill(data[region.code], forms.implicit, form)
                    if forms.implicit
                    else None,
                    prompt_explicit=_fill(data[region.code], forms.explicit or text, form),
                    groups=row.groups,
                    us_groups=us.groups if us and us.invalid is None else (),
                    source=SOURCE,
                    licence=LICENCE,
                )
            )
    return tuple(made)


def _item(
    region: RegionRows, row: Row, form: str, forms: Forms, candidates: tuple[Candidate, ...]
) -> Item:
    prompt = _fill(region, forms.implicit or "", form)
    return Item(
        id=row.id,
        language=region.region.language_tag(form),
        kind="cultural",
        split=half(row.id),
        prompt=prompt,
        candidates=candidates,
        country=region.region.country,
        topic=row.topic,
        prompt_explicit=_fill(region, forms.explicit or "", form),
        prompt_us=_fill(region, forms.us, form) if forms.us else None,
        separator=""
        if prompt.endswith("：")
        else " ",  # the full-width colon carries its own space
        source=SOURCE,
        licence=LICENCE,
    )


def _fill(region: RegionRows, question: str, form: str) -> str:
    english = form == "english" and region.region.language != "en"
    return (region.prompt_english if english else region.prompt).replace("{q}", question)


def _frozen(found: Mapping[str, list[str]]) -> dict[str, tuple[str, ...]]:
    return {reason: tuple(ids) for reason, ids in found.items()}
