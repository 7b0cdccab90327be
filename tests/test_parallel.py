"""What runs side by side: files in `make test`, each with fixtures made once, and the commands of
the pages.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.commands import waits_for
from tests.docs.pages import ROOT

FILE = """
import os
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def made():
    with (Path(__file__).parent / "made.txt").open("a") as file:
        file.write(Path(__file__).name + "\\n")


@pytest.mark.parametrize("k", range(8))
def test_it(made, k):
    pass
"""


def test_a_files_fixtures_are_made_once_under_the_makefiles_own_flags(tmp_path: Path) -> None:
    """A scheduler that falls back to single tests says nothing; it makes all fixtures twice."""
    for name in ("test_a.py", "test_b.py"):
        (tmp_path / name).write_text(FILE)
    (tmp_path / "conftest.py").write_text("from tests.parallel import *\n")
    (flags,) = re.findall(r"^SHARED := (.*)$", (ROOT / "Makefile").read_text(), re.M)
    words = [sys.executable, "-m", "pytest", *flags.replace("$(WORKERS)", "2").split(), "."]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "16 passed" in done.stdout
    made = (tmp_path / "made.txt").read_text().split()
    assert sorted(made) == ["test_a.py", "test_b.py"]


def test_a_command_waits_for_those_that_name_its_folders() -> None:
    made = ["a --out {out}/x", "b {out}/x --out {out}/y", "c --out {out}/z", "d {out}/y/e.csv"]
    assert [waits_for(made, k) for k in range(4)] == [[], [0], [], [1]]
