"""analyses/align.py trains, and scores what no training text names; a second run trains nothing."""

from __future__ import annotations

import csv
import runpy
import sys
from pathlib import Path

import pytest

from tests.conftest import save_tiny


def written(folder: Path) -> dict[Path, tuple[int, int]]:
    """When each file was written, and its inode: a training writes its files anew, by rename."""
    found = {path: path.stat() for path in folder.rglob("*") if path.is_file()}
    return {path: (stat.st_mtime_ns, stat.st_ino) for path, stat in found.items()}


def test_the_analysis_trains_each_method_and_scores_the_held_out_items(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = save_tiny("gpt_neox", tmp_path / "wide", max_position_embeddings=512)
    config = tmp_path / "small.yaml"
    config.write_text(
        "steps: 2\nbatch_rows: 4\nlanguages: [es]\ndevice: cpu\nmodules: [all]\n", encoding="utf-8"
    )
    arguments = [
        *("align", "--model", str(model), "--methods", "mist,clo", "--seeds", "2", "--train-only"),
        *("--adapters", str(tmp_path / "adapters"), "--out", str(tmp_path / "out")),
        *("--config", str(config)),
    ]
    monkeypatch.setattr(sys, "argv", arguments)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    runpy.run_module("analyses.align", run_name="__main__")
    made = sorted(p.name for p in (tmp_path / "adapters").iterdir())
    assert made == ["clo-0", "mist-0", "mist-1"]
    with (tmp_path / "out" / "align_held_out.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["adapter"] for row in rows} == set(made)
    assert {row["relations"] for row in rows} == {"in training", "not in training"}

    before = written(tmp_path / "adapters")
    runpy.run_module("analyses.align", run_name="__main__")
    assert written(tmp_path / "adapters") == before
