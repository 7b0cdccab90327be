"""In which order the processes of `make test` take test files; a file stays in one process."""

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
    if not hasattr(config, "workerinput"):  # one process alone, or the one that hands tests out
        return
    items.sort(key=_rank)  # else as collected


def _rank(item: pytest.Item) -> int:
    return 0 if item.get_closest_marker("demo") else 1 if item.nodeid.startswith(LONG) else 2
