"""lm-eval's steered model under an exported file scores as mechcla does under the same edits, and
its samples are those that `write_samples` writes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedTokenizerFast

pytest.importorskip(
    "lm_eval",
    reason="lm-eval is not installed; it is in the extra `bench` (make bench installs it)",
)

import mechcla
from analyses.lm_eval_parity import task
from mechcla.scoring.samples import write_samples
from mechcla.steering.method import Manner, Method
from mechcla.vectors.steering_vectors import SteeringVectors
from tests.conftest import save_tiny, tiny_tokenizer

pytestmark = [pytest.mark.lm_eval, pytest.mark.usefixtures("one_thread")]
EVERY = Manner(en_positions="prompt_and_answer", loc_positions="prompt_and_answer")
METHODS = {
    "EN": Method(1, 1.5),
    "LOC": Method(loc_layer=2, loc_strength=2.0),
    "SUR": Method(1, 1.5, loc_layer=2, loc_strength=2.0),
}


def without_bos(folder: Path) -> Path:
    """A model whose tokenizer adds nothing: then every token is the user's, as lm-eval has it."""
    save_tiny("llama", folder)
    backend = tiny_tokenizer().backend_tokenizer
    backend.post_processor = None
    roles = {"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>"}
    PreTrainedTokenizerFast(tokenizer_object=backend, **roles).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def vectors() -> dict[str, SteeringVectors]:
    draw = torch.Generator().manual_seed(3)
    return {
        name: SteeringVectors.from_tensors(name, {"es": torch.randn(4, 32, generator=draw)})
        for name in ("EN", "LOC")
    }


def evaluated(folder: Path, items: Any, steer: Path | None) -> list[dict[str, Any]]:
    """lm-eval's own logged samples of one local task, plain or steered."""
    import lm_eval
    from lm_eval.models.hf_steered import SteeredModel
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    how: dict[str, Any] = {"pretrained": str(folder), "device": "cpu", "batch_size": 4}
    lm = HFLM(**how) if steer is None else SteeredModel(steer_path=str(steer), **how)
    one = task("local", items, "implicit", " ")
    found = lm_eval.simple_evaluate(
        model=lm,
        tasks=[one],
        task_manager=TaskManager(include_defaults=False),
        log_samples=True,
        bootstrap_iters=0,
        verbosity="ERROR",
    )
    samples = found["samples"]["local"]
    return sorted(samples, key=lambda s: s["doc_id"])


def values(samples: list[dict[str, Any]]) -> torch.Tensor:
    return torch.tensor([[float(r[0]) for r in s["filtered_resps"]] for s in samples])


@pytest.mark.parametrize("family", METHODS)
def test_lm_eval_is_steered_as_mechcla_is(family, tmp_path, vectors, small_items):
    folder = without_bos(tmp_path / "model")
    model = mechcla.load_model(folder, device="cpu")
    items = small_items.language("es").universal
    edits = METHODS[family].interventions(vectors, "es", EVERY)
    mechcla.export_vectors(edits, tmp_path / "steer.pt", "lm-eval")
    steered = evaluated(folder, items, tmp_path / "steer.pt")
    ours = mechcla.score(model, items, interventions=edits)
    mine = torch.tensor([row.log_likelihood for row in ours])
    assert torch.allclose(values(steered), mine.float(), atol=1e-3)
    if family == "SUR":  # the comparison means something, and samples are lm-eval's
        plain = evaluated(folder, items, None)
        assert float((values(plain) - values(steered)).abs().max()) > 0.1
        write_samples(ours, tmp_path / "samples.jsonl", items)
        lines = [json.loads(x) for x in (tmp_path / "samples.jsonl").read_text().splitlines()]
        for line, sample in zip(lines, steered, strict=True):
            for key in ("doc_id", "filter", "prompt_hash", "target_hash", "acc", "acc_norm"):
                assert line[key] == sample[key], key
            assert line["target"] == str(sample["target"])
            assert [tuple(a.values()) for a in line["arguments"].values()] == [
                tuple(a) for a in sample["arguments"]
            ]
            assert set(line) >= set(sample) - {"acc_bytes"}
        assert torch.allclose(values(lines), mine.float(), atol=1e-6)


def test_with_a_bos_lm_eval_steers_it_too_and_says_other_numbers(
    tmp_path, vectors, small_items, tiny, tiny_folders
):
    items = small_items.language("es").universal
    edits = METHODS["SUR"].interventions(vectors, "es", EVERY)
    mechcla.export_vectors(edits, tmp_path / "steer.pt", "lm-eval")
    ours = mechcla.score(tiny, items, interventions=edits)
    theirs = values(evaluated(tiny_folders["llama"], items, tmp_path / "steer.pt"))
    mine = torch.tensor([row.log_likelihood for row in ours]).float()
    assert 0.01 < float((theirs - mine).abs().max()) < 20.0


def test_the_file_holds_tensors_numbers_and_texts_alone(tmp_path, vectors):
    path = tmp_path / "steer.pt"
    mechcla.export_vectors(vectors["LOC"], path, "lm-eval", layers=[3], module="h.{layer}")
    held = torch.load(path, weights_only=True)
    assert list(held) == ["h.3"]
    assert held["h.3"]["action"] == "add"
    assert torch.equal(held["h.3"]["steering_vector"], vectors["LOC"]["es"][3])
