"""The cost of training is measured on the training itself: its steps, its tokens, its losses."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from analyses.benchmarks import train_cost
from mechcla.align.config import make
from mechcla.align.data import align_data_folder
from mechcla.align.loaders import load_data
from mechcla.align.plan import make_plan

pytestmark = pytest.mark.slow  # a benchmark in small


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The first shipped facts, in three languages."""
    path = tmp_path_factory.mktemp("data") / "facts.jsonl"
    lines = (align_data_folder() / "facts.jsonl").read_text("utf-8").splitlines()[:40]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


def cost(out: Path, data: str, *arguments: str) -> dict[str, Any]:
    common = ["--shape", "tiny", "--device", "cpu", "--dtype", "float32", "--batch-rows", "16"]
    common += ["--data", data]
    assert train_cost.main([*common, "--steps", "3", "--out", str(out), *arguments]) == 0
    found: dict[str, Any] = json.loads(out.read_text("utf-8"))
    return found


def test_each_method_is_measured_and_checkpointing_changes_no_loss(
    tmp_path: Path, data: str, one_thread: None
) -> None:
    """Losses with and without gradient checkpointing agree, so the same training is measured."""
    record = cost(tmp_path / "a.json", data)
    plain = cost(tmp_path / "b.json", data, "--no-gradient-checkpointing")
    trainings = record["trainings"]
    assert [t["method"] for t in trainings] == ["mist", "midalign", "clo"]
    for one, other in zip(trainings, plain["trainings"], strict=True):
        assert [s["loss"] for s in one["steps"]] == pytest.approx(
            [s["loss"] for s in other["steps"]], rel=1e-5
        )
        assert len(one["steps"]) == 3
        assert all(s["seconds"] > 0 and s["tokens"] <= s["padded_tokens"] for s in one["steps"])
        assert all(s["widest_micro_batch"] <= 2048 for s in one["steps"])
        assert one["peak_gib"] > 0
    # A random model knows nothing: about ln of its vocabulary per token.
    assert trainings[0]["steps"][0]["loss"] == pytest.approx(math.log(2048), rel=0.02)
    assert set(trainings[1]["tasks"]) == {"sft", "infonce"}


def test_tokens_are_the_plans_own(tmp_path: Path, data: str, one_thread: None) -> None:
    record = cost(tmp_path / "a.json", data, "--methods", "clo", "--batch-tokens", "256")
    [training] = record["trainings"]
    config = make(
        {"method": "clo", "batch_tokens": 256, "batch_rows": 16, "steps": 3, "data": data}
    )
    texts = load_data(config)
    tokenizer = train_cost.made_tokenizer(texts, 2048)
    plan = make_plan(config, texts, tokenizer, 512, 2048, 0)
    tokens = [0, 0, 0]
    for index in range(len(plan)):
        batch = plan[index]["batch"]
        assert batch.ids.numel() <= 256
        tokens[batch.step - 1] += int(batch.real.sum())
    assert [s["tokens"] for s in training["steps"]] == tokens
    assert training["micro_batches_per_step"] == plan.parts


@pytest.mark.parametrize("on", [True, False])
def test_gradient_checkpointing_runs_blocks_again(
    on: bool, tmp_path: Path, data: str, one_thread: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A block runs a second time for the backward pass, or else memory is that of all blocks."""
    calls = {True: 0, False: 0}
    made = train_cost.random_model

    def counted(*arguments: Any) -> Any:
        model = made(*arguments)
        model.model.layers[0].mlp.register_forward_hook(
            lambda *_: calls.update({torch.is_grad_enabled(): calls[torch.is_grad_enabled()] + 1})
        )
        return model

    monkeypatch.setattr(train_cost, "random_model", counted)
    flag = "--gradient-checkpointing" if on else "--no-gradient-checkpointing"
    record = cost(tmp_path / "a.json", data, "--methods", "mist", flag)
    parts = 3 * record["trainings"][0]["micro_batches_per_step"]
    assert calls[True] == parts * (2 if on else 1)


def test_the_shape_of_12b_has_its_parameters() -> None:
    """11.77 billion in the text decoder, as its config says; nothing is allocated."""
    model = train_cost.random_model("gemma3-12b", torch.device("meta"), torch.bfloat16)
    embedding, head = 262_144 * 3840, model.get_output_embeddings().weight
    assert head is model.get_input_embeddings().weight
    attention = 2 * 3840 * 16 * 256 + 2 * 3840 * 8 * 256
    norms = 4 * 3840 + 2 * 256
    block = attention + 3 * 3840 * 15_360 + norms
    assert sum(p.numel() for p in model.parameters()) == embedding + 48 * block + 3840
    assert model.config.layer_types.count("full_attention") == 8


def test_a_tokenizer_beyond_the_shape_is_refused(data: str, tiny_folders: dict[str, Path]) -> None:
    args = train_cost.parsed(["--shape", "tiny", "--tokenizer", str(tiny_folders["llama"])])
    texts = load_data(make({"method": "mist", "data": data}))
    assert len(train_cost.tokenizer_of(args, texts)) == 320
    train_cost.SHAPES["small"] = train_cost.SHAPES["tiny"] | {"vocab_size": 100}
    try:
        args.shape = "small"
        with pytest.raises(train_cost.MechclaError, match="320 tokens, the shape 'small' 100"):
            train_cost.tokenizer_of(args, texts)
    finally:
        del train_cost.SHAPES["small"]
