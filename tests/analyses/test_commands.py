"""Commands that CI runs: parity takes items and ends bad input in one message, and no test is
skipped unseen.
"""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.skips import LIST, allowed

ROOT = Path(__file__).parents[2]


def run(*words: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-m", *words], cwd=cwd, env=environment, capture_output=True, text=True
    )


@pytest.mark.lm_eval
def test_parity_compares_the_items_it_is_given(
    tiny_folders, tmp_path, small_items, monkeypatch, capsys
):
    pytest.importorskip("lm_eval", reason="lm-eval is not installed; it is in the extra `bench`")
    from analyses import lm_eval_parity

    small_items.to_jsonl(tmp_path / "mine.jsonl")
    words = ["--model", str(tiny_folders["llama"]), "--items", str(tmp_path / "mine.jsonl")]
    monkeypatch.setattr("sys.argv", ["parity", *words, "--out", str(tmp_path)])
    assert lm_eval_parity.main() == 0
    assert "\nequal: " in capsys.readouterr().out
    with (tmp_path / "lm_eval_parity.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {r["id"] for r in rows} == set(small_items.dev.ids)
    # 3 questions of either kind in 2 languages, cultural ones asked twice.
    assert len(rows) == 6 + 2 * 6


@pytest.mark.lm_eval
def test_parity_ends_bad_input_in_one_message(tmp_path):
    pytest.importorskip("lm_eval", reason="lm-eval is not installed; it is in the extra `bench`")
    done = run("analyses.lm_eval_parity", "--items", "nowhere.jsonl", "--out", str(tmp_path))
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("lm_eval_parity: no source and no file is named")


SUITE = """
import pytest
from tests.skips import pytest_addoption, pytest_configure

def test_passes():
    pass

@pytest.mark.skip(reason="no GPU here")
def test_gpu():
    pass

@pytest.mark.xfail
def test_fails_as_known():
    assert False
"""


@pytest.fixture
def suite(tmp_path):
    (tmp_path / "conftest.py").write_text(SUITE.split("def test_passes")[0])
    (tmp_path / "test_a.py").write_text(
        SUITE.replace("from tests.skips import pytest_addoption, pytest_configure", "")
    )
    return tmp_path


TOGETHER = ["-q", "-p", "no:xdist"], ["-q", "-n", "2"]  # in one process, and as `make test`


@pytest.mark.parametrize("how", TOGETHER)
def test_a_skip_that_is_not_listed_fails_the_run(how, suite):
    """A test that is skipped, and a file that is skipped as a whole."""
    (suite / "test_b.py").write_text('import pytest\npytest.importorskip("nothing_of_this_name")\n')
    done = run("pytest", *how, ".", cwd=suite)
    assert done.returncode == 0, done.stdout + done.stderr
    done = run("pytest", *how, "--no-unlisted-skips", ".", cwd=suite)
    assert done.returncode == 1
    assert "test_a.py::test_gpu: Skipped: no GPU here" in done.stdout
    assert "test_fails_as_known:" not in done.stdout  # expected to fail is not skipped
    assert done.stdout.count("test_b.py: Skipped: could not import 'nothing_of_this_name'") == 1


@pytest.mark.parametrize("how", TOGETHER)
def test_a_listed_skip_does_not(how, suite):
    """The same run with a list that names the test and its reason, and with one that names another
    reason.
    """
    for reason, code in (("no GPU", 0), ("no network", 1)):
        (suite / "list.txt").write_text(f"test_a.py | {reason} | GPU: none in CI\n")
        (suite / "conftest.py").write_text(
            "import pathlib\nfrom tests import skips\n"
            "skips.LIST = pathlib.Path(__file__).with_name('list.txt')\n"
            "from tests.skips import pytest_addoption, pytest_configure\n"
        )
        done = run("pytest", *how, "--no-unlisted-skips", ".", cwd=suite)
        assert done.returncode == code, done.stdout + done.stderr


def test_the_list_names_tests_that_exist_and_why():
    entries = allowed(LIST.read_text(encoding="utf-8"))
    assert entries
    for entry in entries:
        file, _, name = entry.tests.partition("::")
        source = (ROOT / file).read_text(encoding="utf-8")
        assert f"def {name}" in source
        assert entry.reason in source
    with pytest.raises(ValueError, match=r"expected 'tests \| reason \| GPU or network: why'"):
        allowed("tests/a.py | slow | time: takes long")
