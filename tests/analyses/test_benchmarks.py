"""The benchmark's paths compute the same numbers, and its counters count what each path did."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from transformers import AutoModelForCausalLM

import mechcla
from analyses.benchmarks import extraction, paths, reference
from analyses.benchmarks.counting import count, matmul_rate
from analyses.benchmarks.peaks import peak_bytes
from analyses.benchmarks.workload import Workload, evenly, largest_difference
from mechcla.errors import MechclaError
from tests.docs.pages import ROOT


@pytest.fixture(scope="module")
def work(tiny_models, small_items):
    model = tiny_models["llama"]
    en = mechcla.en_vectors(model, small_items.universal.dev)
    return Workload(
        model, small_items.language("es").universal.test, en, "es", (0, 1, 2, 3), (0.5, 1.0, 2.0), 8
    )


@pytest.fixture(scope="module")
def hf_model(tiny_folders):
    return AutoModelForCausalLM.from_pretrained(tiny_folders["llama"]).eval()


def test_all_paths_give_the_same_log_likelihoods(work, hf_model):
    expected = paths.transformer_lens(work)
    assert len(expected) == 12
    for path in (
        partial(paths.transformers_hooks, hf_model=hf_model),
        paths.scored_positions,
        paths.shared_prompts,
        paths.resume,
        paths.mechcla_engine,
    ):
        assert largest_difference(path(work), expected) < 1e-4


def test_counts_by_hand(work, hf_model):
    model = work.model
    head = model.bridge.original_model.get_output_embeddings().weight
    plain = count(partial(paths.transformer_lens, work), model.blocks, head)
    rows = sum(len(item.candidates) for item in work.items)
    assert rows == 12
    calls = 2 * len(work.cells)  # twelve rows, eight a batch
    assert plain.blocks == calls * model.n_layers
    # Full logits: every token of every batch.
    assert plain.unembedded * model.n_layers == plain.block_tokens

    hooks = count(
        partial(paths.transformers_hooks, work, hf_model=hf_model),
        hf_model.model.layers,
        hf_model.lm_head.weight,
    )
    scored = sum(len(c) for p in work.packed() for c in p.candidates)
    assert hooks.unembedded == scored * len(work.cells)
    assert hooks.blocks == plain.blocks

    engine = count(partial(paths.mechcla_engine, work), model.blocks, head)
    places = sum(len({c[:i] for c in p.candidates for i in range(len(c))}) for p in work.packed())
    assert engine.unembedded == places * len(work.cells)
    # one recording pass of 4 blocks, which leaves the unsteered stream at each, and blocks 1, 2, 3
    # once for all strengths and layers below (block 3 steers what it gives out, so nothing is left
    # to run)
    assert engine.blocks == 4 + 3
    one_by_one = count(partial(paths.resume, work), model.blocks, head)
    assert one_by_one.blocks == 4 + 3 * (3 + 2 + 1)
    assert one_by_one.block_tokens == engine.block_tokens
    assert engine.flops < one_by_one.flops * 1.01
    assert (
        one_by_one.flops
        < count(partial(paths.shared_prompts, work), model.blocks, head).flops
        < plain.flops
    )


def test_vectors_agree_with_the_peers_recipe(work, small_items, hf_model):
    steering_vectors = pytest.importorskip("steering_vectors", reason="make bench installs it")
    assert steering_vectors
    tokenizer = work.model.tokenizer
    theirs = extraction.with_steering_vectors(hf_model, tokenizer, small_items.dev, "es", 4)
    assert (
        extraction.largest_relative_difference(
            extraction.with_mechcla(work.model, small_items.dev, "es"), theirs
        )
        < 1e-5
    )


def test_small_measures(work):
    assert [i.id for i in evenly(work.items, 2)] == [work.items[0].id, work.items[1].id]
    assert peak_bytes(lambda: torch.ones(50 << 20).sum()) > 100 << 20
    assert matmul_rate(work.model.device, work.model.dtype, repeats=3) > 1e8


def test_the_record_becomes_what_the_page_shows(tmp_path):
    kept = ROOT / "docs" / "reference"
    out = tmp_path / "benchmarks.json"
    assert reference.main([str(kept / "benchmarks_record.json"), "--out", str(out)]) == 0
    assert out.read_text("utf-8") == (kept / "benchmarks.json").read_text("utf-8")


def test_a_part_of_a_record_is_refused():
    with pytest.raises(MechclaError, match="has no extraction, dtypes; expected one of a whole"):
        reference.reference({"paths": [], "scaling": []})
