"""What analyses.llama_cpp does beside llama.cpp: a control vector laid out as its tools read it,
and how far two tables of log-likelihoods are apart. llama.cpp itself is in no extra.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import mechcla
from analyses.llama_cpp import INSTALL, compared, control_vector, main
from mechcla.vectors.steering_vectors import SteeringVectors


def test_direction_n_stands_in_row_n_less_one(tmp_path: Path) -> None:
    draw = torch.Generator().manual_seed(1)
    loc = SteeringVectors.from_tensors("LOC", {"es": torch.randn(5, 8, generator=draw)})
    edits = mechcla.loc_steering(loc, language="es", layer=3, strength=2.0)
    mechcla.export_vectors(edits, tmp_path / "loc.gguf", "gguf")
    found = control_vector(tmp_path / "loc.gguf", 5, 8)
    assert found.shape == (5, 8)
    np.testing.assert_array_equal(found[2], (2.0 * loc["es"][3]).numpy())
    assert not found[[0, 1, 3, 4]].any()


def test_changes_are_held_against_changes() -> None:
    ours = {"plain": [[-1.0, -2.0], [-3.0, -1.0]], "steered": [[-2.0, -1.0], [-1.0, -4.0]]}
    theirs = {"plain": [[-1.5, -2.0], [-3.0, -1.0]], "steered": [[-2.5, -1.5], [-1.0, -0.5]]}
    found = compared(theirs, ours)
    assert found["candidates"] == 4
    assert found["plain apart"] == pytest.approx(0.125)
    assert found["plain apart at most"] == pytest.approx(0.5)
    assert found["change"] == pytest.approx((1 + 1 + 2 + 3) / 4)
    assert found["change apart"] == pytest.approx((0 + 0.5 + 0 + 3.5) / 4)
    assert found["change apart at most"] == pytest.approx(3.5)
    assert found["same choice"] == 1


def test_without_llama_cpp_one_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sys.path", [])  # as where the packages are not
    monkeypatch.delitem(sys.modules, "xllamacpp", raising=False)
    monkeypatch.setattr("sys.excepthook", sys.excepthook)
    with pytest.raises(mechcla.MechclaError, match="'xllamacpp', which is missing") as error:
        main(["--out", str(tmp_path / "no.json")])
    assert INSTALL in str(error.value)
