"""The matched-pair contrast: two cultures' answers under two conditions, each answer against
itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from mechcla.errors import MechclaError
from mechcla.metrics.estimates import POOLED, RESAMPLES, Estimate, bootstrap_means
from mechcla.metrics.item_values import ItemTable, ItemValues
from mechcla.scoring.scores import ItemScore
from mechcla.statistics.differences import Table, clustered, estimate_of, unique_rows
from mechcla.statistics.permutation import sign_flip

ROLE_PAIR = ("local", "english")


def _p(value: float) -> str:
    return "<0.0001" if value < 0.0001 else f"={value:.4f}"


@dataclass(frozen=True)
class Contrast:
    """How often, and by how much, each condition moves a model towards its own country's answer.

    share    share of items whose contrast is above 0 (ties count one half); chance is 0.5
    nats     mean contrast, in nats of log-likelihood
    p_value  that the share is 0.5: two-sided, by question (`sign_flip`), for these very conditions.
    Two vectors that mean
             nothing move all items together, so their share is one half only on average over draws
    """

    share: Estimate
    nats: Estimate
    p_value: float
    countries: tuple[str, str]  # or ("local", "english"), where each item's own two were compared
    resamples: int
    seed: int

    def flat(self) -> dict[str, float]:
        """The numbers as one record of a table."""
        return {
            "share": self.share.value,
            "low": self.share.low,
            "high": self.share.high,
            "n": self.share.n,
            "p_value": self.p_value,
            "nats": self.nats.value,
            "nats_low": self.nats.low,
            "nats_high": self.nats.high,
        }

    def __str__(self) -> str:
        return (
            f"{'/'.join(self.countries)}: share {self.share}, p{_p(self.p_value)}; nats {self.nats}"
        )


def contrast(
    first: ItemTable,
    second: ItemTable,
    countries: tuple[str, str] | None = None,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Contrast]:
    """Does condition 1 favour country 1's answer, against condition 2 and country 2's? By language
    and pooled.

    For an item with the answer a1 of `countries[0]` and a2 of `countries[1]`, and log-likelihoods l
    under the two conditions, the contrast is [l1(a1) - l1(a2)] - [l2(a1) - l2(a2)]. How likely or
    how long an answer is in itself is the same in both brackets and cancels, so no normalisation is
    offered. Both tables hold the same cultural items (id, language, these two answers) scored under
    (i) two prompts, the first naming country 1 and the second country 2, or (ii) the same implicit
    prompt, steered by the LOC vectors of culture 1 and of culture 2. Items without an answer of
    each country are left out, and n is what is left. countries=None: each item's local answer
    against its American one (roles local and english; items with several of either are left out),
    so that languages of several countries are pooled.

    Raises MechclaError, naming what is missing, if the two countries are one, no item has both
    answers, the tables share no such item, or an item's answers differ between the tables. Limits:
    chance is one half if the two conditions are exchangeable. A condition that only sharpens or
    flattens all answers moves the contrast along with the priors of a1 and a2: compare LOC vectors
    of equal norms and strengths, and random directions of the same norms as a control. Two answers
    stand for two cultures. Source: ours (a difference in differences of log-odds).

    >>> print(contrast(as_spain, as_us, ("ES", "US"))["es"])
    ES/US: share 0.787 [0.660, 0.894] n=66, p=0.0001; nats 1.204 [0.823, 1.615] n=66
    """
    countries = countries or ROLE_PAIR
    if countries[0] == countries[1]:
        raise MechclaError(
            f"both countries are {countries[0]!r}; "
            "a contrast needs two, e.g. countries=('ES', 'KR')"
        )
    one, other = (
        _answered(s, countries, name) for s, name in ((first, "first"), (second, "second"))
    )
    nats: Table = {}
    for (language, id), mine in one.items():
        if (language, id) in other:
            match = other[language, id]
            if mine.texts != match.texts:
                raise MechclaError(
                    f"item {id!r} ({language}) has the answers "
                    f"{', '.join(map(repr, mine.texts))} in first and "
                    f"{', '.join(map(repr, match.texts))} in second; "
                    "a contrast compares the same texts"
                )
            value = mine.margin - match.margin
            if not math.isfinite(value):
                raise MechclaError(
                    f"item {id!r} ({language}) has no finite contrast: "
                    f"the two answers' log-likelihoods are {mine.shown} in first "
                    f"and {match.shown} in second"
                )
            nats.setdefault(language, {})[id] = value
    if not nats:
        here, there = (", ".join(f"{i} ({lang})" for lang, i in list(t)[:3]) for t in (one, other))
        raise MechclaError(
            f"first and second share no item with answers of {countries[0]!r} "
            f"and {countries[1]!r}: first has {here}, ...; second has {there}, ..."
        )
    positive = {
        lang: {i: 0.5 if v == 0 else float(v > 0) for i, v in column.items()}
        for lang, column in nats.items()
    }
    centred = clustered(
        {lang: {i: v - 0.5 for i, v in column.items()} for lang, column in positive.items()}
    )
    shares, means = (
        bootstrap_means(positive, resamples, seed),
        bootstrap_means(nats, resamples, seed),
    )
    counts = {lang: len(column) for lang, column in nats.items()}
    counts[POOLED] = sum(counts.values())
    return {
        key: Contrast(
            estimate_of(shares[key], n, "share of positive contrasts"),
            estimate_of(means[key], n, "contrast in nats"),
            sign_flip(centred[key].sums, seed=seed)[0],
            countries,
            resamples,
            seed,
        )
        for key, n in counts.items()
    }


@dataclass(frozen=True)
class _Answers:
    """An item's two answers. margin: by how much the first one's log-likelihood exceeds the second
    one's. texts: none where values alone were kept, of the items of one run.
    """

    margin: float
    shown: str
    texts: tuple[str, ...] = ()


def _answered(
    scores: ItemTable, countries: tuple[str, str], what: str
) -> dict[tuple[str, str], _Answers]:
    """The two answers of the cultural items that offer one of each country, by (language, id)."""
    if isinstance(scores, ItemValues):
        if countries != ROLE_PAIR:
            raise MechclaError(
                f"{what}: of these scores the answers of {' and '.join(ROLE_PAIR)} were kept, not "
                f"those of {' and '.join(countries)}; expected Scores"
            )
        kept = {k: cell.margins for (k, _), cell in scores.where(kind="cultural").cells.items()}
        found = {
            (k, i): _Answers(margin, f"{margin:g} apart")
            for k in sorted(kept)
            if (column := kept[k]) is not None
            for i, margin in column.to_dict().items()
        }
        have = ["not given"]
    else:
        rows = unique_rows([r for r in scores if r.kind == "cultural"], what)
        found = answers_of(rows, countries, what)
        whose = (codes for row in rows.values() for codes in _whose(row, countries))
        have = sorted({c for codes in whose for c in codes}) or ["not given"]
    if not found:
        raise MechclaError(
            f"{what}: none of {len(scores.where(kind='cultural'))} cultural items "
            f"has an answer of {countries[0]!r} and one of {countries[1]!r}; "
            f"its candidates' {'roles' if countries == ROLE_PAIR else 'countries'} "
            f"are {', '.join(have)}"
        )
    return found


def answers_of(
    rows: Mapping[tuple[str, str], ItemScore],
    countries: tuple[str, str] = ROLE_PAIR,
    what: str = "",
) -> dict[tuple[str, str], _Answers]:
    """The two answers of the items, by (language, id), that offer one of each country."""
    found = {}
    for key, row in rows.items():
        whose = _whose(row, countries)
        places = [[k for k, codes in enumerate(whose) if country in codes] for country in countries]
        counts = [len(stand) for stand in places]
        if max(counts) > 1 and countries == ROLE_PAIR:
            continue  # two American answers: which one is meant cannot be told
        if max(counts) > 1:
            raise MechclaError(
                f"{what}: item {row.id!r} ({row.language}) "
                f"has several answers of one of {countries}; a contrast needs one"
            )
        if min(counts) == 1 and places[0] != places[1]:  # else both give one answer
            one, two = (row.log_likelihood[stand[0]] for stand in places)
            texts = tuple(row.texts[stand[0]] for stand in places)
            found[key] = _Answers(one - two, f"{one:g}, {two:g}", texts)
    return found


def _whose(row: ItemScore, countries: tuple[str, str]) -> list[list[str]]:
    """Per candidate, its role, or the countries whose answer it is: several where they share it."""
    if countries == ROLE_PAIR:
        return [[role] for role in row.roles]
    return [(whose or "").split() for whose in row.countries]
