"""A model's digest is over its weights, and what is kept of it is used only where it is true."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from mechcla.models import digests
from mechcla.models.hooked_model import HookedModel
from mechcla.models.load import load_model
from mechcla.models.wrapping import wrap_model

FALSE = "f" * 64


@pytest.fixture
def folder(tiny_folders, tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("MECHCLA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(digests, "LEAST", 0)
    return shutil.copytree(tiny_folders["llama"], tmp_path / "model")


def by_hand(model: HookedModel) -> str:
    """The digest as it is defined: names, dtypes, shapes and bytes, the config, the tokenizer."""
    own, sha, seen = model.bridge.original_model, hashlib.sha256(), set()
    for name, tensor in sorted(own.state_dict().items()):
        sha.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        if tensor.data_ptr() not in seen:  # the bytes of tied weights count once
            sha.update(tensor.contiguous().numpy().tobytes())
        seen.add(tensor.data_ptr())
    config = own.config.to_dict()
    config = {k: v for k, v in config.items() if k not in ("_name_or_path", "_commit_hash")}
    sha.update(json.dumps(config, sort_keys=True, default=str).encode())
    sha.update(digests.tokenizer_bytes(model.tokenizer))
    return hashlib.sha256(f"{sha.hexdigest()} null".encode()).hexdigest()


def fresh(folder: Path) -> str:
    """The digest of a wrapped model, which is of no files and so never kept."""
    return wrap_model(load_model(folder, device="cpu").bridge).digest


def falsify(tmp_path: Path) -> None:
    """Another digest in what is kept, so that its use shows."""
    (place,) = (tmp_path / "cache" / "digests").glob("*.json")
    place.write_text(json.dumps(json.loads(place.read_text()) | {"digest": FALSE}))


def change(folder: Path, by: float = 1.0) -> None:
    path = folder / "model.safetensors"
    tensors = load_file(path)
    tensors["model.norm.weight"] = tensors["model.norm.weight"] + by
    save_file(tensors, path, metadata={"format": "pt"})


def test_a_digest_is_what_it_is_defined_as_and_kept_by_the_files(folder, tmp_path):
    model = load_model(folder, device="cpu")
    assert model.digest == by_hand(model) == fresh(folder)
    falsify(tmp_path)
    again = load_model(folder, device="cpu")
    assert again.digest not in (model.digest, fresh(folder))  # it was not computed again
    assert load_model(folder, device="cpu", dtype="bfloat16").digest == fresh_in(folder, "bfloat16")


def fresh_in(folder: Path, dtype: str) -> str:
    return wrap_model(load_model(folder, device="cpu", dtype=dtype).bridge).digest


@pytest.mark.parametrize("quietly", [False, True])
def test_a_changed_file_is_noticed_even_where_its_time_and_size_are_as_before(
    quietly, folder, tmp_path
):
    before = load_model(folder, device="cpu").digest
    falsify(tmp_path)
    path = folder / "model.safetensors"
    known = path.stat()
    change(folder)
    assert path.stat().st_size == known.st_size
    if quietly:
        os.utime(path, ns=(known.st_atime_ns, known.st_mtime_ns))
    found = load_model(folder, device="cpu").digest
    assert found == fresh(folder) != before


def test_weights_that_were_edited_before_the_first_digest_are_not_those_of_the_file(
    folder, tmp_path
):
    before = load_model(folder, device="cpu").digest
    falsify(tmp_path)
    edited = load_model(folder, device="cpu")
    with torch.no_grad():
        edited.bridge.original_model.model.norm.weight.data[3] += 1e-3
    assert edited.digest == wrap_model(edited.bridge).digest != before


def test_a_cache_that_cannot_be_used_is_none(folder, tmp_path, monkeypatch):
    expected = fresh(folder)
    (tmp_path / "cache").write_text("no folder")
    assert load_model(folder, device="cpu").digest == expected
    (tmp_path / "cache").unlink()
    assert load_model(folder, device="cpu").digest == expected
    (place,) = (tmp_path / "cache" / "digests").glob("*.json")
    for damaged in ("", "{}", "[]", '{"digest": "x"}'):
        place.write_text(damaged)
        assert load_model(folder, device="cpu").digest == expected


def test_small_models_leave_nothing_behind(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(digests, "LEAST", 1 << 26)
    assert load_model(folder, device="cpu").digest
    assert not (tmp_path / "cache").exists()


def test_the_hubs_own_hash_names_a_file_wherever_it_lies(tmp_path):
    blob = tmp_path / "blobs" / hashlib.sha256(b"weights").hexdigest()
    blob.parent.mkdir()
    blob.write_bytes(b"weights")
    snapshot = tmp_path / "snapshots" / "0123"
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").symlink_to(blob)
    named = digests.identify(snapshot / "model.safetensors")
    assert named == {"sha256": blob.name, "size": 7}
    os.utime(blob, ns=(0, 0))
    assert digests.identify(snapshot / "model.safetensors") == named
    plain = tmp_path / "model.safetensors"
    plain.write_bytes(b"weights")
    assert set(digests.identify(plain)) == {"path", "size", "mtime_ns"}


def test_sums_are_the_same_for_any_piece_and_see_every_value():
    one = torch.randn(1000, generator=torch.Generator().manual_seed(0))

    def of(tensor):
        return digests.sums(iter([("w", 0, tensor)]))[1]

    assert of(one) == of(one.clone())
    for place in (0, 500, 999):
        other = one.clone()
        other[place] = torch.nextafter(other[place], torch.tensor(9.0))
        assert of(other) != of(one)
    for dtype in (torch.bfloat16, torch.float16, torch.float64, torch.int64, torch.bool):
        assert of(one.to(dtype)) != of(one)
