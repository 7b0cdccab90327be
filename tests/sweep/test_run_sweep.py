"""`run_sweep` is the command as a call; anybody's vectors go through the same choice and test."""

from __future__ import annotations

import pytest
import torch

import mechcla
from mechcla.errors import MechclaError
from mechcla.sweep.__main__ import main

FEW = {"layers": [0, 2], "restore": False, "resamples": 100, "controls": False}
FEW |= {"figures": False}


def test_it_is_what_the_command_does(tiny_folders, small_items, tmp_path, capsys):
    small_items.to_jsonl(tmp_path / "items.jsonl")
    model = str(tiny_folders["llama"])
    run = mechcla.run_sweep(
        model, tmp_path / "items.jsonl", out=tmp_path / "run", device="cpu", **FEW
    )
    assert capsys.readouterr().out == ""
    arguments = ["--model", model, "--items", str(tmp_path / "items.jsonl"), "--device", "cpu"]
    arguments += ["--layers", "0,2", "--no-restore", "--resamples", "100", "--no-controls"]
    arguments += ["--no-figures"]
    assert main([*arguments, "--out", str(tmp_path / "command")]) == 0
    other = mechcla.read_run(tmp_path / "command")
    assert run.status == other.status == "complete"
    assert run.summary.to_pandas().to_csv() == other.summary.to_pandas().to_csv()
    assert run.choice == other.choice
    for name in run.conditions:
        assert run.scores(name).rows == other.scores(name).rows
    again = mechcla.run_sweep(
        model, tmp_path / "items.jsonl", out=tmp_path / "run", device="cpu", **FEW
    )
    assert again.summary.to_pandas().to_csv() == run.summary.to_pandas().to_csv()


def test_without_figures_there_are_tables_and_they_can_be_drawn_later(tiny, small_items, tmp_path):
    how = {"out": tmp_path / "run", "languages": ["es"], **FEW}
    run = mechcla.run_sweep(tiny, small_items, **how)

    def drawn() -> set[str]:
        return {p.name for p in run.folder.rglob("*") if p.suffix in (".png", ".svg", ".html")}

    assert drawn() == set()
    assert {p.name for p in (run.folder / "figures").iterdir()} >= {"fig4_layers.json"}
    cells = {p: p.stat().st_mtime_ns for p in (run.folder / "cells").rglob("*.parquet")}
    assert mechcla.report(run.folder).name == "report.html"
    mechcla.run_sweep(tiny, small_items, **{**how, "figures": True})
    assert drawn() >= {"report.html", "fig4_layers.png", "fig5_surgical.svg"}
    assert {p: p.stat().st_mtime_ns for p in (run.folder / "cells").rglob("*.parquet")} == cells


def test_models_and_items_that_are_held(tiny, small_items, tmp_path):
    run = mechcla.run_sweep(tiny, small_items, out=tmp_path / "run", languages=["es"], **FEW)
    assert run.item_set == small_items
    fresh = mechcla.transfer(mechcla.score(tiny, small_items.test))["es"]
    row = run.summary.one(method="unsteered", language="es", metric="transfer", measure="share")
    assert row["value"] == pytest.approx(fresh.value, abs=1e-5)


@pytest.mark.filterwarnings("ignore:.*hooks that are not mechcla's")
def test_a_run_under_the_users_own_hooks_is_never_gone_on_with(tiny, small_items, tmp_path):
    """Another hook under the same name would be believed to have made the same cells."""
    handle = tiny.blocks[1].register_forward_hook(lambda _m, _a, h: None)
    try:
        mechcla.run_sweep(tiny, small_items, out=tmp_path / "run", **FEW)
        with pytest.raises(MechclaError, match="hooks of your own: the folder has"):
            mechcla.run_sweep(tiny, small_items, out=tmp_path / "run", **FEW)
    finally:
        handle.remove()


def test_what_it_does_not_take(tiny, small_items, tmp_path):
    with pytest.raises(MechclaError, match="unknown setting 'layer'; did you mean 'layers'"):
        mechcla.run_sweep(tiny, small_items, out=tmp_path / "run", layer=[1])
    with pytest.raises(MechclaError, match="takes settings themselves, not preset='quick'"):
        mechcla.run_sweep(tiny, small_items, out=tmp_path / "run", preset="quick")
    assert not (tmp_path / "run").exists()


def test_vectors_of_anybodys(tiny_folders, tiny, small_items, tmp_path):
    en, loc = mechcla.en_vectors(tiny, small_items.dev), mechcla.loc_vectors(tiny, small_items.dev)
    backwards = {k: -v for k, v in loc.vectors.items()}
    mechcla.SteeringVectors.from_tensors("EN", en.vectors).save(tmp_path / "en.safetensors")
    mechcla.SteeringVectors.from_tensors("LOC", backwards).save(tmp_path / "loc.safetensors")
    files = [str(tmp_path / "en.safetensors"), str(tmp_path / "loc.safetensors")]
    run = mechcla.run_sweep(
        tiny, small_items, out=tmp_path / "run", vectors=files, **FEW | {"controls": True}
    )
    assert torch.equal(run.vectors["LOC"]["es"], -loc["es"])
    assert {"LOC random", "LOC orthogonal", "SUR swapped"} <= set(run.conditions)
    assert not {"LOC shuffled", "LOC us_country"} & set(run.conditions)  # they need the prompts
    edit = mechcla.loc_steering(run.vectors["LOC"], language="es", layer=2, strength=1.0)
    there = mechcla.loc_steering(loc, language="es", layer=2, strength=-1.0)
    test = small_items.cultural.test.language("es")
    for a, b in zip(mechcla.score(tiny, test, edit), mechcla.score(tiny, test, there), strict=True):
        assert a.log_likelihood == b.log_likelihood
    with pytest.raises(
        MechclaError, match="no file named 'LOC'; expected one named EN and one named LOC"
    ):
        mechcla.run_sweep(tiny, small_items, out=tmp_path / "one", vectors=files[:1], **FEW)
    narrow = {"es": torch.ones(4, 7)}
    mechcla.SteeringVectors.from_tensors("LOC", narrow).save(tmp_path / "narrow.safetensors")
    with pytest.raises(MechclaError, match=r"'es' are \(4, 7\)"):
        mechcla.run_sweep(
            tiny,
            small_items,
            out=tmp_path / "narrow",
            vectors=[files[0], str(tmp_path / "narrow.safetensors")],
            **FEW,
        )


def test_tensors_that_are_no_vectors():
    with pytest.raises(MechclaError, match="'es' are not all finite"):
        mechcla.SteeringVectors.from_tensors("LOC", {"es": torch.full((2, 3), torch.nan)})
    with pytest.raises(MechclaError, match="expected a tensor per language"):
        mechcla.SteeringVectors.from_tensors("LOC", {})
    with pytest.raises(MechclaError, match="norms of 'es': expected one per layer, 2"):
        mechcla.SteeringVectors.from_tensors("LOC", {"es": torch.ones(2, 3)}, norms={})


def test_a_setting_that_the_loaded_model_is_otherwise_is_refused(tiny, small_items, tmp_path):
    for name, value, has in (
        ("dtype", "bfloat16", "float32"),
        ("device", "cuda:1", "cpu"),
        ("revision", "abc", None),
    ):
        said = f"setting '{name}' is '{value}', but the model .* with {name} {has!r}"
        for call in (mechcla.run_sweep, mechcla.configure):
            with pytest.raises(MechclaError, match=said):
                call(tiny, small_items, out=str(tmp_path / "no"), **{name: value}, **FEW)
    assert not (tmp_path / "no").exists()
    same = {"dtype": "float32", "device": "cpu", "revision": None}
    found = mechcla.configure(tiny, small_items, **same, **FEW)
    assert (found.config.dtype, found.config.device) == ("float32", "cpu")
    chat = mechcla.Chat(system="Be brief.")
    with pytest.raises(MechclaError, match=r"system_prompt='x' is given beside chat=Chat"):
        mechcla.configure(tiny, small_items, chat=chat, system_prompt="x", **FEW)


def test_a_string_is_one_language(tiny, tiny_folders, small_items, tmp_path):
    small_items.to_jsonl(tmp_path / "items.jsonl")
    path = str(tmp_path / "items.jsonl")
    model = str(tiny_folders["llama"])
    held = mechcla.run_sweep(tiny, small_items, out=tmp_path / "a", languages="es", **FEW)
    read = mechcla.run_sweep(model, path, out=tmp_path / "b", languages="es", device="cpu", **FEW)
    assert held.item_set.languages == read.item_set.languages
    assert held.choice == read.choice
    found = mechcla.configure(tiny, small_items, "es", **FEW)
    assert list(found.choices.by_language) == ["es"]
    with pytest.raises(MechclaError, match="no items in language 'es,ko'"):
        mechcla.configure(tiny, small_items, "es,ko", **FEW)
