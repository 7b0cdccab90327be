"""--adapters: a run per model, each a run like any other, and one comparison of all."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

import mechcla
from mechcla.errors import MechclaError
from mechcla.storage import read_sealed
from mechcla.sweep.__main__ import main
from mechcla.sweep.config import make
from tests.conftest import save_tiny
from tests.models.test_adapters import lora, save_adapter

pytestmark = pytest.mark.slow  # several sweeps each

FEW = {"layers": [0, 2], "restore": False, "resamples": 100, "controls": False, "device": "cpu"}
FEW |= {"figures": False}
FLAGS = [*("--layers", "0,2", "--no-restore", "--resamples", "100", "--no-controls")]
FLAGS += ["--device", "cpu", "--no-figures"]


@pytest.fixture(scope="module")
def base(tiny_folders, tmp_path_factory) -> Path:
    return shutil.copytree(tiny_folders["llama"], tmp_path_factory.mktemp("base") / "llama")


@pytest.fixture(scope="module")
def adapters(base, tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("adapters")
    return [save_adapter(base, folder / name, lora(), seed) for seed, name in enumerate("ab")]


@pytest.fixture(scope="module")
def items(small_items, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("items") / "items.jsonl"
    small_items.to_jsonl(path)
    return path


@pytest.fixture(scope="module")
def made(base, adapters, items, tmp_path_factory) -> tuple[list[str], Path]:
    """The command's arguments, and its folder after it has run."""
    out = tmp_path_factory.mktemp("out") / "aligned"
    arguments = ["--model", str(base), "--items", str(items), *FLAGS, "--out", str(out)]
    arguments += ["--adapters", ",".join(map(str, adapters))]
    assert main(arguments) == 0
    return arguments, out


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_each_model_is_a_run_like_any_other(made, base, adapters, items, tmp_path):
    _, out = made
    assert sorted(p.name for p in out.iterdir()) == [
        "a",
        "aligned.csv",
        "aligned_bias.png",
        "aligned_bias.svg",
        "aligned_plane.png",
        "aligned_plane.svg",
        "b",
        "base",
    ]
    for name, adapter in (("base", None), ("a", adapters[0]), ("b", adapters[1])):
        run = mechcla.read_run(out / name)
        assert run.status == "complete"
        assert "adapters" not in run.config
        model = mechcla.load_model(base, adapter=adapter, device="cpu")
        assert run.record["identity"]["model"] == model.digest
        fresh = mechcla.score(model, run.item_set.test.language("es"))
        held = {(r.id, r.kind): r for r in run.scores("unsteered") if r.language == "es"}
        for r in fresh:
            assert r.log_likelihood == pytest.approx(held[r.id, r.kind].log_likelihood, abs=1e-5)
    # the same run alone: the same settings, choice and cells
    config = tmp_path / "config.yaml"
    shutil.copy(out / "a" / "config.yaml", config)
    assert main(["--config", str(config), "--out", str(tmp_path / "alone")]) == 0
    alone, run = mechcla.read_run(tmp_path / "alone"), mechcla.read_run(out / "a")
    assert alone.config == run.config
    assert alone.record["identity"] == run.record["identity"]
    assert alone.choice == run.choice
    for name in run.conditions:
        assert alone.scores(name).rows == run.scores(name).rows


def test_the_comparison_is_that_of_its_runs(made):
    _, out = made
    found = mechcla.compare_aligned(
        out / "base", [out / "a", out / "b"], "share", resamples=100, seed=0
    )
    assert found.models == ("base", "a", "b")
    rows, written = found.rows(), read(out / "aligned.csv")
    assert len(rows) == len(written)
    for row, line in zip(rows, written, strict=True):
        for key in ("model", "condition", "language", "metric"):
            assert line[key] == row[key]
        assert line["against"] == (row["against"] or "")
        for key in ("value", "difference", "p_holm", "recovered"):
            assert line[key] == ("" if row[key] is None else str(row[key]))
    shown = {(r["model"], r["condition"], r["against"]) for r in written}
    for model in "ab":
        for family in ("EN", "LOC", "SUR"):
            assert (model, family, "base") in shown
            assert (model, family, model) in shown
    assert "model" in found.differing
    for name in ("a", "b"):
        for condition in ("unsteered", "SUR"):
            own = mechcla.read_run(out / name).scores(condition)
            other = mechcla.read_run(out / "base").scores("unsteered")
            own, other = (
                mechcla.Scores(tuple(r for r in t if r.language == "es")) for t in (own, other)
            )
            expected = mechcla.difference(own, other, "transfer")["es"].value
            row = rows.one(
                model=name, condition=condition, against="base", language="es", metric="transfer"
            )
            assert row["difference"] == pytest.approx(expected)


def stamps(out: Path) -> dict[str, tuple[int, int]]:
    return {
        str(p.relative_to(out)): (p.stat().st_mtime_ns, p.stat().st_ino)
        for p in out.rglob("*")
        if p.suffix in (".parquet", ".safetensors")
    }


def test_the_same_command_does_only_what_is_missing(made, capsys):
    arguments, out = made
    before = stamps(out)
    whole = (out / "aligned.csv").read_bytes()
    [*cells] = sorted((out / "b" / "cells" / "test").rglob("*.parquet"))
    cells[0].unlink()
    (out / "aligned.csv").unlink()
    shutil.rmtree(out / "a")
    assert main(arguments) == 0
    assert (out / "aligned.csv").read_bytes() == whole
    after = stamps(out)
    kept = [k for k in before if not k.startswith("a") and str(out / k) != str(cells[0])]
    assert {k: after[k] for k in kept} == {k: before[k] for k in kept}
    assert set(after) == set(before)
    said = capsys.readouterr().out
    assert "The run 'base'" in said
    assert "a against base: transfer" in said


def test_the_call_is_the_command(made, base, adapters, small_items, tmp_path):
    _, out = made
    found = mechcla.run_sweep(
        str(base), small_items, out=tmp_path / "call", adapters=adapters[:1], **FEW
    )
    assert isinstance(found, mechcla.AlignedComparison)
    assert found.models == ("base", "a")
    mine = [r for r in read(out / "aligned.csv") if r["model"] in ("base", "a")]
    for row, line in zip(found.rows(), mine, strict=True):
        assert str(row["value"]) == line["value"]


def test_what_is_refused_is_refused_before_any_work(
    made, base, adapters, items, tmp_path, capsys, monkeypatch
):
    _, whole = made
    again = shutil.copytree(adapters[0], tmp_path / "more" / "a")
    named = shutil.copytree(adapters[0], tmp_path / "Base")
    wide = save_tiny("llama", tmp_path / "wide", intermediate_size=64)
    other = save_adapter(wide, tmp_path / "other", lora())
    unnamed = shutil.copytree(other, tmp_path / "unnamed")
    config = unnamed / "adapter_config.json"
    told = json.loads(config.read_text()) | {"base_model_name_or_path": None}
    config.write_text(json.dumps(told))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "base").mkdir()
    (tmp_path / "full" / "base" / "thesis.txt").write_text("all of it")
    out = tmp_path / "out"
    cases = (
        ([adapters[0], again], out, f"that of the adapter '{again}' and that of '{adapters[0]}'"),
        ([named], out, 'and that of "the model\'s own run"; expected folders of different names'),
        ([tmp_path / "none"], out, f"the adapter '{tmp_path / 'none'}': there is no such folder"),
        ([items], out, f"cannot load the adapter '{items}': there is no such folder"),
        ([base], out, "the folder has no adapter_config.json"),
        ([other], out, f"was trained on '{wide}', not on '{base}'"),
        ([adapters[0], unnamed], out, "size mismatch"),
        ([adapters[0]], tmp_path / "full", "is not empty and holds no run"),
        ([adapters[0]], whole / "base", "holds a run of one model, and --adapters makes a folder"),
    )
    for given, folder, said in cases:
        arguments = ["--model", str(base), "--items", str(items), *FLAGS, "--out", str(folder)]
        assert main([*arguments, "--adapters", ",".join(map(str, given))]) == 2
        heard = capsys.readouterr()
        assert said in heard.err, heard.err
        assert "Traceback" not in heard.err
        assert heard.out == ""
        assert not out.exists()
    alone = ["--model", str(adapters[0]), "--items", str(items), "--out", str(out)]
    assert main([*alone, "--adapters", str(adapters[1])]) == 2
    assert "holds an adapter already" in capsys.readouterr().err
    assert main(["--adapters", "adapters/none", "--model", str(base), "--out", str(out)]) == 2
    assert "cannot load the adapter 'adapters/none'" in capsys.readouterr().err
    assert not out.exists()


def test_one_run_is_one_model(tiny, small_items, adapters, tmp_path):
    with pytest.raises(MechclaError, match="one run is one model; expected python -m mechcla"):
        mechcla.configure(tiny, small_items, adapters=[str(adapters[0])], **FEW)
    with pytest.raises(MechclaError, match="adapters and a loaded model"):
        mechcla.run_sweep(tiny, small_items, out=tmp_path / "no", adapters=adapters, **FEW)
    assert not (tmp_path / "no").exists()
    settings = {"model": "demo", "out": str(tmp_path)}
    assert (
        make(settings).resolved() == make({**settings, "adapters": [str(adapters[0])]}).resolved()
    )


def test_a_base_that_was_moved_and_an_adapter_that_names_none_are_taken(
    base, adapters, small_items, tmp_path
):
    moved = shutil.copytree(base, tmp_path / "moved")
    free = shutil.copytree(adapters[0], tmp_path / "free")
    told = json.loads((free / "adapter_config.json").read_text())
    told["base_model_name_or_path"] = "/a/machine/far/away"
    (free / "adapter_config.json").write_text(json.dumps(told))
    found = mechcla.run_sweep(str(moved), small_items, out=tmp_path / "out", adapters=[free], **FEW)
    record = read_sealed(tmp_path / "out" / "free" / "record.json")
    assert record is not None
    merged = mechcla.load_model(base, adapter=adapters[0], device="cpu")
    assert record["identity"]["model"] == merged.digest
    assert found.models == ("base", "free")
