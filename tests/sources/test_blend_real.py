"""BLEnD's real files, if MECHCLA_BLEND names a copy of its data folder. No text of BLEnD stands
here.
"""

from __future__ import annotations

import os
from collections import Counter
from functools import cache

import pytest

from mechcla.items.building import building_faults
from mechcla.sources.blend import (
    named_country,
)
from mechcla.sources.blend.build import build_items, build_pairs, build_questions
from mechcla.sources.blend.read import read_folder
from mechcla.sources.blend.regions import REGIONS, find_region
from mechcla.sources.splits import half

REAL = os.environ.get("MECHCLA_BLEND", "")
real = pytest.mark.skipif(
    not REAL,
    reason="MECHCLA_BLEND names no copy of BLEnD's data folder (CC BY-SA 4.0, not shipped)",
)
# Valid questions whose local and US answers are disjoint, counted independently before this source
# was written.
DIFFERS = {
    "DZ": 230,
    "CN": 269,
    "ET": 289,
    "GR": 220,
    "ID": 251,
    "IR": 243,
    "KR": 260,
    "ES": 215,
    "MX": 209,
    "NG": 312,
    "GB": 162,
}


@cache
def made(form: str):
    return build_items(data(), REGIONS, form, 2, 2, 0)


@cache
def data():
    return read_folder(REAL)


def report(form: str):
    return made(form)[1]


def items(form: str):
    return made(form)[0]


@real
def test_counts_of_the_real_files():
    local = report("local")
    assert (local["DZ"].valid, local["ID"].valid) == (437, 480)
    assert {r.valid for r in local.regions} == {r.valid for r in report("english").regions}
    for code, count in DIFFERS.items():
        assert abs(len(local[code].us_differs) - count) <= 2, code
    three = sum(r.three for r in local.regions if r.language not in ("en", "en-GB"))
    assert abs(three - 909) <= 0.15 * 909
    assert abs(sum(r.three for r in report("english").regions) - 5119) <= 0.05 * 5119
    for r in (*local.regions, *report("english").regions):
        assert r.questions == 500
        assert r.valid == r.made + sum(map(len, r.skipped.values()))
        assert r.questions == r.valid + sum(map(len, r.invalid.values()))


@real
@pytest.mark.parametrize(
    ("left", "right", "count"), [("ES", "MX", 230), ("KR", "KP", 209), ("GB", "US", 206)]
)
def test_pairs_of_the_real_files(left, right, count):
    sides = find_region(left), find_region(right)
    differ, strict = (build_pairs(data(), *sides, "local", 2, how) for how in (False, True))
    assert abs(len(differ.ids) - count) <= 0.25 * count
    assert set(strict.ids) < set(differ.ids)
    assert len(strict.ids) > 100
    assert len(strict) == 2 * len(strict.ids)
    assert not [f for f in building_faults(strict) if f.rule == "right-position"]


@real
@pytest.mark.parametrize("form", ["local", "english"])
def test_no_real_implicit_prompt_names_its_country(form):
    country = {r.country: r for r in REGIONS}
    for item in items(form):
        assert named_country(item.prompt, country[item.country]) is None, item.prompt
        assert named_country(item.prompt_explicit, country[item.country]), item.prompt_explicit
        # A third form, with the United States in the same place and no one else.
        if item.country != "US":
            assert item.prompt_us != item.prompt
            assert named_country(item.prompt_us, country[item.country]) is None, item.prompt_us
    left_out = {r.code: r.no_implicit for r in report(form).regions if r.no_implicit}
    assert sum(len(ids) for reasons in left_out.values() for ids in reasons.values()) <= 5, left_out


@real
@pytest.mark.parametrize("form", ["local", "english"])
def test_real_items_are_sound(form):
    found = Counter(f.rule for f in building_faults(items(form)))
    assert not {
        "right-position",
        "duplicate-candidate",
        "two-splits",
        "white-space",
        "not-nfc",
    } & set(found), found
    for item in items(form):
        assert sum(c.role == "local" for c in item.candidates) == 1
        assert len(item.candidates) in (3, 4)
        assert item.split == half(item.id)
    assert 0.45 < len(items(form).dev.ids) / len(items(form).ids) < 0.55


@real
def test_real_questions_are_the_valid_ones():
    questions = build_questions(data(), REGIONS, "local")
    counts = Counter(q.country for q in questions)
    assert (counts["DZ"], counts["ID"]) == (437, 480)
    assert counts["CN"] == 473  # one of its 474 is blank
    assert [q.id for q in questions if q.prompt is None] == ["New-pe-11"]
    assert all(
        named_country(q.prompt, next(r for r in REGIONS if r.country == q.country)) is None
        for q in questions
        if q.prompt
    )
