"""python -m mechcla generate and export, from a run folder and from layers, on a tiny model."""

from __future__ import annotations

import io
import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file

import mechcla
from mechcla.__main__ import main
from mechcla.commands.generate import plain
from mechcla.runs.run import Run
from tests.docs.pages import ROOT, python_blocks

TEXT = "La moneda de nuestro país es"


@pytest.fixture(scope="module")
def run(tiny_folders, small_items, tmp_path_factory) -> Run:
    folder = tmp_path_factory.mktemp("runs") / "run"
    settings = {"layers": [1, 2], "restore": False, "resamples": 100, "controls": False}
    settings |= {"figures": False}
    settings |= {"loc_strengths": [-6.0, 6.0], "en_strengths": [-1.0, 1.0], "languages": ["es"]}
    return mechcla.run_sweep(str(tiny_folders["llama"]), small_items, out=folder, **settings)


def items_file(small_items, folder: Path) -> str:
    small_items.to_jsonl(folder / "items.jsonl")
    return str(folder / "items.jsonl")


def answered(out: str) -> dict[str, str]:
    """The answers of one block, by condition."""
    lines = [line[2:] for line in out.splitlines() if line.startswith("  ")]
    return {line.split(" ")[0]: line.partition(" ")[2].strip() for line in lines}


def test_a_run_s_choice_is_what_generate_does_by_hand(run, tiny, capsys):
    model = str(run.folder)
    assert main(["generate", "--run", model, "--max-new-tokens", "5", f"es: {TEXT}"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"[es] {TEXT}\n")
    found = answered(out)
    assert list(found) == ["unsteered", *run.choice, "explicit"]
    how = {"language": "es", "max_new_tokens": 5}
    assert found["unsteered"] == plain(mechcla.generate(tiny, TEXT, **how)[0].text)
    loc = run.choice["LOC"]["es"]
    assert loc["family"] == "LOC"
    steps = mechcla.loc_steering(
        run.vectors["LOC"], language="es", layer=loc["loc_layer"], strength=loc["loc_strength"]
    )
    assert found["LOC"] == plain(mechcla.generate(tiny, TEXT, steps, **how)[0].text)
    named = mechcla.generate(tiny, f"Vivo en España. {TEXT}", **how)
    assert found["explicit"] == plain(named[0].text)


def test_layers_files_standard_input_and_a_file_of_answers(
    tiny_folders, small_items, tmp_path, capsys, monkeypatch
):
    given = ["--model", str(tiny_folders["llama"]), "--items", items_file(small_items, tmp_path)]
    given += ["--languages", "es", "--en-layer", "1", "--loc-layer", "2", "--loc-strength", "-4"]
    given += ["--max-new-tokens", "4"]
    assert main(["generate", *given, TEXT]) == 0
    one = answered(capsys.readouterr().out)
    assert list(one) == ["unsteered", "EN", "LOC", "SUR", "explicit"]
    assert main(["generate", *given, "--gate-layer", "0", TEXT]) == 0
    gated = answered(capsys.readouterr().out)
    assert list(gated) == ["unsteered", "EN", "LOC", "SUR", "GATED", "explicit"]
    assert gated["GATED"] in (one["EN"], one["LOC"])  # one of the two acts on a prompt
    (tmp_path / "texts.txt").write_text(f"{TEXT}\n\n  La capital de Italia es\n", "utf-8")
    out = tmp_path / "answers.jsonl"
    how = ["--method", "sur", "--sample", "--answers", "2", "--seed", "3", "--out", str(out)]
    assert main(["generate", *given, *how, "--file", str(tmp_path / "texts.txt")]) == 0
    said = capsys.readouterr().out
    rows = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert [(r["text"], r["condition"], r["number"]) for r in rows] == [
        (text, condition, number)
        for text in (TEXT, "La capital de Italia es")
        for condition in ("unsteered", "SUR", "explicit")
        for number in (0, 1)
    ]
    assert all(plain(r["answer"]) in said for r in rows)
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{TEXT}\n"))
    assert main(["generate", *given, "--quiet"]) == 0
    assert answered(capsys.readouterr().out) == one


def test_a_vector_made_elsewhere_is_used_as_it_is(run, tiny, tmp_path, capsys):
    run.vectors["LOC"].save(tmp_path / "loc.safetensors")
    given = ["--model", run.config["model"], "--vectors", str(tmp_path / "loc.safetensors")]
    given += ["--languages", "es", "--loc-layer", "2", "--loc-strength", "6"]
    assert main(["generate", *given, "--max-new-tokens", "4", TEXT]) == 0
    found = answered(capsys.readouterr().out)
    steps = mechcla.loc_steering(run.vectors["LOC"], language="es", layer=2, strength=6.0)
    how = {"language": "es", "max_new_tokens": 4}
    assert found["LOC"] == plain(mechcla.generate(tiny, TEXT, steps, **how)[0].text)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["x"], "which layers? expected --run RUN"),
        (["--loc-layer", "3", "x"], "which languages? expected --languages es"),
        (["--languages", "es", "--loc-layer", "3", "--method", "sru", "x"], "did you mean 'SUR'"),
        (["--languages", "es", "--loc-layer", "3", "--method", "sur", "x"], "SUR needs --en-layer"),
        (["--run", "nope", "x"], "'nope' holds no run"),
        (["--run", "nope", "--loc-layer", "3", "x"], "--run and --loc-layer"),
        (["--languages", "es,ko", "--loc-layer", "3", "2024"], "write it in front, as 'es: 2024'"),
        (["--languages", "es", "--loc-layer", "3", "--file", "no"], "cannot read 'no'"),
        (["--languages", "es", "--loc-layer", "3", "--file", "no", "x"], "expected one of the two"),
        (["--languages", "es", "--loc-layer", "x", "x"], "'loc_layer'"),
    ],
)
def test_bad_input_is_one_message(arguments, said, capsys):
    assert main(["generate", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_a_terminal_is_not_obeyed():
    assert plain("a\x1b[2Jb\r\nc") == "a\ufffd[2Jb\ufffd\nc"


def test_export_from_a_run_from_files_and_of_scores(run, tmp_path, capsys):
    loc = run.choice["LOC"]["es"]
    out = tmp_path / "loc.safetensors"
    chosen = ["--method", "loc", "--languages", "es", "--format", "tensors", "--out", str(out)]
    assert main(["export", "--run", str(run.folder), *chosen]) == 0
    assert "LOC of es, added behind block" in capsys.readouterr().out
    layer = loc["loc_layer"]
    expected = run.vectors["LOC"]["es"][layer] * loc["loc_strength"]
    assert load_file(out)[f"es.block.{layer}"].equal(expected)
    files = []
    for name in ("EN", "LOC"):
        run.vectors[name].save(tmp_path / f"{name}.safetensors")
        files.append(str(tmp_path / f"{name}.safetensors"))
    given = ["--languages", "es", "--en-layer", "1", "--loc-layer", "2", "--loc-strength", "-2"]
    both = ["--format", "lm-eval", "--out", str(tmp_path / "sur.pt")]
    assert main(["export", *files, *given, *both]) == 0
    assert f"steer_path={tmp_path / 'sur.pt'}" in capsys.readouterr().out
    whole = ["--languages", "es", "--out", str(tmp_path / "loc.gguf")]
    assert main(["export", files[1], *whole]) == 0
    back = mechcla.import_vectors(tmp_path / "loc.gguf", "gguf", name="LOC", language="es")
    assert back.layers("es") == (1, 2, 3)
    lines = tmp_path / "samples.jsonl"
    scores = ["--condition", "LOC", "--languages", "es", "--out", str(lines)]
    assert main(["export", "--run", str(run.folder), *scores]) == 0
    rows = [json.loads(line) for line in lines.read_text("utf-8").splitlines()]
    assert [r["doc"]["id"] for r in rows] == [s.id for s in run.scores("LOC") if s.language == "es"]
    assert main(["export", *files, "--languages", "es"]) == 2
    assert main(["export", files[0], *given, *both]) == 2
    assert "needs LOC vectors" in capsys.readouterr().err


def test_the_page_s_block_on_a_run_runs(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(run.folder, tmp_path / "runs" / "demo")
    code = python_blocks("docs/exports.md")[2].replace('language="all"', 'language="es"')
    names: dict[str, object] = {}
    exec(compile(code, "exports.md", "exec"), {"mechcla": mechcla}, names)
    assert names["loc"].languages == run.vectors["LOC"].languages
    card = (tmp_path / "loc-vectors" / "README.md").read_text("utf-8")
    row = run.summary.where(method="LOC", measure="share", language="es")[0]
    assert f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]" in card


@pytest.mark.demo
@pytest.mark.slow
def test_the_page_shows_what_the_demo_model_writes(demo, capsys):
    page = (ROOT / "docs" / "generation.md").read_text("utf-8")
    command, printed = re.search(
        r"```sh\npython -m mechcla (.*?)\n```\n```text\n(.*?)```", page, re.S
    ).groups()
    assert main(shlex.split(command)) == 0
    assert capsys.readouterr().out == printed
