"""Which of many parameters alike `make test` runs; `make test-slow` runs the others."""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Any

import pytest


def others_slow(values: Iterable[Any], often: Container[Any]) -> list[Any]:
    """The values as parameters of a test or fixture: those in `often` as they are, others slow.

    >>> others_slow(["llama", "opt"], {"llama"})[0]
    'llama'
    """
    return [v if v in often else _slow(v) for v in values]


def _slow(value: Any) -> Any:
    values = value if isinstance(value, tuple) else (value,)
    return pytest.param(*values, marks=pytest.mark.slow)
