"""How prompts are put is part of every identity: vectors and sweeps of another form are refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from transformers import AutoTokenizer

import mechcla
from mechcla.errors import MechclaError
from mechcla.models.chat import Chat, chat_settings
from mechcla.models.load import load_model
from mechcla.scoring.scores import Scores
from mechcla.sweep.__main__ import main
from mechcla.sweep.config import parse
from mechcla.vectors.residuals import cache_residuals
from tests.models.test_chat import DATED, THINKING, chatty, save_chatty


def test_vectors_of_another_form_are_refused_by_name(tmp_path, small_items):
    model = chatty(tmp_path, THINKING)
    items = small_items.dev
    quiet = Chat(template_args={"enable_thinking": False})
    plain = mechcla.en_vectors(model, items)
    asked = mechcla.en_vectors(model, items, chat=quiet)
    asked.save(tmp_path / "en.safetensors")
    asked = mechcla.SteeringVectors.load(tmp_path / "en.safetensors")
    assert asked.record["chat"] is True
    assert asked.record["chat_template"]["template_args"] == {"enable_thinking": False}

    def steer(vectors):
        return mechcla.en_steering(vectors, language="es", layer=1, strength=0.5)

    spanish = items.language("es")
    assert len(mechcla.score(model, spanish, steer(asked), chat=quiet)) == len(spanish)
    assert len(mechcla.score(model, spanish, steer(plain))) == len(spanish)
    runs = (
        lambda edits, chat: mechcla.score(model, spanish, edits, chat=chat),
        lambda edits, chat: mechcla.generate(model, spanish, edits, chat=chat, max_new_tokens=1),
        lambda edits, chat: cache_residuals(model, spanish, interventions={"es": edits}, chat=chat),
    )
    for run in runs:
        for vectors, chat, message in (
            (plain, quiet, "chat was False, is now True"),
            (asked, False, "chat was True, is now False"),
            (asked, True, r"template_args was \{'enable_thinking': False\}, is now \{\}"),
        ):
            with pytest.raises(MechclaError, match=f"EN vector was made.*{message}.*record="):
                run(steer(vectors), chat)
        run(steer(replace(plain, record={})), quiet)  # the way out that the message names
    model.tokenizer.chat_template = "Question: " + THINKING
    with pytest.raises(MechclaError, match=r"the template \(SHA-256\) was"):
        mechcla.score(model, spanish, steer(asked), chat=quiet)


def test_the_table_says_how_it_was_asked(tmp_path, small_items):
    model = chatty(tmp_path, DATED)
    items = small_items.language("es").dev
    how = Chat(system="Be brief.")
    for settings in (
        mechcla.score(model, items, chat=how).settings,
        mechcla.generate(model, items, chat=how, max_new_tokens=1).settings,
        cache_residuals(model, items, chat=how).record,
    ):
        assert settings["chat"] is True
        form = settings["chat_template"]
        assert (form["system"], form["date"], len(form["sha256"])) == (
            "Be brief.",
            "2026-01-01",
            64,
        )
    assert mechcla.score(model, items).settings["chat"] is False


def sweep(folder: Path, items: Path, out: Path, *more: str) -> int:
    return main(
        [
            "--model",
            str(folder),
            "--items",
            str(items),
            "--out",
            str(out),
            "--device",
            "cpu",
            "--coarse-step",
            "2",
            "--refine",
            "0",
            "--no-restore",
            "--no-controls",
            "--no-figures",
            "--resamples",
            "100",
            *more,
        ]
    )


def test_an_edited_template_or_another_form_is_another_sweep(tmp_path, small_items, capsys):
    folder, items = save_chatty(tmp_path / "model", THINKING), tmp_path / "items.jsonl"
    small_items.to_jsonl(items)
    asked = (
        "--chat",
        "--chat-template-args",
        '{"enable_thinking": false}',
        "--system-prompt",
        "Be brief.",
    )
    out = tmp_path / "run"
    assert sweep(folder, items, out, *asked) == 0
    model = load_model(str(folder), device="cpu")
    how = Chat(system="Be brief.", template_args={"enable_thinking": False})
    (path,) = (out / "cells/test/es").glob("unsteered-universal-implicit-*.parquet")
    fresh = mechcla.score(model, small_items.universal.test.language("es"), chat=how)
    for a, b in zip(Scores.from_parquet(path), fresh, strict=True):
        assert a.log_likelihood == pytest.approx(b.log_likelihood, abs=1e-4)
    identity = json.loads((out / "record.json").read_text())["identity"]
    assert identity["chat_template"] == chat_settings(how, model.tokenizer)["chat_template"]
    capsys.readouterr()
    assert sweep(folder, items, out, "--chat") == 2
    assert "chat_template_args" in capsys.readouterr().err
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = "Answer as a local would. " + THINKING
    tokenizer.save_pretrained(folder)
    assert sweep(folder, items, out, *asked) == 2
    assert "chat_template" in capsys.readouterr().err
    shutil.rmtree(out)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--chat", "--chat-template-args", "{x"], "'chat_template_args' is '{x': it is not JSON"),
        (["--chat", "--chat-template-args", "5"], "chat_template_args"),
        (["--system-prompt", "Be brief."], "add --chat"),
        (["--chat", "--chat-date", "today"], "'today' is no date"),
    ],
)
def test_chat_settings_that_make_no_sense_are_refused(arguments, message):
    with pytest.raises(MechclaError, match=message):
        parse(arguments)


def test_configure_takes_a_chat(tmp_path, small_items):
    model = chatty(tmp_path, THINKING)
    how = Chat(template_args={"enable_thinking": False}, system="Be brief.")
    found = mechcla.configure(
        model, small_items, ["es"], chat=how, layers=[0, 2], restore=False, try_positions=[]
    )
    assert found.config.chat_form == how
    assert found.vectors["EN"].record["chat_template"]["system"] == "Be brief."
