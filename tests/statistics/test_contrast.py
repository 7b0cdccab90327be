"""The contrast of two conditions, by hand and against what it must not depend on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mechcla.errors import MechclaError
from mechcla.scoring.scores import ItemScore, Scores
from mechcla.statistics import (
    contrast,
)
from tests.statistics.tables import row


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
    """a: 2 - -1 = 3, b: 0 - 3 = -3, c: -3 - -3 = 0 (a tie), d: 1 - -3 = 4; e stands in one table
    only.
    """
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
    """Spanish with ES against US, Korean with KR against US: the same as each pair of countries by
    itself.
    """

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
        match=(
            r"item 'a' \(es\) has the answers 'euro', 'won' in first "
            r"and 'euro', 'dollar' in second"
        ),
    ):
        contrast(ONE, koreans, ("ES", "KR"))
    twice = Scores(tuple(r.__class__(**{**vars(r), "countries": ("ES", "KR", "KR")}) for r in ONE))
    with pytest.raises(MechclaError, match="several answers of one of"):
        contrast(twice, ONE, ("ES", "KR"))
