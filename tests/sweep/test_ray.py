"""The Ray runner: the local runner's cells to the digest, also where workers are killed."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

import mechcla
from mechcla.errors import MechclaError
from mechcla.sweep import ray_cluster
from mechcla.sweep.config import make
from mechcla.sweep.sweep import run_config, run_several
from tests.conftest import tiny_items
from tests.models.test_adapters import lora, save_adapter
from tests.runs.harness import hidden, results
from tests.sweep.test_merge import two_languages

SMALL = {"device": "cpu", "layers": [0, 2, 3], "restore": False, "resamples": 100, "threads": 1}


def test_the_runner_decides_no_number() -> None:
    sized = {"workers": 3, "gpus_per_worker": 1, "memory_per_worker": "24GiB"}
    local, ray = make({}), make({"runner": "ray", **sized})
    assert local.resolved() == ray.resolved()


def test_a_loaded_model_is_not_sent_to_workers(tiny: mechcla.HookedModel, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    with pytest.raises(MechclaError, match="expected the model's name or folder"):
        mechcla.run_sweep(tiny, tiny_items(), out=tmp_path / "run", runner="ray")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory, tiny_folders: dict[str, Path]) -> dict:
    base = tmp_path_factory.mktemp("ray")
    two_languages().to_jsonl(base / "items.jsonl")
    return {"model": str(tiny_folders["llama"]), "items": str(base / "items.jsonl"), **SMALL}


@pytest.fixture(scope="module")
def local(settings: dict, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    out = tmp_path_factory.mktemp("local") / "run"
    torch.set_num_threads(1)
    run_config(make({**settings, "out": str(out)}), say=lambda text: None)
    return results(out)


@pytest.mark.slow
def test_two_workers_of_which_one_is_killed_give_what_the_local_runner_gives(
    settings: dict,
    local: dict[str, str],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The first worker is killed as soon as it has written a cell in the dev search."""
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    out, killed = tmp_path / "run", []

    def kill() -> None:
        while not any((out / "cells/dev").rglob("EN*.parquet")):
            time.sleep(0.01)
        killed.append(
            int(re.findall(r"worker (\d+) on \S+ has started", capfd.readouterr().err)[0])
        )
        os.kill(killed[0], signal.SIGKILL)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    config = make({**settings, "out": str(out), "runner": "ray", "workers": 2})
    run_config(config, say=lambda text: None)
    killer.join()
    assert results(out) == local
    assert hidden(out) == []
    said = capfd.readouterr().err
    assert f"worker {killed[0]} on {socket.gethostname()} was lost" in said


@pytest.mark.slow
def test_a_killed_driver_is_started_again_and_goes_on(
    settings: dict, local: dict[str, str], tmp_path: Path
) -> None:
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    out = tmp_path / "run"
    given = {**settings, "out": str(out), "runner": "ray", "workers": 2}
    flags = [
        f"--{k.replace('_', '-')}={v}" for k, v in given.items() if k not in ("layers", "restore")
    ]
    command = [sys.executable, "-m", "mechcla.sweep", *flags, "--layers=0,2,3", "--no-restore"]
    driver = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not any((out / "cells/dev").rglob("EN*.parquet")):
        assert driver.poll() is None
        time.sleep(0.05)
    driver.kill()
    driver.wait()
    assert not (out / "summary.csv").exists()
    assert subprocess.run(command, capture_output=True, timeout=600).returncode == 0
    assert results(out) == local


@pytest.mark.slow
def test_a_worker_with_other_code_is_refused(
    settings: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a machine whose mechcla, packages or model are others: here the driver's are."""
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    monkeypatch.setattr("mechcla.sweep.ready.code_digest", lambda: "other code")
    config = make({**settings, "out": str(tmp_path / "run"), "runner": "ray", "workers": 1})
    with pytest.raises(MechclaError, match="would compute other numbers") as error:
        run_config(config, say=lambda text: None)
    assert "code: the run has 'other code'" in str(error.value)
    assert mechcla.read_run(tmp_path / "run").status.startswith("failed: a worker on")


@pytest.mark.slow
def test_adapters_are_made_side_by_side_as_one_after_another(
    settings: dict, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    adapter = save_adapter(Path(settings["model"]), tmp_path / "a", lora(), 0)
    given = {**settings, "adapters": [str(adapter)], "controls": False, "layers": [0, 2]}
    found = {}
    for runner in ("local", "ray"):
        out = tmp_path / runner
        config = make({**given, "out": str(out), "runner": runner, "workers": 2})
        run_several(config, say=lambda text: None)
        found[runner] = {name: results(out / name) for name in ("base", "a")}
        found[runner]["compared"] = {"": (out / "aligned.csv").read_text(encoding="utf-8")}
    assert found["ray"] == found["local"]
    assert len(set(re.findall(r"worker (\d+) on ", capfd.readouterr().err))) == 2


@pytest.mark.slow
def test_models_are_made_side_by_side_also_where_a_worker_is_killed(
    settings: dict, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The worker that makes the second run is killed when that run has a cell in the dev search."""
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    model = Path(settings["model"])
    other = shutil.copytree(model, tmp_path / "other")  # another name, the same weights
    given = {k: v for k, v in settings.items() if k != "model"}
    given |= {"models": [str(model), str(other)], "controls": False, "layers": [0, 2]}
    found, killed = {}, []

    def kill() -> None:
        run = tmp_path / "ray" / "other"
        while not any((run / "cells/dev").rglob("EN*.parquet")):
            time.sleep(0.01)
        killed.append(json.loads((run / "running.json").read_text(encoding="utf-8"))["pid"])
        os.kill(killed[0], signal.SIGKILL)

    for runner in ("local", "ray"):
        out = tmp_path / runner
        if runner == "ray":
            killer = threading.Thread(target=kill, daemon=True)
            killer.start()
        config = make({**given, "out": str(out), "runner": runner, "workers": 2})
        run_several(config, say=lambda text: None)
        found[runner] = {name: results(out / name) for name in (model.name, "other")}
        found[runner]["compared"] = {"": (out / "compare.csv").read_text(encoding="utf-8")}
    killer.join()
    assert found["ray"] == found["local"]
    said = capfd.readouterr().err
    assert len(set(re.findall(r"worker (\d+) on \S+ has started", said))) >= 2
    assert f"worker {killed[0]} on {socket.gethostname()} was lost; another one takes" in said
    assert f"the run {(tmp_path / 'ray' / 'other').resolve()}" in said


@pytest.mark.slow
def test_workers_that_a_cluster_has_no_room_for_hold_nothing_up(
    settings: dict, local: dict[str, str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Two workers on a cluster of one CPU, which is there before the run and stays as it is."""
    ray = pytest.importorskip("ray", reason="the extra `ray` is not installed")
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="error")
    try:
        out = tmp_path / "run"
        config = make({**settings, "out": str(out), "runner": "ray", "workers": 2})
        run_config(config, say=lambda text: None)
        assert ray.is_initialized()
    finally:
        ray.shutdown()
    assert results(out) == local
    said = capfd.readouterr().err
    assert "--workers 2, and the Ray cluster has room for 1, of 1 CPU each" in said
    assert len(re.findall(r"worker \d+ on \S+ has started", said)) == 1


def test_no_file_imports_ray_when_it_is_imported() -> None:
    """The local runner needs no Ray."""
    found = [
        str(path)
        for path in Path(mechcla.__file__).parent.rglob("*.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if (isinstance(node, ast.Import) and any(a.name.split(".")[0] == "ray" for a in node.names))
        or (isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "ray")
    ]
    assert found == []
    assert "import ray" in Path(ray_cluster.__file__).read_text(encoding="utf-8")
