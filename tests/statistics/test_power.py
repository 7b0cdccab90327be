"""The smallest effect that a test can see, by hand and by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest

import mechcla
from mechcla.errors import MechclaError
from mechcla.statistics import (
    items_needed,
    minimum_detectable_effect,
    sign_flip,
)
from mechcla.statistics.differences import clustered, paired_differences
from tests.statistics.tables import noisy, universal


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
    # Nothing changed: no spread to go by.
    assert math.isnan(minimum_detectable_effect(new, new, "transfer")["es"].value)
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
    """Simulated with the spread that the MDE was taken from: the test finds an effect of its size 8
    times in 10.
    """
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
    # Solves mde = factor sqrt((changed - mde^2)/n).
    mde = min(changed, math.sqrt(factor**2 * changed / n / (1 + factor**2 / n)))
    u = rng.random((400, n))
    draws = np.where(u < (changed + mde) / 2, 1.0, np.where(u < changed, -1.0, 0.0))
    assert lowest < np.mean([sign_flip(x)[0] <= 0.05 for x in draws]) < 0.84
