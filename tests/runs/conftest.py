"""One unbroken sweep of a tiny model, which the faults are done to copies of."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.runs.harness import results, settings, warm


@dataclass(frozen=True)
class Unbroken:
    arguments: list[str]
    folder: Path
    right: dict[str, str]


@pytest.fixture(scope="session")
def unbroken(tmp_path_factory, tiny_folders, small_items) -> Unbroken:
    base = tmp_path_factory.mktemp("unbroken")
    arguments = settings(tiny_folders["llama"], small_items, base)
    warm(arguments, base / "run")
    return Unbroken(arguments, base / "run", results(base / "run"))


@pytest.fixture
def copied(unbroken: Unbroken, tmp_path: Path) -> Callable[[], Path]:
    """A copy of the unbroken run."""

    def copy() -> Path:
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
        return Path(shutil.copytree(unbroken.folder, tmp_path / "run"))

    return copy
