"""CKA and retrieval against known answers and hand computation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from mechcla import geometry
from mechcla.errors import MechclaError
from tests.geometry.spaces import normal, rotation

quiet = settings(
    max_examples=15, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)


@quiet
@given(seed=st.integers(0, 99), scale=st.floats(0.1, 10))
def test_cka_is_blind_to_rotation_and_scale_and_to_nothing_else(seed, scale):
    x = normal(25, 1, 10, seed=seed)
    turned = scale * x @ rotation(10, seed)
    assert geometry.linear_cka(x, turned, resamples=0).value[0] == pytest.approx(1)
    noise = geometry.linear_cka(x, normal(25, 1, 200, seed=seed + 1), resamples=0).value[0]
    assert abs(noise) < 0.5


def related(seed: int, n: int = 40):
    """Two spaces that share half of their variance about a common mean far from the origin."""
    shared = normal(n, 1, 6, seed=seed)
    return (
        shared + normal(n, 1, 6, seed=seed + 1000) + 20 * torch.ones(6),
        shared + normal(n, 1, 6, seed=seed + 2000) - 20 * torch.ones(6),
    )


def test_the_interval_of_cka_is_about_its_value_and_as_wide_as_its_error():
    curves = [geometry.linear_cka(*related(seed), resamples=60) for seed in range(30)]
    values = np.array([c.value[0] for c in curves])
    assert all(c.low[0] < c.value[0] < c.high[0] for c in curves)
    width = np.mean([c.high[0] - c.low[0] for c in curves]) / 3.92
    assert 0.6 < width / values.std() < 1.6


def test_cka_by_hand():
    x, y = normal(9, 5), normal(9, 7, seed=1)

    def unbiased(k, m):
        n = len(k)
        k, m = k.clone().fill_diagonal_(0), m.clone().fill_diagonal_(0)
        one = torch.ones(n, dtype=torch.float64)
        return (
            torch.trace(k @ m)
            + (one @ k @ one) * (one @ m @ one) / ((n - 1) * (n - 2))
            - 2 / (n - 2) * (one @ k @ m @ one)
        )

    k, m = x @ x.T, y @ y.T
    expected = unbiased(k, m) / (unbiased(k, k) * unbiased(m, m)).sqrt()
    assert geometry.linear_cka(x.unsqueeze(1), y.unsqueeze(1), resamples=0).value[
        0
    ] == pytest.approx(float(expected))
    with pytest.raises(MechclaError, match="at least eight pairs"):
        geometry.linear_cka(x[:3].unsqueeze(1), y[:3].unsqueeze(1))


@pytest.mark.parametrize("method", ["cosine", "centred", "csls"])
def test_retrieval_finds_translations_and_guesses_among_strangers(method):
    x = normal(40, 1, 30)
    near = geometry.retrieval(x, x + 0.05 * normal(40, 1, 30, seed=1), method, resamples=20)
    assert near.top1.value[0] == 1.0
    assert near.mrr.value[0] == 1.0
    far = geometry.retrieval(x, normal(40, 1, 30, seed=2), method, resamples=20)
    assert far.top1.value[0] < 0.2
    assert far.top1.null[0] == pytest.approx(1 / 40)


def test_centring_undoes_a_languages_own_shift():
    x, shift = normal(40, 1, 30), 30 * normal(1, 1, 30, seed=3)
    other = x + 0.3 * normal(40, 1, 30, seed=4) + shift
    assert (
        geometry.retrieval(x, other, "cosine", resamples=0).top1.value[0]
        < geometry.retrieval(x, other, "centred", resamples=0).top1.value[0]
        == 1.0
    )


def test_ranks_by_hand():
    x = torch.eye(3, dtype=torch.float64).unsqueeze(1)
    y = x[[0, 2, 1]]
    found = geometry.retrieval(x, y, "cosine", resamples=0)
    assert found.top1.value[0] == pytest.approx(1 / 3)
    # Questions 1 and 2 are swapped: their own translation ties with the third text at 0, behind the
    # swapped one. A tie counts as lost, so the ranks are 1, 3, 3.
    assert found.mrr.value[0] == pytest.approx((1 + 1 / 3 + 1 / 3) / 3)
    tilted = torch.tensor([[1.0, 0, 0], [0, 0.6, 0.8], [0, 0.8, -0.6]], dtype=torch.float64)
    untied = geometry.retrieval(x, tilted.unsqueeze(1), "cosine", resamples=0)
    # Own 1, 0.6, -0.6; the others' best 0, 0.8 and then 0: ranks 1, 2, 3.
    assert untied.mrr.value[0] == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)
    with pytest.raises(MechclaError, match="did you mean 'centred'"):
        geometry.retrieval(x, y, "centered")
