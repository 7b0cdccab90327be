"""--device-map, --n-devices and --max-memory: checked before anything is loaded, recorded, and no
part of what a result is. The run on one device is the oracle.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import mechcla
from mechcla.__main__ import main as command
from mechcla.errors import MechclaError
from mechcla.sweep.__main__ import main
from mechcla.sweep.config import make, parse
from tests.conftest import tiny_items
from tests.engine.families import save, tokenizer
from tests.models.test_placement import MAP
from tests.runs.harness import CHOICES, results

ON_DISK = json.dumps(MAP)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--device-map", "auto"], {"device_map": "auto"}),
        (
            ["--device-map", '{"": 0, "lm_head": "cuda:1"}'],
            {"device_map": {"": 0, "lm_head": "cuda:1"}},
        ),
        (["--n-devices", "2"], {"n_devices": 2}),
        (
            ["--max-memory", '{"0": "70GiB", "1": 1000, "cpu": "1.5 GB"}'],
            {"max_memory": {0: "70GiB", 1: 1000, "cpu": "1.5 GB"}},
        ),
        ([], {}),
    ],
)
def test_flags_become_what_load_model_takes(
    arguments: list[str], expected: dict[str, Any], tmp_path: Path
) -> None:
    config = parse(arguments)
    none = dict.fromkeys(("device_map", "n_devices", "max_memory"))
    assert config.place() == none | expected
    assert config.placed().keys() == expected.keys()
    assert make(json.loads(json.dumps(config.placed()))).place() == config.place()
    (tmp_path / "c.json").write_text(json.dumps(config.placed()))
    assert parse(["--config", str(tmp_path / "c.json")]).place() == config.place()
    assert config.resolved() == make({}).resolved()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--device-map", "aut"], "setting 'device_map' is 'aut': did you mean 'auto'"),
        (["--device-map", "cuda:1"], "for one place there is device"),
        (["--device-map", "{"], "it is not JSON"),
        (["--device-map", "{}"], "expected auto, balanced"),
        (["--device-map", '{"lm_head": -1}'], "'lm_head' lies at -1; expected a module's name"),
        (["--max-memory", "70GiB"], "it is not JSON"),
        (["--max-memory", '["70GiB"]'], "expected an object such as"),
        (["--max-memory", '{"0": "much"}'], "device 0 may give 'much'; expected bytes, or a size"),
        (["--max-memory", '{"0": true}'], "device 0 may give True"),
        (["--n-devices", "0"], "setting 'n_devices' is '0'"),
        (["--device", "cpu", "--device-map", "auto"], "expected one or the other"),
    ],
)
def test_what_is_no_place_is_refused(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "--out", str(tmp_path / "run")]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said
    assert not (tmp_path / "run").exists()


def test_a_loaded_model_lies_where_it_lies(tiny: mechcla.HookedModel, tmp_path: Path) -> None:
    with pytest.raises(MechclaError, match=r"'device_map' is 'auto', but the model .* is loaded"):
        mechcla.run_sweep(tiny, tiny_items(), out=tmp_path / "run", device_map="auto")


@pytest.mark.slow  # three sweeps and three commands
def test_a_run_on_disk_is_the_run_in_memory_and_goes_on_elsewhere(
    tmp_path: Path, one_thread: None, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = save("llama", tmp_path / "model", tokenizer(), scale=0.15)
    tiny_items().to_jsonl(tmp_path / "items.jsonl")
    asked = ["--model", str(folder), "--items", str(tmp_path / "items.jsonl"), "--layers", "0,2"]
    asked += ["--no-restore", "--no-controls", "--resamples", "100"]
    here, spread = tmp_path / "here", tmp_path / "spread"
    assert main([*asked, "--device", "cpu", "--out", str(here)]) == 0
    assert main([*asked, "--device-map", ON_DISK, "--out", str(spread)]) == 0
    held = {name: digest for name, digest in results(here).items() if name not in CHOICES}
    assert {k: v for k, v in results(spread).items() if k not in CHOICES} == held  # those name it
    one, other = mechcla.read_run(here).record, mechcla.read_run(spread).record
    assert other["identity"] == one["identity"]
    assert other["config"]["device_map"] == MAP
    assert {k: v for k, v in other["config"].items() if k != "device_map"} == one["config"] | {
        "device": None
    }
    cells = {p: p.stat().st_mtime_ns for p in spread.glob("cells/**/*.parquet")}
    assert main([*asked, "--device-map", "auto", "--out", str(spread)]) == 0
    assert {p: p.stat().st_mtime_ns for p in spread.glob("cells/**/*.parquet")} == cells
    capsys.readouterr()
    text = ["generate", "La capital de Perú es", "--run", str(spread), "--languages", "es"]
    said = []
    for where in ([], ["--device", "cpu"], ["--device-map", ON_DISK]):
        assert command([*text, "--max-new-tokens", "3", *where]) == 0
        said.append(capsys.readouterr().out)
    assert said[0] == said[1] == said[2]
