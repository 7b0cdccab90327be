"""Small tables of scores with known log-odds."""

from __future__ import annotations

import math

import numpy as np

from mechcla.scoring.scores import ItemScore, Scores


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
    """[language][question]: the right answer's log-odds over the one wrong answer; nan leaves the
    question out.
    """
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
    """Base and steered scores; the questions' effects are shared by the languages in part, some are
    not asked.
    """
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
