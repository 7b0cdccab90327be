"""The GPU's benchmark in small on the CPU: every section is there, and all paths agree."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from analyses.benchmarks import beginnings, gpu
from analyses.benchmarks.random_models import wrapped

pytestmark = pytest.mark.slow  # a benchmark in small


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> dict:
    out: Path = tmp_path_factory.mktemp("gpu") / "gpu.json"
    small = ["--items", "2", "--small-items", "2", "--rows", "8", "--product", "64"]
    given = ["--shape", "tiny", "--small", "tiny-llama", "--device", "cpu", "--dtype", "float32"]
    assert gpu.main([*given, *small, "--repeats", "1", "--out", str(out)]) == 0
    found: dict = json.loads(out.read_text("utf-8"))
    return found


def test_all_paths_of_the_large_model_agree_and_each_size_has_its_row(record, one_thread):
    large = record["large"]
    assert large["cells"] == 4 * 3
    assert large["run_with_hooks"]["seconds_per_cell"] > 0
    assert [row["max_tokens"] for row in large["engine"]] == ["2048", "auto", "32768"]
    assert [row["tokens"] for row in large["engine"]] == [2048, 2048, 32768]
    for row in large["engine"]:
        assert row["largest_difference"] < 1e-4
        assert row["same_choice"] == 1.0
        assert row["times_run_with_hooks"] > 0
        assert row["of_product_rate"] > 0
    assert record["machine"]["device"]


def test_the_small_model_gives_the_same_numbers_without_transformer_lens(record):
    assert record["small"]["largest_difference"] < 1e-4
    assert record["small"]["times_transformers_hooks"] > 0


def test_shared_and_whole_prompts_of_the_benchmark_agree(record):
    found = record["beginnings"]
    for way in ("sweep", "extraction"):
        assert found[way]["largest_difference"] < 1e-4
        assert found[way]["times_faster"] > 0


def test_a_long_system_turn_is_a_beginning(one_thread):
    model = wrapped("tiny-llama", torch.device("cpu"), torch.float32)
    assert beginnings.measured(model, 8, 1, 1)["beginning_tokens"] > 60
