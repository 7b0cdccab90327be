"""Sweeps with --attention sdpa: another run than an eager one, which its own config goes on with,
and whose parts are joined.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import mechcla
from mechcla.errors import MechclaError
from mechcla.models.load import load_model
from mechcla.sweep.__main__ import main
from mechcla.sweep.config import make
from mechcla.sweep.merge import merge_runs
from mechcla.sweep.sweep import run_config
from tests.conftest import tiny_items
from tests.runs.harness import results
from tests.sweep.test_merge import three_languages

SMALL = {
    **{"device": "cpu", "layers": [0, 2], "restore": False, "controls": False},
    **{"resamples": 100, "figures": False, "threads": 1},
}


@pytest.fixture
def settings(tmp_path: Path, tiny_folders: dict[str, Path]) -> dict[str, object]:
    tiny_items().to_jsonl(tmp_path / "items.jsonl")
    return SMALL | {
        "model": str(tiny_folders["llama"]),
        "items": str(tmp_path / "items.jsonl"),
        "languages": ["es"],
        "attention": "sdpa",
        "out": str(tmp_path / "run"),
    }


def test_its_own_config_goes_on_with_it_and_an_eager_one_does_not(settings, tmp_path, capsys):
    run_config(make(settings), say=lambda text: None)
    run, before = mechcla.read_run(tmp_path / "run"), results(tmp_path / "run")
    assert run.config["attention"] == "sdpa"
    assert run.record["identity"]["attention"] == "eager, sdpa where nothing is hooked"
    assert main(["--config", str(tmp_path / "run" / "config.yaml"), "--out", settings["out"]]) == 0
    assert results(tmp_path / "run") == before
    with pytest.raises(MechclaError, match="attention"):
        run_config(make(settings | {"attention": "eager"}), say=lambda text: None)


def test_a_model_that_is_held_makes_the_same_run(settings, tmp_path):
    run_config(make(settings), say=lambda text: None)
    given = {k: v for k, v in settings.items() if k not in ("model", "items", "device")}
    model = load_model(str(settings["model"]), device="cpu", attention="sdpa")
    held = {"items": mechcla.load_items(str(settings["items"])), "out": str(tmp_path / "held")}
    mechcla.run_sweep(model=model, **given | held)
    one, other = (mechcla.read_run(tmp_path / name) for name in ("run", "held"))
    assert one.record["identity"] == other.record["identity"]
    assert str(one.summary) == str(other.summary)


@pytest.mark.slow
def test_parts_are_joined_on_the_blocks_that_made_them(settings, tmp_path):
    """The control arm that looks across languages is scored by a model that merge loads itself."""
    items = three_languages()
    items.to_jsonl(tmp_path / "items.jsonl")
    parts = [str(tmp_path / language) for language in ("es", "pt")]
    for part in parts:
        one = {"languages": [Path(part).name], "out": part, "controls": True}
        run_config(make(settings | one), say=lambda text: None)
    merge_runs(parts, str(tmp_path / "both"), say=lambda text: None)
    whole = {"languages": ["es", "pt"], "apart": True, "controls": True}
    run_config(make(settings | whole | {"out": str(tmp_path / "whole")}), say=lambda text: None)
    assert results(tmp_path / "both") == results(tmp_path / "whole")
