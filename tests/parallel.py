"""How tests are shared among the processes of `make test`: a file stays in one process, which
makes its fixtures once; the tests of the demo model stay in one process, which loads it once.
"""

from __future__ import annotations

import pytest

LONG = (  # behind the demo model's, which are the longest of all
    "tests/docs/",
    "tests/runs/",
    "tests/sweep/",
    "tests/analyses/",
    "tests/align/",
    "tests/engine/test_families.py",
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Longest files first, so that no process waits for another's last file."""
    if not config.pluginmanager.hasplugin("xdist") or not config.getoption("numprocesses"):
        return
    items.sort(key=_rank)  # else as collected
    for item in items:
        room = "demo" if item.get_closest_marker("demo") else item.nodeid.split("::")[0]
        item.add_marker(pytest.mark.xdist_group(room))


def _rank(item: pytest.Item) -> int:
    return 0 if item.get_closest_marker("demo") else 1 if item.nodeid.startswith(LONG) else 2
