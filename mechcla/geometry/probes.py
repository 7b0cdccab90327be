"""What can be read off the stream by a line: logistic probes by layer, against the same probe on
shuffled labels.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from mechcla.errors import MechclaError
from mechcla.geometry.curve import RESAMPLES, Curve

LIMIT = "That a probe reads something does not say that the model uses it."


def probe(
    residuals: Float[Tensor, "row layer d_model"],
    labels: Sequence[str],
    questions: Sequence[str],
    folds: int = 5,
    regularisation: float = 0.01,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Curve:
    """Held-out accuracy by layer of a logistic probe for `labels`; null: the same with labels
    shuffled.

    Folds keep a question's rows together, so that no question is both learnt from and tested on;
    the interval resamples questions. regularisation: sklearn's C on standardised features.
    """
    names, groups = np.asarray(labels), np.asarray(questions)
    if not len(names) == len(groups) == len(residuals):
        raise MechclaError(
            "a label and a question per row: "
            f"got {len(names)}, {len(groups)} and {len(residuals)} rows"
        )
    if len(set(names)) < 2 or len(set(groups)) < folds:
        raise MechclaError(
            f"a probe needs two labels and {folds} questions; "
            f"got {len(set(names))} and {len(set(groups))}"
        )
    generator = np.random.default_rng(seed)
    shuffled = generator.permutation(names)
    right, control = (
        np.stack(
            [
                _held_out(residuals[:, k].numpy(), y, groups, folds, regularisation)
                for k in range(residuals.shape[1])
            ]
        )
        for y in (names, shuffled)
    )
    ids, place = np.unique(groups, return_inverse=True)
    counts = generator.multinomial(len(ids), np.full(len(ids), 1 / len(ids)), size=resamples)[
        :, place
    ]
    draws = (right @ counts.T) / counts.sum(1)
    low, high = np.percentile(draws, [2.5, 97.5], axis=1)
    settings = {
        "folds": folds,
        "C": regularisation,
        "seed": seed,
        "resamples": resamples,
        "labels": sorted(set(names)),
    }
    return Curve(
        "probe accuracy", right.mean(1), low, high, len(ids), control.mean(1), settings, LIMIT
    )


def _held_out(
    x: np.ndarray, y: np.ndarray, groups: np.ndarray, folds: int, regularisation: float
) -> Float[np.ndarray, " row"]:
    """1 where the probe that did not see a row's question gives its label."""
    right = np.zeros(len(y))
    for train, test in GroupKFold(folds).split(x, y, groups):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=regularisation, max_iter=200))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(x[train], y[train])
        right[test] = model.predict(x[test]) == y[test]
    return right
