"""analyses/align.py trains, scores what no training text names, sweeps, and compares; a second run
makes nothing again."""

from __future__ import annotations

import csv
import runpy
import sys
from pathlib import Path

import pytest

import mechcla
from mechcla.items.item_set import ItemSet
from tests.conftest import save_tiny


def written(folder: Path) -> dict[Path, tuple[int, int]]:
    """When each file was written, and its inode: a training writes its files anew, by rename."""
    found = {path: path.stat() for path in folder.rglob("*") if path.is_file()}
    return {path: (stat.st_mtime_ns, stat.st_ino) for path, stat in found.items()}


@pytest.mark.slow
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
        *("--config", str(config), "--languages", "es", "--questions", "8", "--resamples", "5"),
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
    rows = table(tmp_path / "out" / "align_losses.csv")
    assert [(r["adapter"], r["seed"]) for r in rows if r["step"] == "2"] == [
        ("mist-0", "0"),
        ("clo-0", "0"),
        ("mist-1", "1"),
    ]
    rows = table(tmp_path / "out" / "align_geometry.csv")
    assert {r["model"] for r in rows} == {"base", *made}
    assert {r["model"] for r in rows if r["what"].startswith("change in ")} == set(made)
    spent = {r["part"]: float(r["seconds"]) for r in table(tmp_path / "out" / "align_time.csv")}
    assert set(spent) == {*(f"training {name}" for name in made), "held-out items", "geometry"}
    assert min(spent.values()) > 0
    (tmp_path / "out" / "align_losses.csv").unlink()

    before = written(tmp_path)
    runpy.run_module("analyses.align", run_name="__main__")
    after = written(tmp_path)
    assert {str(p) for p in after.keys() - before.keys()} == {
        str(tmp_path / "out" / "align_losses.csv")
    }
    assert {p: after[p] for p in before} == before


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_the_analysis_sweeps_each_model_and_writes_what_the_page_needs(
    tmp_path: Path, small_items: ItemSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = save_tiny("gpt_neox", tmp_path / "wide", max_position_embeddings=512)
    small_items.to_jsonl(tmp_path / "items.jsonl")
    config, sweeps = tmp_path / "small.yaml", tmp_path / "sweeps.yaml"
    config.write_text(
        "steps: 2\nbatch_rows: 4\nlanguages: [es]\ndevice: cpu\nmodules: [all]\n", encoding="utf-8"
    )
    sweeps.write_text(
        f"items: {tmp_path / 'items.jsonl'}\nlayers: [0, 2]\nrestore: false\ncontrols: false\n"
        "resamples: 100\ndevice: cpu\n",
        encoding="utf-8",
    )
    arguments = [
        *("align", "--model", str(model), "--methods", "mist,english_only", "--seeds", "1"),
        *("--adapters", str(tmp_path / "adapters"), "--out", str(tmp_path / "out")),
        *("--runs", str(tmp_path / "runs"), "--sweep-config", str(sweeps)),
        *("--config", str(config), "--languages", "es", "--questions", "8", "--resamples", "5"),
    ]
    monkeypatch.setattr(sys, "argv", arguments)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    runpy.run_module("analyses.align", run_name="__main__")
    for name in ("base", "mist-0"):
        assert mechcla.read_run(tmp_path / "runs" / name).status == "complete"
    rows = table(tmp_path / "out" / "align_plane.csv")
    held = {(r["model"], r["condition"], r["against"]) for r in rows}
    assert {("mist-0", "SUR", "base"), ("mist-0", "SUR", "mist-0")} <= held
    control = {(c, against) for m, c, against in held if m == "english_only-0"}
    assert control == {("unsteered", "base")}  # not steered, and so not swept
    assert not (tmp_path / "runs" / "english_only-0").exists()
    assert {p.stem for p in (tmp_path / "out").glob("*.png")} == {
        "align_plane",
        "align_bias",
        "align_geometry",
        "align_geometry_layers",
    }
    assert {p.stem for p in (tmp_path / "out").glob("*.csv")} == {
        "align_plane",
        "align_held_out",
        "align_geometry",
        "align_losses",
        "align_pca",
        "align_seeds",
        "align_time",
    }
    seeds = table(tmp_path / "out" / "align_seeds.csv")
    pairs = {(r["model"], r["against"]) for r in seeds}
    assert pairs == {
        ("mist-0", "base"),
        ("english_only-0", "base"),
        ("mist-0", "english_only-0"),
    }
    change = {
        (r["model"], r["against"]): float(r["difference"])
        for r in seeds
        if r["metric"] == "localization"
    }
    between = change["mist-0", "base"] - change["english_only-0", "base"]
    assert change["mist-0", "english_only-0"] == pytest.approx(between)
    plane = {
        float(r["difference"])
        for r in rows
        if (r["model"], r["condition"], r["against"]) == ("mist-0", "unsteered", "base")
        and (r["language"], r["metric"]) == ("all", "localization")
    }
    assert plane == {change["mist-0", "base"]}
