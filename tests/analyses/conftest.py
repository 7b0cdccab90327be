"""What several tests of the analyses read."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import mechcla
from tests.analyses.gated import GATED


@pytest.fixture(scope="session")
def gated_run(tmp_path_factory, tiny_models, small_items) -> Path:
    """The folder of a small gated run with all control arms; read it, or copy it."""
    folder: Path = tmp_path_factory.mktemp("gated") / "base"
    torch.set_num_threads(1)
    mechcla.run_sweep(tiny_models["llama"], small_items, out=folder, **GATED)
    return folder
