"""Packing: what is scored, where it stands, and what each token may see."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mechcla.engine.packing import PASS_TOKENS, Packed, collate, encode, pack, plan
from mechcla.errors import MechclaError
from mechcla.items.item import Candidate, Item
from tests.conftest import tiny_tokenizer, universal

TOKENIZER = tiny_tokenizer()
NOBODY = universal("x", "en", "x", "a", "b")
tokens = st.lists(st.integers(3, 20), min_size=1, max_size=4).map(tuple)


@given(st.lists(tokens, min_size=1, max_size=5), st.integers(1, 6))
@settings(max_examples=100, deadline=None)
def test_both_layouts_score_the_same_tokens_after_the_same_context(candidates, n_prompt):
    """Reading each edge's context off the mask gives back every candidate, in order, in both
    layouts.
    """
    prompt = tuple(range(30, 30 + n_prompt))
    packed = Packed(NOBODY, prompt, tuple(candidates), 1)
    for share in (True, False):
        batch = collate([packed], 0, share_prompt=share)
        read: dict[tuple[int, int], list[tuple[tuple[int, ...], int]]] = {}
        for row, candidate, edge in batch.path.tolist():
            at = int(batch.edge_place[edge])
            seen = batch.layout.visible[row, at].nonzero().squeeze(1)
            order = batch.layout.positions[row, seen].argsort()
            assert batch.layout.positions[row, seen].sort().values.tolist() == list(
                range(len(seen))
            )
            context = tuple(batch.layout.ids[row, seen[order]].tolist())
            read.setdefault((row, candidate), []).append((context, int(batch.edge_token[edge])))
        for steps, expected in zip(read.values(), candidates, strict=True):
            assert [token for _, token in steps] == list(expected)
            assert [context for context, _ in steps] == [
                prompt + expected[:i] for i in range(len(expected))
            ]
        assert len(batch.sums(torch.ones(len(batch.edge_token)))) == len(candidates)
        assert batch.sums(torch.ones(len(batch.edge_token))) == [float(len(c)) for c in candidates]


@given(st.lists(tokens, min_size=1, max_size=5))
@settings(max_examples=50, deadline=None)
def test_each_position_is_scored_once(candidates):
    batch = collate([Packed(NOBODY, (1, 2), tuple(candidates), 1)], 0)
    keys = list(
        zip(
            batch.edge_row.tolist(),
            batch.edge_place.tolist(),
            batch.edge_token.tolist(),
            strict=True,
        )
    )
    assert len(keys) == len(set(keys))
    assert len(batch.layout.ids[0]) == 2 + len(
        {c[:i] for c in candidates for i in range(1, len(c))}
    )


@given(st.lists(st.integers(1, 30), min_size=1, max_size=40), st.integers(1, 120))
@settings(max_examples=50, deadline=None)
def test_plan_takes_every_item_once_and_keeps_the_bound(lengths, bound):
    groups = plan(lengths, bound)
    assert sorted(i for g in groups for i in g) == list(range(len(lengths)))
    assert all(len(g) == 1 or len(g) * max(lengths[i] for i in g) <= bound for g in groups)


@given(st.lists(st.integers(1, 60), min_size=1, max_size=8), st.integers(60, 400))
@settings(max_examples=50, deadline=None)
def test_plan_costs_no_more_than_any_other_way_to_cut_the_sorted_rows(lengths, bound):
    ordered = sorted(lengths)

    def cost(groups):
        if any(len(g) > 1 and len(g) * g[-1] > bound for g in groups):
            return float("inf")
        return sum(len(g) * g[-1] + PASS_TOKENS for g in groups)

    def cuts(rows):
        yield [rows]
        for k in range(1, len(rows)):
            yield from ([rows[:k], *rest] for rest in cuts(rows[k:]))

    assert cost([[lengths[i] for i in g] for g in plan(lengths, bound)]) == min(
        map(cost, cuts(ordered))
    )


def test_a_token_across_the_join_moves_the_cut_back():
    """With no separator the tokenizer may merge prompt and answer; the shared prompt ends before
    that.
    """
    item = Item(
        "j",
        "en",
        "universal",
        "dev",
        "The capit",
        (Candidate("al of Japan", "correct"), Candidate("xyz", "wrong")),
        separator="",
    )
    packed = pack(item, TOKENIZER)
    for candidate, given_ in zip(item.candidates, packed.candidates, strict=True):
        assert list(packed.prompt + given_) == encode(item.prompt + candidate.text, TOKENIZER)
        assert given_
    assert len(packed.prompt) < len(encode(item.prompt, TOKENIZER))


def test_a_candidate_without_tokens_is_refused_by_name():
    class Deaf:
        all_special_ids, eos_token_id = (1,), 2

        def __call__(self, text, add_special_tokens=True):
            return {"input_ids": TOKENIZER(text.replace("?", ""))["input_ids"]}

    item = Item(
        "q",
        "en",
        "universal",
        "dev",
        "The capital",
        (Candidate("Lima", "correct"), Candidate("?", "wrong")),
        separator="",
    )
    with pytest.raises(MechclaError, match=r"item 'q' \(en\): candidate '\?' adds no token"):
        pack(item, Deaf())


def test_a_text_beyond_the_window_is_refused():
    with pytest.raises(
        MechclaError,
        match=r"item 'x' \(en\): prompt and answer are \d+ tokens, the model's window is 3",
    ):
        pack(NOBODY, TOKENIZER, window=3)
