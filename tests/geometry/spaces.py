"""Random residuals with a known shift, rotation and noise."""

from __future__ import annotations

import torch
from hypothesis import HealthCheck, Phase, settings

from mechcla.vectors.residuals import Residuals

quiet = settings(
    max_examples=15, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rotation(d, seed=0):
    return torch.linalg.qr(normal(d, d, seed=seed)).Q


def spaces(shift: float, n=30, d=12, noise=0.3) -> Residuals:
    """Three languages that share questions (a random place each) and differ by a shift of their
    own.
    """
    questions = normal(n, 2, d, seed=1)
    values = {
        k: questions + noise * normal(n, 2, d, seed=s) + shift * normal(1, 2, d, seed=50 + s)
        for s, k in enumerate(["en", "es", "ko"])
    }
    ids = {k: tuple(f"q{i}" for i in range(n)) for k in values}
    return Residuals(values, ids, "resid_post", "implicit")
