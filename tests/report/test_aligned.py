"""Aligned models on the page of their base: the numbers of aligned.csv, where it is of this run."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest

import mechcla
from mechcla.report.aligned import aligned_models
from mechcla.runs.tables import csv_text
from tests.report.conftest import NAME, data_of
from tests.report.test_browser import opened


@pytest.fixture(scope="module")
def base_run(plain_run, tmp_path_factory) -> Path:
    """A run, and beside it the table of a model "aligned" from it: another run of the same items,
    here a copy, whose name would like to be markup.
    """
    folder = tmp_path_factory.mktemp("aligned")
    base = Path(shutil.copytree(plain_run, folder / "run"))
    other = Path(shutil.copytree(plain_run, folder / f"x{NAME}"))
    found = mechcla.compare_aligned(base, [other])
    (folder / "run-aligned").mkdir()
    (folder / "run-aligned" / "aligned.csv").write_text(csv_text(found.rows()), encoding="utf-8")
    return base


def test_every_number_of_the_table_is_on_the_page(base_run):
    data = data_of(mechcla.report(base_run))["runs"][0]["aligned"]["values"]
    path = base_run.parent / "run-aligned" / "aligned.csv"
    with path.open(encoding="utf-8", newline="") as file:
        expected = list(csv.DictReader(file))
    assert len(data["rows"]) == len(expected) > 10
    for row, right in zip(data["rows"], expected, strict=True):
        for column, value in zip(data["columns"], row, strict=True):
            assert str(value if value is not None else "") == right[column] or value == float(
                right[column]
            )


def test_a_table_of_another_run_is_named_and_not_shown(base_run, plain_run, tmp_path):
    assert aligned_models(mechcla.read_run(plain_run)) is None
    run = Path(shutil.copytree(base_run, tmp_path / "run"))
    beside = tmp_path / "run-aligned" / "aligned.csv"
    beside.parent.mkdir()
    whole = (base_run.parent / "run-aligned" / "aligned.csv").read_text(encoding="utf-8")
    lines = whole.split("\n")
    first = next(csv.reader([lines[1]]))
    wrong = lines[1].replace(first[6], "0.123456", 1)
    for text in ("\n".join([lines[0], wrong, *lines[2:]]), "a,b\n1,2\n", lines[0] + "\n", "\0"):
        beside.write_text(text, encoding="utf-8")
        found = aligned_models(mechcla.read_run(run))
        assert found == {"why_not": "aligned.csv beside this run is damaged or of another run"}
    page = mechcla.report(run).read_text(encoding="utf-8")
    assert "damaged or of another run" in page
    shutil.rmtree(beside.parent)
    (tmp_path / "aligned.csv").write_text(whole, encoding="utf-8")  # as --adapters has it
    assert aligned_models(mechcla.read_run(run))["values"]["rows"]
    (tmp_path / "aligned.csv").write_text("of something else", encoding="utf-8")
    assert aligned_models(mechcla.read_run(run)) is None
    assert 'id="aligned"' not in mechcla.report(run).read_text(encoding="utf-8")


@pytest.mark.browser
def test_the_browser_shows_the_table(chromium, base_run):
    with opened(chromium, mechcla.report(base_run)) as page:
        cells = page.locator("#aligned-body tbody tr").all_inner_texts()
        assert any(f"x{NAME}" in text for text in cells)
        assert len(cells) > 4
        page.check("input[value=accuracy]")
        assert "were compared in share" in page.inner_text("#aligned-body")
