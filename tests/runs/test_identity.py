"""The code digest: code counts, all of it but the drawing; what is only said in it does not."""

from __future__ import annotations

import json
import shutil
from importlib import metadata
from pathlib import Path

import pytest
import torch

import mechcla
from mechcla.runs.identity import DECIDING, code_digest, versions

PACKAGE = Path(mechcla.__file__).parent


@pytest.fixture
def copy(tmp_path):
    shutil.copytree(PACKAGE, tmp_path / "mechcla", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "mechcla"


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_the_running_package_and_its_copy_are_one(copy):
    assert code_digest() == code_digest(copy)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("metrics/estimates.py", '"""An estimate with its', '"""Another. An estimate with its'),
        ("metrics/estimates.py", "RESAMPLES = 2000", "RESAMPLES = 2000  # resamples"),
        ("metrics/estimates.py", "RESAMPLES = 2000", "RESAMPLES   =   (2000)"),
        ("metrics/estimates.py", "    measure: str\n", '    measure: str\n    """Of what."""\n'),
        ("plots/style.py", "from __future__", "DRAWN = 3\nfrom __future__"),
    ],
    ids=["docstring", "comment", "spaces", "field docstring", "drawing"],
)
def test_what_decides_no_number_changes_no_digest(copy, name, old, new):
    edit(copy / name, old, new)
    assert code_digest(copy) == code_digest()


def test_a_constant_in_any_module_that_does_not_draw_changes_the_digest(copy):
    """Every module but those of plots/, report/ and align/; emptied, as a digest reads all."""
    modules = sorted(copy.rglob("*.py"))
    for path in modules:
        path.write_text("DECIDES = 1\n", encoding="utf-8")
    before = code_digest(copy)
    for path in modules:
        path.write_text("DECIDES = 2\n", encoding="utf-8")
        other = path.relative_to(copy).parts[0] in ("plots", "report", "align")
        assert (code_digest(copy) == before) == other, path
        path.write_text("DECIDES = 1\n", encoding="utf-8")
    assert {"subspaces.py", "recipes.py", "rule.py"} <= {p.name for p in modules}


def test_a_module_that_is_added_or_moved_changes_the_digest(copy):
    before = code_digest(copy)
    (copy / "geometry/new.py").write_text("", encoding="utf-8")
    added = code_digest(copy)
    (copy / "geometry/new.py").rename(copy / "geometry/other.py")
    assert len({before, added, code_digest(copy)}) == 3


def test_every_package_that_decides_is_recorded():
    found = versions()
    for name in DECIDING:
        assert found[name] == metadata.version(name), name
    assert {"scikit-learn", "tokenizers"} <= set(DECIDING)
    assert found["threads"] == str(torch.get_num_threads())


def test_a_run_folder_records_them_and_the_path(tiny, small_items, tmp_path):
    out = tmp_path / "run"
    mechcla.configure(tiny, small_items, ["es"], out=str(out), layers=[1, 3], restore=False)
    record = json.loads((out / "record.json").read_text())
    assert {k: record["identity"][k] for k in DECIDING} == {
        k: metadata.version(k) for k in DECIDING
    }
    assert record["identity"]["path"] == "packed"
    assert record["identity"]["attention"] == "eager"
    assert record["versions"]["threads"] == "1"
