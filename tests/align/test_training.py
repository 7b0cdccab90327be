"""Training on tiny models: first losses by hand, gradients, resume, merging, the result."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import mechcla
from mechcla.align import training as training_module
from mechcla.align.config import make
from mechcla.align.data import ParallelFact, TrainingData, training_data
from mechcla.align.decoder import Decoder
from mechcla.align.methods import METHODS
from mechcla.align.plan import make_plan
from mechcla.align.record import read_result
from mechcla.models.hooked_model import HookedModel
from tests.slow import others_slow

FAMILIES = ("llama", "gemma3_text", "gpt2")
WORDS = [("tea", "té"), ("wine", "vino"), ("milk", "leche"), ("soda", "gaseosa"), ("rice", "arroz")]


def facts() -> TrainingData:
    made = [
        ParallelFact(
            f"drink{n}",
            "drink",
            {"en": f"What is {n}?", "es": f"¿Qué es {n}?"},
            {"en": en, "es": es},
            {"en": f"Number {n} is {en}", "es": f"El número {n} es {es}"},
            where=f"row {n}",
        )
        for n, (en, es) in enumerate(WORDS)
    ]
    return training_data("drinks", made)


SMALL: dict[str, Any] = {"batch_rows": 8, "steps": 4, "warmup": 0, "rank": 4, "lr": 1e-3}


def train(method: str, model: Path, out: Path, **changes: Any) -> mechcla.AlignResult:
    return mechcla.align(method, model, out, facts(), device="cpu", **SMALL | changes)


def plain_log_probs(model: Any, ids: list[int], cut: int) -> list[float]:
    """One row, no padding, the whole model's own logits: the oracle."""
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
    return [float(logits[k - 1, ids[k]]) for k in range(cut, len(ids))]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("method", ["mist", "midalign", "clo", "english_only", "broken_pairing"])
def test_the_first_loss_is_that_of_the_base_by_hand(
    method: str, family: str, tiny_folders: dict[str, Path], tmp_path: Path
) -> None:
    """A fresh adapter changes nothing, so step 1 is computed on the base, one text at a time."""
    folder = tiny_folders[family]
    result = train(method, folder, tmp_path / "a", batch_tokens=64)
    config = make(
        {"method": method, "model": str(folder), "data": "drinks", **SMALL, "batch_tokens": 64}
    )
    tokenizer = AutoTokenizer.from_pretrained(folder)
    plan = make_plan(config, facts(), tokenizer, 128, 320, 0)
    assert plan.parts > 1  # so that micro-batches are weighed
    base = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    )
    base.eval()
    rows = [row for part in plan.steps[0].parts for row in part]
    if method == "clo":
        fitted = [row for row in rows if row.example.fit]
        found = [
            x for row in fitted for x in plain_log_probs(base, list(row.ids[0]), row.prompts[0])
        ]
        expected = -0.5 * sum(found) / len(found) + 0.5 * math.log(2)
    else:
        found = [x for row in rows for x in plain_log_probs(base, list(row.ids[0]), row.prompts[0])]
        expected = -sum(found) / len(found)
    assert result.losses[0]["loss"] == pytest.approx(expected, rel=2e-5)
    assert [row["step"] for row in result.losses] == [1, 2, 3, 4]
    tasks = [row["task"] for row in result.losses]
    turns = [task.name for task in METHODS.get(method).tasks]
    assert tasks == [turns[k % len(turns)] for k in range(4)]


def adapted(folder: Path, method: str, **changes: Any) -> tuple[Decoder, Any, Any]:
    config = make({"method": method, "model": str(folder), "data": "drinks", **SMALL, **changes})
    model, _ = training_module._adapted(config)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, 0, 0.05)  # else lora_A has no gradient
    plan = make_plan(config, facts(), AutoTokenizer.from_pretrained(folder), 128, 320, 0)
    return Decoder(model), plan, config


@pytest.mark.parametrize("family", FAMILIES)
def test_midalign_reaches_adapters_at_and_below_its_block_alone(
    family: str, tiny_folders: dict[str, Path]
) -> None:
    decoder, plan, config = adapted(tiny_folders[family], "midalign", layer=1)
    batch = plan[plan.parts]["batch"]
    assert batch.task == "infonce"
    plan.tasks["infonce"].loss(decoder, batch, config).total.backward()
    reached = {}
    for name, weight in decoder.model.named_parameters():
        if weight.requires_grad:
            layer = int(next(part for part in name.split(".") if part.isdecimal()))
            moved = weight.grad is not None and bool((weight.grad != 0).any())
            reached.setdefault(layer, set()).add(moved)
    assert reached == {0: {True}, 1: {True}, 2: {False}, 3: {False}}


@pytest.mark.parametrize("pool", ["written", "all"])
@pytest.mark.parametrize("family", FAMILIES)
def test_pooled_residuals_are_the_bridge_s_mean(
    family: str,
    pool: Literal["written", "all"],
    tiny_folders: dict[str, Path],
    tiny_models: dict[str, HookedModel],
) -> None:
    """After block 1, mean over tokens, BOS left out or not, against TransformerLens."""
    config = make({"method": "midalign", "model": str(tiny_folders[family]), "data": "d", **SMALL})
    model, _ = training_module._adapted(config)
    tokenizer = AutoTokenizer.from_pretrained(tiny_folders[family])
    added = len(tokenizer("a").input_ids) - len(tokenizer.tokenize("a"))
    plan = make_plan(config, facts(), tokenizer, 128, 320, 0)
    batch = plan[plan.parts]["batch"]
    with torch.no_grad():
        found = Decoder(model).pooled(batch, 1, pool)
    bridge = tiny_models[family].bridge
    for ids, real, vector in zip(batch.ids, batch.real, found, strict=True):
        name = "blocks.1.hook_resid_post"
        with torch.no_grad():
            _, cache = bridge.run_with_cache(ids[real][None], names_filter=[name])
        first = added if pool == "written" else 0
        assert torch.allclose(cache[name][0, first:].mean(0), vector, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_head_at_labels_gives_the_whole_model_s_logits(
    family: str, tiny_folders: dict[str, Path]
) -> None:
    decoder, plan, _ = adapted(tiny_folders[family], "mist")
    batch = plan[0]["batch"]
    assert torch.allclose(decoder.logits(batch), decoder._whole(batch), atol=1e-5)
    assert decoder.head == "plain"


def test_the_reference_is_the_base(tiny_folders: dict[str, Path]) -> None:
    decoder, plan, _ = adapted(tiny_folders["llama"], "clo")
    batch = plan[0]["batch"]
    base = AutoModelForCausalLM.from_pretrained(tiny_folders["llama"], attn_implementation="eager")
    for n, (ids, real) in enumerate(zip(batch.ids, batch.real, strict=True)):
        cut = int(batch.label_place[batch.label_row == n].min()) + 1
        expected = sum(plain_log_probs(base, ids[real].tolist(), cut))
        assert float(decoder.reference_log_probs(batch)[n]) == pytest.approx(expected, rel=1e-4)
    assert not torch.allclose(decoder.reference_log_probs(batch), decoder.text_log_probs(batch))


KILLED = """
import os, sys
from tests.align import test_training as t
from mechcla.align import trainer
import mechcla
from pathlib import Path
folder, out, method, dropout = sys.argv[1:]
from transformers import Trainer
saved = Trainer._save_checkpoint
def save(self, *a, **k):
    saved(self, *a, **k)
    if self.state.global_step == 4:
        os._exit(9)
Trainer._save_checkpoint = save
t.train(method, Path(folder), Path(out), steps=8, save_every=2, dropout=float(dropout))
"""


@pytest.mark.parametrize(
    ("method", "dropout"),
    others_slow(
        [("mist", 0), ("midalign", 0), ("clo", 0), ("mist", 0.2), ("clo", 0.2)],
        {("clo", 0.2)},  # with most that must go on: a reference, and dropout's random state
    ),
)
def test_a_killed_training_goes_on_to_the_weights_of_an_unbroken_one(
    method: str, dropout: float, tiny_folders: dict[str, Path], tmp_path: Path
) -> None:
    folder = tiny_folders["llama"]
    settings = {"steps": 8, "save_every": 2, "dropout": dropout}
    whole = train(method, folder, tmp_path / "whole", **settings)
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(folder), str(tmp_path / "cut"), method, str(dropout)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
    )
    assert killed.returncode == 9, killed.stderr.decode()
    assert not (tmp_path / "cut").exists()
    half = tmp_path / "cut.training" / "checkpoint-4"
    (tmp_path / "cut.training" / "checkpoint-6").mkdir()  # what a kill while saving leaves
    assert half.exists()
    again = train(method, folder, tmp_path / "cut", **settings)
    assert again.digest == whole.digest  # to the last bit
    assert list(again.losses) == list(whole.losses)
    assert not (tmp_path / "cut.training").exists()


def test_the_same_seed_gives_the_same_adapter_and_another_seed_another(
    tiny_folders: dict[str, Path], tmp_path: Path
) -> None:
    folder = tiny_folders["llama"]
    before = torch.get_rng_state()
    one, two = (train("mist", folder, tmp_path / n) for n in "ab")
    other = train("mist", folder, tmp_path / "c", seed=1)
    assert one.digest == two.digest != other.digest
    assert torch.equal(torch.get_rng_state(), before)
    for name in ("adapter_config.json", "losses.csv", "losses.png"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


@pytest.mark.parametrize("family", FAMILIES)
def test_merging_equals_loading_to_the_last_bit(
    family: str, tiny_folders: dict[str, Path], tmp_path: Path, small_items: mechcla.ItemSet
) -> None:
    from peft import PeftModel

    folder = tiny_folders[family]
    result = train("mist", folder, tmp_path / "a")
    loaded = mechcla.load_model(folder, adapter=result.folder, device="cpu")
    base = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    )
    merged = PeftModel.from_pretrained(base, result.folder).merge_and_unload()
    merged.save_pretrained(tmp_path / "merged")
    AutoTokenizer.from_pretrained(folder).save_pretrained(tmp_path / "merged")
    whole = mechcla.load_model(tmp_path / "merged", device="cpu")
    one, two = (mechcla.score(m, small_items.test) for m in (loaded, whole))
    assert [r.log_likelihood for r in one] == [r.log_likelihood for r in two]
    plain = mechcla.score(mechcla.load_model(folder, device="cpu"), small_items.test)
    assert [r.log_likelihood for r in one] != [r.log_likelihood for r in plain]
    assert mechcla.load_model(str(result.folder)).digest == loaded.digest  # it names its base


def test_the_record_says_what_was_trained(tiny_folders: dict[str, Path], tmp_path: Path) -> None:
    result = train("clo", tiny_folders["llama"], tmp_path / "a")
    record = json.loads((tmp_path / "a" / "training.json").read_text("utf-8"))
    base = mechcla.load_model(tiny_folders["llama"], device="cpu")
    assert record["base"]["digest"] == base.digest
    assert record["settings"]["lr"] == 1e-3
    assert record["settings"]["seed"] == 0
    assert record["data"]["digest"] == facts().digest
    assert record["versions"]["peft"] != "not installed"
    assert len(record["losses"]) == 4
    assert {"sft", "preference"} <= set(record["losses"][0])
    assert "llama" in (tmp_path / "a" / "README.md").read_text("utf-8")
    assert read_result(tmp_path / "a") == result
    assert train("clo", tiny_folders["llama"], tmp_path / "a") == result  # done already
    with pytest.raises(mechcla.MechclaError, match="another training \\(seed 0, not 3\\)"):
        train("clo", tiny_folders["llama"], tmp_path / "a", seed=3)


def test_checkpointing_changes_no_loss(tiny_folders: dict[str, Path], tmp_path: Path) -> None:
    one = train("midalign", tiny_folders["llama"], tmp_path / "a")
    two = train("midalign", tiny_folders["llama"], tmp_path / "b", gradient_checkpointing=True)
    for a, b in zip(one.losses, two.losses, strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-5)


@pytest.mark.parametrize("fails", [False, True])
def test_threads_are_as_before(fails: bool, tiny_folders: dict[str, Path], tmp_path: Path) -> None:
    before = torch.get_num_threads()
    changes: dict[str, Any] = {"threads": before + 1, "steps": 1}
    if fails:
        with pytest.raises(mechcla.MechclaError, match="no_such_module"):
            train(
                "mist", tiny_folders["llama"], tmp_path / "a", modules=["no_such_module"], **changes
            )
    else:
        train("mist", tiny_folders["llama"], tmp_path / "a", **changes)
    assert torch.get_num_threads() == before
