"""--models: a run per model, each a run like any other, and one comparison of all."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

import mechcla
from mechcla.errors import MechclaError
from mechcla.sweep.__main__ import main
from mechcla.sweep.config import make, parse
from mechcla.sweep.models import model_runs, several_models
from mechcla.sweep.sweep import runs_of

FEW = {"layers": [0, 2], "restore": False, "resamples": 100, "controls": False, "device": "cpu"}
FEW |= {"figures": False}
FLAGS = [*("--layers", "0,2", "--no-restore", "--resamples", "100", "--no-controls")]
FLAGS += ["--device", "cpu", "--no-figures"]


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def names_in(out: Path) -> list[str]:
    return sorted(path.name for path in out.iterdir())


@pytest.mark.slow
def test_each_model_is_the_run_that_it_is_alone(
    tiny_folders, small_items, tmp_path, capsys, monkeypatch
):
    """The command over two models of different families, against a command each and `compare`."""
    monkeypatch.chdir(tiny_folders["gpt2"].parent)
    items, out = tmp_path / "items.jsonl", tmp_path / "both"
    small_items.to_jsonl(items)
    models = {"llama": tiny_folders["llama"], "gpt2": tiny_folders["gpt2"]}
    given = ["--items", str(items), *FLAGS]
    several = [*given, "--models", f"{models['llama']},./gpt2", "--out", str(out)]
    assert main(several) == 0
    said = capsys.readouterr().out
    assert names_in(out) == ["compare.csv", "compare.png", "compare.svg", "gpt2", "llama"]
    for name, folder in models.items():
        alone = tmp_path / "alone" / name
        assert main([*given, "--model", str(folder), "--out", str(alone)]) == 0
        one, among = mechcla.read_run(alone), mechcla.read_run(out / name)
        assert among.config == one.config
        assert among.record["identity"] == one.record["identity"]
        assert among.choice == one.choice
        for condition in one.conditions:
            assert among.scores(condition).rows == one.scores(condition).rows
    found = mechcla.compare_runs([out / name for name in models], resamples=100)
    assert found.runs == ("llama", "gpt2")  # the first is what the others are compared with
    assert str(found) in said
    written = read(out / "compare.csv")
    assert [r["value"] for r in written] == [str(r["value"]) for r in found.rows()]
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*.parquet")}
    assert main(several) == 0  # goes on where it was: nothing is scored again
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*.parquet")} == before
    again = mechcla.run_sweep(models=list(models.values()), items=items, out=out, **FEW)
    assert isinstance(again, mechcla.RunComparison)
    assert [r["value"] for r in again.rows()] == [r["value"] for r in found.rows()]


def test_runs_are_named_by_the_last_part_of_a_model_s_name(tmp_path, monkeypatch):
    (tmp_path / "x" / "y").mkdir(parents=True)
    (tmp_path / "z").mkdir()
    monkeypatch.chdir(tmp_path / "x")
    models = ["demo", "org/Name-1b", "org/Name-1b@refs/pr/3", "y/", "../z"]
    found = runs_of(make({"out": str(tmp_path / "out"), "models": models}))
    whole = [str(tmp_path / "x" / "y"), str(tmp_path / "z")]
    assert list(found) == ["demo", "Name-1b", "Name-1b@refs-pr-3", "y", "z"]
    assert [c.model for c in found.values()] == ["demo", "org/Name-1b", "org/Name-1b", *whole]
    assert [c.revision for c in found.values()] == [None, None, "refs/pr/3", None, None]
    assert {c.out for c in found.values()} == {str(tmp_path / "out" / name) for name in found}
    for config in found.values():
        alone = make({"model": config.model, "revision": config.revision})
        assert config.resolved() == alone.resolved()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--models", "demo"], r"models=\['demo'\]; expected two or more, or `model` for one"),
        (["--models", ""], r"models=\[\]; expected two or more"),
        (["--models", "demo,smollm2", "--model", "demo"], r"model='demo' is one model's, and"),
        (["--models", "demo,smollm2", "--adapters", "mist"], r"adapters=\['mist'\] is one"),
        (["--models", "demo,smollm2", "--with-adapters"], r"with_adapters=True is one model's"),
        (["--models", "demo,smollm2", "--revision", "v1"], r"revision='v1' is one model's"),
        (["--models", "a/Gemma,b/gemma"], r"two runs would be .*gemma'.*differ in their last"),
        (["--models", "demo,./nothing"], r"'\./nothing': there is no such folder"),
        (["--models", "demo,demo+mist"], r"'demo\+mist' is an adapter on its base; expected --mo"),
        (["--models", "demo,/"], r"models: '/' has no name"),
    ],
)
def test_what_cannot_be_several_runs_is_refused(flags, message, tmp_path):
    config = parse([*flags, "--out", str(tmp_path / "out")])
    assert several_models(config)
    with pytest.raises(MechclaError, match=message):
        runs_of(config)
    assert not (tmp_path / "out").exists()


def test_flags_win_over_the_file(tmp_path):
    file = tmp_path / "settings.yaml"
    file.write_text("model: smollm2\nrevision: v1\nseed: 3\n", encoding="utf-8")
    config = parse(["--config", str(file), "--models", "demo,org/name"])
    assert [(c.model, c.revision, c.seed) for c in runs_of(config).values()] == [
        ("demo", None, 3),
        ("org/name", None, 3),
    ]
    file.write_text("models: [demo, org/name]\nseed: 3\n", encoding="utf-8")
    config = parse(["--config", str(file), "--model", "org/other"])
    assert {k: (c.model, c.seed) for k, c in runs_of(config).items()} == {"": ("org/other", 3)}


def test_a_folder_of_one_run_and_a_loaded_model_are_refused(tiny, small_items, tmp_path):
    out = tmp_path / "run"
    mechcla.run_sweep(tiny, small_items, out=out, **FEW)
    with pytest.raises(MechclaError, match="holds a run of one model, and --models makes a folder"):
        model_runs(make({"models": ["demo", "smollm2"], "out": str(out)}))
    with pytest.raises(MechclaError, match=r"models=\[\]; expected two or more"):
        mechcla.run_sweep(out=tmp_path / "b", models=[])
    with pytest.raises(MechclaError, match=r"two runs would be .*demo"):
        mechcla.run_sweep(out=tmp_path / "b", models="demo,demo")
    with pytest.raises(MechclaError, match="got models and a loaded model"):
        mechcla.run_sweep(tiny, small_items, out=tmp_path / "b", models=["demo", "smollm2"])
    with pytest.raises(MechclaError, match="one run is one model; expected python -m mechcla"):
        mechcla.sweep.runner.open_sweep(make({"models": ["demo", "smollm2"]}))
