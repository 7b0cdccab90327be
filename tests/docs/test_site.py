"""The site is built without a broken link, as a reader of the pages expects it, and asks no network
for anything.
"""

from __future__ import annotations

import importlib
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest

import mechcla
from tests.docs.pages import ROOT

pytest.importorskip("mkdocs", reason="mkdocs is in the extra `docs`")

RAW = re.compile(r"\s*([-*] |\||`{3}|>>>|#+ |:::)|.*(<!--|\]\(|\\\])")


class Prose(HTMLParser):
    """Lines of a page outside of code that look like Markdown nobody read, and what it loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.depth, self.raw, self.loaded = 0, [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.depth += tag in ("code", "pre", "script", "style", "nav")
        named = dict(attributes)
        if tag in ("img", "script", "iframe"):
            self.loaded.append(named.get("src") or "")
        if tag == "link":
            self.loaded.append(named["href"])

    def handle_endtag(self, tag):
        self.depth -= tag in ("code", "pre", "script", "style", "nav")

    def handle_data(self, data):
        if not self.depth:
            self.raw += [line for line in data.split("\n") if RAW.match(line)]


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The site as `make docs` builds it: strict, so that a warning raises."""
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    folder = tmp_path_factory.mktemp("site")
    build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(folder)))
    return folder


def test_no_page_shows_markdown_that_was_not_read_or_a_marker(site):
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 30
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert "<!-- " not in text, page.name
        assert not Prose(text).raw, page.name


def test_a_page_loads_nothing_from_a_network(site):
    for page in site.rglob("*.html"):
        for place in Prose(page.read_text(encoding="utf-8")).loaded:
            assert not re.match(r"(https?:)?//", place), f"{page.name}: {place}"


def test_every_public_name_has_its_place_in_the_reference_with_its_docstring(site):
    listed = [
        path
        for page in (ROOT / "docs" / "api").glob("*.md")
        for path in re.findall(r"^::: (mechcla\.[\w.]+)$", page.read_text(), flags=re.MULTILINE)
    ]
    assert Counter(path.rsplit(".", 1)[1] for path in listed) == Counter(mechcla.__all__)
    html = "".join(page.read_text(encoding="utf-8") for page in (site / "api").glob("*.html"))
    for path in listed:  # a function named as its room is (mechcla.align) stands with its file
        above, name = path.rsplit(".", 1)
        assert getattr(importlib.import_module(above), name) is getattr(mechcla, name)
        assert f'id="{path}.{name}"' not in html, f"{path} is its module, which has its name"
        first = re.split(r"[`<'\"\n]", getattr(mechcla, name).__doc__)[0].strip()[:40]
        at = html.index(f'id="{path}"')
        assert first in " ".join(re.sub(r"<[^>]+>", "", html[at : at + 60_000]).split()), name


def test_numbers_and_tables_of_readme_stand_on_the_first_page(site):
    html = (site / "index.html").read_text(encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    [table] = re.findall(r"<!-- = table three-results -->(.*?)<!-- / -->", readme, flags=re.DOTALL)
    cells = [
        c.strip(" *") for row in table.strip().split("\n") for c in row.split("|") if c.strip()
    ]
    shown = re.sub(r"<[^>]+>", "", html)
    for cell in cells:
        assert set(cell) == {"-"} or cell in shown, cell


def test_a_link_that_leads_nowhere_fails_the_build(tmp_path):
    """The same settings on a page with a wrong link, a wrong anchor, or a page in no list."""
    from mkdocs.commands.build import build
    from mkdocs.config import load_config
    from mkdocs.exceptions import Abort

    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "other.md").write_text("# Other\n")
    settings = {
        "docs_dir": str(docs),
        "site_dir": str(tmp_path / "site"),
        "hooks": [],
        "plugins": [],
        "theme": "mkdocs",
        "nav": [{"A": "a.md"}, {"Other": "other.md"}],
    }
    for text, passes in (
        ("[there](other.md#other)", True),
        ("[gone](gone.md)", False),
        ("[gone](other.md#gone)", False),
        ("![gone](img/gone.png)", False),
    ):
        (docs / "a.md").write_text(text)
        config = load_config(str(ROOT / "mkdocs.yml"), **settings)
        if passes:
            build(config)
        else:
            with pytest.raises(Abort):
                build(config)
    (docs / "a.md").write_text("fine")
    (docs / "unlisted.md").write_text("in no list")
    with pytest.raises(Abort):
        build(load_config(str(ROOT / "mkdocs.yml"), **settings))


def test_the_examples_of_the_hook_hold():
    import doctest

    from analyses.docs import site

    done = doctest.testmod(site)
    assert done.attempted == 5
    assert not done.failed


def test_an_example_of_a_docstring_becomes_a_block():
    from analyses.docs.doctests import fenced

    text = "Add.\n\n>>> for x in y:  # doctest: +SKIP\n...     x\n2\n>>> z\n\nMore, a > b.\n"
    block = "```pycon\n>>> for x in y:\n...     x\n2\n>>> z\n```"
    assert fenced(text) == f"Add.\n\n{block}\n\nMore, a > b.\n"


def test_a_text_keeps_its_code_and_gets_the_lines_that_a_list_needs():
    from analyses.docs.site import outside_code, spaced

    page = "Two:\n- a\n  more\n- b\n\n```sh\nmake x\n- not a list\n```\n| a |\n|---|\n| b |\n"
    expected = (
        "Two:\n\n- a\n  more\n- b\n\n```sh\nmake x\n- not a list\n```\n\n| a |\n|---|\n| b |\n"
    )
    assert outside_code(page, spaced) == expected
    assert outside_code(expected, spaced).replace("\n\n\n", "\n\n") == expected
