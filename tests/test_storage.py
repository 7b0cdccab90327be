"""Files that are written whole, verified when read, and refused in one message."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from mechcla.errors import MechclaError
from mechcla.runs.folder import component
from mechcla.scoring.scores import ItemScore, Scores
from mechcla.storage import cache_folder, read_sealed, user_path, write_sealed, write_text
from mechcla.vectors.steering_vectors import SteeringVectors


def some_vectors() -> SteeringVectors:
    torch.manual_seed(0)
    return SteeringVectors(
        "EN",
        "resid_post",
        {"es": torch.randn(4, 32), "ko": torch.randn(4, 32)},
        {"es": torch.rand(4), "ko": torch.rand(4)},
        {"es": 3, "ko": 5},
        {"chat": False},
    )


def some_scores() -> Scores:
    rows = [
        ItemScore(
            *(f"c{n}", "es", "cultural", "test", "drink", "ES", "implicit"),
            texts=("vino", "té"),
            roles=("local", "english"),
            countries=("ES", None),
            log_likelihood=(-1.25 - n, -2.5),
            n_tokens=(1, 2),
            prior=(-3.0, -4.0),
        )
        for n in range(6)
    ]
    return Scores(tuple(rows), {"prompt": "implicit", "interventions": [{"strength": 0.3}]})


def flipped(path: Path, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)


def equal(a: SteeringVectors, b: SteeringVectors) -> bool:
    return (a.name, a.site, a.counts, a.record) == (b.name, b.site, b.counts, b.record) and all(
        torch.equal(x[k], y[k])
        for x, y in ((a.vectors, b.vectors), (a.norms, b.norms))
        for k in {*x, *y}
    )


def test_no_flipped_bit_of_a_vector_file_is_believed(tmp_path):
    """Every 7th bit of the file: refused by name, or the very vectors."""
    path, made = tmp_path / "en.safetensors", some_vectors()
    made.save(path)
    whole, refused, same = path.read_bytes(), 0, 0
    bits = range(0, 8 * len(whole), 7)
    for bit in bits:
        flipped(path, bit)
        try:
            read = SteeringVectors.load(path)
        except MechclaError as error:
            refused += str(path) in str(error)
        else:
            same += 1
            assert equal(read, made), bit
        path.write_bytes(whole)
    assert refused + same == len(bits)
    assert refused > 0.9 * len(bits)


def test_no_flipped_bit_of_a_table_of_scores_is_believed(tmp_path):
    path, made = tmp_path / "scores.parquet", some_scores()
    made.to_parquet(path)
    whole, refused, same = path.read_bytes(), 0, 0
    bits = range(0, 8 * len(whole), 37)
    for bit in bits:
        flipped(path, bit)
        try:
            read = Scores.from_parquet(path)
        except MechclaError as error:
            refused += str(path) in str(error)
        else:
            same += 1
            assert read == made, bit
        path.write_bytes(whole)
    assert refused + same == len(bits)
    assert refused > 100


@pytest.mark.parametrize("length", [0, 4, 100, 2000])
def test_cut_files_are_refused_by_name(length, tmp_path):
    vectors, scores = tmp_path / "en.safetensors", tmp_path / "scores.parquet"
    some_vectors().save(vectors)
    some_scores().to_parquet(scores)
    for path, read in ((vectors, SteeringVectors.load), (scores, Scores.from_parquet)):
        path.write_bytes(path.read_bytes()[: min(length, path.stat().st_size - 1)])
        with pytest.raises(MechclaError, match=path.name):
            read(path)


def test_a_table_one_row_short_is_refused(tmp_path):
    path = tmp_path / "scores.parquet"
    some_scores().to_parquet(path)
    table = pq.read_table(path)
    pq.write_table(table.slice(0, 5), path)
    with pytest.raises(MechclaError, match="do not match their digest"):
        Scores.from_parquet(path)
    with pytest.raises(MechclaError, match="lacks the column 'language'; it has id"):
        Scores.from_parquet(_written(pa.table({"id": ["a"]}), tmp_path / "other.parquet"))


def _written(table: pa.Table, path: Path) -> Path:
    pq.write_table(table, path)
    return path


def test_files_without_a_digest_are_read_with_a_warning(tmp_path):
    """What version 0.1 wrote, by pyarrow's and safetensors' own writers."""
    made, path = some_scores(), tmp_path / "old.parquet"
    buffer = BytesIO()
    made.to_parquet(buffer)
    table = pq.read_table(buffer)
    meta = {b"mechcla": json.dumps(made.settings, sort_keys=True).encode()}
    pq.write_table(table.replace_schema_metadata(meta), path)
    with pytest.warns(UserWarning, match="carries no digest"):
        assert Scores.from_parquet(path) == made
    vectors, path = some_vectors(), tmp_path / "old.safetensors"
    tensors = {f"vectors.{k}": v for k, v in vectors.vectors.items()}
    tensors |= {f"norms.{k}": v for k, v in vectors.norms.items()}
    old = {"name": "EN", "site": "resid_post", "counts": vectors.counts, "record": vectors.record}
    save_file(tensors, path, metadata={"mechcla": json.dumps(old)})
    with pytest.warns(UserWarning, match="carries no digest"):
        assert equal(SteeringVectors.load(path), vectors)
    with pytest.raises(MechclaError, match="belong elsewhere"):
        SteeringVectors.load(path, bound="vectors/en.safetensors of run abc")


def test_one_tensor_for_two_languages_is_saved(tmp_path):
    shared, norms = torch.randn(4, 32), torch.ones(4)
    both = SteeringVectors(
        "EN", "resid_post", {"es": shared, "pt": shared}, {"es": norms, "pt": norms}, {}, {}
    )
    part = torch.randn(2, 4, 32)  # two views of one memory
    views = SteeringVectors(
        "EN", "resid_post", {"es": part[0], "pt": part[1].T.contiguous().T}, {}, {}, {}
    )
    for made in (both, views):
        made.save(tmp_path / "two.safetensors")
        assert equal(SteeringVectors.load(tmp_path / "two.safetensors"), made)
        with safe_open(str(tmp_path / "two.safetensors"), framework="pt") as file:
            assert torch.equal(file.get_tensor("vectors.pt"), made["pt"])


def test_a_path_in_the_settings_is_its_text(tmp_path):
    made, path = some_vectors(), tmp_path / "en.safetensors"
    made.record["model"] = {"name": Path("models/llama"), "layers": np.int64(4)}
    made.save(path)
    assert SteeringVectors.load(path).record["model"] == {"name": "models/llama", "layers": 4}
    Scores(some_scores().rows, {"model": Path("models/llama")}).to_parquet(tmp_path / "s.parquet")
    assert Scores.from_parquet(tmp_path / "s.parquet").settings == {"model": "models/llama"}


def test_a_record_that_is_not_json_is_one_message_and_writes_nothing(tmp_path):
    made = some_vectors()
    made.record["how"] = object()
    with pytest.raises(MechclaError, match="the EN vectors' settings cannot be saved"):
        made.save(tmp_path / "en.safetensors")
    assert not list(tmp_path.iterdir())


def test_the_home_folder_is_meant_by_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path)
    some_vectors().save("~/en.safetensors")
    some_scores().to_parquet("~/scores.parquet")
    assert equal(SteeringVectors.load("~/en.safetensors"), some_vectors())
    assert Scores.from_parquet("~/scores.parquet") == some_scores()
    assert [p.name for p in tmp_path.iterdir()] == ["home"]
    assert user_path("~") == tmp_path / "home"
    assert user_path("a/~") == Path("a/~")
    with pytest.raises(MechclaError, match="'~nobody-by-this-name' is no home folder here"):
        user_path("~nobody-by-this-name/runs")


def test_sealed_json_is_read_back_and_damage_is_seen(tmp_path):
    path = tmp_path / "a.json"
    write_sealed(path, {"a": (1, float("nan")), "b": {"c": "é"}})
    assert read_sealed(path, "a", "b")["a"] == [1, None]
    assert read_sealed(path, "d") is None
    for text in ("", "{", "{}", "[1]", "null", path.read_text().replace("é", "e"), "[" * 100_000):
        path.write_text(text)
        assert read_sealed(path) is None, text[:20]
    path.write_bytes(b"\xff\xfe")
    assert read_sealed(path) is None


def test_what_the_disk_refuses_is_one_message_and_leaves_nothing(tmp_path):
    (tmp_path / "file").write_text("a file")
    with pytest.raises(MechclaError, match=r"cannot write 'x.txt' in '.*file'.*goes on from here"):
        write_text(tmp_path / "file" / "x.txt", "text")
    with pytest.raises(MechclaError, match=r"cannot write 'en.safetensors'"):
        some_vectors().save(tmp_path / "file" / "en.safetensors")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        "../../up",
        "/etc",
        "a/b",
        "a\\b",
        "C:",
        "es\n",
        "x" * 300,
        "é" * 200,
        "\ud800",
        "~",
        "con\0",
        "=cmd",
        ".hidden",
        "mechcla",
        "%2E",
    ],
)
def test_any_text_is_one_name_inside_the_folder(text, tmp_path):
    name = component(text)
    assert 0 < len(name) <= 40
    assert Path(name).name == name
    (tmp_path / "run").mkdir()
    inside = tmp_path / "run" / name
    inside.mkdir()
    assert inside.resolve().parent == (tmp_path / "run").resolve()
    assert component(text) != component(text + "/")


def test_codes_of_languages_are_their_own_names():
    for code in ("es", "zh-Hans", "sr_Latn", "pt-BR", "EN5x0.3-R14-LOC14x2-EN@prompt-swapped"):
        assert component(code) == code


def test_the_cache_folder_is_the_users_choice(tmp_path, monkeypatch):
    monkeypatch.setenv("MECHCLA_CACHE", str(tmp_path / "here"))
    assert cache_folder() == tmp_path / "here"
    monkeypatch.delenv("MECHCLA_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("sys.platform", "linux")
    assert cache_folder() == tmp_path / "mechcla"
