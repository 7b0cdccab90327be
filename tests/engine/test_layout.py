"""What runs is apart from what is scored: masks, positions, edited tokens, written out by hand."""

import pytest

from mechcla.engine.decoding import _chunk
from mechcla.engine.hooks import token_mask
from mechcla.engine.intervention import POSITIONS
from mechcla.engine.packing import Packed, causal, collate


def places(layout, positions):
    return [row.nonzero().flatten().tolist() for row in token_mask(layout, positions)]


@pytest.mark.parametrize(
    ("positions", "expected"),
    [
        ("last_prompt_token", [[2], [1]]),
        ("prompt", [[1, 2], []]),
        ("prompt_and_answer", [[1, 2, 3, 4], [2]]),
        ("answer", [[3, 4], [2]]),
        ("last_and_answer", [[2, 3, 4], [1, 2]]),
    ],
)
def test_edited_tokens_by_hand(positions, expected):
    """A prompt of 3 tokens with BOS in front, and one whose last token is a template's."""
    rows = [
        Packed(None, (1, 50, 51), ((60, 61, 62),), 1),
        Packed(None, (70, 71), ((80, 81),), frozenset({0, 1})),
    ]
    if positions in ("last_prompt_token", "last_and_answer"):
        rows[1] = Packed(None, (70, 71), ((80, 81),), frozenset({0}))
    assert places(collate(rows, 0).layout, positions) == expected
    assert set(POSITIONS) >= {positions}


def test_a_tree_shows_each_branch_its_own_ancestors_only():
    layout = collate([Packed(None, (1, 50), ((60, 61, 62), (60, 63, 64)), 1)], 0).layout
    assert layout.ids.tolist() == [[1, 50, 60, 61, 63]]
    assert layout.positions.tolist() == [[0, 1, 2, 3, 3]]
    assert layout.prompt.tolist() == [2]
    assert layout.added.tolist() == [[True, False, False, False, False]]
    assert layout.visible[0].int().tolist() == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [1, 1, 1, 1, 0],
        [1, 1, 1, 0, 1],
    ]


def test_a_row_without_branches_is_causal():
    """The plain layout of collate and `causal` are one, save for padding."""
    packed = Packed(None, (1, 50, 51), ((60, 61),), 1)
    one = collate([packed], 0, share_prompt=False).layout
    two = causal(one.ids, one.prompt, one.added)
    for name in ("positions", "real", "visible"):
        assert getattr(one, name).equal(getattr(two, name))


def test_a_token_fed_to_a_cache_is_an_answer_at_its_own_position():
    begun = _chunk([(1, 50, 51), (1, 52, 53)], [(), ()], [1, frozenset({0, 2})], 0)
    assert begun.positions.tolist() == [[0, 1, 2]] * 2
    assert places(begun, "prompt") == [[1, 2], [1]]
    assert places(begun, "answer") == [[], []]
    fed = _chunk([(), ()], [(60,), (61,)], [1, frozenset({0, 2})], 3)
    assert fed.ids.tolist() == [[60], [61]]
    assert fed.positions.tolist() == [[3], [3]]
    assert places(fed, "answer") == places(fed, "prompt_and_answer") == [[0], [0]]
    assert places(fed, "prompt") == places(fed, "last_prompt_token") == [[], []]
