"""Beginnings that prompts share are run once, and nothing that is measured changes by it.

The oracles: the rule by its definition; the same items with each prompt run whole; transformers
on the folder's own tokens, one row per candidate.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import mechcla
from mechcla import scoring
from mechcla.engine import beginnings, capability
from mechcla.engine.beginnings import shared_lengths
from mechcla.engine.gating import PromptGate
from mechcla.engine.hooks import token_mask
from mechcla.engine.intervention import BEHIND, POSITIONS, Intervention
from mechcla.engine.packing import Packed, collate
from mechcla.items.item_set import ItemSet
from mechcla.models.chat import Chat
from mechcla.models.hooked_model import HookedModel
from mechcla.models.load import load_model
from mechcla.scoring.prepared import prepare
from mechcla.vectors.activations import last_token_residuals
from tests.conftest import FAMILIES, universal
from tests.engine.families import Oracle, save, tokenizer

quiet = settings(
    max_examples=3, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)
TEMPLATE = (
    "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}</{{ m['role'] }}>\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
SYSTEM = "Answer in few words. " * 2
SHOTS = "The capital of Peru is Lima. The capital of Japan is Tokyo. "


@pytest.fixture(autouse=True)
def _short_ones_count(monkeypatch):
    """The tiny models' windows are small, so beginnings are shorter than those worth the pass."""
    monkeypatch.setattr(beginnings, "SHORTEST", 6)
    monkeypatch.setattr(beginnings, "LEAST_SAVED", 8)


def asked(begin: str = "", n: int = 5) -> ItemSet:
    places = ["Italy", "Spain", "Korea", "France", "Greece"][:n]
    return ItemSet(
        tuple(
            universal(f"q{k}", "en", f"{begin}{place} has", "Rome", "Toledo", "To", "Paris")
            for k, place in enumerate(places)
        )
    )


def edit(model, layer=1, positions="last_and_answer", strength=0.5, **more) -> Intervention:
    vector = torch.randn(model.d_model, generator=torch.Generator().manual_seed(layer))
    return Intervention(vector, layer, strength, positions=positions, **more)


def values(model, items, variants, **settings):
    prepared = prepare(model, items, prior=False, **settings)
    tables = dict(scoring.score_many(prepared, variants))
    return prepared, [[row.log_likelihood for row in tables[i]] for i in range(len(variants))]


def same(left, right, tolerance=1e-4):
    for a, b in zip(left, right, strict=True):
        for x, y in zip(a, b, strict=True):
            assert x == pytest.approx(y, abs=tolerance)


# --- which prompts share ---------------------------------------------------------------------


def most_saved(keys, shortest, least):
    """By definition: all share what they have in common, or each branch does, whichever saves
    more.
    """
    if len(keys) < 2:
        return 0
    n = 0
    while len({key[: n + 1] for key in keys}) == 1 and min(map(len, keys)) > n:
        n += 1
    saved = (len(keys) - 1) * n if n >= shortest else 0
    branches: dict[int, list[tuple[int, ...]]] = {}
    for key in keys:
        if len(key) > n:
            branches.setdefault(key[n], []).append(key)
    apart = sum(most_saved(b, shortest, least) for b in branches.values() if len(b) < len(keys))
    return max(saved if saved >= least else 0, apart)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=5), min_size=1, max_size=5),
    st.integers(1, 3),
    st.integers(1, 4),
    st.randoms(use_true_random=False),
)
def test_the_choice_is_the_rules_and_depends_on_the_prompts_alone(
    monkeypatch, prompts, shortest, least, shuffler
):
    monkeypatch.setattr(beginnings, "SHORTEST", shortest)
    monkeypatch.setattr(beginnings, "LEAST_SAVED", least)
    packed = [Packed(None, tuple(p), (), 0) for p in prompts]
    lengths = shared_lengths(packed, written=True)
    groups: dict[tuple[int, ...], int] = {}
    for p, n in zip(packed, lengths, strict=True):
        assert n < len(p.prompt)
        if n:
            groups[p.prompt[:n]] = groups.get(p.prompt[:n], 0) + 1
    saved = {g: (count - 1) * len(g) for g, count in groups.items()}
    assert all(len(g) >= shortest and s >= least for g, s in saved.items())
    keys = [p.prompt[:-1] for p in packed]  # the last token stays
    assert sum(saved.values()) == most_saved(keys, shortest, least)
    order = list(range(len(packed)))
    shuffler.shuffle(order)
    again = shared_lengths([packed[i] for i in order], written=True)
    assert again == [lengths[i] for i in order]


def test_what_the_user_wrote_is_shared_only_where_no_edit_acts_on_it():
    turn, words = tuple(range(100, 110)), tuple(range(50, 60))
    prompts = [
        Packed(None, turn + words + (k, 7, 8), (), frozenset(range(10)) | {21, 22})
        for k in range(3)
    ]
    assert shared_lengths(prompts, written=False) == [10] * 3
    assert shared_lengths(prompts, written=True) == [20] * 3  # k is the last word: it stays
    same_words = [replace(p, prompt=(*turn, *words, 1, 7, 8)) for p in prompts]
    assert shared_lengths(same_words, written=True) == [20] * 3
    nothing = [replace(p, special=frozenset(range(23))) for p in prompts]
    assert shared_lengths(nothing, written=True) == [0] * 3


def test_a_short_beginning_is_not_shared(monkeypatch):
    monkeypatch.undo()
    prompts = [Packed(None, (*range(19), 40 + k), (), 0) for k in range(40)]
    assert shared_lengths(prompts, written=True) == [0] * 40
    longer = [Packed(None, (*range(20), 40 + k), (), 0) for k in range(40)]
    assert shared_lengths(longer, written=True) == [20] * 40
    assert shared_lengths(longer[:13], written=True) == [0] * 13  # 12 x 20 tokens: too few


@pytest.mark.parametrize("positions", POSITIONS)
def test_behind_names_the_positions_that_edit_no_token_before_the_prompts_last(positions):
    packed = [Packed(None, (1, 50, 51, 52), ((60, 61),), 1)]
    touched = token_mask(collate(packed, 0).layout, positions)[0, :3].any()
    assert (positions in BEHIND) == (not touched)


def test_a_row_behind_a_beginning_has_the_places_it_would_have_in_the_whole_prompt():
    prompts = [Packed(None, (1, 50, 51, *tail), ((60, 61), (60, 62)), 2) for tail in ((7,), (8, 9))]
    whole, behind = collate(prompts, 0), collate(prompts, 0, beginning=2)
    assert behind.beginning == (1, 50)
    for name in ("ids", "positions", "real", "added"):
        assert torch.equal(getattr(whole.layout, name)[:, 2:], getattr(behind.layout, name))
    assert torch.equal(whole.layout.visible[:, 2:, 2:], behind.layout.visible)
    assert torch.equal(whole.edge_place - 2, behind.edge_place)
    assert torch.equal(whole.path, behind.path)


# --- shared and whole agree ------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
@quiet
@given(data=st.data())
def test_shared_and_whole_prompts_give_the_same_scores(family, tiny_models, data):
    model = tiny_models[family]
    shared = data.draw(st.sampled_from([SHOTS[:28], SYSTEM[:21]]), "beginning")
    items = asked(shared, data.draw(st.integers(3, 5), "items"))
    sites = ["resid_pre", "resid_post", "attn_out", "mlp_out"]
    variants: list[tuple[Intervention, ...]] = [()]
    for _ in range(2):
        variants.append(
            tuple(
                edit(
                    model,
                    data.draw(st.integers(0, 3), "layer"),
                    data.draw(st.sampled_from(POSITIONS), "positions"),
                    data.draw(st.sampled_from([-1.0, 0.3, 2.0]), "strength"),
                    site=data.draw(st.sampled_from(sites), "site"),
                    operator=data.draw(st.sampled_from(["add", "add_norm", "ablate"]), "operator"),
                )
                for _ in range(data.draw(st.integers(1, 2), "edits"))
            )
        )
    most = data.draw(st.sampled_from([2048, 64]), "max_tokens")
    prepared, found = values(model, items, variants, max_tokens=most)
    assert sum(1 for n in prepared.beginnings if n) >= 3
    whole, expected = values(model, items, variants, max_tokens=most, share=False)
    assert not whole.beginnings
    same(found, expected)


@pytest.mark.parametrize("family", ["llama", "gemma3_text", "gpt2"])
def test_a_system_turn_runs_once_under_every_edit(family, tiny_models):
    """No edit acts on what a template added: cells that edit the whole prompt share it too."""
    model = tiny_models[family]
    model.tokenizer.chat_template = TEMPLATE
    try:
        chat = Chat(system="Few words.")
        items = asked("", 4)
        variants = [(), *[(edit(model, positions=p),) for p in POSITIONS]]
        prepared, found = values(model, items, variants, chat=chat)
        assert all(prepared.beginnings)
        deep = prepared.suited(variants[2])
        assert all(deep.beginnings)
        _, expected = values(model, items, variants, chat=chat, share=False)
    finally:
        model.tokenizer.chat_template = None
    same(found, expected)


def test_a_gate_reads_the_same_behind_a_beginning(tiny):
    items = asked(SHOTS[:28])
    direction = torch.randn(tiny.d_model, generator=torch.Generator().manual_seed(5))
    for scale in (None, 0.7):
        gate = PromptGate(direction, 0, 0.0, scale=scale)
        variants = [(edit(tiny, 2, "last_and_answer", 2.0, gate=gate),)]
        prepared, found = values(tiny, items, variants)
        assert any(prepared.beginnings)
        same(found, values(tiny, items, variants, share=False)[1])


@pytest.mark.parametrize(
    ("family", "changes", "runs_once"),
    [
        ("llama", {}, True),
        ("gemma3_text", {}, True),
        ("gemma3_text", {"sliding_window": 16}, False),  # shorter than the beginning
        ("gpt2", {}, True),
        ("bloom", {}, False),
        ("lfm2", {}, False),
        ("mamba2", {}, False),
    ],
)
@pytest.mark.filterwarnings("ignore:mechcla runs")
def test_transformers_alone_gives_the_same_numbers(family, changes, runs_once, tmp_path):
    folder = save(family, tmp_path / family, tokenizer(), **changes)
    model, oracle = load_model(str(folder), device="cpu"), Oracle(folder)
    items = asked(SHOTS)
    prepared, found = values(model, items, [()])
    assert any(prepared.beginnings) == runs_once
    for values_, item in zip(found[0], items, strict=True):
        assert values_ == pytest.approx(oracle.candidates(item), abs=1e-3)
    rows = residuals(model, items)
    for row, item in zip(rows, items, strict=True):
        ids = torch.tensor([oracle.ids(item.prompt)])
        with torch.no_grad():
            hidden = oracle.model(ids, output_hidden_states=True).hidden_states
        behind = hidden[0 if family == "mamba2" else 1 :]  # it does not list the embedding
        for layer in range(model.n_layers - 1):  # the last one is behind the final norm
            assert torch.allclose(row[layer], behind[layer][0, -1], atol=1e-3), layer


# --- extraction ------------------------------------------------------------------------------


def residuals(model, items, **settings):
    texts = [item.prompt for item in items]
    rows: list[torch.Tensor] = [torch.empty(0)] * len(texts)
    for indices, found in last_token_residuals(model, texts, **settings):
        for k, i in enumerate(indices):
            rows[i] = found[:, k]
    return torch.stack(rows)


@pytest.mark.parametrize("family", ["llama", "gemma3_text", "gpt2"])
@pytest.mark.parametrize("position", ["last_prompt_token", "mean_prompt_token"])
def test_extraction_runs_a_beginning_once_and_reads_the_same(family, position, tiny_models):
    model, items = tiny_models[family], asked(SHOTS[:28])
    for edits in ((), (edit(model, 1, "last_prompt_token"),), (edit(model, 1, "prompt"),)):
        how = {"position": position, "edits": edits, "max_tokens": 64}
        found = residuals(model, items, **how)
        assert torch.allclose(found, residuals(model, items, share=False, **how), atol=1e-4)


def test_extraction_and_scores_save_the_tokens_of_the_beginning(tiny, monkeypatch):
    items, seen, run = asked(SHOTS), [], HookedModel.run_decoder
    monkeypatch.setattr(
        HookedModel,
        "run_decoder",
        lambda m, ids, *rest: seen.append(ids.numel()) or run(m, ids, *rest),
    )
    for work in (
        lambda share: residuals(tiny, items, share=share),
        lambda share: prepare(tiny, items, prior=False, share=share),
    ):
        work(True)  # what the model can do is measured once
        seen.clear()
        work(True)
        once = sum(seen)
        seen.clear()
        work(False)
        assert once < 0.6 * sum(seen)


# --- identity, hooks, memory -----------------------------------------------------------------


def test_the_record_says_what_was_run_once(tiny):
    scores = mechcla.score(tiny, asked(SHOTS), edit(tiny))
    n = len(tiny.tokenizer(SHOTS)["input_ids"]) - 1  # its last space goes with the next word
    assert scores.settings["beginnings"] == {str(n): 5}
    assert "beginnings" not in mechcla.score(tiny, asked(SHOTS), edit(tiny, 1, "prompt")).settings


def test_strength_zero_is_the_unsteered_model_to_the_last_bit(tiny):
    items = asked(SHOTS)
    plain = mechcla.score(tiny, items)
    for positions in POSITIONS:
        assert mechcla.score(tiny, items, edit(tiny, 1, positions, 0.0)).rows == plain.rows


def test_with_hooks_of_the_users_own_nothing_is_shared(tiny):
    tiny.bridge.add_hook("blocks.1.hook_out", lambda h, hook: h)
    seen: list[int] = []
    handle = tiny.blocks[0].register_forward_hook(lambda *_: seen.append(1))
    try:
        assert not prepare(tiny, asked(SHOTS), packed=True).beginnings
        seen.clear()
        residuals(tiny, asked(SHOTS), packed=True)
        assert seen == [1]  # one pass, of whole prompts
    finally:
        handle.remove()
        tiny.bridge.reset_hooks()
    assert prepare(tiny, asked(SHOTS)).beginnings


def test_a_model_that_mixes_its_rows_up_behind_a_beginning_runs_whole_prompts(tiny, monkeypatch):
    monkeypatch.setattr(capability, "_shares", type(capability._shares)())
    from mechcla.models.beginning import Beginning

    def forgets(self, keys, values, layer, *args, **kwargs):
        if not self.closed:
            return super(Beginning, self).update(keys, values, layer)
        begun = self.layers[layer]
        rows = len(keys)
        return (
            torch.cat([begun.keys.flip(-2).expand(rows, -1, -1, -1), keys], -2),
            torch.cat([begun.values.expand(rows, -1, -1, -1), values], -2),
        )

    monkeypatch.setattr(Beginning, "update", forgets)
    assert not capability.shares(tiny)
    assert not prepare(tiny, asked(SHOTS)).beginnings
    monkeypatch.setattr(capability, "_shares", type(capability._shares)())
