"""The collision-aware English bias against a hand count, and its invariants."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mechcla
from mechcla.metrics import collision_aware_bias, metric
from mechcla.scoring.scores import ItemScore, Scores
from mechcla.statistics import contrast


def row(id, language, *candidates):
    """candidates: (role, country, share)."""
    roles, countries, shares = zip(*candidates, strict=True)
    return ItemScore(
        id=id,
        language=language,
        kind="cultural",
        split="test",
        topic="",
        country=None,
        prompt_form="implicit",
        texts=tuple("abcdef"[: len(roles)]),
        roles=roles,
        countries=countries,
        log_likelihood=tuple(math.log(s) for s in shares),
        n_tokens=(1,) * len(roles),
    )


TABLE = Scores(
    (
        # Three places give the American answer: 0.6 / 3.
        row("a", "es", ("local", "ES", 0.3), ("english", "US MX CU", 0.6), ("other", "AR", 0.1)),
        row("b", "es", ("local", "ES", 0.5), ("english", "US", 0.4), ("other", "AR PE", 0.1)),
        # The American answer is the local one: the item does not count.
        row("c", "es", ("local", "ES US", 0.9), ("other", "MX", 0.1)),
        row("a", "fr", ("local", None, 0.5), ("english", None, 0.5)),
    )
)


def test_by_hand():
    found = collision_aware_bias(TABLE)
    assert found["es"].value == pytest.approx((0.6 / 3 + 0.4) / 2)
    assert (found["es"].n, found["fr"].n, found["all"].n) == (2, 1, 3)
    assert found["fr"].value == pytest.approx(0.5)
    assert found["all"].value == pytest.approx((0.2 + 0.4 + 0.5) / 3)
    exact = collision_aware_bias(TABLE, "accuracy")
    # The best of a is the American answer, of three places; of b the local one; fr is a tie.
    assert exact["es"].value == pytest.approx((1 / 3 + 0) / 2)
    assert exact["fr"].value == 0.5
    assert metric(TABLE, "collision_aware_bias")["es"] == found["es"]


shares = st.floats(0.01, 1.0)
codes = st.sampled_from([None, "US", "GB"])


@st.composite
def tables(draw, countries):
    rows = []
    for k in range(draw(st.integers(1, 5))):
        candidates = [("local", "ES", draw(shares)), ("english", draw(countries), draw(shares))]
        candidates += [("other", "MX AR", draw(shares)) for _ in range(draw(st.integers(0, 2)))]
        rows.append(row(f"q{k}", draw(st.sampled_from(["es", "fr"])), *candidates))
    return Scores(tuple(rows))


@settings(max_examples=25, deadline=None)
@given(tables(codes), st.sampled_from(["share", "accuracy"]))
def test_without_shared_answers_it_is_the_english_bias(table, measure):
    aware, plain = collision_aware_bias(table, measure), mechcla.english_bias(table, measure)
    assert {k: (v.value, v.n) for k, v in aware.items()} == {
        k: (v.value, v.n) for k, v in plain.items()
    }


@settings(max_examples=25, deadline=None)
@given(tables(st.sampled_from(["US", "US MX", "US MX AR CU"])))
def test_it_is_never_above_the_english_bias_and_never_below_zero(table):
    aware, plain = collision_aware_bias(table), mechcla.english_bias(table)
    assert all(0 <= aware[k].value <= plain[k].value + 1e-12 for k in plain)


def test_a_contrast_finds_a_country_among_those_that_share_an_answer():
    first = Scores((row("a", "es", ("local", "ES CL", 0.6), ("english", "US MX", 0.4)),))
    second = Scores((row("a", "es", ("local", "ES CL", 0.2), ("english", "US MX", 0.8)),))
    found = contrast(first, second, ("ES", "MX"))["es"]
    assert found.nats.value == pytest.approx(math.log(0.6 / 0.4) - math.log(0.2 / 0.8))
    with pytest.raises(mechcla.MechclaError, match="CL, ES, MX, US"):
        contrast(first, second, ("ES", "CL"))  # one answer of both is no contrast
