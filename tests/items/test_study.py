"""Test items stay shut until a choice is frozen, and a frozen choice stays as it is."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mechcla.errors import MechclaError
from mechcla.items.item_set import ItemSet
from mechcla.items.study import Study
from tests.conftest import universal


def test_dev_is_open_and_test_opens_with_the_choice(small_items):
    study = Study(small_items)
    assert study.dev == small_items.dev
    with pytest.raises(MechclaError, match=r"test is shut: no choice is frozen yet.*study.freeze"):
        _ = study.test
    for early in ("record", "choice"):
        with pytest.raises(MechclaError, match="no choice is frozen yet"):
            getattr(study, early)
    record = study.freeze({"layer": 9, "strength": 0.3})
    assert study.test == small_items.test
    assert record == study.record
    assert study.choice == {"layer": 9, "strength": 0.3}


def test_a_frozen_choice_cannot_change(small_items):
    study, choice = Study(small_items), {"layer": 9, "edits": [{"site": "resid_post"}]}
    record = study.freeze(choice)
    choice["edits"][0]["site"] = "resid_pre"  # the caller's own object
    study.choice["layer"] = 3  # a copy
    assert study.choice == {"layer": 9, "edits": [{"site": "resid_post"}]}
    with pytest.raises(
        MechclaError,
        match=r'"layer": 9.* is frozen and test is open, so \{"layer": 10\} comes too late',
    ):
        study.freeze({"layer": 10})
    # A cell run again.
    assert study.freeze({"edits": [{"site": "resid_post"}], "layer": 9}) is record
    with pytest.raises(AttributeError):
        study.test = small_items.test
    with pytest.raises(AttributeError):
        study.items = small_items
    with pytest.raises(FrozenInstanceError):
        record.choice_json = "{}"


def test_the_record_says_what_was_chosen_on_what_and_holds_no_time(small_items):
    record = Study(small_items).freeze({"layer": 9})
    assert record.to_dict() == {
        "choice": {"layer": 9},
        "dev": {"digest": small_items.dev.digest, "items": len(small_items.dev)},
        "test": {"digest": small_items.test.digest, "items": len(small_items.test)},
    }
    assert record == Study(small_items).freeze({"layer": 9})
    others = [
        Study(small_items).freeze({"layer": 8}),
        Study(small_items.language("es")).freeze({"layer": 9}),
    ]
    assert len({record.digest, *(o.digest for o in others)}) == 3


def test_interventions_and_numpy_numbers_can_be_frozen(small_items):
    study = Study(small_items)
    study.freeze({"layer": np.int64(9), "strength": np.float32(0.5), "languages": ("es", "ko")})
    assert study.choice == {"layer": 9, "strength": 0.5, "languages": ["es", "ko"]}


@pytest.mark.parametrize("choice", [{"f": print}, {"x": float("nan")}, {"v": np.ones(3)}])
def test_a_choice_that_cannot_be_written_down_is_refused(small_items, choice):
    study = Study(small_items)
    with pytest.raises(MechclaError, match=r"the choice is not JSON .*describe\(\)"):
        study.freeze(choice)
    with pytest.raises(MechclaError, match="test is shut"):
        _ = study.test


def test_empty_choices_and_missing_splits_are_refused(small_items):
    with pytest.raises(MechclaError, match=r"the choice is empty.*unsteered"):
        Study(small_items).freeze({})
    for part in (small_items.dev, small_items.test, ItemSet(())):
        with pytest.raises(
            MechclaError, match="a study needs dev items to choose on and test items to report on"
        ):
            Study(part)


def test_it_shows_its_state(small_items):
    study = Study(small_items)
    assert repr(study) == f"Study({len(small_items.dev)} dev items, test shut)"
    study.freeze({"layer": 9})
    assert '{"layer": 9}' in repr(study)


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-100, 100) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(st.dictionaries(st.text(max_size=3), plain, min_size=1, max_size=4))
def test_any_json_choice_comes_back_as_it_went_in(choice):
    study = Study(
        ItemSet(
            (universal("a", "en", "x", "y", "z"), universal("b", "en", "x", "y", "z", split="test"))
        )
    )
    assert study.freeze(choice).choice == choice
    assert study.test.ids == ("b",)
