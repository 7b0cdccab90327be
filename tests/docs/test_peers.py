"""What docs/peers.md says of other tools is what their installed releases say."""

from __future__ import annotations

import importlib.util
import re
from importlib import metadata
from pathlib import Path

import pytest

from tests.docs.pages import ROOT

PAGE = (ROOT / "docs" / "peers.md").read_text(encoding="utf-8")


def source(package: str, file: str) -> str:
    spec = importlib.util.find_spec(package)  # finds it without importing it
    if spec is None:
        pytest.skip(f"{package} is in the extra `bench` (`make extras`)")
    return (Path(spec.submodule_search_locations[0]) / file).read_text(encoding="utf-8")


def shown(name: str) -> str:
    [version] = re.findall(rf"^\| {name} \| ([\d.]+) \|", PAGE, flags=re.MULTILINE)
    return version


def test_a_bridge_runs_the_blocks_below_its_start():
    assert metadata.version("transformer-lens") == shown("TransformerLens")
    text = source("transformer_lens", "model_bridge/transformer_bridge.py")
    assert "Blocks 0..k-1 still execute internally" in text


@pytest.mark.lm_eval
def test_lm_eval_shares_prompts_of_one_token_answers_and_steers_every_position():
    assert "def _lookup_one_token_cont" in source("lm_eval", "models/huggingface.py")
    assert metadata.version("lm-eval") == shown("lm-eval")
    steered = source("lm_eval", "models/hf_steered.py")
    assert re.search(r"^\s*steer_config = torch.load\(f, weights_only=False\)", steered, re.M)
    assert "adding a multiple of a steering vector to all sequence positions" in steered
    assert "def mean_stderr" in source("lm_eval", "api/metrics.py")
    assert "class VLLM" in source("lm_eval", "models/vllm_causallms.py")


@pytest.mark.lm_eval
def test_steering_vectors_defaults():
    """It is installed with lm-eval, by `make extras`."""
    text = source("steering_vectors", "train_steering_vector.py")
    assert metadata.version("steering-vectors") == shown("steering-vectors")
    assert "    batch_size: int = 1,\n" in text
    assert "aggregator: Aggregator = mean_aggregator()" in text
    assert any(
        re.match(r"transformers<5", line) for line in metadata.requires("steering-vectors") or []
    )


@pytest.mark.lm_eval
def test_repeng_defaults():
    """It is installed with lm-eval, by `make extras`."""
    text = source("repeng", "extract.py")
    assert metadata.version("repeng") == shown("repeng")
    for said in ("batch_size: int = 32", '= "pca_diff"', "def export_gguf", "def train_with_sae"):
        assert said in text
    assert {"__add__", "__sub__", "__mul__"} <= set(re.findall(r"def (\w+)", text))


def test_mechcla_is_what_the_page_says_of_it():
    from mechcla.models.sites import SITES

    [said] = re.findall(r"sites of the residual stream \(([^)]*)\)", PAGE)
    assert tuple(re.findall(r"`(\w+)`", said)) == SITES


def test_gotchas_say_three_things_each_and_name_tests_that_exist():
    page = (ROOT / "docs" / "gotchas.md").read_text(encoding="utf-8")
    traps = page.split("\n## ")[1:]
    assert len(traps) == 9
    for trap in traps:
        lead = re.findall(r"^- \*\*(.*?)\.\*\*", trap, flags=re.MULTILINE)
        assert lead == ["What goes wrong", "What mechcla does", "Where to look"], trap[:30]
        named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", trap)
        assert named, trap[:30]
        for file, name in named:
            assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8"), name
