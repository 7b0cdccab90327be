"""The linear map against a rotation that was planted, scikit-learn's ridge, and EN-steering as its
limit.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

import mechcla
from mechcla.errors import MechclaError
from mechcla.steering.linear_map import fit_map, map_steering
from mechcla.vectors.residuals import Residuals, cache_residuals


def rotated(n: int, d: int = 6, layers: int = 2) -> tuple[Residuals, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    turn = torch.linalg.qr(torch.randn(d, d, generator=generator))[0]
    own = torch.randn(n, layers, d, generator=generator) + 3
    ids = tuple(f"q{i}" for i in range(n))
    return Residuals(
        {"en": own @ turn + 1, "es": own}, {"en": ids, "es": ids}, "resid_post", "implicit"
    ), turn


def test_a_planted_rotation_is_found_without_a_ridge():
    residuals, turn = rotated(40)
    learnt = fit_map(residuals, "es", 1, ridge=0.0)
    assert torch.allclose(learnt.weight, turn, atol=1e-4)
    assert torch.allclose(
        residuals["es"][:, 1] @ learnt.weight + learnt.bias, residuals["en"][:, 1], atol=1e-4
    )


def test_the_ridge_is_scikit_learns_with_fewer_questions_than_dimensions():
    residuals, _ = rotated(5, d=12)
    learnt = fit_map(residuals, "es", 0, ridge=0.7)
    own, english = (residuals[k][:, 0].double().numpy() for k in ("es", "en"))
    penalty = 0.7 * np.square(own - own.mean(0)).sum() / len(own)
    expected = own + Ridge(alpha=penalty).fit(own, english - own).predict(own)
    assert np.allclose(residuals["es"][:, 0] @ learnt.weight + learnt.bias, expected, atol=1e-4)


def test_at_an_infinite_ridge_it_is_en_steering(tiny, small_items):
    items = small_items.language("en", "es")
    learnt = fit_map(cache_residuals(tiny, items.universal.dev), "es", 2, math.inf)
    en = mechcla.en_vectors(tiny, items.universal.dev)
    test = items.language("es").test
    mapped = mechcla.score(tiny, test, map_steering(learnt, 0.5))
    added = mechcla.score(
        tiny,
        test,
        mechcla.en_steering(
            en, language="es", layer=2, strength=0.5, positions="last_prompt_token"
        ),
    )
    for one, other in zip(mapped, added, strict=True):
        assert one.log_likelihood == pytest.approx(other.log_likelihood, abs=1e-4)
    assert map_steering(learnt, 0.5)[0].made_with == tiny.digest


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ridge": -1.0}, "ridge is -1.0"),
        ({"layer": 2}, "layer 2 is not one"),
        ({"language": "ko"}, "'ko'"),
    ],
)
def test_what_cannot_be_fitted_is_said(change, message):
    residuals, _ = rotated(4)
    with pytest.raises(MechclaError, match=message):
        fit_map(residuals, **({"language": "es", "layer": 0} | change))


def test_only_the_operator_map_takes_a_matrix():
    for operator, matrix in (("map", None), ("add", torch.eye(4))):
        with pytest.raises(MechclaError, match="'map' alone takes one"):
            mechcla.Intervention(torch.ones(4), 0, 1.0, operator=operator, matrix=matrix)
    with pytest.raises(MechclaError, match="no unit"):
        mechcla.Intervention(
            torch.ones(4), 0, 1.0, operator="map", matrix=torch.eye(4), unit="relative", norm=1.0
        )
