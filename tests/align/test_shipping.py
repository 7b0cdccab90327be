"""Adapters that travel: rounded, cut, with the choice of their own run, found and read back."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

import mechcla
from analyses import ship_adapters
from mechcla.align.kept import keep, of_rank
from mechcla.align.record import read_result
from mechcla.align.shipping import check_shipped, ship_choice, ship_weights
from mechcla.errors import MechclaError
from mechcla.runs.run import Run
from mechcla.steering.method import Method
from mechcla.steering.recorded import read_choice
from mechcla.sweep.__main__ import main as sweep
from mechcla.sweep.config import make
from mechcla.sweep.shipped import compare_shipped
from tests.align.test_training import train

WEIGHTS = "adapter_model.safetensors"
FEW: dict[str, Any] = {
    "layers": [0, 1, 2, 3],
    "restore": False,
    "resamples": 100,
    "controls": False,
    "figures": False,
    "tolerance": 1.0,
    "device": "cpu",
}


@pytest.fixture(scope="module")
def base(tiny_folders: dict[str, Path]) -> Path:
    return tiny_folders["llama"]


@pytest.fixture(scope="module")
def trained(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained hard, so that it is another model than its base."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("trained") / "clo"
    return train("clo", base, folder, lr=0.05, rank=6, modules=["all"]).folder


@pytest.fixture(scope="module")
def shipped(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights alone."""
    folder = tmp_path_factory.mktemp("shipped") / "clo"
    return ship_weights(trained, folder, rank=3).folder


@pytest.fixture(scope="module")
def reference(
    base: Path, shipped: Path, small_items: Any, tmp_path_factory: pytest.TempPathFactory
) -> Run:
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("runs")
    return mechcla.run_sweep(f"{base}+{shipped}", small_items, out=out / "clo", **FEW)


@pytest.fixture
def whole(shipped: Path, reference: Run, tmp_path: Path) -> Path:
    """With the choice, in a folder of shipped adapters."""
    folder = Path(shutil.copytree(shipped, tmp_path / "adapters" / "clo"))
    ship_choice(folder, reference)
    return folder


@pytest.fixture
def at_hand(whole: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The shipped adapters are those of this test."""
    monkeypatch.setenv("MECHCLA_ADAPTERS", str(whole.parent))
    return whole


def updates(folder: Path) -> dict[str, np.ndarray]:
    """What the adapter adds to each weight, whole, in float64: the oracle."""
    tensors = load_file(folder / WEIGHTS)
    config = json.loads((folder / "adapter_config.json").read_text("utf-8"))
    found = {}
    for name in tensors:
        if name.endswith(".lora_A.weight"):
            stem = name.removesuffix(".lora_A.weight")
            a, b = (tensors[f"{stem}.lora_{side}.weight"].double().numpy() for side in "AB")
            found[stem] = b @ a * config["lora_alpha"] / config["r"]
    return found


def test_a_smaller_rank_is_the_nearest_one(trained: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(trained, tmp_path / "a"))
    held = keep(folder, rank=2)
    whole = kept = 0.0
    for stem, after in updates(folder).items():
        before = updates(trained)[stem]
        u, sizes, v = np.linalg.svd(before)
        nearest = u[:, :2] * sizes[:2] @ v[:2]
        np.testing.assert_allclose(after, nearest, atol=1e-6 * sizes[0])
        assert np.linalg.matrix_rank(after, tol=1e-5 * sizes[0]) == 2
        scale = 32 / 6  # of the squared norm before alpha / rank, the same for all
        whole, kept = whole + (sizes**2).sum() / scale**2, kept + (sizes[:2] ** 2).sum() / scale**2
    assert 0.3 < held < 1
    assert held == pytest.approx(kept / whole, rel=1e-6)
    config = json.loads((folder / "adapter_config.json").read_text("utf-8"))
    assert (config["r"], config["lora_alpha"]) == (2, pytest.approx(32 / 3))


def test_an_update_of_no_size_keeps_its_rank_question_open() -> None:
    zero = {"m.lora_A.weight": torch.zeros(2, 3), "m.lora_B.weight": torch.zeros(4, 2)}
    made, held = of_rank(zero, 1)
    assert held == 1.0
    assert not any(t.any() for t in made.values())


def test_loading_a_rounded_adapter_is_loading_its_exact_float32_and_merging_it(
    base: Path, shipped: Path, tmp_path: Path
) -> None:
    """To the last bit: bfloat16 goes into float32 exactly, and merged weights are peft's own."""
    held = load_file(shipped / WEIGHTS)
    assert {t.dtype for t in held.values()} == {torch.bfloat16}
    exact = Path(shutil.copytree(shipped, tmp_path / "exact"))
    save_file({k: t.float() for k, t in held.items()}, exact / WEIGHTS, {"format": "pt"})
    hf = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    merged = peft.PeftModel.from_pretrained(hf, str(exact)).merge_and_unload().state_dict()
    for folder in (shipped, exact):
        model = mechcla.load_model(base, adapter=folder, device="cpu")
        found = {
            k.replace("._original_component", ""): v
            for k, v in model.bridge.original_model.state_dict().items()
        }
        same = [k for k in merged if k in found and torch.equal(found[k], merged[k])]
        assert len(same) == len(merged), sorted(set(merged) - set(same))[:3]


def test_training_can_save_in_bfloat16_what_float32_training_found(
    base: Path, tmp_path: Path
) -> None:
    plain = train("mist", base, tmp_path / "plain")
    half = train("mist", base, tmp_path / "half", adapter_dtype="bfloat16")
    assert half.losses == plain.losses
    before, after = (load_file(r.folder / WEIGHTS) for r in (plain, half))
    assert {t.dtype for t in after.values()} == {torch.bfloat16}
    assert all(torch.equal(after[k], t.to(torch.bfloat16)) for k, t in before.items())
    assert half.digest != plain.digest
    with pytest.raises(MechclaError, match="adapter_dtype 'bfloat16', not 'float32'"):
        train("mist", base, half.folder)


def test_a_training_from_before_a_setting_is_the_one_with_its_default(
    base: Path, tmp_path: Path
) -> None:
    from mechcla.storage import write_sealed

    done = train("mist", base, tmp_path / "a")
    record = {k: v for k, v in done.record.items() if k != "digest"}
    record["settings"] = {k: v for k, v in done.settings.items() if k != "adapter_dtype"}
    write_sealed(done.folder / "training.json", record)
    assert train("mist", base, tmp_path / "a").digest == done.digest
    with pytest.raises(MechclaError, match="adapter_dtype 'float32', not 'bfloat16'"):
        train("mist", base, tmp_path / "a", adapter_dtype="bfloat16")


def test_a_file_that_is_too_large_names_the_rank_that_fits(trained: Path, tmp_path: Path) -> None:
    size = (ship_weights(trained, tmp_path / "all").folder / WEIGHTS).stat().st_size
    with pytest.raises(MechclaError, match=r"bytes in bfloat16 at rank 6, .* --rank 4") as error:
        ship_weights(trained, tmp_path / "a", limit=size * 3 // 4)
    assert not (tmp_path / "a").exists()
    assert f"{size:,} bytes" in str(error.value)
    found = ship_weights(trained, tmp_path / "a", rank=4, limit=size * 3 // 4)
    assert found.record["shipped"]["rank"] == 4
    assert found.losses == read_result(trained).losses
    card = (found.folder / "README.md").read_text("utf-8")
    assert "ai.google.dev/gemma/terms" in card
    assert "cut from rank 6 to 4" in card
    with pytest.raises(MechclaError, match="is there already"):
        ship_weights(trained, tmp_path / "a", rank=4)


def test_the_recorded_choice_gives_the_reference_runs_scores(
    base: Path, whole: Path, reference: Run
) -> None:
    """The oracle are the run's own cells, which were made with whole vector files."""
    choice = read_choice(whole)
    assert {k: m.describe() for k, m in choice.methods.items()} == reference.choice["SUR"]
    assert set(choice.methods.values()) != {Method()}
    model = mechcla.load_model(base, adapter=whole, device="cpu")
    for language in choice.languages:
        items = reference.item_set.language(language).test
        for kind in ("universal", "cultural"):
            part = getattr(items, kind)
            found = mechcla.score(model, part, choice.interventions(language))
            cells = {r.id: r for r in reference.scores("SUR").where(language=language, kind=kind)}
            for row in found:
                np.testing.assert_allclose(row.values(), cells[row.id].values(), atol=1e-4)
    steered = next(k for k, m in choice.methods.items() if m.loc_layer is not None)
    used = choice.methods[steered].loc_layer
    other = next(k for k in range(4) if k != used)
    assert choice.vectors["LOC"].layers(steered) == (used,)
    with pytest.raises(MechclaError, match=f"layer {other} was left out .* only {used} in"):
        choice.vectors["LOC"].at(steered, other)
    with pytest.raises(MechclaError, match="no SUR choice is recorded for 'ko'"):
        choice.interventions("ko")
    original = reference.vectors["LOC"][steered][used]
    assert torch.equal(choice.vectors["LOC"].at(steered, used)[0], original)
    assert (whole / "loc.safetensors").stat().st_size < 4000
    check_shipped(whole)


def test_another_machines_rounding_is_no_other_model(whole: Path, tiny_models: Any) -> None:
    model, choice = tiny_models["llama"], read_choice(whole)
    language = next(k for k, m in choice.methods.items() if m != Method())
    items = mechcla.ItemSet(tuple(mechcla.load_items("demo").language(language).test)[:1])
    with pytest.raises(MechclaError, match="made with another model"):
        mechcla.score(model, items, choice.interventions(language))
    assert len(mechcla.score(model, items, choice.on(model).interventions(language))) == 1


def test_the_run_of_another_model_is_refused(
    trained: Path, base: Path, shipped: Path, small_items: Any, tmp_path: Path
) -> None:
    """The float32 adapter's run is not the bfloat16 one's."""
    run = mechcla.run_sweep(f"{base}+{trained}", small_items, out=tmp_path / "run", **FEW)
    folder = Path(shutil.copytree(shipped, tmp_path / "clo"))
    with pytest.raises(MechclaError, match=r"is of another model .* rounding makes another one"):
        ship_choice(folder, run)
    assert not (folder / "steering.json").exists()


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3] + b"abc")


def test_what_is_damaged_is_named(whole: Path) -> None:
    copy = whole.parent / "copy"
    for name, message in (
        ("loc.safetensors", "loc.safetensors' is damaged"),
        ("steering.json", "steering.json' is damaged"),
        (WEIGHTS, "is not the file that training.json names"),
        ("training.json", "training.json' is damaged"),
    ):
        shutil.copytree(whole, copy)
        damage(copy / name)
        with pytest.raises(MechclaError, match=message):
            check_shipped(copy)
        shutil.rmtree(copy)
    (whole / "en.safetensors").unlink()
    with pytest.raises(MechclaError, match=r"en\.safetensors' is missing"):
        read_choice(whole)
    (whole / "steering.json").unlink()
    with pytest.raises(MechclaError, match=r"holds no steering\.json"):
        read_choice(whole)


def test_the_shipped_models_stand_beside_a_run_of_their_base(
    at_hand: Path,
    base: Path,
    reference: Run,
    small_items: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Their numbers are those of their own sweep on the same items; a second call scores none."""
    small_items.to_jsonl(tmp_path / "items.jsonl")
    arguments = ["--model", str(base), "--items", str(tmp_path / "items.jsonl"), "--device", "cpu"]
    arguments += ["--layers", "0,1,2,3", "--no-restore", "--resamples", "100", "--no-controls"]
    arguments += ["--tolerance", "1", "--no-figures", "--out", str(tmp_path / "run")]
    assert sweep([*arguments, "--with-adapters"]) == 0
    said = capsys.readouterr().out
    assert "clo against base: transfer" in said
    out = tmp_path / "run-aligned"
    assert {p.name for p in out.iterdir()} >= {"aligned.csv", "aligned_plane.png"}
    run = mechcla.read_run(tmp_path / "run")
    assert not (run.config.keys() & {"with_adapters", "adapters"})
    cells = {p: p.stat().st_mtime_ns for p in (out / "cells").iterdir()}
    assert len(cells) == 2
    config = make({"model": str(base), "out": str(tmp_path / "run"), "resamples": 100})
    found = compare_shipped(run, config, say=lambda _: None)
    assert {p: p.stat().st_mtime_ns for p in (out / "cells").iterdir()} == cells
    assert found is not None
    assert found.models == ("base", "clo")
    for condition in ("unsteered", "SUR"):
        for axis in ("transfer", "localization"):
            own = reference.summary.one(
                method=condition, language="all", metric=axis, measure="share"
            )
            value = found.value("clo", condition, "all", axis)
            assert value is not None
            assert value.value == pytest.approx(own["value"], abs=1e-5)
    before = run.summary.one(method="unsteered", language="all", metric="transfer", measure="share")
    shown = {(p.model, p.condition): p for p in found.plane() if p.language == "all"}
    assert shown["base", "unsteered"].transfer.value == pytest.approx(before["value"])
    assert set(shown) >= {("base", "SUR"), ("clo", "unsteered"), ("clo", "SUR")}


def test_a_model_without_shipped_adapters_is_said(
    at_hand: Path, base: Path, tiny: Any, small_items: Any, tmp_path: Path
) -> None:
    run = mechcla.run_sweep(tiny, small_items, out=tmp_path / "run", **FEW)
    said: list[str] = []
    other = Run(run.folder, run.record | {"config": run.config | {"model": "another"}})
    assert compare_shipped(other, make({}), said.append) is None
    assert "is of 'another'" in said[0]
    own = {"model": str(base), "chat": True}
    chat = Run(run.folder, run.record | {"config": run.config | own})
    assert compare_shipped(chat, make({}), said.append) is None
    assert "plain prompts" in said[1]
    assert not (tmp_path / "run-aligned").exists()


def test_the_script_makes_checks_and_refuses(
    trained: Path, reference: Run, shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.excepthook", None)
    monkeypatch.setenv("MECHCLA_ADAPTERS", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    ship_adapters.main(["weights", str(trained), "--out", str(tmp_path / "clo"), "--rank", "3"])
    assert (tmp_path / "clo" / WEIGHTS).read_bytes() == (shipped / WEIGHTS).read_bytes()
    with pytest.raises(MechclaError, match=r"holds no steering\.json"):
        ship_adapters.main(["check"])
    ship_adapters.main(["choice", "./clo", str(reference.folder)])
    ship_adapters.main(["check"])
    assert "what dev chose for SUR" in (tmp_path / "clo" / "README.md").read_text("utf-8")
