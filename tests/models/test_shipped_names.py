"""A shipped adapter is found by its plain name, from a wheel too; a user's folder wins."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import mechcla
from mechcla.errors import MechclaError
from mechcla.models.load import find_fitting_adapter, load_model
from mechcla.sweep.config import make
from mechcla.sweep.held import find_model
from tests.models.test_adapters import lora, save_adapter

ROOT = Path(__file__).parents[2]

IN_A_WHEEL = """
import sys
import mechcla
from mechcla.align.data import demo_facts
from mechcla.models.adapters import shipped_adapters
from mechcla.sources.demo import demo_items
assert mechcla.__file__.startswith(sys.argv[1]), mechcla.__file__
assert len(demo_items()) > 2000 and len(demo_facts()) > 100
print({name: str(folder) for name, folder in shipped_adapters().items()})
"""


@pytest.fixture
def base(tiny_folders: dict[str, Path]) -> Path:
    return tiny_folders["llama"]


@pytest.fixture
def shipped(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two adapters where shipped ones lie; the working folder is another."""
    for seed, name in enumerate(("clo", "mist")):
        save_adapter(base, tmp_path / "shipped" / name, lora(), seed)
    monkeypatch.setenv("MECHCLA_ADAPTERS", str(tmp_path / "shipped"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "shipped"


def test_a_plain_name_is_the_shipped_adapters(base: Path, shipped: Path) -> None:
    named = load_model(base, adapter="clo", device="cpu")
    assert named.name == f"{base}+clo"
    path = load_model(base, adapter=shipped / "clo", device="cpu")
    assert named.digest == path.digest
    assert named.digest != load_model(base, adapter="mist", device="cpu").digest
    assert load_model("clo", device="cpu").digest == named.digest  # with the base that it names
    found = find_model(make({"model": named.name, "device": "cpu"}))
    assert (found.name, found.digest) == (named.name, named.digest)
    assert find_model(make({"model": "clo", "device": "cpu"})).digest == named.digest
    assert find_fitting_adapter(str(base), "clo") == ((shipped / "clo").resolve(), True)


def test_a_folder_of_that_name_wins(base: Path, shipped: Path) -> None:
    save_adapter(base, Path("clo"), lora(), seed=7)
    own = load_model(base, adapter="clo", device="cpu").digest
    assert own == load_model(base, adapter=Path("clo").resolve(), device="cpu").digest
    assert own != load_model(base, adapter=shipped / "clo", device="cpu").digest
    assert load_model("clo", device="cpu").digest == own


@pytest.mark.parametrize("take", [load_model, find_fitting_adapter])
def test_an_unknown_name_gets_the_nearest(take, base: Path, shipped: Path) -> None:
    def ask(name: str) -> None:
        take(str(base), adapter=name)

    with pytest.raises(MechclaError, match=r"'cloo'.*did you mean 'clo'\? known: clo, mist"):
        ask("cloo")
    shutil.rmtree(shipped)
    with pytest.raises(MechclaError, match=r"adapter 'clo': there is no such folder.*known: none"):
        ask("clo")
    with pytest.raises(MechclaError, match=r"cannot load the adapter '\./clo'"):
        ask("./clo")


def test_a_wheel_has_all_that_travels(shipped: Path, tmp_path: Path) -> None:
    """Laid out as pyproject.toml tells the builder: the package, and the folders put into it."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    wheel = settings["tool"]["hatch"]["build"]["targets"]["wheel"]
    site = tmp_path / "site"
    for package in wheel["packages"]:
        shutil.copytree(ROOT / package, site / package, ignore=shutil.ignore_patterns("*.pyc"))
    for source, target in wheel["force-include"].items():
        assert (ROOT / source).is_dir(), source
        assert not (site / target).exists(), target
        shutil.copytree(ROOT / source, site / target)
    shutil.copytree(shipped / "clo", site / "mechcla/models/demo_adapters/tiny")
    done = subprocess.run(
        [sys.executable, "-c", IN_A_WHEEL, str(site)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(site), "MECHCLA_ADAPTERS": ""},
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.replace("'", '"'))
    assert found["tiny"] == str(site / "mechcla/models/demo_adapters/tiny")
    there = {p.parent.name for p in ROOT.glob("data/adapters/*/adapter_config.json")}
    assert set(found) - {"tiny"} == there


def test_what_is_shipped_is_licensed_and_small() -> None:
    """The notice is passed on, in the wheel's licences too, and no file is above 4 MB."""
    folder = ROOT / "data" / "adapters"
    assert mechcla.models.adapters.shipped_folder() == folder
    assert all(p.stat().st_size <= 4_000_000 for p in folder.rglob("*") if p.is_file())
    notices = (ROOT / "data" / "NOTICES.md").read_text("utf-8")
    assert "subject to the Gemma Terms of Use found at ai.google.dev/gemma/terms" in notices
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert "data/NOTICES.md" in project["license-files"]
