"""The sweep end to end on a tiny model: what it writes, how it resumes, what it refuses."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer

import mechcla
from mechcla.scoring.scores import Scores
from mechcla.steering.families import steered
from mechcla.sweep.__main__ import main


@pytest.fixture(scope="module")
def arguments(tmp_path_factory, tiny_folders, small_items):
    folder = tmp_path_factory.mktemp("sweep")
    small_items.to_jsonl(folder / "items.jsonl")
    return [
        "--model",
        str(tiny_folders["llama"]),
        "--items",
        str(folder / "items.jsonl"),
        "--device",
        "cpu",
        "--coarse-step",
        "2",
        "--resamples",
        "100",
        "--gated",
        "--out",
        str(folder / "run"),
    ]


def cells(folder: Path) -> dict[str, int]:
    """Finished cells; what a killed run left unfinished begins with a dot."""
    whole = (p for p in folder.rglob("cells/**/*.parquet") if not p.name.startswith("."))
    return {str(p.relative_to(folder)): p.stat().st_mtime_ns for p in whole}


@pytest.fixture(scope="module")
def run(arguments):
    assert main(arguments) == 0
    return Path(arguments[-1])


def test_the_run_folder_holds_what_was_promised(run, small_items):
    for name in (
        "config.yaml",
        "record.json",
        "items.jsonl",
        "vectors/en.safetensors",
        "vectors/loc.safetensors",
        "vectors/gate.safetensors",
        "selection.json",
        "summary.csv",
        "summary.json",
    ):
        assert (run / name).stat().st_size > 0, name
    for figure in ("fig2_tradeoff", "fig4_layers", "fig5_surgical"):
        assert (run / "figures" / f"{figure}.png").stat().st_size > 5000
        assert (run / "figures" / f"{figure}.svg").read_text().count("<path") > 10
    assert mechcla.load_items(run / "items.jsonl") == small_items
    assert not list(run.rglob(".*"))


def test_the_cells_are_what_score_gives(run, tiny_models, small_items):
    model = tiny_models["llama"]
    (choice,) = json.loads((run / "selection.json").read_text())["choices"]
    chosen = next(
        p
        for p in choice["points"]
        if p["family"] == "EN+restore" and p["d_localization"] is not None
    )
    en, loc = (
        mechcla.SteeringVectors.load(run / "vectors" / f"{n}.safetensors") for n in ("en", "loc")
    )
    pair = next(p for p in choice["points"] if p["family"] == "SUR")
    sur = mechcla.surgical_steering(
        en,
        loc,
        language="es",
        en_layer=pair["en_layer"],
        en_strength=pair["en_strength"],
        restore_layer=pair.get("restore_layer"),
        loc_layer=pair["loc_layer"],
        loc_strength=pair["loc_strength"],
    )
    back = mechcla.en_steering(
        en,
        language="es",
        layer=chosen["en_layer"],
        strength=chosen["en_strength"],
        restore_layer=chosen["restore_layer"],
    )
    found = next(p for p in choice["points"] if p["family"] == "GATED")
    assert (found["gate_constant"] == "EN") == _better_alone(choice["points"], found)
    gate = mechcla.Gate.load(run / "vectors" / "gate.safetensors")
    gated = mechcla.gated_steering(en, loc, gate, language="es", **{k: found[k] for k in GATED})
    for name, edits in ((pair["name"], sur), (chosen["name"], back), (found["name"], gated)):
        (path,) = (run / "cells/dev/es").glob(f"{name}-cultural-*.parquet")
        stored = Scores.from_parquet(path)
        fresh = mechcla.score(model, small_items.cultural.dev.language("es"), edits)
        for a, b in zip(stored, fresh, strict=True):
            assert a.log_likelihood == pytest.approx(b.log_likelihood, abs=1e-4)


GATED = ("gate_layer", "en_layer", "en_strength", "loc_layer", "loc_strength")


def _better_alone(points: list[dict], pair: dict) -> bool:
    """Whether EN's part of a gated pair does as well alone as LOC's."""
    sums = []
    for part in ("en", "loc"):
        name = f"{part.upper()}{pair[f'{part}_layer']}x{pair[f'{part}_strength']:g}"
        sums += [p["d_transfer"] + p["d_localization"] for p in points if p["name"] == name]
    return sums[0] >= sums[1]


def test_the_summary_is_the_metrics_of_the_cells(run):
    rows = json.loads((run / "summary.json").read_text())["rows"]
    (row,) = [
        r
        for r in rows
        if (r["method"], r["language"], r["metric"], r["measure"])
        == ("unsteered", "es", "transfer", "share")
    ]
    (path,) = (run / "cells/test/es").glob("unsteered-universal-*.parquet")
    assert row["value"] == pytest.approx(
        mechcla.transfer(Scores.from_parquet(path), "share")["es"].value
    )
    assert row["low"] <= row["value"] <= row["high"]
    assert row["n"] == 3
    arms = {f"{family.name} {arm}" for family in steered() for arm in family.arms} - {
        "LOC other_country"
    }  # there is one language
    assert {r["method"] for r in rows} == {
        "unsteered",
        "explicit",
        "explicit us_country",
        "EN",
        "EN+restore",
        "LOC",
        "SUR",
        "GATED",
    } | arms


def test_every_family_is_compared_with_its_arms_and_with_the_unsteered_model(run):
    tested, arms = (list(csv.DictReader((run / name).open())) for name in ("tests.csv", "arms.csv"))
    assert {r["against"] for r in tested} == {"unsteered"}
    assert {(r["method"], r["against"]) for r in arms} == {("explicit", "explicit us_country")} | {
        (f.name, f"{f.name} {a}") for f in steered() for a in f.arms if a != "other_country"
    }
    assert all(0 < float(r["p_value"]) <= float(r["p_holm"]) <= 1 for r in tested + arms)


def test_the_contrast_is_that_of_the_cells(run, tiny_models, small_items):
    """The own country named against the United States, scored by themselves."""
    rows = {
        (r["condition"], r["language"]): r for r in csv.DictReader((run / "contrast.csv").open())
    }
    assert {name for name, _ in rows} == {"prompt", "LOC"}
    test = small_items.cultural.test.language("es")
    own, us = (
        mechcla.score(tiny_models["llama"], test, prompt=form) for form in ("explicit", "us")
    )
    expected = mechcla.contrast(own, us)["es"]
    assert float(rows["prompt", "es"]["nats"]) == pytest.approx(expected.nats.value, abs=1e-3)
    assert float(rows["prompt", "all"]["share"]) == expected.share.value


def test_without_a_prompt_that_names_the_us_there_is_no_such_control(
    arguments, small_items, tmp_path, capsys
):
    bare = mechcla.ItemSet(tuple(replace(i, prompt_us=None) for i in small_items))
    bare.to_jsonl(tmp_path / "items.jsonl")
    assert (
        main(
            [*arguments[:3], str(tmp_path / "items.jsonl"), *arguments[4:-1], str(tmp_path / "run")]
        )
        == 0
    )
    assert not (tmp_path / "run/vectors/loc_us.safetensors").exists()
    assert (tmp_path / "run/contrast.csv").read_text() == ""
    assert "without 'prompt_us'" in capsys.readouterr().err


def test_chat_puts_vectors_and_scores_into_the_models_template(
    arguments, tiny_folders, small_items, tmp_path, capsys
):
    shutil.copytree(tiny_folders["llama"], tmp_path / "chatty")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "chatty")
    tokenizer.chat_template = (
        "{{ bos_token }}<user>{{ messages[0].content }}</user>"
        "{% if add_generation_prompt %}<model>{% endif %}"
    )
    tokenizer.save_pretrained(tmp_path / "chatty")
    out = tmp_path / "run"
    asked = [
        "--model",
        str(tmp_path / "chatty"),
        *arguments[2:-1],
        str(out),
        *("--chat", "--layers", "0,2", "--no-restore", "--no-controls", "--no-figures"),
    ]
    assert main(asked) == 0
    model = mechcla.load_model(str(tmp_path / "chatty"), device="cpu")
    en, direct = (
        mechcla.SteeringVectors.load(out / "vectors/en.safetensors"),
        mechcla.en_vectors(model, small_items.dev, chat=True),
    )
    assert en.record["chat"] is True
    assert torch.equal(en["es"], direct["es"])
    assert not torch.allclose(en["es"], mechcla.en_vectors(model, small_items.dev)["es"], rtol=0.1)
    (path,) = (out / "cells/test/es").glob("unsteered-cultural-explicit-*.parquet")
    fresh = mechcla.score(
        model, small_items.cultural.test.language("es"), prompt="explicit", chat=True
    )
    for a, b in zip(Scores.from_parquet(path), fresh, strict=True):
        assert a.log_likelihood == pytest.approx(b.log_likelihood, abs=1e-4)
    capsys.readouterr()
    assert main([*arguments[:-1], str(tmp_path / "none"), "--chat"]) == 2
    assert "has no chat template" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_test_items_are_read_under_a_frozen_choice(run):
    frozen = json.loads((run / "frozen.json").read_text())
    chosen = json.loads((run / "selection.json").read_text())["chosen"]
    for family, by_language in frozen["choice"]["methods"].items():
        assert by_language["es"].items() <= chosen[family]["es"].items()
    assert frozen["test"]["items"] == frozen["dev"]["items"] == 12


def test_the_choice_is_the_rules(run):
    (choice,) = json.loads((run / "selection.json").read_text())["choices"]
    assert choice["languages"] == ["es"]
    points, chosen = choice["points"], choice["chosen"]
    gains = {
        "EN": lambda p: p["d_transfer"],
        "EN+restore": lambda p: p["d_transfer"],
        "LOC": lambda p: p["d_localization"],
        "SUR": lambda p: p["d_transfer"] + p["d_localization"],
        "GATED": lambda p: p["d_transfer"] + p["d_localization"],
    }
    for family, gain in gains.items():
        mine = [p for p in points if p["family"] == family]
        assert mine
        if family in ("SUR", "GATED"):
            mine = [p for p in mine if min(p["d_transfer"], p["d_localization"]) >= -0.01]
        assert gain(chosen[family]) == max([0.0, *map(gain, mine)])
        assert (chosen[family]["family"] == "unsteered") == (gain(chosen[family]) == 0.0)


def test_pooled_and_a_language_alone_agree_where_there_is_one_language(run, arguments, tmp_path):
    out = tmp_path / "pooled"
    assert main([*arguments[:-1], str(out), "--choose", "pooled"]) == 0
    one, two = (json.loads((folder / "selection.json").read_text()) for folder in (run, out))
    assert one["chosen"] == two["chosen"]


def test_json_is_read_by_strict_readers(run):
    def refuse(name):
        raise AssertionError(name)

    for path in run.rglob("*.json"):
        json.loads(path.read_text(), parse_constant=refuse)


def test_one_layer_leaves_no_pair_and_says_so(arguments, tmp_path, capsys):
    assert main([*arguments[:-1], str(tmp_path / "one"), "--layers", "2"]) == 2
    assert "needs EN above LOC, but only layers [2] were to be swept" in capsys.readouterr().err
    assert not (tmp_path / "one").exists()


def test_a_second_run_computes_nothing_again(run, arguments):
    before = cells(run)
    gone = sorted(before)[3]
    (run / gone).unlink()
    summary = (run / "summary.csv").read_bytes()
    assert main(arguments) == 0
    after = cells(run)
    assert {k: v for k, v in after.items() if k != gone} == {
        k: v for k, v in before.items() if k != gone
    }
    assert gone in after
    assert (run / "summary.csv").read_bytes() == summary


def test_another_config_is_refused_with_the_difference(run, arguments, capsys):
    before = cells(run)
    assert main([*arguments, "--seed", "7"]) == 2
    said = capsys.readouterr().err
    assert "was made with other settings" in said
    assert "seed: the folder has 0, this run 7" in said
    assert cells(run) == before


@pytest.mark.slow
def test_kill_nine_loses_nothing_that_was_finished(arguments, tmp_path):
    out = tmp_path / "killed"
    command = [*arguments[:-1], str(out)]
    process = subprocess.Popen(
        [sys.executable, "-m", "mechcla.sweep", *command],
        cwd=Path(mechcla.__file__).parent.parent,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while len(cells(out)) < 3 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    kept = cells(out)
    assert kept
    assert main(command) == 0
    after = cells(out)
    assert all(after[k] == v for k, v in kept.items())
    assert (out / "summary.csv").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--languages", "ess"], "have no language 'ess'; did you mean 'es'"),
        (["--layers", "1,9"], "layer 9 is not in"),
        (["--layers", ""], "setting 'layers' is ''"),
        (["--site", "resid_pots"], "setting 'site' is 'resid_pots': did you mean 'resid_post'?"),
        (
            ["--operator", "ablate"],
            "operator 'ablate' has no restoration and no unit; add --no-restore",
        ),
        (["--device", "gpu"], "device 'gpu' cannot be used here"),
        (["--device", "hpu"], "device 'hpu' cannot be used here"),
        (["--en-strengths", "nan"], "strength nan is not finite"),
        (["--en-strengths", "0.3,x"], "setting 'en_strengths.1' is 'x'"),
        (["--model", "no-such/model"], "cannot load the model 'no-such/model'"),
        (
            ["--model", "./no/such/folder"],
            "cannot load the model './no/such/folder': there is no such folder",
        ),
        (["--model", str(Path(__file__).parent)], "the folder has no config.json (it holds "),
        (["--items", "nowhere.jsonl"], "no source and no file is named 'nowhere.jsonl'"),
        (["--config", "nowhere.yaml"], "cannot read the config 'nowhere.yaml'"),
    ],
)
def test_bad_input_is_one_message_exit_2_and_nothing_written(
    change, message, arguments, tmp_path, capsys
):
    out = tmp_path / "bad"
    assert main([*arguments[:-1], str(out), *change]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said
    assert not out.exists()


def test_bad_items_are_one_message_exit_2_and_nothing_written(
    arguments, tmp_path, capsys, small_items
):
    def refused(text: str) -> str:
        (tmp_path / "items.jsonl").write_text(text, encoding="utf-8")
        out = tmp_path / "bad"
        assert (
            main([*arguments[:2], "--items", str(tmp_path / "items.jsonl"), "--out", str(out)]) == 2
        )
        assert not out.exists()
        return capsys.readouterr().err

    assert "holds no items" in refused("")
    assert "line 1 is not JSON" in refused('{"id": \n')
    rows = [item.to_dict() for item in small_items]
    rows[5]["prompt"] = "tea " * 90 + rows[5]["prompt"]
    assert "the model's window is 128" in refused("\n".join(map(json.dumps, rows)))
    english = "\n".join(json.dumps(r) for r in rows if r["language"] == "en")
    assert "in a language beside English, which is not steered; these are en" in refused(english)


def test_a_folder_of_something_else_is_left_alone(arguments, tmp_path, capsys):
    (tmp_path / "thesis.tex").write_text("mine")
    assert main([*arguments[:-1], str(tmp_path)]) == 2
    assert "is not empty and holds no run" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]
