"""The page in headless Chromium: `make test-browser`. No console error, no request, the keyboard
works, and what a run holds runs nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import mechcla
from mechcla.report.document import page_data
from mechcla.report.rendering import html
from tests.report.conftest import HOSTILE, LANGUAGE, PERSIAN, data_of

pytestmark = pytest.mark.browser
WAIT = 60_000  # milliseconds: a busy machine is no failure
WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


@contextmanager
def opened(chromium: Any, path: Path, size: Any = WIDE, scheme: str = "light") -> Iterator[Any]:
    """The page, drawn. At the end: nothing was said on the console, asked of a network, or run."""
    context = chromium.new_context(viewport=size, color_scheme=scheme)
    page = context.new_page()
    page.set_default_timeout(WAIT)
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: said.append("a dialog"))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    page.wait_for_selector("html[data-ready=true]", state="attached")
    yield page
    assert said == []
    assert [a for a in asked if not a.startswith(("data:", "blob:"))] == [path.as_uri()]
    assert page.evaluate("window.hacked") is None
    context.close()


def until(page: Any, true: str) -> None:
    """Wait until an expression is true; the page's policy forbids Playwright's own way, an eval."""
    for _ in range(WAIT // 100):
        if page.evaluate(true):
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"never true: {true}")


def rows(page: Any) -> list[str]:
    return page.locator(".row .prompt").all_inner_texts()


def count(page: Any) -> int:
    return int(re.match(r"[\d,]+", page.inner_text("#count"))[0].replace(",", ""))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_every_chart_is_drawn_and_nothing_is_wider_than_the_screen(
    chromium, hostile_page, size, scheme
):
    with opened(chromium, hostile_page, size, scheme) as page:
        for chart in ("plane", "layers", "perpendicularity", "front", "bias"):
            assert page.locator(f"#{chart}-chart svg.main-svg").count(), chart
        assert page.locator("#controls-charts svg.main-svg").count()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        dark = page.evaluate("document.documentElement.dataset.shown")
        assert dark == scheme
        page.select_option("#theme", "dark" if scheme == "light" else "light")
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert ground == ("rgb(20, 23, 27)" if scheme == "light" else "rgb(255, 255, 255)")


def test_the_plane_draws_the_runs_numbers(chromium, hostile_page, hostile_run):
    expected = mechcla.read_run(hostile_run).plane(resamples=100)
    drawn = (
        "Plotly && document.getElementById('plane-chart').data.filter(t => t.hoverinfo==='text')"
    )
    with opened(chromium, hostile_page) as page:
        for change in (True, False):
            if not change:
                page.check("input[value=absolute]")
            found = page.evaluate(
                f"{drawn}.map(t => [t.x[0], t.y[0], t.error_y.array[0], t.hovertext[0]])"
            )
            for point in expected:
                if change and point.method == "unsteered":
                    continue
                x, y = (
                    (point.d_transfer, point.d_localization)
                    if change
                    else (point.transfer, point.localization)
                )
                mine = [
                    f
                    for f in found
                    if f"<b>{point.method}</b>" in f[3]
                    and f[0] == pytest.approx(x.value, abs=1e-9)
                    and f[1] == pytest.approx(y.value, abs=1e-9)
                    and f[2] == pytest.approx(y.high - y.value, abs=1e-9)
                ]
                assert mine, (point.method, point.language)
                assert f"n={point.transfer.n}" in mine[0][3]
        page.uncheck("#plane-choices input[value=LOC]")
        assert not [t for t in page.evaluate(f"{drawn}.map(t => t.hovertext[0])") if ">LOC<" in t]


def test_filters_search_and_sort_find_what_the_run_says(chromium, hostile_page, hostile_run):
    run = mechcla.read_run(hostile_run)
    condition = max(run.conditions, key=lambda c: len(run.flips(c)))
    items, flips = run.items(condition), run.flips(condition)
    gained = [r for r in flips if r["role"] in ("correct", "local")]
    with opened(chromium, hostile_page) as page:
        page.select_option("#condition", condition)
        assert count(page) == len(items)
        for flip, right in (
            ("flipped", len(flips)),
            ("gained", len(gained)),
            ("local>english", len([r for r in flips if r["flipped"] == "local -> english"])),
            ("english>local", len([r for r in flips if r["flipped"] == "english -> local"])),
            ("kept", len(items) - len(flips)),
        ):
            page.select_option("#flip", flip)
            assert (count(page) if right else page.locator(".row").count()) == right, flip
        page.select_option("#flip", "")
        for language in ("es", LANGUAGE):
            page.select_option("#language", language)
            assert count(page) == len(items.where(language=language))
        page.select_option("#language", "")
        page.select_option("#condition", "unsteered")
        page.select_option("#sort", "sure")
        shares = [float(t) for t in page.locator(".row .change").all_inner_texts()]
        assert shares == sorted(shares, reverse=True)
        assert shares[0] == pytest.approx(max(r["share"] for r in run.items("unsteered")), abs=6e-4)
        page.fill("#search", "JAPAN capital")
        until(page, "LOOK.search === 'JAPAN capital'")
        assert set(rows(page)) == {"La capital de Japan es", "The capital of Japan is"}
        page.fill("#search", "no such words")
        until(page, "!document.querySelector('.row')")
        assert page.inner_text("#count") == "No item passes these filters."


def test_the_keyboard_alone_reaches_everything(chromium, both_page):
    with opened(chromium, both_page) as page:
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.keyboard.press("/")
        assert page.evaluate("document.activeElement.id") == "search"
        page.keyboard.type("drink")
        until(page, "LOOK.search === 'drink'")
        page.keyboard.press("Escape")
        until(page, "LOOK.search === ''")
        page.locator(".row").first.focus()
        page.keyboard.press("ArrowDown")
        focus = "[...document.querySelectorAll('.row')].indexOf(document.activeElement)"
        assert page.evaluate(focus) == 1
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.getAttribute('aria-expanded')") == "true"
        assert page.locator(".detail:visible table.shares").count()
        page.keyboard.press("End")
        assert page.evaluate(focus) == page.locator(".row").count() - 1
        page.keyboard.press("Home")
        page.keyboard.press("Enter")
        assert page.locator(".detail:visible").count() == 2
        named = "e => e.labels?.length || e.textContent.trim() || e.getAttribute('aria-label')"
        boxes = page.locator("select, input, button").evaluate_all(f"all => all.map({named})")
        assert len(boxes) > 30
        assert all(boxes)


def test_hostile_texts_are_shown_as_they_are_and_run_nothing(chromium, hostile_page):
    with opened(chromium, hostile_page) as page:
        page.select_option("#condition", "unsteered")  # English is not steered
        page.select_option("#language", "en")
        page.fill("#search", "hacked")
        until(page, "document.querySelectorAll('.row').length == 2")
        assert HOSTILE in rows(page)
        for row in page.locator(".row").all():
            row.click()
        page.wait_for_timeout(500)
        assert HOSTILE in page.inner_text("#list")
        for summary in page.locator("summary").all():
            summary.click()
        names = page.evaluate("[...document.querySelectorAll('main *')].map(e => e.localName)")
        assert not {"img", "iframe", "script"} & set(names)
        page.hover("#plane-chart .nsewdrag")


def test_the_page_forbids_scripts_that_are_not_its_own(chromium, hostile_page, tmp_path):
    """Were a text ever to become markup, the policy would still let it run nothing."""
    text = hostile_page.read_text(encoding="utf-8")
    broken = tmp_path / "broken.html"
    mark = '<main id="main" tabindex="-1">'
    broken.write_text(text.replace(mark, mark + HOSTILE), encoding="utf-8")
    page = chromium.new_page()
    page.set_default_timeout(WAIT)
    page.goto(broken.as_uri())
    page.wait_for_selector("html[data-ready=true]", state="attached")
    assert page.evaluate("window.hacked") is None
    page.close()


def test_persian_is_drawn_from_the_right(chromium, hostile_page):
    with opened(chromium, hostile_page) as page:
        page.select_option("#language", "fa")
        prompt = page.locator(".row .prompt", has_text=PERSIAN).first
        style = "e => [getComputedStyle(e).direction, e.lang]"
        assert prompt.evaluate(style) == ["rtl", "fa"]
        page.locator(".row").first.click()
        found = page.locator(".detail .text").evaluate_all(f"all => all.map({style})")
        assert ["rtl", "fa"] in found
        assert ["ltr", "en"] in found  # the English question beside it


def test_two_runs_stand_side_by_side(chromium, both_page):
    data = data_of(both_page)
    with opened(chromium, both_page) as page:
        assert page.locator("#numbers-body table").count() == 2
        assert page.locator("#comparison-body table tbody tr").first.is_visible()
        page.select_option("#run", "1")
        scored = data["runs"][1]["scored"]
        condition = page.input_value("#condition")
        assert count(page) == sum(s is not None for s in scored[condition]["shares"])
        page.locator(".row").first.click()
        captions = page.locator(".detail:visible caption").all_inner_texts()
        assert len({c.split(": ")[0] for c in captions}) == 2


def test_100_000_items_stay_usable(chromium, plain_run, tmp_path):
    """A page of rows at a time: filters and sorting of 100,000 items answer within a second of the
    browser's own time.
    """
    data = json.loads(json.dumps(page_data({"run": mechcla.read_run(plain_run)})))
    items, n = data["items"], 100_000
    size = len(items["id"])
    data["items"] = {k: [v[i % size] for i in range(n)] for k, v in items.items()}
    data["items"]["id"] = [f"q{i}" for i in range(n)]
    for scored in data["runs"][0]["scored"].values():
        for name in ("shares", "choice"):
            scored[name] = [scored[name][i % size] for i in range(n)]
    path = tmp_path / "large.html"
    path.write_text(html(data), encoding="utf-8")
    with opened(chromium, path) as page:
        page.select_option("#condition", "unsteered")
        assert count(page) == n
        assert page.locator(".row").count() == 25
        for flip, sort in (("", "sure"), ("kept", "id"), ("", "unsure")):
            page.select_option("#flip", flip)
            page.select_option("#sort", sort)
            assert page.locator(".row").count() == 25
        page.fill("#search", "q99999")
        until(page, "document.querySelectorAll('.row').length == 1")
        took = page.evaluate(
            "() => { const t = performance.now(); search(); return performance.now() - t; }"
        )
        assert took < 20_000
