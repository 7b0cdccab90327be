"""Bad input of align: one message that names the row or the module, and exit code 2."""

from __future__ import annotations

import builtins
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import mechcla
from mechcla import MechclaError
from mechcla.__main__ import main
from mechcla.align.data import ParallelFact, Preference, training_data
from mechcla.align.methods import METHODS, AlignMethod, Losses, Task
from mechcla.align.mist import examples
from tests.align.test_training import SMALL, facts, train


@pytest.mark.parametrize(
    ("method", "name", "text", "said"),
    [
        ("mist", "a.tsv", "en\tes\nSky\tCielo\nSea\t\n", "row 2 has no text in 'es'"),
        ("mist", "a.tsv", "en\tes\nSky\tCielo\nSea\n", "row 2 has 1 cells where the header has 2"),
        ("mist", "a.csv", "english,spanish\nSky,Cielo\n", "has the columns english, spanish"),
        ("clo", "a.csv", "en,es\nSky,Cielo\n", "no question whose answer differs"),
        (
            "midalign",
            "a.jsonl",
            '{"id": "a", "sentences": {"en": "Sky", "es": "Cielo"}}\n'
            '{"id": "b", "sentences": {"en": "Sea"}}\n',
            "line 2 has no sentence in 'es'",
        ),
        (
            "clo",
            "a.jsonl",
            '{"id": "a", "language": "es", "question": "¿Q?", "answer": "A"}\n'
            '{"id": "a", "language": "en", "question": "Q?", "answer": "B"}\n'
            '{"id": "b", "language": "en", "question": "Q?", "answer": "B"}\n',
            "line 3 has no question in 'es'",
        ),
        (
            "clo",
            "a.jsonl",
            '{"prompt": "Q?", "chosen": "A", "rejected": "A"}\n',
            "line 1: 'chosen' and 'rejected' are both 'A'",
        ),
        (
            "mist",
            "a.jsonl",
            '{"id": "a", "sentences": "Sky"}\n',
            "expected an object from language",
        ),
        ("mist", "a.tsv", f"en\tes\nSky\t{'largo ' * 200}\n", "the model's window is 128"),
        ("midalign", "a.tsv", "en\tes\nSky\tCielo\n", "at least 2 pairs"),
        ("mist", "a.tsv", "en\tes\tscore\nSky\tCielo\t1\n", "the column 'score', which is no"),
    ],
)
def test_a_bad_row_is_named_and_the_exit_code_is_2(
    method: str,
    name: str,
    text: str,
    said: str,
    tiny_folders: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    given = ["align", method, "--model", str(tiny_folders["llama"]), "--data", str(tmp_path / name)]
    assert main([*given, "--out", str(tmp_path / "out"), "--steps", "2"]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"languages": ["fa"]}, "no text in language 'fa'"),
        ({"modules": ["q_porj"]}, "is named 'q_porj'; did you mean 'q_proj'"),
        ({"layer": 9, "method": "midalign"}, "layer 9 is not in the model, whose 4 blocks"),
        ({"method": "mits"}, "did you mean 'mist'"),
        ({"batch_rows": 3, "method": "midalign"}, "batch_rows 3 gives 1 pair"),
        ({"lr": -1}, "setting 'lr' is -1"),
        ({"steps": 0}, "setting 'steps'"),
        ({"ranks": 4}, "unknown setting 'ranks'; did you mean 'rank'"),
        ({"dev_items": "no-such.jsonl"}, "no-such.jsonl"),
        ({"dtype": "float16"}, "'dtype' is 'float16': .* expected 'bfloat16', .* or 'float32'"),
    ],
)
def test_a_bad_setting_is_named(
    settings: dict[str, Any], said: str, tiny_folders: dict[str, Path], tmp_path: Path
) -> None:
    method = settings.pop("method", "mist")
    if "languages" in settings:  # of files and sources; data in memory is as it is
        settings["data"] = str(tmp_path / "a.tsv")
        (tmp_path / "a.tsv").write_text("en\tes\nSky\tCielo\n", encoding="utf-8")
    given = {"data": facts(), "device": "cpu", **SMALL, **settings}
    with pytest.raises(MechclaError, match=said):
        mechcla.align(method, tiny_folders["llama"], tmp_path / "out", **given)


def test_a_loss_that_is_not_finite_stops_and_the_last_good_checkpoint_stays(
    tiny_folders: dict[str, Path], tmp_path: Path
) -> None:
    sft = METHODS.get("mist").tasks[0]

    def broken(decoder: Any, batch: Any, config: Any) -> Losses:
        found = sft.loss(decoder, batch, config)
        if batch.step < 4:
            return found
        rows = found.rows.clone()
        rows[1] = float("nan")
        return Losses(found.total * float("nan"), rows)

    METHODS.register("broken", AlignMethod("broken", "", "", (Task("sft", examples, broken),)))
    try:
        with pytest.raises(
            MechclaError, match=r"loss is nan at step 4, at row \d \('drink\d', e"
        ) as e:
            train("broken", tiny_folders["llama"], tmp_path / "out", save_every=2, steps=6)
    finally:
        METHODS.remove("broken")
    assert "checkpoint-2" in str(e.value)
    assert (tmp_path / "out.training" / "checkpoint-2" / "adapter_model.safetensors").exists()
    assert not (tmp_path / "out").exists()


def test_a_weight_that_is_not_finite_is_never_saved(
    tiny_folders: dict[str, Path], tmp_path: Path
) -> None:
    sft = METHODS.get("mist").tasks[0]

    def broken(decoder: Any, batch: Any, config: Any) -> Losses:
        found = sft.loss(decoder, batch, config)
        total = found.total
        if batch.step == 3:  # the loss is finite, its gradient is not
            total = total + torch.sqrt(total - total.detach())
        return Losses(total, found.rows)

    METHODS.register("broken", AlignMethod("broken", "", "", (Task("sft", examples, broken),)))
    try:
        with pytest.raises(MechclaError, match="is not finite after step 3") as e:
            train("broken", tiny_folders["llama"], tmp_path / "out", save_every=1, steps=6)
    finally:
        METHODS.remove("broken")
    assert "checkpoint-2" in str(e.value)


def test_checkpoints_of_another_base_or_other_settings_are_refused(
    tiny_folders: dict[str, Path], tmp_path: Path
) -> None:
    base = shutil.copytree(tiny_folders["llama"], tmp_path / "base")
    train("mist", base, tmp_path / "a")
    with pytest.raises(MechclaError, match=r"trained on .* not on"):
        mechcla.load_model(tiny_folders["gpt2"], adapter=tmp_path / "a")
    sft = METHODS.get("mist").tasks[0]

    def stopped(decoder: Any, batch: Any, config: Any) -> Losses:
        if batch.step > 2:
            raise MechclaError("stopped here")
        return sft.loss(decoder, batch, config)

    METHODS.register("stopped", AlignMethod("stopped", "", "", (Task("sft", examples, stopped),)))
    try:
        with pytest.raises(MechclaError, match="stopped here"):
            train("stopped", base, tmp_path / "b", save_every=1)
        with pytest.raises(MechclaError, match=r"another training \(rank 4, not 2\)"):
            train("stopped", base, tmp_path / "b", save_every=1, rank=2)
        shutil.rmtree(base)
        shutil.copytree(tiny_folders["qwen3"], base)
        with pytest.raises(MechclaError, match=r"another training \(another base\)"):
            train("stopped", base, tmp_path / "b", save_every=1)
    finally:
        METHODS.remove("stopped")


def test_without_peft_the_message_names_the_extra(
    tiny_folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def no_peft(name: str, *arguments: Any, **more: Any) -> Any:
        if name == "peft":
            raise ImportError(name)
        return real(name, *arguments, **more)

    monkeypatch.setattr(builtins, "__import__", no_peft)
    with pytest.raises(MechclaError, match=r"pip install 'mechcla\[align\]'"):
        train("mist", tiny_folders["llama"], tmp_path / "a")


def test_a_fact_and_a_preference_say_what_is_missing() -> None:
    with pytest.raises(MechclaError, match="question or an answer alone in es"):
        ParallelFact("a", "t", {"en": "Q", "es": "P"}, {"en": "A"})
    with pytest.raises(MechclaError, match="has no 'chosen'"):
        Preference("a", "es", "Q", " ", "B")
    with pytest.raises(MechclaError, match="holds nothing to train on"):
        training_data("none")
