"""Consistency across languages, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

import mechcla
from mechcla.errors import MechclaError
from mechcla.statistics import (
    consistency,
)
from tests.statistics.tables import universal


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
        mechcla.transfer(scores, "accuracy")["es"].value, abs=0.03
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
