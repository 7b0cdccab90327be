"""Settings: what a file or a flag may hold, and what ran in every result's record.

One name per model.
"""

from __future__ import annotations

import json
import os
import shutil
from contextlib import closing, contextmanager
from functools import wraps

import pytest
import torch

import mechcla
from mechcla.engine import capability
from mechcla.errors import MechclaError
from mechcla.metrics.estimates import PART, POOLED, bootstrap_means
from mechcla.scoring.prepared import prepare
from mechcla.scoring.scorer import score_many
from mechcla.steering.grid import coarse_layers
from mechcla.sweep.__main__ import main
from mechcla.sweep.cells import UNSTEERED, Job
from mechcla.sweep.config import MOST_THREADS, make, parse
from mechcla.sweep.runner import open_sweep


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--en-strengths", "-0.3,0.6"], [-0.3, 0.6]),
        (["--en-strengths=-0.3"], [-0.3]),
        (["--en-strengths", "-.5"], [-0.5]),
        (["--en-strengths", "-1e-3,2", "--no-restore"], [-0.001, 2.0]),
        (["--en-strengths", "0.6,-0.3,0.6"], [-0.3, 0.6]),
    ],
)
def test_strengths_may_be_negative_and_their_order_is_nothing(arguments, expected):
    assert parse(arguments).en_strengths == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seed", str(2**64)], "setting 'seed' is '18446744073709551616'"),
        (["--seed", str(2**63)], "less than or equal to 9223372036854775807"),
        (["--seed", "9" * 10_000], "(10,002 characters)"),
        (["--threads", "100000"], f"expected at most {MOST_THREADS}, 4 for each of this machine's"),
        (["--tolerance", "inf"], "setting 'tolerance' is 'inf': Input should be a finite number"),
        (["--tolerance", "nan"], "setting 'tolerance' is 'nan'"),
        (["--resamples", "100001"], "setting 'resamples' is '100001'"),
        (["--coarse-step", str(10**12)], "setting 'coarse_step'"),
        (["--refine", str(10**12)], "setting 'refine'"),
        (["--pair-layers", str(10**12)], "setting 'pair_layers'"),
        (["--max-tokens", str(10**12)], "setting 'max_tokens'"),
        (["--cache-mib", str(10**12)], "setting 'cache_mib'"),
        (["--dev-items", str(10**12)], "setting 'dev_items'"),
        (["--layers", "-1,2"], "setting 'layers.0' is -1"),
        (["--loc-strengths", "-inf"], "strength -inf is not finite"),
        (["--en-strengths", ",".join(map(str, range(1001)))], "setting 'en_strengths'"),
    ],
)
def test_what_is_beyond_reason_is_refused(arguments, message, capsys):
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert message in said
    assert len(said) < 1000
    assert "Traceback" not in said


def test_the_largest_seed_runs():
    made = bootstrap_means({"es": {"a": 0.0, "b": 1.0}}, 100, make({"seed": 2**63 - 1}).seed)
    assert made[POOLED][0] == 0.5


LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n"
    for a, b in zip("abcdefghijk", "bcdefghijkl", strict=True)
)
MERGES = "a0: &a0 {x: 1}\n" + "".join(
    f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}]}}\n" for i in range(1, 12)
)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("laughs.yaml", LAUGHS + "languages: *l\n", "once its aliases are expanded"),
        ("merges.yaml", MERGES, "once its aliases are expanded"),
        ("loop.yaml", "languages: &a [*a]\n", "once its aliases are expanded"),
        ("deep.yaml", "languages: " + "[" * 5000 + "]" * 5000, "is nested too deeply"),
        ("deep.json", '{"languages": ' + "[" * 9**5 + "]" * 9**5 + "}", "is nested too deeply"),
        ("deep.toml", "languages = " + "[" * 5000 + "]" * 5000, "is nested too deeply"),
        ("dots.toml", ".".join("a" * 500) + " = 1", "nests them over 20 deep"),
        ("number.yaml", "seed: " + "9" * 10_000, "4300 digits"),
        ("number.json", '{"seed": ' + "9" * 10_000 + "}", "4300 digits"),
        ("number.toml", "seed = " + "9" * 10_000, "4300 digits"),
        ("float.yaml", "en_strengths: [" + "9" * 4_000 + "]", "setting 'en_strengths.0'"),
        ("nan.yaml", "tolerance: .nan", "setting 'tolerance' is nan"),
        ("nan.json", '{"en_strengths": [NaN]}', "strength nan is not finite"),
        ("inf.yaml", "seed: .inf", "setting 'seed' is inf"),
        ("date.yaml", "seed: 2026-99-99", "is not valid YAML: month must be in 1..12"),
        ("twice.yaml", "seed: 1\nseed: 2\n", "names 'seed' twice"),
        ("twice.json", '{"seed": 1, "seed": 2}', "names 'seed' twice"),
        ("null.yaml", 'model: "a\\0b"', "it holds a null character"),
        ("large.yaml", "#" * 1_000_001, "is larger than 1,000,000 bytes"),
        ("list.json", "[1]", "holds list; expected settings"),
    ],
)
def test_a_config_file_holds_a_few_settings(name, text, message, tmp_path, capsys):
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert main(["--config", str(tmp_path / name), "--out", str(tmp_path / "run")]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert len(said) < 1000
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("name", "text"), [("c.toml", "seed = 3\n"), ("c.yaml", "seed: 3\n"), ("c.json", '{"seed": 3}')]
)
def test_a_byte_order_mark_is_no_part_of_the_settings(name, text, tmp_path):
    (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert parse(["--config", str(tmp_path / name)]).seed == 3


def test_one_model_has_one_name_however_its_path_is_written(tmp_path, monkeypatch):
    (tmp_path / "models/m").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "models/m")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    written = ("models/m", "./models/../models/m", "~/models/m", str(tmp_path / "models/m"), "link")
    assert {make({"model": m, "items": m}).resolved()["model"] for m in written} == {
        str((tmp_path / "models/m").resolve())
    }
    (tmp_path / "demo").mkdir()
    plain = make({"model": "demo", "items": "demo"})
    assert (plain.model, plain.items) == ("demo", "demo")
    assert make({"model": "org/name"}).model == "org/name"


def test_two_layers_are_the_least_that_a_coarse_pass_has():
    assert coarse_layers(4, 6) == [1, 3]
    assert coarse_layers(18, 6) == [5, 11, 17]
    assert coarse_layers(2, 4) == [0, 1]
    assert all(len(coarse_layers(n, s)) >= 2 for n in range(2, 40) for s in range(1, 60))


def test_the_quick_preset_runs_on_four_blocks(tiny, small_items, tmp_path):
    quick = parse(["--preset", "quick"])
    asked = {k: getattr(quick, k) for k in ("coarse_step", "refine", "pair_layers", "restore")}
    found = mechcla.configure(tiny, small_items, ["es"], try_positions=[], **asked)
    assert "SUR" in found.choices.families
    pairs = [p.method for p in found.choices.by_language["es"].points if p.method.family == "SUR"]
    assert {(m.en_layer, m.loc_layer) for m in pairs} == {(1, 3)}


def test_a_model_of_one_block_is_refused_before_anything_is_written(small_items, tmp_path):
    from tests.conftest import save_tiny

    model = mechcla.load_model(
        str(save_tiny("llama", tmp_path / "m", num_hidden_layers=1)), device="cpu"
    )
    with pytest.raises(MechclaError, match="has 1 block; expected two or more"):
        mechcla.configure(model, small_items, ["es"], out=str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_scores_say_how_they_were_made(tiny, small_items):
    items = small_items.universal.dev.language("es")
    packed = mechcla.score(tiny, items).settings
    assert packed["path"] == "packed"
    assert "path_reason" not in packed
    assert {k: packed[k] for k in ("attention", "dtype", "device", "threads")} == {
        "attention": "eager",
        "dtype": "float32",
        "device": "cpu",
        "threads": torch.get_num_threads(),
    }
    ((_, plain),) = score_many(prepare(tiny, items, fast=False), [()])
    assert (plain.settings["path"], plain.settings["path_reason"]) == ("plain", "asked for")


def test_a_window_that_is_too_short_is_the_reason_and_part_of_the_cells_name(
    tiny_models, tmp_path, small_items
):
    from tests.conftest import save_tiny

    model = mechcla.load_model(
        str(save_tiny("gemma3_text", tmp_path / "m", sliding_window=12)), device="cpu"
    )
    items = small_items.cultural.dev.language("es")
    said = mechcla.score(model, items).settings
    assert said["path"] == "plain"
    assert "reach beyond the attention window of 12" in said["path_reason"]
    sweep = open_sweep(make({"out": str(tmp_path / "run"), "layers": [1, 3]}), model, small_items)
    with closing(sweep):
        before = sweep.path(Job(UNSTEERED, "es", "cultural", "dev"))
        packed = ({"path": "packed"}, {"path": "packed"})
        sweep.ways.update(dict.fromkeys(sweep.ways, packed))  # as if it had been packed
        assert sweep.path(Job(UNSTEERED, "es", "cultural", "dev")) != before


@contextmanager
def out_of_memory(model, times: int):
    """The first `times` passes through a block find no memory, as on a full device.

    Not by a hook, which would be the user's own and change how prompts run.
    """
    left = [times]
    block = model.blocks[1].original_component
    right = block.forward

    @wraps(right)  # whose arguments' names are read
    def refuse(*args, **kwargs):
        if left[0] > 0:
            left[0] -= 1
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return right(*args, **kwargs)

    block.forward = refuse
    try:
        yield
    finally:
        del block.forward


def test_no_memory_for_the_self_check_moves_no_model_to_the_plain_path(
    tiny, small_items, monkeypatch, recwarn
):
    monkeypatch.setattr(capability, "_fits", type(capability._fits)())
    items = small_items.universal.dev.language("es")
    with (
        out_of_memory(tiny, 10**6),
        pytest.raises(MechclaError, match="no memory left on cpu for the check"),
    ):
        mechcla.score(tiny, items)
    with out_of_memory(tiny, 1):
        assert mechcla.score(tiny, items).settings["path"] == "packed"
    assert not [w for w in recwarn if "plain path" in str(w.message)]


def test_a_run_that_goes_on_with_other_threads_says_so(tiny, small_items, tmp_path, capsys):
    out = tmp_path / "run"
    asked = {"out": str(out), "layers": [1, 3], "controls": False}
    open_sweep(make(asked | {"threads": 1}), tiny, small_items).close()
    assert json.loads((out / "record.json").read_text())["versions"]["threads"] == "1"
    capsys.readouterr()
    shutil.copytree(out, tmp_path / "same")
    same = make(asked | {"out": str(tmp_path / "same"), "threads": 1})
    open_sweep(same, tiny, small_items).close()
    assert "CPU threads" not in capsys.readouterr().err
    with closing(open_sweep(make(asked | {"threads": 2}), tiny, small_items)) as sweep:
        assert "was begun with 1 CPU threads and goes on with 2" in capsys.readouterr().err
        ((job, _),) = sweep.run([Job(UNSTEERED, "es", "cultural", "dev")])
        assert sweep.store.read(sweep.path(job)).settings["threads"] == 2
    assert os.path.exists(out)


def test_many_resamples_are_drawn_in_parts_of_the_same_stream():
    import numpy as np

    table = {"es": {"a": 0.0, "b": 1.0, "c": 0.5}, "ko": {"a": 1.0, "b": 0.25}}
    many = bootstrap_means(table, 3 * PART, seed=5)
    draws = np.random.default_rng(5).multinomial(3, np.full(3, 1 / 3), size=3 * PART)
    counts = np.vstack([np.ones((1, 3)), draws])
    assert many["es"] == pytest.approx(counts @ [0.0, 1.0, 0.5] / 3)
    pooled = (counts @ [1.0, 1.25, 0.5]) / (counts @ [2.0, 2.0, 1.0])
    assert many[POOLED] == pytest.approx(pooled)
