"""What `make lint` says about lengths of files and exceptions from formatting."""

from __future__ import annotations

import pytest

from tests.size import MOST, faults

SKIP = "  # fmt: " + "skip"  # not one itself


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        (f"TABLE = {{\n    'a': 1, 'b': (2, 3),\n}}{SKIP}\n", []),
        (f"NAMES: list[str] = [\n    'a', 'b',\n]{SKIP}\n", []),
        (f"x = 1\nmade = f(\n    1, 2,\n){SKIP}\n", [4]),
        (f"def g():\n    return [\n        1, 2,\n    ]{SKIP}\n", [4]),
        (f"rows = [\n    a, 2,\n]{SKIP}\n", [3]),
        (SKIP.replace("skip", "off") + "\nx = 1\n", [1]),
    ],
)
def test_only_tables_of_literals_stay_unformatted(source, lines):
    said = [f"f.py:{n}: fmt: skip stands at a table of literals only" for n in lines]
    assert list(faults("f.py", source)) == said


def test_a_file_of_more_lines_is_named():
    assert not list(faults("f.py", "x = 1\n" * MOST))
    [said] = faults("f.py", "x = 1\n" * (MOST + 1))
    assert said.startswith("f.py has 401 lines; at most 400")
