"""Tests and power against scipy, hand counts and simulation; invariants that no data may break."""

from __future__ import annotations

import doctest
import math
import random
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import mechcla
from mechcla.errors import MechclaError
from mechcla.scoring.scores import ItemScore, Scores
from mechcla.statistics import (
    compare,
    consistency,
    contrast,
    correct,
    items_needed,
    minimum_detectable_effect,
    permutation_test,
    sign_flip,
)
from mechcla.statistics import permutation as permutation_module
from mechcla.statistics import power as power_module
from mechcla.statistics.differences import clustered, paired_differences


def row(id, language, kind, *pairs, countries=None, texts=None):
    roles, values = zip(*pairs, strict=True)
    return ItemScore(
        id,
        language,
        kind,
        "test",
        "t",
        None,
        "implicit",
        texts or tuple("abcd"[: len(pairs)]),
        roles,
        countries or (None,) * len(pairs),
        tuple(map(float, values)),
        (1,) * len(pairs),
    )


def universal(logits: dict[str, list[float]]) -> Scores:
    """[language][question]: the right answer's log-odds over the one wrong answer; nan leaves the question out."""
    return Scores(
        tuple(
            row(f"q{i:03d}", language, "universal", ("correct", x), ("wrong", 0.0))
            for language, column in logits.items()
            for i, x in enumerate(column)
            if not math.isnan(x)
        )
    )


def noisy(
    seed: int, n: int = 12, languages: str = "es ko el", shift: float = 0.0, shared: float = 1.0
):
    """Base and steered scores; the questions' effects are shared by the languages in part, some are not asked."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=n)
    old = {k: rng.normal(0.3, 1, n) for k in languages.split()}
    new = {k: x + shift + shared * common + 0.3 * rng.normal(size=n) for k, x in old.items()}
    for k in old:
        old[k][rng.random(n) < 0.15] = np.nan
        old[k][0] = new[k][0] = 0.5
    return universal({k: list(x) for k, x in new.items()}), universal(
        {k: list(x) for k, x in old.items()}
    )


def cultural(seed: int, n: int = 20, languages: str = "es ko") -> Scores:
    rng = np.random.default_rng(seed)
    return Scores(
        tuple(
            row(
                f"c{i:03d}",
                k,
                "cultural",
                *zip(
                    ("local", "english" if i % 2 else "other", "other"),
                    rng.normal(size=3),
                    strict=True,
                ),
            )
            for k in languages.split()
            for i in range(n)
        )
    )


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
    """Six languages that repeat one another carry one language's evidence; a test by row would see six times as much."""
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
    assert correct(p) == pytest.approx(
        {"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02}
    )  # 3, 1 (raised to c's), 2 and 4 times
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


def test_mde_by_hand_and_the_items_it_asks_for():
    rng = np.random.default_rng(1)
    new, old = (universal({"es": list(rng.normal(size=50))}) for _ in range(2))
    effect = minimum_detectable_effect(new, old, "transfer", "share")["es"]
    d = np.array(list(paired_differences(new, old, "transfer", "share")["es"].values()))
    assert effect.sd == pytest.approx(d.std(ddof=1))
    assert effect.value == pytest.approx(
        (1.959964 + 0.841621) * d.std(ddof=1) / math.sqrt(50), rel=1e-6
    )
    assert items_needed(effect.value, effect.sd) == items_needed(-effect.value, effect.sd) == 50
    assert items_needed(effect.value / 2, effect.sd) == 200
    harder = minimum_detectable_effect(new, old, "transfer", "share", power=0.9, alpha=0.01)["es"]
    assert harder.value / effect.value == pytest.approx((2.575829 + 1.281552) / 2.801585, rel=1e-6)
    assert math.isnan(
        minimum_detectable_effect(new, new, "transfer")["es"].value
    )  # nothing changed: no spread to go by
    for bad in ({"power": 1.0}, {"alpha": 0.0}, {"power": 0.01}):
        with pytest.raises(MechclaError, match=r"power=|alpha="):
            minimum_detectable_effect(new, old, "transfer", **bad)
    with pytest.raises(MechclaError, match=r"effect=0\.0, sd=0\.4"):
        items_needed(0.0, 0.4)


def test_the_clustered_standard_error_is_that_of_the_bootstrap():
    new, old = noisy(7, n=300)
    table = paired_differences(new, old, "transfer", "share")
    draws = mechcla.metrics.estimates.bootstrap_means(table)
    for key, c in clustered(table).items():
        assert c.standard_error == pytest.approx(np.std(draws[key][1:]), rel=0.1)


@pytest.mark.parametrize("measure", ["share", "accuracy"])
def test_power_at_the_mde_is_what_it_claims(measure):
    """Simulated with the spread that the MDE was taken from: the test finds an effect of its size 8 times in 10."""
    rng = np.random.default_rng(8)
    new, old = noisy(9, n=120)
    table = paired_differences(new, old, "transfer", measure)
    pool = clustered(table)["all"]
    effect = minimum_detectable_effect(new, old, "transfer", measure)["all"]
    centred = pool.sums - pool.sizes * pool.mean
    found = 0
    for i in range(400):
        draw = rng.integers(0, len(centred), len(centred))
        found += (
            sign_flip(centred[draw] + pool.sizes[draw] * effect.value, resamples=400, seed=i)[0]
            <= 0.05
        )
    assert found / 400 == pytest.approx(0.8, abs=4 * math.sqrt(0.16 / 400))


@pytest.mark.parametrize(
    ("n", "changed", "lowest"), [(60, 0.1, 0.5), (120, 0.25, 0.66), (400, 0.25, 0.7)]
)
def test_the_mde_of_right_and_wrong_is_hopeful_by_as_much_as_documented(n, changed, lowest):
    factor, rng = 2.801585, np.random.default_rng(n)
    mde = min(
        changed, math.sqrt(factor**2 * changed / n / (1 + factor**2 / n))
    )  # solves mde = factor sqrt((changed - mde^2)/n)
    u = rng.random((400, n))
    draws = np.where(u < (changed + mde) / 2, 1.0, np.where(u < changed, -1.0, 0.0))
    assert lowest < np.mean([sign_flip(x)[0] <= 0.05 for x in draws]) < 0.84


def test_consistency_by_hand():
    scores = universal(
        {
            "en": [1, 1, 1, 1, -1],
            "es": [1, 1, -1, 0, 1],
            "ko": [math.nan, -1, 1, math.nan, -1],
            "fa": [-1] * 5,
        }
    )
    result = consistency(scores)
    assert {k: (v.value, v.n) for k, v in result.items()} == {
        "es": (2.5 / 4, 4),
        "ko": (0.5, 2),
        "fa": (0.0, 4),
        "all": (3.5 / 10, 10),
    }
    back = consistency(scores, reverse=True)
    assert {k: (pytest.approx(v.value), v.n) for k, v in back.items()} == {
        "es": (2.5 / 3.5, 4),
        "ko": (1.0, 1),
        "all": (3.5 / 4.5, 5),
    }
    assert all(v.low <= v.value <= v.high for v in (*result.values(), *back.values()))
    assert result["es"].measure == "right given right in en"
    assert consistency(scores, pivot="es")["en"].value == pytest.approx(2.5 / 3.5)


def test_consistency_of_unrelated_languages_is_their_accuracy():
    rng = np.random.default_rng(0)
    scores = universal({k: list(rng.normal(0.5, 1, 4000)) for k in ("en", "es")})
    assert consistency(scores, resamples=50)["es"].value == pytest.approx(
        mechcla.transfer(scores)["es"].value, abs=0.03
    )


def test_consistency_says_what_is_missing():
    with pytest.raises(MechclaError, match="no universal scores in the pivot 'de'"):
        consistency(universal({"en": [1], "es": [1]}), pivot="de")
    with pytest.raises(MechclaError, match="other languages in these scores: none"):
        consistency(universal({"en": [1.0, 1.0]}))
    with pytest.raises(
        MechclaError, match="shares a universal question with 'en' that 'en' gets right"
    ):
        consistency(universal({"en": [-1.0], "es": [1.0]}))


def answers(
    values: dict[str, tuple[float, float, float]], language: str = "es", order=(0, 1, 2)
) -> Scores:
    """Cultural rows whose candidates are Spain's, Korea's and America's answers, in any order."""
    texts, countries, roles = (
        ("euro", "won", "dollar"),
        ("ES", "KR", "US"),
        ("local", "other", "english"),
    )
    return Scores(
        tuple(
            row(
                id,
                language,
                "cultural",
                *[(roles[k], v[k]) for k in order],
                countries=tuple(countries[k] for k in order),
                texts=tuple(texts[k] for k in order),
            )
            for id, v in values.items()
        )
    )


ONE = answers({"a": (-1, -3, -9), "b": (-2, -2, -9), "c": (-4, -1, -9), "d": (-1, -2, 0)})
TWO = answers(
    {"d": (-5, -2, 0), "c": (-4, -1, -9), "b": (-1, -4, -9), "a": (-4, -3, -9), "e": (-1, -1, -1)},
    order=(2, 1, 0),
)


def test_contrast_by_hand():
    """a: 2 - -1 = 3, b: 0 - 3 = -3, c: -3 - -3 = 0 (a tie), d: 1 - -3 = 4; e stands in one table only."""
    result = contrast(ONE, TWO, ("ES", "KR"))
    assert set(result) == {"es", "all"}
    assert (result["es"].share.value, result["es"].nats.value, result["es"].share.n) == (
        2.5 / 4,
        1.0,
        4,
    )
    assert result["es"].p_value == 1.0  # two up, one down
    swapped = contrast(TWO, ONE, ("KR", "ES"))
    assert (swapped["es"].share, swapped["es"].nats, swapped["es"].p_value) == (
        result["es"].share,
        result["es"].nats,
        1.0,
    )
    other = contrast(TWO, ONE, ("ES", "KR"))["es"]
    assert (other.share.value, other.nats.value) == (1.5 / 4, -1.0)
    nothing = contrast(ONE, ONE, ("ES", "KR"))["all"]
    assert (nothing.share.value, nothing.nats.value, nothing.p_value) == (0.5, 0.0, 1.0)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1000), st.floats(-50, 50), st.floats(-50, 50))
def test_contrast_is_free_of_answer_priors_and_of_what_a_condition_adds_to_all(seed, prior, added):
    rng = np.random.default_rng(seed)
    x, y = ({f"q{i}": tuple(rng.normal(size=3)) for i in range(15)} for _ in range(2))
    before = contrast(answers(x), answers(y), ("ES", "KR"), resamples=10)["es"]
    moved = [
        answers({k: (v[0] + prior + c, v[1] + c, v[2]) for k, v in t.items()})
        for t, c in ((x, added), (y, 0.0))
    ]
    after = contrast(*moved, ("ES", "KR"), resamples=10)["es"]
    assert after.nats.value == pytest.approx(before.nats.value, abs=1e-9)
    assert after.share.value == before.share.value


def test_contrast_follows_the_priors_if_one_condition_is_only_sharper():
    """The limit that its docstring states, and why a control of equal norm belongs beside it."""
    flat = {f"q{i}": (-1.0 - i / 10, -3.0, -5.0) for i in range(10)}
    sharp = {k: tuple(2 * x for x in v) for k, v in flat.items()}
    assert contrast(answers(sharp), answers(flat), ("ES", "KR"))["es"].share.value == 1.0


def test_contrast_of_roles_pools_languages_of_several_countries():
    """Spanish with ES against US, Korean with KR against US: the same as each pair of countries by itself."""

    def run(spanish, korean):
        rows = []
        for language, country, values in (("es", "ES", spanish), ("ko", "KR", korean)):
            rows += [
                ItemScore(
                    f"q{i}",
                    language,
                    "cultural",
                    "test",
                    "",
                    country,
                    "implicit",
                    ("a", "b", "c"),
                    ("local", "english", "other"),
                    (country, "US", "IR"),
                    tuple(v),
                    (1, 1, 1),
                )
                for i, v in enumerate(values)
            ]
        return Scores(tuple(rows))

    rng = np.random.default_rng(3)
    first, second = (run(rng.normal(size=(9, 3)), rng.normal(size=(9, 3))) for _ in range(2))
    pooled = contrast(first, second)
    for language, country in (("es", "ES"), ("ko", "KR")):
        alone = contrast(
            first.where(language=language), second.where(language=language), (country, "US")
        )[language]
        assert (pooled[language].share, pooled[language].nats, pooled[language].p_value) == (
            alone.share,
            alone.nats,
            alone.p_value,
        )
    assert pooled["all"].nats.value == pytest.approx(
        (pooled["es"].nats.value + pooled["ko"].nats.value) / 2
    )
    with pytest.raises(MechclaError, match="roles are"):
        contrast(
            *(
                Scores(tuple(replace(r, roles=("local", "other", "other")) for r in s))
                for s in (first, second)
            )
        )


def test_contrast_says_what_is_missing():
    with pytest.raises(
        MechclaError,
        match=r"none of 4 cultural items has an answer of 'ES' and one of 'FR'.* are ES, KR, US",
    ):
        contrast(ONE, TWO, ("ES", "FR"))
    with pytest.raises(MechclaError, match="both countries are 'ES'"):
        contrast(ONE, TWO, ("ES", "ES"))
    with pytest.raises(
        MechclaError, match=r"share no item .*first has a \(es\), b \(es\).*second has z \(es\)"
    ):
        contrast(ONE, answers({"z": (0, 0, 0)}), ("ES", "KR"))
    koreans = Scores(
        tuple(r.__class__(**{**vars(r), "texts": ("euro", "dollar", "원")}) for r in ONE)
    )
    with pytest.raises(
        MechclaError,
        match="item 'a' \\(es\\) has the answers 'euro', 'won' in first and 'euro', 'dollar' in second",
    ):
        contrast(ONE, koreans, ("ES", "KR"))
    twice = Scores(tuple(r.__class__(**{**vars(r), "countries": ("ES", "KR", "KR")}) for r in ONE))
    with pytest.raises(MechclaError, match="several answers of one of"):
        contrast(twice, ONE, ("ES", "KR"))


def test_compare_gathers_what_its_parts_say():
    new, old = noisy(4, n=30, shift=1.0)
    new, old = new + cultural(1), old + cultural(2)
    table = compare(new, old, measure="share", resamples=500)
    assert {(r.metric, r.language) for r in table.rows} == {
        *(("transfer", k) for k in ("es", "ko", "el", "all")),
        *((m, k) for m in ("localization", "english_bias") for k in ("es", "ko", "all")),
    }
    singles = {(r.metric, r.language): r.p_value for r in table.rows if r.language != "all"}
    pooled = {(r.metric, r.language): r.p_value for r in table.rows if r.language == "all"}
    for family in (singles, pooled):
        for key, p in correct(family).items():
            cell = table.row(*key)
            assert (cell.p_corrected, cell.family) == (p, len(family))
            assert cell.difference == mechcla.difference(new, old, key[0], "share")[key[1]]
            assert (
                cell.detectable
                == minimum_detectable_effect(new, old, key[0], "share", alpha=0.05 / len(family))[
                    key[1]
                ]
            )
    assert table.row("transfer") in table.findings
    frame = table.to_pandas()
    assert len(frame) == len(table.rows) == len(str(table).splitlines()) - 1
    assert list(frame["p_corrected"]) == [r.p_corrected for r in table.rows]
    assert len({len(line) for line in str(table).splitlines()}) == 1  # columns line up
    plain = compare(new, old, ("transfer",), correction="none")
    assert all(r.p_corrected == r.p_value and r.detectable.alpha == 0.05 for r in plain.rows)
    with pytest.raises(MechclaError, match="no cell 'transfer', 'fr'"):
        table.row("transfer", "fr")


def test_errors_show_what_was_given():
    new, old = noisy(4)
    with pytest.raises(MechclaError, match="unknown metric 'transfr'; did you mean 'transfer'"):
        permutation_test(new, old, "transfr")
    with pytest.raises(
        MechclaError, match=r"localization needs cultural items .* scores \(\d+ rows\) has none"
    ):
        compare(new, old)
    with pytest.raises(
        MechclaError, match=r"share no \(id, language\) for transfer\. scores es: q"
    ):
        permutation_test(new.where(language="es"), old.where(language="ko"), "transfer")
    with pytest.raises(MechclaError, match=r"base: item 'q000' \(es\) stands twice"):
        permutation_test(new, old + old, "transfer")
    with pytest.raises(MechclaError, match="unknown measure 'acc'"):
        permutation_test(new, old, "transfer", "acc")
    with pytest.raises(MechclaError, match="expected different names in a tuple"):
        compare(new, old, "transfer")
    with pytest.raises(MechclaError, match="resamples=0"):
        permutation_test(new, old, "transfer", resamples=0)
    with pytest.raises(MechclaError, match="1 of 2 differences are not finite"):
        sign_flip(np.array([1.0, np.nan]))


def test_examples_in_docstrings_and_docs_run():
    for module in (permutation_module, power_module):
        failed, run = doctest.testmod(module)
        assert (failed, run > 0) == (0, True)
    page = (Path(__file__).parents[2] / "docs" / "statistics.md").read_text(encoding="utf-8")
    scope: dict[str, object] = {}
    for block in page.split("```python\n")[1:]:
        exec(block.split("```")[0], scope)
    assert scope["table"].row("transfer", "es").difference.n == 80
