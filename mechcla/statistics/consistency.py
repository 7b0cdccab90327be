"""Cross-lingual consistency: does a language know the same things as English, not only as many?"""

from __future__ import annotations

import numpy as np

from mechcla.errors import MechclaError, nearest
from mechcla.items.item import PIVOT
from mechcla.metrics.estimates import POOLED, RESAMPLES, Estimate, bootstrap_means
from mechcla.scoring.scores import Scores
from mechcla.statistics.differences import Table, estimate_of, values_of


def consistency(
    scores: Scores,
    pivot: str = PIVOT,
    normalisation: str = "sum",
    *,
    reverse: bool = False,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Estimate]:
    """Of the universal questions that `pivot` gets right, the share that each language gets right
    too, and pooled.

    Transfer says how much a language knows; this says how much of it is what English knows. With
    `reverse`, of what the language gets right, the share that the pivot gets right too. Over ids
    that both were asked; n counts the items that the share is taken of. Ties for the best candidate
    count as the share of a point they are in `mechcla.transfer`. 95% intervals from a bootstrap
    over questions, which draws a question's languages together.

    A language that shares no question with the pivot, or of whose shared ones none is right, is
    left out. Raises MechclaError if the pivot has no universal scores or no language is left.
    Limit: two languages that answer at random agree too, and a language right in 90% of items is
    consistent with anything at 0.9; read it against `mechcla.transfer`, which is its value if the
    two were unrelated. Source: ours; Qi, Fernandez and Bisazza (2023) compare whole rankings of
    candidates, this only whether the right one leads.

    >>> print(consistency(base)["es"], "|", consistency(base, reverse=True)["es"])
    0.612 [0.541, 0.680] n=... | 0.962 [0.918, 0.987] n=...
    """
    table = values_of(scores, "transfer", "accuracy", normalisation, "scores")
    if pivot not in table:
        raise MechclaError(f"no universal scores in the pivot {pivot!r}; {nearest(pivot, table)}")
    both: Table = {}
    given: Table = {}
    for language, column in table.items():
        pairs = {i: (table[pivot][i], value) for i, value in column.items() if i in table[pivot]}
        condition = {i: value if reverse else english for i, (english, value) in pairs.items()}
        if language != pivot and sum(condition.values()) > 0:
            given[language] = condition
            both[language] = {i: english * value for i, (english, value) in pairs.items()}
    if not given:
        others = ", ".join(lang for lang in table if lang != pivot) or "none"
        raise MechclaError(
            f"no other language shares a universal question with {pivot!r} "
            f"that {'it' if reverse else pivot!r} gets right; "
            f"the other languages in these scores: {others}"
        )
    # the same questions and seed, so both tables are resampled alike and their ratio is a mean over
    # what is given
    above, below = bootstrap_means(both, resamples, seed), bootstrap_means(given, resamples, seed)
    counts = {lang: sum(v > 0 for v in column.values()) for lang, column in given.items()}
    counts[POOLED] = sum(counts.values())
    what = f"right in {pivot} given right" if reverse else f"right given right in {pivot}"
    with np.errstate(divide="ignore", invalid="ignore"):
        return {key: estimate_of(above[key] / below[key], counts[key], what) for key in above}
