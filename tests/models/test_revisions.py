"""A revision loads the commit that it names, or is refused. The hub's cache is made by hand: two
commits of one repository, of other weights and of another depth.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

import mechcla
from mechcla.commands.chosen import SteeringFlags, chosen
from mechcla.errors import MechclaError
from mechcla.models import digests
from mechcla.models.load import base_weights, find_fitting_adapter, load_model
from mechcla.models.revisions import at_revision
from mechcla.sweep.__main__ import main as sweep
from mechcla.sweep.adapters import siblings
from mechcla.sweep.config import make
from mechcla.sweep.held import find_model
from tests.align.test_training import train
from tests.conftest import save_tiny
from tests.hub import Answers, said, serving
from tests.models.test_adapters import lora, save_adapter

pytestmark = pytest.mark.usefixtures("one_thread")
FEW = {"layers": [0, 2], "restore": False, "resamples": 100, "controls": False, "figures": False}


def add_commit(cache: Path, name: str, files: Path, *refs: str) -> str:
    """A folder's files as a commit of a repository in a hub's cache, with the refs that name it."""
    commit = hashlib.sha1("".join((name, *refs)).encode()).hexdigest()
    place = cache / f"models--{name.replace('/', '--')}"
    (place / "blobs").mkdir(parents=True, exist_ok=True)
    (place / "snapshots" / commit).mkdir(parents=True)
    for path in files.iterdir():
        blob = hashlib.sha256(path.read_bytes()).hexdigest()
        (place / "blobs" / blob).write_bytes(path.read_bytes())
        (place / "snapshots" / commit / path.name).symlink_to(f"../../blobs/{blob}")
    for ref in refs:
        (place / "refs" / ref).parent.mkdir(parents=True, exist_ok=True)
        (place / "refs" / ref).write_text(commit)
    return commit


@dataclass(frozen=True)
class Cache:
    """A hub's cache: org/name at v1 (`old`) and at v2 and main (`new`), and org/adapter, trained on
    org/name at v1, at two commits as well.
    """

    folder: Path
    plain: dict[str, Path]
    commits: dict[str, str]
    adapters: dict[str, str]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    base = tmp_path_factory.mktemp("hub")
    plain = {
        "old": save_tiny("llama", base / "old"),
        "new": save_tiny("llama", base / "new", num_hidden_layers=5),
    }
    refs = {"old": ("v1", "refs/pr/1"), "new": ("v2", "main")}
    hub = base / "cache"
    commits = {k: add_commit(hub, "org/name", plain[k], *refs[k]) for k in plain}
    adapters = {}
    for seed, ref in enumerate(("r1", "main")):
        folder = save_adapter(plain["old"], base / ref, lora(), seed)
        config = json.loads((folder / "adapter_config.json").read_text())
        config |= {"base_model_name_or_path": "org/name", "revision": "v1"}
        (folder / "adapter_config.json").write_text(json.dumps(config))
        adapters[ref] = add_commit(hub, "org/adapter", folder, ref)
    return Cache(hub, plain, commits, adapters)


@pytest.fixture
def hub(made: Cache, monkeypatch: pytest.MonkeyPatch) -> Cache:
    """The same as this process's cache, without downloads."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(made.folder))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return made


def norm(model: mechcla.HookedModel) -> torch.Tensor:
    """A weight that an adapter changes."""
    return model.bridge.original_model.model.layers[0].mlp.down_proj.original_component.weight


@pytest.mark.parametrize(
    ("revision", "which"),
    [(None, "new"), ("main", "new"), ("v2", "new"), ("v1", "old"), ("refs/pr/1", "old")],
)
def test_a_ref_loads_the_weights_of_its_commit(revision, which, hub):
    model = load_model("org/name", revision=revision, device="cpu")
    tensors = load_file(hub.plain[which] / "model.safetensors")
    assert torch.equal(norm(model), tensors["model.layers.0.mlp.down_proj.weight"])
    assert model.n_layers == {"old": 4, "new": 5}[which]
    assert model.digest == load_model(hub.plain[which], device="cpu").digest
    assert model.revision == hub.commits[which]


def test_a_commit_is_a_revision_and_the_hubs_digests_of_its_files_stand_for_it(hub, monkeypatch):
    """The weights of both commits are large enough to be kept here, one by one."""
    monkeypatch.setattr(digests, "LEAST", 0)
    monkeypatch.setenv("MECHCLA_CACHE", str(hub.folder.parent / "kept"))
    found = {}
    for which, commit in hub.commits.items():
        for _ in range(2):
            model = load_model("org/name", revision=commit, device="cpu")
            assert model.revision == commit
            assert model.source is not None
            weights = hub.plain[which] / "model.safetensors"
            assert [f["sha256"] for f in model.source["files"]] == [
                hashlib.sha256(weights.read_bytes()).hexdigest()
            ]
            found.setdefault(which, set()).add(model.digest)
    assert [len(digest) for digest in found.values()] == [1, 1]
    assert found["old"] != found["new"]
    plain = base_weights("org/name", torch.float32, hub.commits["old"])
    assert plain.config.num_hidden_layers == 4


def test_a_revision_that_is_not_there_is_named_with_the_nearest_fix(hub):
    for take in (
        lambda revision: load_model("org/name", revision=revision, device="cpu"),
        lambda revision: base_weights("org/name", torch.float32, revision),
    ):
        with pytest.raises(MechclaError) as error:
            take("v3")
        said = str(error.value)
        assert "no revision 'v3' of 'org/name'" in said
        assert "did you mean 'v2'? known: main, refs/pr/1, v1, v2" in said
        assert "HF_HUB_OFFLINE" in said
        commit = hub.commits["old"]
        with pytest.raises(MechclaError, match=f"{commit[:8]!r}.*did you mean {commit!r}"):
            take(commit[:8])
    with pytest.raises(MechclaError, match=r"the adapter.*no revision 'r2'.*did you mean 'r1'"):
        load_model("org/name", adapter="org/adapter@r2", revision="v1", device="cpu")


def test_a_repository_of_which_nothing_is_here_is_not_said_to_lack_a_revision(hub):
    with pytest.raises(MechclaError, match="cannot load the model 'org/other': We couldn't"):
        load_model("org/other", revision="v1", device="cpu")


def test_a_folder_and_a_packaged_model_have_no_revision(hub, tmp_path):
    folder = str(hub.plain["old"])
    for name in (folder, "demo", "smollm2"):
        for take in (
            lambda name: load_model(name, revision="v1"),
            lambda name: base_weights(name, torch.float32, "v1"),
            lambda name: find_fitting_adapter(name, "org/adapter", "v1"),
        ):
            with pytest.raises(MechclaError, match="revision 'v1' was asked for") as error:
                take(name)
            assert repr(name) in str(error.value)
            assert "leave it out" in str(error.value)
    with pytest.raises(MechclaError, match="to pin the adapter, write adapter='org/adapter@r1'"):
        load_model(folder, adapter="org/adapter", revision="r1")
    inside = hub.folder / "models--org--name" / "snapshots" / hub.commits["old"]
    assert load_model(inside, device="cpu").revision is None
    with pytest.raises(MechclaError, match=r"expected 'org/name' and revision='v1'"):
        load_model("org/name@v1", device="cpu")


def test_an_adapter_beside_a_base_is_pinned_by_itself(hub):
    merged = {}
    for ref, commit in hub.adapters.items():
        files = hub.folder / "models--org--adapter" / "snapshots" / commit
        merged[ref] = norm(load_model(hub.plain["old"], adapter=files, device="cpu"))
        for pinned in (f"org/adapter@{ref}", f"org/adapter@{commit}"):
            model = load_model("org/name", adapter=pinned, revision="v1", device="cpu")
            assert torch.equal(norm(model), merged[ref])
            assert model.name == f"org/name+{pinned}"
            assert model.revision == hub.commits["old"]
            again = find_model(make({"model": model.name, "revision": "v1", "device": "cpu"}))
            assert again.digest == model.digest
    assert not torch.equal(merged["r1"], merged["main"])
    by_name = load_model("org/adapter", revision="r1", device="cpu")  # with the base that it names
    assert torch.equal(norm(by_name), merged["r1"])
    assert (by_name.name, by_name.revision) == ("org/name+org/adapter@r1", hub.commits["old"])


def test_an_adapter_of_one_revision_is_not_put_on_another(hub):
    """Where both have the same shapes, nothing else would say it."""
    old, new = hub.commits["old"], hub.commits["new"]
    for revision in (None, "v2", new):
        for take in (load_model, find_fitting_adapter):
            with pytest.raises(
                MechclaError, match=r"trained on 'org/name' at revision 'v1'.*--rev"
            ):
                take("org/name", adapter="org/adapter", revision=revision)
    for revision in ("v1", "refs/pr/1", old):  # of one commit
        folder, sure = find_fitting_adapter("org/name", "org/adapter", revision)
        assert (folder.name, sure) == (hub.adapters["main"], True)


def test_an_adapter_of_a_revision_is_not_put_on_a_folder_of_the_same_name(
    hub, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "org").mkdir()
    (tmp_path / "org" / "name").symlink_to(hub.plain["old"])
    said = r"is of 'org/name' at revision 'v1'.*load_model\('org/name', adapter='org/adapter'\)"
    with pytest.raises(MechclaError, match=said):
        load_model("org/adapter", device="cpu")


def test_adapters_of_a_sweep_are_pinned_each_and_their_runs_have_other_names(hub, tmp_path):
    adapters = ["org/adapter@r1", "org/adapter"]
    config = make({"model": "org/name", "revision": "v1", "adapters": adapters})
    runs = siblings(config.model_copy(update={"out": str(tmp_path / "runs")}))
    assert list(runs) == ["base", "adapter@r1", "adapter"]
    assert {run.revision for run in runs.values()} == {"v1"}
    for run, ref in zip(list(runs.values())[1:], ("r1", "main"), strict=True):
        assert hub.adapters[ref] in run.model
    assert at_revision("./org/name@v1") == ("./org/name@v1", None)


def test_a_run_is_of_its_revision(hub, small_items, tmp_path):
    items = small_items.to_jsonl(tmp_path / "items.jsonl") or tmp_path / "items.jsonl"
    how = {"device": "cpu", "languages": ["es"], **FEW}
    made = {
        revision: mechcla.run_sweep(
            "org/name", items, out=tmp_path / revision, revision=revision, **how
        )
        for revision in ("v1", "v2")
    }
    found = {k: run.record["identity"]["model"] for k, run in made.items()}
    plain = [load_model(hub.plain[which], device="cpu").digest for which in ("old", "new")]
    assert [found["v1"], found["v2"]] == plain
    held = load_model("org/name", revision="v1", device="cpu")
    run = mechcla.run_sweep(held, small_items, out=tmp_path / "held", languages=["es"], **FEW)
    assert run.config["revision"] == hub.commits["old"]
    assert find_model(make({"model": run.config["model"], **_pinned(run)})).digest == held.digest
    with pytest.raises(MechclaError, match="model"):  # the folder of one takes no cells of another
        mechcla.run_sweep("org/name", items, out=tmp_path / "v1", revision="v2", **how)
    other = chosen(SteeringFlags(run=str(tmp_path / "v1"), model=str(hub.plain["old"])))
    assert other.config.revision is None
    assert chosen(SteeringFlags(run=str(tmp_path / "v1"))).config.revision == "v1"


def _pinned(run: mechcla.Run) -> dict[str, str]:
    return {"revision": run.config["revision"], "device": "cpu"}


def test_the_command_refuses_what_a_revision_cannot_be_of(hub, small_items, tmp_path, capsys):
    small_items.to_jsonl(tmp_path / "items.jsonl")
    for name, revision in ((str(hub.plain["old"]), "v1"), ("org/name", "v3")):
        arguments = ["--model", name, "--revision", revision, "--device", "cpu"]
        arguments += ["--items", str(tmp_path / "items.jsonl"), "--out", str(tmp_path / "run")]
        assert sweep(arguments) == 2
        assert f"revision {revision!r}" in capsys.readouterr().err
        assert not (tmp_path / "run").exists()


def test_training_takes_the_base_of_its_revision_and_its_adapter_finds_it_again(hub, tmp_path):
    result = train("mist", "org/name", tmp_path / "a", revision="v1", steps=2)
    assert result.record["base"]["digest"] == load_model(hub.plain["old"], device="cpu").digest
    model = load_model(result.folder, device="cpu")  # main has another block
    assert (model.n_layers, model.revision) == (4, hub.commits["old"])
    with pytest.raises(MechclaError, match="revision 'v1' was asked for"):
        train("mist", hub.plain["old"], tmp_path / "b", revision="v1")


class Hub(Answers):
    """Answers as the Hub does where a repository lacks the revision."""

    def answer(self) -> None:
        self.reply(404, X_Error_Code="RevisionNotFound")


def test_in_a_process_of_its_own_the_environments_cache_is_used_and_the_hub_is_asked(made):
    code = (
        "import mechcla, sys\n"
        "try:\n    print(mechcla.load_model('org/name', revision=sys.argv[1], device='cpu').digest)"
        "\nexcept mechcla.MechclaError as error:\n    print('REFUSED', error)\n"
    )
    with serving(Hub) as place:
        own = {"address": place, "HF_HUB_CACHE": str(made.folder)}
        here = said(code, "v1", offline=True, **own).strip()
        asked = said(code, "v3", **own).strip()
    assert here == load_model(made.plain["old"], device="cpu").digest
    assert asked.startswith("REFUSED cannot load the model 'org/name': the hub has no revision")
    for part in ("'v3' of 'org/name'", f"{place}/org/name/commits/main", "did you mean 'v2'"):
        assert part in asked


def test_the_oracle_loads_the_same_tensors(hub):
    """transformers itself, by ref, from the cache that was made by hand."""
    for ref, which in (("v1", "old"), ("v2", "new")):
        own = AutoModelForCausalLM.from_pretrained("org/name", revision=ref).state_dict()
        ours = load_file(hub.plain[which] / "model.safetensors")
        assert all(torch.equal(own[k], tensor) for k, tensor in ours.items())
