"""Models and items given as objects: their config.yaml is run again; threads; bfloat16."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
import yaml

import mechcla
from mechcla.errors import MechclaError
from mechcla.models.load import load_model
from mechcla.sweep.__main__ import main
from mechcla.sweep.config import make
from mechcla.sweep.runner import open_sweep

pytestmark = pytest.mark.slow  # a sweep each

FEW = {"layers": [0, 2], "restore": False, "resamples": 100, "figures": False}


def chosen(found: mechcla.Configuration) -> dict[str, dict[str, dict]]:
    """What configure chose, as a run records it."""
    choices = found.choices
    return {
        f: {k: found.method(f, k).describe() for k in choices.languages(f)}
        for f in choices.families
    }


@pytest.fixture(scope="module")
def configured(tiny, small_items, tmp_path_factory) -> tuple[mechcla.Configuration, Path]:
    out = tmp_path_factory.mktemp("configured") / "run"
    chat = False
    return mechcla.configure(tiny, small_items, ["es"], out=str(out), chat=chat, **FEW), out


def test_what_configure_writes_is_run_again_and_chooses_the_same(configured, tmp_path, small_items):
    found, out = configured
    asked = ["--config", str(out / "config.yaml")]
    assert main([*asked, "--out", str(tmp_path / "other")]) == 0
    other = mechcla.read_run(tmp_path / "other")
    assert other.status == "complete"
    assert other.choice == chosen(found)
    assert other.item_set == small_items
    # and that run's config.yaml again, with a setting and a language of its own
    asked = ["--config", str(tmp_path / "other" / "config.yaml"), "--languages", "es"]
    assert main([*asked, "--test-items", "2", "--out", str(tmp_path / "third")]) == 0
    third = mechcla.read_run(tmp_path / "third")
    assert len(third.scores("unsteered")) == 8
    # the folder itself goes on under its own config
    assert main(["--config", str(out / "config.yaml"), "--out", str(out)]) == 0
    assert mechcla.read_run(out).choice == other.choice


def test_a_run_of_objects_is_run_again_from_a_copy_of_its_folder(tiny, small_items, tmp_path):
    run = mechcla.run_sweep(tiny, small_items, out=tmp_path / "run", controls=False, **FEW)
    shutil.move(tmp_path / "run", tmp_path / "moved")
    config = str(tmp_path / "moved" / "config.yaml")
    assert main(["--config", config, "--out", str(tmp_path / "again")]) == 0
    again = mechcla.read_run(tmp_path / "again")
    assert (
        again.summary.to_pandas().to_csv()
        == mechcla.read_run(tmp_path / "moved").summary.to_pandas().to_csv()
    )
    assert again.config == run.config


def test_items_that_are_not_there_or_others_are_one_message(configured, tmp_path, capsys):
    _, out = configured
    copy = Path(shutil.copytree(out, tmp_path / "copy"))
    asked = ["--config", str(copy / "config.yaml"), "--out", str(tmp_path / "no")]
    lines = (copy / "items.jsonl").read_text(encoding="utf-8").splitlines()
    (copy / "items.jsonl").write_text("\n".join(lines[:-1]) + "\n", encoding="utf-8")
    assert main(asked) == 2
    assert "holds other items than" in capsys.readouterr().err
    (copy / "items.jsonl").unlink()
    assert main(asked) == 2
    error = capsys.readouterr().err
    assert "were given as an object, so they are expected as items.jsonl beside" in error
    assert "Traceback" not in error
    assert not (tmp_path / "no").exists()
    with pytest.raises(MechclaError, match=r"expected as items\.jsonl beside a --config file"):
        open_sweep(make({"items": "sha256:0", "out": str(tmp_path / "no")}))


def test_a_model_that_is_held_is_written_down_with_its_revision(tiny, small_items, tmp_path):
    config = tiny.bridge.original_model.config
    before = getattr(config, "_commit_hash", None)
    config._commit_hash = "0123abc"
    try:
        mechcla.configure(tiny, small_items, out=str(tmp_path / "run"), **FEW)
    finally:
        config._commit_hash = before
    written = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert (written["model"], written["revision"]) == (tiny.name, "0123abc")
    assert written["dtype"] == "float32"


def test_a_base_with_an_adapter_is_loaded_again(tiny_folders, small_items, tmp_path):
    pytest.importorskip("peft", reason="the extra `align` is not installed")
    from tests.models.test_adapters import lora, save_adapter

    adapter = save_adapter(tiny_folders["llama"], tmp_path / "adapter", lora())
    model = mechcla.load_model(str(tiny_folders["llama"]), adapter=str(adapter), device="cpu")
    run = mechcla.run_sweep(model, small_items, out=tmp_path / "run", controls=False, **FEW)
    config = str(tmp_path / "run" / "config.yaml")
    assert main(["--config", config, "--out", str(tmp_path / "again")]) == 0
    again = mechcla.read_run(tmp_path / "again")
    assert again.record["identity"]["model"] == run.record["identity"]["model"] == model.digest


@pytest.mark.parametrize("fails", [False, True])
def test_the_number_of_threads_is_as_it_was(fails, tiny_folders, tiny, small_items, tmp_path):
    torch.set_num_threads(2)
    few = FEW | {"controls": False, "threads": 1}
    if not fails:
        run = mechcla.run_sweep(tiny, small_items, out=tmp_path / "run", **few)
        assert run.record["versions"]["threads"] == "1"
        assert torch.get_num_threads() == 2
        mechcla.configure(tiny, small_items, out=str(tmp_path / "c"), **FEW, threads=1)
        assert torch.get_num_threads() == 2
        small_items.to_jsonl(tmp_path / "items.jsonl")
        given = ["--model", str(tiny_folders["llama"]), "--items", str(tmp_path / "items.jsonl")]
        given += ["--layers", "0,2", "--no-restore", "--no-controls", "--resamples", "100"]
        assert main([*given, "--threads", "1", "--out", str(tmp_path / "m")]) == 0
    else:
        with pytest.raises(MechclaError, match="cannot load the model"):
            mechcla.run_sweep("./none", small_items, out=tmp_path / "run", **few)
        with pytest.raises(MechclaError, match="not in"):
            mechcla.configure(tiny, small_items, **(FEW | {"layers": [0, 9], "threads": 1}))
        (tmp_path / "there").mkdir()
        (tmp_path / "there" / "foreign").touch()
        with pytest.raises(MechclaError, match="is not empty"):
            mechcla.run_sweep(tiny, small_items, out=tmp_path / "there", **few)
        assert main(["--threads", "1", "--items", "no.jsonl", "--out", str(tmp_path / "m")]) == 2
    assert torch.get_num_threads() == 2


def test_configure_and_a_sweep_in_bfloat16_choose_the_same(tiny_folders, small_items, tmp_path):
    model = load_model(str(tiny_folders["llama"]), dtype="bfloat16", device="cpu")
    found = mechcla.configure(model, small_items, try_positions=[], controls=False, **FEW)
    run = mechcla.run_sweep(model, small_items, out=tmp_path / "run", controls=False, **FEW)
    assert run.status == "complete"
    assert run.config["dtype"] == found.config.dtype == "bfloat16"
    assert run.record["identity"]["dtype"] == "bfloat16"
    assert run.choice == chosen(found)
    for language, method in run.choice["SUR"].items():
        settings = {k: v for k, v in method.items() if k not in ("family", "name")}
        assert found.method("SUR", language) == mechcla.steering.method.Method(**settings)
    small_items.to_jsonl(tmp_path / "items.jsonl")
    given = ["--model", str(tiny_folders["llama"]), "--items", str(tmp_path / "items.jsonl")]
    given += ["--layers", "0,2", "--no-restore", "--no-controls", "--resamples", "100"]
    asked = [*given, "--dtype", "bfloat16", "--device", "cpu", "--out", str(tmp_path / "command")]
    assert main(asked) == 0
    other = mechcla.read_run(tmp_path / "command")
    assert other.choice == run.choice
    for name in run.conditions:
        assert run.scores(name).rows == other.scores(name).rows
