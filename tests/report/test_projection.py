"""The page's projection: what the run's file says, in charts that Chromium draws; and a page
without one where a run has none.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

import mechcla
from mechcla.report.document import page_data
from mechcla.report.rendering import html
from mechcla.runs.folder import PROJECTION
from tests.report.conftest import LANGUAGE, data_of
from tests.report.test_browser import PHONE, WIDE, opened


@pytest.fixture(scope="module")
def without(plain_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run as it was before sweeps wrote projections."""
    copy = shutil.copytree(plain_run, tmp_path_factory.mktemp("before") / "before")
    (copy / PROJECTION).unlink()
    return Path(copy)


def test_the_page_has_every_point_of_the_run(hostile_run: Path, hostile_page: Path) -> None:
    run, shown = mechcla.read_run(hostile_run), data_of(hostile_page)["runs"][0]["projection"]
    rows = run.projections
    assert shown["layers"] == sorted({row["layer"] for row in rows})
    prompts = {(i.kind, i.language, i.id): i.prompt for i in run.item_set.dev}
    found = 0
    for kind in shown["kinds"]:
        for one in kind["languages"]:
            for at, layer in enumerate(shown["layers"]):
                mine = rows.where(kind=kind["kind"], language=one["language"], layer=layer)
                assert one["points"][at] == [[r["x"], r["y"]] for r in mine]
                assert [q[0] for q in one["questions"]] == [r["id"] for r in mine]
                shares = {(r["explained_x"], r["explained_y"]) for r in mine}
                assert shares == {tuple(kind["explained"][at])}
                found += len(mine)
            for id, asked in one["questions"]:
                whole = prompts[kind["kind"], one["language"], id]
                assert asked == whole if len(whole) <= 120 else whole.startswith(asked[:-3])
    assert found == len(rows) > 0
    assert {k["language"] for kind in shown["kinds"] for k in kind["languages"]} >= {"es", LANGUAGE}


def test_a_run_of_before_has_a_page_that_says_so(without: Path, plain_run: Path) -> None:
    run = mechcla.read_run(without)
    assert run.projections.records == ()
    page = html(page_data({"before": run}))
    assert 'id="projection"' not in page
    assert 'href="#projection"' not in page
    assert "There is no projection of the languages (PCA) here" in page
    assert 'id="no-projection"' not in (plain_run / "report.html").read_text("utf-8")


def test_the_page_grows_with_the_cap_and_not_with_the_items(plain_run: Path) -> None:
    """At the cap, 2,000 prompts per kind at 5 blocks with questions of 120 characters take less
    than a megabyte and a half."""
    data = page_data({"run": mechcla.read_run(plain_run)})
    kind = data["runs"][0]["projection"]["kinds"][0]
    one = {**kind["languages"][0], "points": [[[-12345.6, 12345.6]] * 2000] * 5}
    one["questions"] = [["q" * 20, "x" * 120]] * 2000
    kinds = [{**kind, "languages": [one]}] * 2
    assert len(json.dumps(kinds, separators=(",", ":"))) < 1_500_000


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_charts_follow_the_picked_block(
    chromium: Any, hostile_page: Path, hostile_run: Path, size: Any, scheme: str
) -> None:
    rows = mechcla.read_run(hostile_run).projections
    layers = sorted({row["layer"] for row in rows})
    with opened(chromium, hostile_page, size, scheme) as page:
        assert page.locator("#projection .chart svg.main-svg").count()
        for at, layer in enumerate(layers):
            page.select_option("#projection-block", str(at))
            for kind in ("universal", "cultural"):
                mine = rows.where(kind=kind, layer=layer)
                chart = f"document.getElementById('projection-0-{kind}')"
                drawn = page.evaluate(f"{chart}.data.map(t => [t.name, t.x, t.y, t.hovertext])")
                assert len(drawn) == len({r["language"] for r in mine})
                points = [p for _, x, y, _ in drawn for p in zip(x, y, strict=True)]
                assert points == [(r["x"], r["y"]) for r in mine]
                title = page.evaluate(f"{chart}.layout.xaxis.title.text")
                assert title == f"PC1 ({mine[0]['explained_x']:.1%} of the variance)"
                assert page.evaluate(f"{chart}.layout.title.text") == f"{kind}, block {layer}"
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert page.locator("label:has(#projection-block)").inner_text().startswith("Block")
        hovers = [text for *_, texts in drawn for text in texts]
        assert any("<b>es Spanish</b>" in text for text in hovers)
        assert any("&lt;/script" in t for t in hovers)
        assert not [t for t in hovers if "<img" in t or "<script" in t]
        table = page.locator("#projection-table tbody tr")
        assert table.count() == len({(r["kind"], r["language"]) for r in rows})


@pytest.mark.browser
def test_languages_have_the_colours_of_the_plane(chromium: Any, hostile_page: Path) -> None:
    with opened(chromium, hostile_page) as page:
        there = page.evaluate(
            "document.getElementById('projection-0-universal').data.map("
            "t => [t.name, t.marker.color])"
        )
        own = page.evaluate(
            "RUNS[0].languages.map(k => [languageName(k), languageColour(RUNS[0], k)])"
        )
        assert dict(there).items() <= dict(own).items()
        assert len(there) > 2


@pytest.mark.browser
def test_runs_stand_side_by_side_and_one_without_says_so(
    chromium: Any, hostile_run: Path, plain_run: Path, without: Path, tmp_path: Path
) -> None:
    path = mechcla.report([hostile_run, plain_run, without], tmp_path / "three.html")
    with opened(chromium, path) as page:
        names = page.locator("#projection h3").all_inner_texts()
        assert len(names) == 3
        assert page.locator("#projection .chart svg.main-svg").count() >= 4
        assert page.locator("#projection .note", has_text="This run has no projection").count() == 1
        found = page.evaluate("document.querySelectorAll('#projection .chart').length")
        assert found == 4
        options = page.locator("#projection-block option").all_inner_texts()
        assert all(re.fullmatch(r"block \d+( / \d+)*", o) for o in options)
