"""Sign-flip tests against scipy's, by question, and corrections for many tests."""

from __future__ import annotations

import math
import random
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import mechcla
from mechcla.errors import MechclaError
from mechcla.scoring.scores import Scores
from mechcla.statistics import (
    correct,
    minimum_detectable_effect,
    permutation_test,
    sign_flip,
)
from mechcla.statistics.differences import paired_differences
from tests.statistics.tables import cultural, noisy, universal


def by_question(new: Scores, old: Scores, measure: str) -> tuple[list[float], list[float], int]:
    """Question sums of both tables over the rows that both have, counted anew, for an oracle."""
    value = mechcla.metrics.metrics.item_value("correct", measure)
    a, b = ({(r.language, r.id): value(r) for r in s} for s in (new, old))
    keys = sorted(set(a) & set(b), key=lambda k: k[1])
    ids = sorted({i for _, i in keys})
    return *([sum(t[k] for k in keys if k[1] == i) for i in ids] for t in (a, b)), len(keys)


@pytest.mark.parametrize("measure", ["share", "accuracy"])
def test_the_exact_test_is_scipys(measure):
    new, old = noisy(3)
    result = permutation_test(new, old, "transfer", measure)
    for language in ("es", "all"):
        picked = [s if language == "all" else s.where(language=language) for s in (new, old)]
        a, b, n = by_question(*picked, measure)
        oracle = stats.permutation_test(
            (a, b),
            lambda x, y, n=n: (np.sum(x) - np.sum(y)) / n,
            permutation_type="samples",
            n_resamples=np.inf,
        )
        r = result[language]
        assert (r.statistic, r.p_value) == pytest.approx((oracle.statistic, oracle.pvalue))
        assert (r.n, r.clusters, r.exact, r.measure) == (n, len(a), True, measure)


def test_on_right_and_wrong_it_is_mcnemars_exact_test():
    gained, lost, same = 61, 38, 200
    values = np.array([1.0] * gained + [-1.0] * lost + [0.0] * same)
    p, exact = sign_flip(values)
    assert exact
    assert p == pytest.approx(stats.binomtest(gained, gained + lost).pvalue)
    assert sign_flip(values / 3) == (pytest.approx(p), True)  # ties among three


def test_monte_carlo_agrees_with_the_full_list_and_is_never_zero():
    values = np.random.default_rng(0).normal(0.35, 1, size=18)
    exact, listed = sign_flip(values, resamples=2**18)
    drawn, not_listed = sign_flip(values, resamples=20_000, seed=4)
    assert (listed, not_listed) == (True, False)
    assert abs(drawn - exact) < 4 * math.sqrt(exact * (1 - exact) / 20_000)
    assert sign_flip(np.linspace(0.011, 1, 60), resamples=999) == (1 / 1000, False)
    assert 0 < sign_flip(np.ones(3000))[0] < 1e-300


def test_thirds_that_cancel_are_no_change():
    residue = math.fsum([1 / 3, 1 / 3, 1 / 3, -1.0])
    assert residue != 0
    assert sign_flip(np.array([residue, 1.0, 1.0])) == (0.5, True)


@pytest.mark.parametrize("name", ["transfer", "localization", "english_bias"])
@pytest.mark.parametrize("measure", ["accuracy", "share"])
def test_the_statistic_is_the_difference_that_metrics_report(name, measure):
    new, old = noisy(1)
    new, old = new + cultural(1), old + cultural(2)
    tests, differences = (
        permutation_test(new, old, name, measure),
        mechcla.difference(new, old, name, measure),
    )
    assert set(tests) == set(differences)
    for language, d in differences.items():
        assert (tests[language].statistic, tests[language].n) == (pytest.approx(d.value), d.n)


def test_languages_of_a_question_are_one_draw():
    """Six languages that repeat one another carry one language's evidence; a test by row would see
    six times as much.
    """
    rng = np.random.default_rng(2)
    column = list(rng.normal(0.3, 1, 40))
    new, old = (
        universal(dict.fromkeys("abcdef", column)),
        universal(dict.fromkeys("abcdef", [0.1] * 40)),
    )
    result = permutation_test(new, old, "transfer", "share", seed=1)
    naive, _ = sign_flip(
        np.array(
            [
                v
                for c in paired_differences(new, old, "transfer", "share").values()
                for v in c.values()
            ]
        )
    )
    assert result["all"].p_value == result["a"].p_value
    assert (result["all"].n, result["all"].clusters) == (240, 40)
    assert 0.01 < result["all"].p_value < 0.5
    assert naive < result["all"].p_value / 5
    effect = minimum_detectable_effect(new, old, "transfer", "share")
    assert effect["all"].value == pytest.approx(effect["a"].value)


def test_under_the_null_p_is_uniform_and_accuracy_is_not_too_eager():
    rng = np.random.default_rng(5)
    p = []
    for i in range(500):
        question = rng.normal(size=(25, 1))  # shared by the question's four languages
        p.append(sign_flip((question + rng.normal(size=(25, 4))).sum(1), resamples=300, seed=i)[0])
    assert stats.kstest(p, "uniform").pvalue > 0.01
    assert np.mean(np.array(p) <= 0.05) == pytest.approx(0.05, abs=4 * math.sqrt(0.05 * 0.95 / 500))
    coarse = [sign_flip(rng.choice([-1.0, 0, 0, 1], 30))[0] for _ in range(500)]
    assert np.mean(np.array(coarse) <= 0.05) < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 500)


def test_a_test_by_row_would_cry_wolf_where_the_test_by_question_does_not():
    rng = np.random.default_rng(6)
    by_row, by_id = 0, 0
    for i in range(200):
        values = rng.normal(size=(25, 1)) + 0.3 * rng.normal(size=(25, 6))
        by_row += sign_flip(values.ravel(), resamples=200, seed=i)[0] <= 0.05
        by_id += sign_flip(values.sum(1), resamples=200, seed=i)[0] <= 0.05
    assert by_id / 200 < 0.11
    assert by_row / 200 > 0.3


logits = st.lists(st.floats(-3, 3).map(lambda x: round(x, 2)), min_size=3, max_size=20)


@settings(max_examples=60, deadline=None)
@given(logits, logits, st.sampled_from(["share", "accuracy"]), st.integers(0, 5))
def test_p_is_a_probability_and_knows_neither_order_nor_direction(a, b, measure, seed):
    n = min(len(a), len(b))
    new, old = universal({"es": a[:n], "ko": b[:n]}), universal({"es": b[:n], "ko": [0.5] * n})
    there, back = (
        permutation_test(x, y, "transfer", measure, resamples=200, seed=seed)
        for x, y in ((new, old), (old, new))
    )
    rows = list(new.rows)
    random.Random(seed).shuffle(rows)
    shuffled = permutation_test(
        Scores(tuple(rows)), old, "transfer", measure, resamples=200, seed=seed
    )
    for language, r in there.items():
        assert 0 < r.p_value <= 1
        assert r.p_value >= min(1.0, 2.0 ** (1 - r.changed)) - 1e-12 or not r.exact
        assert (back[language].p_value, back[language].statistic) == (r.p_value, -r.statistic)
        assert shuffled[language] == r
    same = permutation_test(new, new, "transfer", measure)["all"]
    assert (same.p_value, same.statistic, same.changed) == (1.0, 0.0, 0)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.floats(-2, 2).filter(lambda x: abs(x) > 1e-3), min_size=1, max_size=12),
    st.sampled_from([0.5, 2.0, 8.0]),
)
def test_scale_changes_no_p_value(values, factor):
    x = np.array(values)
    assert sign_flip(x * factor)[0] == pytest.approx(sign_flip(x)[0])
    assert sign_flip(np.append(x, [0.0] * 5)) == sign_flip(x)


def test_holm_by_hand_and_bh_by_scipy():
    p = {"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005}
    # 3, 1 (raised to c's), 2 and 4 times.
    assert correct(p) == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02})
    assert correct(p, "bh") == pytest.approx({"a": 0.02, "b": 0.04, "c": 0.04, "d": 0.02})
    assert correct(p, "bh") == pytest.approx(
        dict(zip(p, stats.false_discovery_control(list(p.values())), strict=True))
    )
    assert correct(p, "none") == p
    assert (correct({}), correct({1: 1.0, 2: 0.9})) == ({}, {1: 1.0, 2: 1.0})
    with pytest.raises(MechclaError, match="unknown correction 'hom'; did you mean 'holm'"):
        correct(p, "hom")
    with pytest.raises(MechclaError, match="p-value of 'x' is nan; expected a number from 0 to 1"):
        correct({"a": 0.1, "x": float("nan")})


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.sampled_from(["holm", "bh"]))
def test_corrected_p_values_keep_the_order_and_only_grow(p_values, method):
    p = dict(enumerate(p_values))
    q = correct(p, method)
    assert list(q) == list(p)
    assert all(p[k] <= q[k] + 1e-15 and q[k] <= min(1, len(p) * p[k] + 1e-12) for k in p)
    order = sorted(p, key=lambda k: p[k])
    assert all(q[x] <= q[y] + 1e-15 for x, y in pairwise(order))
    assert all(correct(p, "bh")[k] <= correct(p, "holm")[k] + 1e-15 for k in p)
