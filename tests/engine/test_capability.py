"""What a model can be run on is measured: packed trees, padding, chunks; transformers is the oracle
of each number.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch

import mechcla
from mechcla import scoring
from mechcla.engine import capability
from mechcla.engine.packing import Packed, collate
from mechcla.engine.reference import plain_log_probs
from mechcla.items.item import Candidate, Item
from mechcla.items.item_set import ItemSet
from mechcla.models.load import load_model
from mechcla.vectors.activations import last_token_residuals
from tests.engine.families import ATTENTION, FAMILIES, NO_TREE, PARALLEL, Oracle, save, tokenizer

pytestmark = pytest.mark.usefixtures("one_thread")


def item(id: str, prompt: str, *answers: str) -> Item:
    candidates = tuple(Candidate(a, "wrong" if i else "correct") for i, a in enumerate(answers))
    return Item(id, "en", "universal", "test", prompt, candidates)


ITEMS = ItemSet(
    (
        item(
            "a",
            "The capital of Peru is",
            "Lima and far away",
            "Tokyo city hall and more",
            "Tokyo city by the sea",
            "Lisboa by the sea",
        ),
        item("b", "In our country we drink green", "tea", "teapots of it", "team spirit"),
        item("c", "Tea is", "green", "greener"),
    )
)


def load(folder: Path, **options):
    return load_model(str(folder), device="cpu", **options)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    base, made = tmp_path_factory.mktemp("families"), {}

    def folder(family: str, scale: float = 0.3) -> Path:
        if (family, scale) not in made:
            made[family, scale] = save(family, base / f"{family}-{scale}", tokenizer(), scale)
        return made[family, scale]

    return folder


def quietly(run, *args, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return run(*args, **options)


@pytest.mark.parametrize("family", FAMILIES)
def test_scores_priors_and_answers_are_transformers_own(family, folders):
    model, oracle = load(folders(family)), Oracle(folders(family))
    rows = quietly(mechcla.score, model, ITEMS).rows
    for row, one in zip(rows, ITEMS, strict=True):
        assert row.log_likelihood == pytest.approx(oracle.candidates(one), abs=1e-4)
        start = len(oracle.ids(one.prompt))
        for prior, candidate in zip(row.prior, one.candidates, strict=True):
            tokens = oracle.ids(f"{one.prompt} {candidate.text}")[start:]
            logs = oracle.logits([1, *tokens]).log_softmax(-1)
            expected = sum(float(logs[k, token]) for k, token in enumerate(tokens))
            assert prior == pytest.approx(expected, abs=1e-4)
    answers = quietly(mechcla.generate, model, list(ITEMS), max_new_tokens=5, stop=None)
    for answer, one in zip(answers.rows, ITEMS, strict=True):
        ids = oracle.ids(one.prompt)
        start = len(ids)
        while len(ids) < start + 5 and ids[-1] != 2:
            ids.append(int(oracle.logits(ids)[-1].argmax()))
        assert answer.tokens == tuple(ids[start:])


@pytest.mark.parametrize("family", FAMILIES)
def test_residuals_are_those_of_single_rows(family, folders):
    model, oracle = load(folders(family)), Oracle(folders(family))
    texts = [one.prompt for one in ITEMS] + ["Lisboa by the sea, Tokyo city hall"]
    # transformers' last hidden state is behind the final norm; Mamba's list begins behind the first
    # block
    layer = model.n_layers - (1 if family in ("mamba", "mamba2") else 2)
    for indices, found in last_token_residuals(model, texts):
        for place, i in enumerate(indices):
            with torch.no_grad():
                out = oracle.model(torch.tensor([oracle.ids(texts[i])]), output_hidden_states=True)
            expected = out.hidden_states[-2][0, -1].float()
            torch.testing.assert_close(found[layer, place], expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("scale", [0.3, 0.02])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("family", [*ATTENTION, *PARALLEL])
def test_masked_attention_is_packed(family, dtype, scale, folders):
    if family == "olmo2" and dtype == "bfloat16":
        with pytest.raises(mechcla.errors.MechclaError, match="cannot run it in bfloat16"):
            load(folders(family, scale), dtype=dtype)
        return
    assert capability.fits(load(folders(family, scale), dtype=dtype))


@pytest.mark.parametrize("scale", [0.3, 0.02])
@pytest.mark.parametrize("family", NO_TREE)
def test_what_is_no_masked_attention_is_not_packed_and_it_is_said_once(family, scale, folders):
    """Also where the blocks do so little (weights as they are initialised) that scores would hardly
    show it.
    """
    model = load(folders(family, scale))
    with pytest.warns(UserWarning, match="slow plain path") as said:
        prepared = [scoring.prepare(model, ITEMS) for _ in range(2)]
    assert not any(p.states for p in prepared)
    assert len([w for w in said if "plain path" in str(w.message)]) == 1


@pytest.mark.parametrize("family", ["lfm2", "bamba", "qwen3_next", "mpt", "falcon_h1"])
def test_what_is_not_packed_in_float32_is_not_in_bfloat16(family, folders):
    model = load(folders(family), dtype="bfloat16")
    assert not quietly(capability.fits, model)


def test_a_leak_between_branches_is_told_from_rounding(folders):
    assert capability.leak(load(folders("llama"))) == 0.0
    assert capability.leak(load(folders("llama"), dtype="bfloat16")) == 0.0
    assert capability.leak(load(folders("lfm2"))) > 0.1


def test_the_probe_packs_what_scoring_packs(folders):
    """Inner branches are inputs that have sisters, positions are repeated, rows differ in length,
    one prompt is a token.
    """
    packed = capability._trees(load(folders("llama")))
    layout = collate(packed, 0).layout
    for view in packed[:2]:
        depths = [len(p) for p in view.trie]
        assert max(depths) >= 2
        assert any(depths.count(d) > 1 for d in set(depths) - {1})
    assert len({len(p.prompt) for p in packed}) == 3
    assert len(packed[2].prompt) == 1
    assert bool((layout.positions[0, 1:] <= layout.positions[0, :-1]).any())
    assert int(layout.ids.max()) < len(tokenizer())


def test_chunked_attention_beyond_a_chunk_runs_on_the_plain_path(tmp_path):
    folder = save("llama4_text", tmp_path, tokenizer(), attention_chunk_size=24)
    model, oracle = load(folder), Oracle(folder)
    assert model.sliding_window == 24
    long = item("long", "tea by the sea " * 9 + "is", "green tea", "greener", "green city")
    prepared = scoring.prepare(model, ItemSet((long,)))
    assert not prepared.states
    assert scoring.prepare(model, ItemSet((ITEMS[2],))).states
    row = mechcla.score(model, ItemSet((long,)))[0]
    assert row.log_likelihood == pytest.approx(oracle.candidates(long), abs=1e-4)


@pytest.mark.parametrize("window", [8, 16])
def test_a_window_that_is_shorter_than_the_probe_is_no_fault(window, tmp_path):
    model = load(save("mistral", tmp_path, tokenizer(), sliding_window=window))
    assert capability.fits(model)


def test_rows_of_one_length_and_padded_rows_are_the_same_where_padding_is_harmless(folders):
    model = load(folders("llama"))
    rows = [Packed(None, tuple(range(5, 5 + n)), ((7, 9, 8), (3,)), 1) for n in (3, 9, 5)]
    batch = collate(rows, 0, share_prompt=False)
    padded, lengths, alone = (
        plain_log_probs(model, batch, rows=r) for r in ("padded", "lengths", "alone")
    )
    assert capability.pads(model)
    torch.testing.assert_close(padded, lengths, atol=1e-5, rtol=0)
    torch.testing.assert_close(padded, alone, atol=1e-5, rtol=0)


def test_a_model_whose_layers_mind_padding_runs_one_length_at_a_time(tmp_path):
    """A layer that scales by the width of the row it is given stands in for one that carries
    padding along.
    """
    model = load(save("llama", tmp_path, tokenizer()))
    mlp = model.blocks[1].mlp.original_component
    forward = mlp.forward
    mlp.forward = lambda h: forward(h) * (1 + 0.05 * h.shape[1])
    assert not capability.pads(model)
    texts = [one.prompt for one in ITEMS]
    together = {
        i: found[:, place]
        for indices, found in last_token_residuals(model, texts)
        for place, i in enumerate(indices)
    }
    for i, text in enumerate(texts):
        _, single = next(last_token_residuals(model, [text]))
        torch.testing.assert_close(together[i], single[:, 0], atol=1e-5, rtol=1e-5)
    scores = quietly(mechcla.score, model, ITEMS)
    for row, one in zip(scores, ITEMS, strict=True):
        alone = quietly(mechcla.score, model, ItemSet((one,)))[0]
        assert row.log_likelihood == pytest.approx(alone.log_likelihood, abs=1e-5)
        ids = [model.tokenizer(f"{one.prompt} {c.text}")["input_ids"] for c in one.candidates]
        start = len(model.tokenizer(one.prompt)["input_ids"])
        for value, full in zip(row.log_likelihood, ids, strict=True):
            # A row as the plain path feeds it: without the last token, which is only predicted.
            with torch.no_grad():
                logs = model.bridge(torch.tensor([full[:-1]])).log_softmax(-1)[0]
            expected = sum(float(logs[k - 1, full[k]]) for k in range(start, len(full)))
            assert value == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("family", ["gemma3n_text", "granitemoehybrid"])
def test_what_transformer_lens_cannot_run_ends_in_one_message(family, tmp_path):
    from transformers import AutoModelForCausalLM
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    from tests.engine.families import MAMBA, H, S

    settings = {
        "gemma3n_text": H
        | {"hidden_size_per_layer_input": 8, "vocab_size_per_layer_input": 340, "laurel_rank": 4}
        | {"altup_num_inputs": 2, "num_kv_shared_layers": 0, "activation_sparsity_pattern": None},
        "granitemoehybrid": S
        | MAMBA
        | {"layer_types": ["mamba", "attention"] * 2, "shared_intermediate_size": 48}
        | {"num_local_experts": 2, "num_experts_per_tok": 1},
    }
    config = CONFIG_MAPPING[family](**settings[family])
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    tokenizer().save_pretrained(tmp_path)
    with pytest.raises(mechcla.errors.MechclaError, match="TransformerLens"):
        load(tmp_path)
