"""Gated edits against plain transformers: forward hooks, one row at a time, the condition computed
by hand.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import mechcla
from mechcla import MechclaError, engine
from mechcla.answers.generation import generate
from mechcla.engine import capability
from mechcla.engine.gating import PromptGate
from mechcla.engine.intervention import Intervention
from mechcla.engine.packing import collate, pack
from mechcla.items.item import Candidate, Item
from mechcla.items.item_set import ItemSet
from mechcla.models.load import load_model
from mechcla.scoring.prepared import prepare
from mechcla.scoring.scorer import score_many
from mechcla.vectors.activations import last_token_residuals
from tests.engine.families import Oracle, save, tokenizer

pytestmark = pytest.mark.usefixtures("one_thread")

quiet = settings(
    max_examples=6, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)
KINDS = {  # pre-norm, post-norm, sliding windows that the texts fit and do not, no rotary, parallel
    "llama": {},
    "olmo2": {},
    "gemma3_text": {},
    "mistral": {"sliding_window": 10},
    "gpt2": {},
    "gpt_neox": {},
    "lfm2": {},
}
ANSWERS = (("Tokyo", "Tokyo city", "Lima"), ("tea", "tea and more", "verde"), ("far away", "sea"))
PROMPTS = (
    "The capital of Japan is",
    "The capital of far away Peru and Japan by the sea is",
    "In our country we drink",
    "Lisboa",
    "En nuestro país bebemos té verde y",
)


def asked() -> ItemSet:
    made = []
    for n, prompt in enumerate(PROMPTS):
        texts = ANSWERS[n % len(ANSWERS)]
        candidates = tuple(Candidate(t, "wrong" if k else "correct") for k, t in enumerate(texts))
        made.append(Item(f"q{n}", "en", "universal", "test", prompt, candidates))
    return ItemSet(tuple(made))


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    made = {}
    for family, changes in KINDS.items():
        made[family] = tmp_path_factory.mktemp(family)
        save(family, made[family], tokenizer(), **changes)
    return made


@pytest.fixture(scope="module")
def models(folders):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {family: load_model(str(f), device="cpu") for family, f in folders.items()}


@pytest.fixture(scope="module")
def oracles(folders):
    return {family: Oracle(folder) for family, folder in folders.items()}


def blocks(model):
    for path in ("model.layers", "transformer.h", "gpt_neox.layers"):
        found = model
        for name in path.split("."):
            found = getattr(found, name, None)
        if found is not None:
            return found
    raise AssertionError(type(model))


def stream(out):
    return out[0] if isinstance(out, tuple) else out


def by_hand(oracle: Oracle, ids: list[int], prompt: int, edits) -> torch.Tensor:
    """Logits of one row under gated edits, from forward hooks on transformers' own blocks.

    The condition is computed here, in float64, from what the gate's block gave out in this pass.
    """
    seen: dict[int, torch.Tensor] = {}
    handles = []
    begin = 0
    while ids[begin] == oracle.tokenizer.bos_token_id:
        begin += 1

    def share(gate) -> float:
        margin = float(seen[gate.layer] @ gate.direction.double()) - gate.threshold
        margin = margin if gate.side == "above" else -margin
        if gate.scale is None:
            return float(margin > 0 if gate.side == "above" else margin >= 0)
        return float(1 / (1 + torch.exp(torch.tensor(-margin / gate.scale, dtype=torch.float64))))

    def see(layer):
        def hook(_module, _args, out):
            seen[layer] = stream(out)[0, prompt - 1].double()

        return hook

    def act(edit):
        def hook(_module, _args, out):
            h = stream(out).clone()
            w = 1.0 if edit.gate is None else share(edit.gate)
            first, last = {
                "prompt": (begin, prompt),
                "last_prompt_token": (prompt - 1, prompt),
                "answer": (prompt, len(ids)),
                "prompt_and_answer": (begin, len(ids)),
            }[edit.positions]
            for t in range(first, len(ids) if last == len(ids) else last):
                x = h[0, t].double()
                v = edit.vector.double()
                new = x + edit.strength * v
                if edit.operator == "add_norm":
                    new = new * x.norm() / new.norm()
                if edit.operator == "ablate":
                    new = x - edit.strength * (x @ v) / (v @ v) * v
                h[0, t] = x + w * (new - x)
            return (h, *out[1:]) if isinstance(out, tuple) else h

        return hook

    layers = blocks(oracle.model)
    for gate in {e.gate.layer: e.gate for e in edits if e.gate is not None}.values():
        handles.append(layers[gate.layer].register_forward_hook(see(gate.layer)))
    for edit in edits:
        handles.append(layers[edit.layer].register_forward_hook(act(edit)))
    try:
        return oracle.logits(ids)
    finally:
        for handle in handles:
            handle.remove()


def expected(oracle: Oracle, item: Item, edits) -> list[float]:
    prompt = oracle.ids(item.prompt)
    full = [oracle.ids(item.prompt + item.separator + c.text) for c in item.candidates]
    cut = 0
    while cut < len(prompt) and all(cut < len(f) and f[cut] == prompt[cut] for f in full):
        cut += 1
    found = []
    for f in full:
        lp = by_hand(oracle, f, cut, edits).log_softmax(-1)
        found.append(sum(float(lp[i - 1, f[i]]) for i in range(cut, len(f))))
    return found


def normal(seed: int, n: int = 32) -> torch.Tensor:
    return torch.randn(n, generator=torch.Generator().manual_seed(seed))


def split_gate(model, items, layer: int, seed: int, **how) -> PromptGate:
    """A gate whose threshold lies in the widest gap between these items' readings."""
    gate = PromptGate(normal(seed, model.d_model), layer, 0.0)
    values: list[float] = []
    for _, h in last_token_residuals(model, [i.prompt for i in items]):
        values += (h[layer].float() @ gate.direction).tolist()
    values.sort()
    gaps = [(b - a, (a + b) / 2) for a, b in pairwise(values)]
    return replace(gate, threshold=max(gaps)[1], **how)


@pytest.mark.parametrize("family", KINDS)
def test_gated_edits_are_transformers_hooks_with_the_condition_by_hand(family, models, oracles):
    model, oracle, items = models[family], oracles[family], asked()
    sites = st.sampled_from(["above", "below"])

    @quiet
    @given(data=st.data())
    def check(data):
        read = data.draw(st.integers(0, 1), "gate's block")
        side, scale = data.draw(sites), data.draw(st.sampled_from([None, 0.5, 3.0]))
        gate = split_gate(model, items, read, data.draw(st.integers(0, 9)), side=side, scale=scale)
        edits = []
        for layer in data.draw(st.sampled_from([(2,), (3,), (2, 3)]), "edits"):
            positions = data.draw(
                st.sampled_from(["prompt", "last_prompt_token", "answer", "prompt_and_answer"])
            )
            operator = data.draw(st.sampled_from(["add", "add_norm", "ablate"]))
            v = normal(data.draw(st.integers(10, 19)), model.d_model)
            own = data.draw(st.sampled_from([gate, replace(gate, side="below"), None]))
            edits.append(
                Intervention(v, layer, 1.5, operator=operator, positions=positions, gate=own)
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            scores = mechcla.score(
                model,
                items,
                edits,
                prior=False,
                max_tokens=data.draw(st.sampled_from([1, 40, 2048])),
            )
        for row, item in zip(scores, items, strict=True):
            assert row.log_likelihood == pytest.approx(expected(oracle, item, edits), abs=1e-4)

    check()


def test_a_gate_opens_for_some_rows_and_leaves_the_others_to_the_last_bit(models):
    model, items = models["llama"], asked()
    gate = split_gate(model, items, 1, 0)
    edit = Intervention(normal(11), 2, 3.0, gate=gate)
    plain = mechcla.score(model, items, prior=False)
    both = [
        mechcla.score(model, items, replace(edit, gate=g), prior=False)
        for g in (gate, replace(gate, side="below"))
    ]
    always = mechcla.score(model, items, replace(edit, gate=None), prior=False)
    opened = 0
    for p, a, b, every in zip(plain, *both, always, strict=True):
        # The two sides part the rows: one is the ungated edit, the other the plain model.
        acts, left = (a, b) if a.log_likelihood != p.log_likelihood else (b, a)
        assert left.log_likelihood == p.log_likelihood
        assert acts.log_likelihood == pytest.approx(every.log_likelihood, abs=1e-5)
        assert acts.log_likelihood != p.log_likelihood
        opened += acts is a
    assert 0 < opened < len(items)


@pytest.mark.parametrize("family", ["llama", "olmo2", "gpt2", "mistral", "lfm2"])
def test_strength_zero_is_the_plain_model_to_the_last_bit(family, models):
    model, items = models[family], asked()
    gate = split_gate(model, items, 1, 3, scale=0.5)
    edits = [Intervention(normal(4), 3, 0.0, gate=gate), Intervention(normal(5), 0, 0.0)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain, none = (mechcla.score(model, items, e, prior=False) for e in ((), edits))
    assert [r.log_likelihood for r in plain] == [r.log_likelihood for r in none]


@pytest.mark.parametrize("scale", [None, 0.7])
def test_every_batch_size_and_both_paths_read_the_same_gate(models, scale):
    model, items = models["gemma3_text"], asked()
    assert capability.fits(model)
    gate = split_gate(model, items, 1, 2, scale=scale)
    below = replace(gate, side="below")
    edits = [
        Intervention(normal(6), 2, 0.9, gate=gate),
        Intervention(normal(7), 3, 1.1, positions="prompt", gate=below),
    ]
    tables = [mechcla.score(model, items, edits, prior=False, max_tokens=n) for n in (1, 30, 4096)]
    for fast in (False, True):
        for order in (items, ItemSet(items.items[::-1])):
            held = prepare(model, order, fast=fast, prior=False)
            (_, found), *_ = score_many(held, [edits])
            rows = {r.id: r for r in found}
            tables.append(replace(found, rows=tuple(rows[i.id] for i in items)))
    for table in tables[1:]:
        for one, other in zip(tables[0], table, strict=True):
            assert one.log_likelihood == pytest.approx(other.log_likelihood, abs=1e-4)


def test_many_variants_in_one_pass_are_those_alone(models):
    """Gates at different blocks, shared shallow edits, more variants than fit a pass."""
    model, items = models["gemma3_text"], asked()
    one, two = split_gate(model, items, 0, 0), split_gate(model, items, 1, 1, side="below")
    first = Intervention(normal(8), 1, 1.0, gate=one)
    variants = [
        [],
        [first],
        [first, Intervention(normal(9), 3, 1.0, gate=one)],
        [Intervention(normal(9), 2, 1.0, gate=two), Intervention(normal(9), 3, -1.0, gate=one)],
        [Intervention(normal(9), 2, 1.0, gate=two, site="attn_out")],
        [Intervention(normal(9), 2, 1.0, gate=two, site="resid_mid")],
        [Intervention(normal(9), 2, 1.0, gate=two, site="resid_pre")],
        [Intervention(normal(9), 3, s, gate=replace(two, threshold=t)) for s, t in ((1.0, 9e9),)],
        [Intervention(normal(9), 3, 2.0)],
    ]
    for max_tokens in (1, 64, 4096):
        held = prepare(model, items, prior=False, max_tokens=max_tokens)
        together = dict(score_many(held, variants))
        plain = dict(score_many(prepare(model, items, prior=False, fast=False), variants))
        for k in range(len(variants)):
            for row, other in zip(together[k], plain[k], strict=True):
                assert row.log_likelihood == pytest.approx(other.log_likelihood, abs=1e-4), k
    assert together[7].rows[0].log_likelihood != together[8].rows[0].log_likelihood


def test_states_by_hand_read_a_gate_on_the_way_from_the_trunk_or_say_that_they_cannot(models):
    model, items = models["llama"], asked()
    batch = collate([pack(i, model.tokenizer) for i in items], model.pad_id)
    gate = split_gate(model, items, 0, 0)
    edit = Intervention(normal(3), 2, 1.0, gate=gate)
    begun = engine.start(model, batch)
    at_once = engine.finish(begun, [edit])
    bare = replace(begun, trunk=())
    for state in (begun, bare):
        late = engine.advance(state, 2, [edit])
        torch.testing.assert_close(engine.finish(late, [edit]), at_once, atol=1e-5, rtol=0)
    torch.testing.assert_close(engine.finish(engine.advance(begun, 2), [edit]), at_once)
    with pytest.raises(MechclaError, match="reads block 0, which was passed without it"):
        engine.finish(engine.advance(bare, 2), [edit])


@pytest.mark.parametrize("family", ["llama", "mistral", "gpt2", "olmo2"])
@pytest.mark.parametrize("scale", [None, 0.7])
def test_generation_decides_on_the_prompt_and_stays(family, scale, models, oracles):
    """With and without the cache, greedy tokens are those of full passes by hand."""
    model, oracle, items = models[family], oracles[family], asked()
    gate = split_gate(model, items, 1, 5, scale=scale)
    edits = [
        Intervention(normal(12), 2, 3.0, gate=gate, positions="prompt_and_answer"),
        Intervention(normal(13), 3, 3.0, gate=replace(gate, side="below"), positions="prompt"),
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        answers = [
            generate(model, items.items, edits, max_new_tokens=5, stop=None, cache=cache)
            for cache in (True, False)
        ]
        plain = generate(model, items.items, max_new_tokens=5, stop=None)
    assert [a.tokens for a in answers[0]] == [a.tokens for a in answers[1]]
    assert [a.tokens for a in answers[0]] != [a.tokens for a in plain]
    for item, answer in zip(items, answers[0], strict=True):
        prompt, grown = oracle.ids(item.prompt), []
        for token in answer.tokens:
            logits = by_hand(oracle, [*prompt, *grown], len(prompt), edits)[-1]
            assert float(logits.max() - logits[token]) < 1e-3
            grown.append(token)


def test_an_edit_at_or_before_the_block_that_a_gate_reads_is_refused(models):
    model, items = models["llama"], asked()
    gate = PromptGate(normal(1), 2, 0.0, label="gate")
    gated = Intervention(normal(2), 3, 1.0, gate=gate, label="LOC")
    for layer in (0, 2):
        early = Intervention(normal(3), layer, 1.0, label="EN")
        with pytest.raises(MechclaError, match=f"EN is added at block {layer}.*reads block 2"):
            mechcla.score(model, items, [early, gated])
        with pytest.raises(MechclaError, match="block 3 or deeper"):
            generate(model, items.items, [gated, early])
        mechcla.score(model, items, [replace(early, strength=0.0), gated], prior=False)
    with pytest.raises(MechclaError, match="reads block 2"):
        mechcla.score(model, items, replace(gated, layer=2))


def test_a_gate_that_does_not_fit_is_refused(models):
    model, items = models["llama"], asked()

    def scored(**changes):
        gate = replace(PromptGate(normal(1), 1, 0.0), **changes)
        return mechcla.score(model, items, Intervention(normal(2), 3, 1.0, gate=gate))

    with pytest.raises(MechclaError, match=r"has 8 values, .* has d_model 32"):
        scored(direction=torch.ones(8))
    with pytest.raises(MechclaError, match="made with another model"):
        scored(made_with="f" * 64)
    with pytest.raises(MechclaError, match="put another way"):
        scored(made_in={"chat": True})
    with pytest.raises(MechclaError, match="is of 'es'"):
        scored(language="es")
    for changes in ({"side": "over"}, {"threshold": float("nan")}, {"scale": 0.0}):
        with pytest.raises(MechclaError):
            scored(**changes)


def test_the_identity_has_the_gates_bytes_threshold_side_and_scale():
    gate = PromptGate(normal(1), 1, 0.25)
    edit = Intervention(normal(2), 3, 1.0, gate=gate)
    seen = [
        replace(edit, gate=g).describe()
        for g in (
            gate,
            replace(gate, direction=gate.direction + 1e-6),
            replace(gate, threshold=0.2500001),
            replace(gate, side="below"),
            replace(gate, scale=0.5),
            replace(gate, layer=0),
            None,
        )
    ]
    assert len({str(s) for s in seen}) == len(seen)
    assert not any(key.startswith("gate") for key in seen[-1])
