"""CITATION.cff is valid for a citation tool, and says what README, pyproject and mechcla say."""

from __future__ import annotations

import re
import tomllib

import pytest
import yaml

import mechcla
from tests.docs.pages import ROOT

CITATION = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
CHANGES = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_a_citation_tool_accepts_it_and_makes_bibtex():
    cffconvert = pytest.importorskip("cffconvert", reason="`make docs` installs cffconvert")
    citation = cffconvert.Citation(CITATION)
    citation.validate()
    assert "title = {mechcla: measure, locate" in citation.as_bibtex()
    with pytest.raises(Exception, match="version"):
        cffconvert.Citation(CITATION.replace("cff-version: 1.2.0", "cff-version: 7")).validate()


def test_there_is_one_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    [latest] = re.findall(r"^## (\S+)", CHANGES, flags=re.MULTILINE)[:1]
    [cited] = re.findall(r"version = \{(.*?)\}", README)
    told = yaml.safe_load(CITATION)["version"]
    assert {project["version"], latest, cited, str(told)} == {mechcla.__version__}


def test_readme_cites_what_the_file_cites():
    told = yaml.safe_load(CITATION)
    assert told["title"] in README
    [paper] = told["references"]
    plain = README.replace("{", "").replace("}", "")
    assert paper["title"] in plain
    for author in paper["authors"]:
        assert f"{author['family-names']}, {author['given-names']}" in README
    assert paper["identifiers"][0]["value"] in README


def test_no_page_names_a_repository_that_does_not_exist():
    """The project has no address yet: nothing clones, installs from or links to one."""
    pages = [*ROOT.glob("*.md"), *ROOT.glob("*.toml"), *ROOT.glob("*.yml"), ROOT / "CITATION.cff"]
    pages += [*(ROOT / "docs").rglob("*.md"), *(ROOT / "data").rglob("*.md")]
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"git clone|git\+https|pip install mechcla\b", text), page.name
        assert not re.search(r"(github|gitlab)\.com/\S*mechcla", text), page.name
