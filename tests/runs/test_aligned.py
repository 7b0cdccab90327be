"""compare_aligned: every change by hand from the tables of scores, and what came back of a loss."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

import mechcla
from mechcla.errors import MechclaError
from mechcla.runs.aligned import aligned_tables
from mechcla.scoring.scores import Scores
from tests.statistics.tables import row

LANGUAGES = ("en", "es", "ko")
QUESTIONS = 12
ROLE = {"transfer": "correct", "localization": "local", "english_bias": "english"}
KIND = {"transfer": "universal", "localization": "cultural", "english_bias": "cultural"}


def scored(seed: int, shift: float, form: str = "implicit", languages=LANGUAGES) -> Scores:
    """Scores of the same questions: noise of a seed, and a shift of the local answer's log-odds."""
    rng = np.random.default_rng(seed)
    rows = []
    for language in languages:
        for k in range(QUESTIONS):
            a, b, c = rng.normal(0, 0.15, 3)
            right = ("correct", 0.4 + a + 0.1 * k)
            rows.append(row(f"u{k}", language, "universal", right, ("wrong", b), ("wrong", c)))
        for k in range(QUESTIONS):
            a, b, c = rng.normal(0, 0.15, 3)
            local = ("local", 0.1 * k + shift + a)
            other = ("english", b) if k % 3 else ("other", b)
            rows.append(row(f"c{k}", language, "cultural", local, other, ("other", c)))
    return Scores(tuple(replace(r, prompt_form=form) for r in rows))


STEERED = ("es", "ko")  # steering is not run in English


@pytest.fixture(scope="module")
def tables():
    return {
        "base": {
            "unsteered": scored(0, 0.8),
            "explicit": scored(1, 1.6, "explicit"),
            "EN": scored(2, 0.7, languages=STEERED),
            "SUR": scored(3, 1.2, languages=STEERED),
        },
        "clo": {
            "unsteered": scored(4, 0.0),
            "explicit": scored(5, 1.2, "explicit"),
            "SUR": scored(6, 0.7, languages=STEERED),
        },
        "mist": {
            "unsteered": scored(7, 0.8),
            "explicit": scored(8, 1.6, "explicit"),
            "EN": scored(9, 0.8, languages=STEERED),
            "SUR": scored(10, 1.0, languages=STEERED),
        },
    }


@pytest.fixture(scope="module")
def compared(tables):
    return aligned_tables(tables, resamples=300)


def by_hand(scores: Scores, metric: str, measure: str = "share") -> dict[tuple[str, str], float]:
    """The metric of each item, by language and id."""
    found = {}
    for r in scores:
        if r.kind != KIND[metric] or ROLE[metric] not in r.roles:
            continue
        p = np.exp(r.log_likelihood) / np.exp(r.log_likelihood).sum()
        has = np.array([role == ROLE[metric] for role in r.roles])
        best = float(has[int(np.argmax(p))])
        found[r.language, r.id] = best if measure == "accuracy" else float(p[has].sum())
    return found


def of(values: dict[tuple[str, str], float], language: str) -> list[tuple[str, str]]:
    return [k for k in values if k[0] == language or (language == "all" and k[0] != "en")]


@pytest.mark.parametrize("measure", ["share", "accuracy"])
def test_every_change_is_the_one_computed_by_hand(tables, compared, measure):
    if measure == "accuracy":
        compared = aligned_tables(tables, measure, resamples=100)
    for r in compared.rows():
        own = by_hand(tables[r["model"]][r["condition"]], r["metric"], measure)
        keys = of(own, r["language"])
        assert r["n"] == len(keys)
        assert r["value"] == pytest.approx(np.mean([own[k] for k in keys]), abs=1e-12)
        assert r["low"] <= r["value"] <= r["high"]
        if r["against"] is None:
            assert (r["model"], r["condition"]) == ("base", "unsteered")
            assert r["difference"] is r["p_holm"] is r["recovered"] is None
            continue
        old = by_hand(tables[r["against"]]["unsteered"], r["metric"], measure)
        change = np.mean([own[k] - old[k] for k in keys])
        assert r["difference"] == pytest.approx(change, abs=1e-12)
        assert r["difference_low"] <= r["difference"] <= r["difference_high"]
        assert r["questions"] == len({i for _, i in keys})
        assert 0 < r["p_value"] <= r["p_holm"] <= 1


def test_what_a_model_is_called_changes_no_number(tables, compared):
    """A run's folder may be called as a condition is."""
    names = {"base": "unsteered", "clo": "own", "mist": "explicit", None: None}
    renamed = aligned_tables({names[k]: t for k, t in tables.items()}, resamples=300)
    for one, other in zip(compared.rows(), renamed.rows(), strict=True):
        moved = {"model": names[one["model"]], "against": names[one["against"]]}
        assert {**one, **moved} == dict(other)


def test_each_steered_model_stands_against_the_base_and_against_itself(compared):
    rows = compared.rows().where(language="all", metric="localization")
    held = {(r["model"], r["condition"], r["against"]) for r in rows}
    assert held == {
        ("base", "unsteered", None),
        ("base", "explicit", "base"),
        ("base", "EN", "base"),
        ("base", "SUR", "base"),
        ("clo", "unsteered", "base"),
        ("clo", "explicit", "base"),
        ("clo", "explicit", "clo"),
        ("clo", "SUR", "base"),
        ("clo", "SUR", "clo"),
        ("mist", "unsteered", "base"),
        *((("mist", c, a)) for c in ("explicit", "EN", "SUR") for a in ("base", "mist")),
    }
    assert len(rows) == len(held)
    english = compared.rows().where(language="en")
    assert {r["condition"] for r in english} == {"unsteered", "explicit"}
    # naming the country leaves universal items as they are
    explicit = compared.rows().where(condition="explicit")
    assert {r["metric"] for r in explicit} == {"localization", "english_bias"}


def test_what_came_back_is_stated_where_a_loss_was_measured_and_only_there(tables, compared):
    loc = {
        (m, c): by_hand(tables[m][c], "localization")
        for m, scores in tables.items()
        for c in scores
    }
    stated = 0
    for r in compared.rows().where(metric="localization", language="all"):
        model, condition = r["model"], r["condition"]
        lost = compared.rows().where(
            model=model, condition="unsteered", metric="localization", language="all"
        )[0]
        if model != "clo" or r["against"] != "clo":
            assert r["recovered"] is None
            continue
        assert lost["difference_high"] < 0
        keys = of(loc[model, condition], "all")
        base, own, steered = (
            np.mean([loc[where][k] for k in keys])
            for where in (("base", "unsteered"), (model, "unsteered"), (model, condition))
        )
        assert r["recovered"] == pytest.approx((steered - own) / (base - own), abs=1e-9)
        assert r["recovered_low"] < r["recovered"] < r["recovered_high"]
        if condition != "explicit":
            top = np.mean([loc[model, "explicit"][k] for k in keys])
            assert r["of_ceiling"] == pytest.approx((steered - own) / (top - own), abs=1e-9)
        stated += 1
    assert stated == 2
    none = [r for r in compared.rows() if r["model"] == "mist" and r["recovered"] is not None]
    assert none == []  # the same shift as the base: nothing was lost
    said = str(compared)
    assert "mist against base: transfer" in said
    assert said.splitlines()[1].endswith("no loss of localization was measured")
    assert "of the lost localization come back: explicit" in said.splitlines()[0]
    assert compared.limit in said


def test_p_values_are_corrected_over_all_changes_of_the_comparison(compared):
    for pooled in (True, False):
        family = sorted(
            (
                r
                for r in compared.rows()
                if r["p_value"] is not None and (r["language"] == "all") == pooled
            ),
            key=lambda r: r["p_value"],
        )
        high = 0.0
        for k, r in enumerate(family):
            high = max(high, min(1.0, (len(family) - k) * r["p_value"]))
            assert r["p_holm"] == pytest.approx(high)


def test_the_plane_has_the_ceiling_at_the_unsteered_transfer(compared):
    points = {(p.model, p.condition, p.language): p for p in compared.plane()}
    assert {(m, c) for m, c, k in points if k == "all"} == {
        *(("base", c) for c in ("unsteered", "explicit", "EN", "SUR")),
        *(("clo", c) for c in ("unsteered", "explicit", "SUR")),
        *(("mist", c) for c in ("unsteered", "explicit", "EN", "SUR")),
    }
    for (model, condition, language), p in points.items():
        x = "unsteered" if condition == "explicit" else condition
        assert p.transfer == compared.value(model, x, language, "transfer")
        assert p.localization == compared.value(model, condition, language, "localization")
    assert compared.value("clo", "EN", "all", "transfer") is None


def test_what_a_model_lacks_is_counted(tables):
    short = Scores(
        tuple(r for r in tables["mist"]["unsteered"] if (r.id, r.language) != ("c1", "es"))
    )
    found = aligned_tables(tables | {"mist": tables["mist"] | {"unsteered": short}}, resamples=100)
    left = [dict(r) for r in found.left_out]
    assert {
        "run": "clo",
        "condition": "EN",
        "language": "",
        "kind": "",
        "items": 0,
        "why": "'clo' has no such condition",
    } in left
    counted = [r for r in left if r["items"]]
    assert [(r["run"], r["language"], r["kind"], r["items"], r["why"]) for r in counted] == [
        (model, "es", "cultural", 1, "not scored by 'mist'") for model in ("base", "clo")
    ]
    own = by_hand(tables["base"]["unsteered"], "localization")
    value = found.value("base", "unsteered", "es", "localization")
    kept = [v for k, v in own.items() if k[0] == "es" and k != ("es", "c1")]
    assert (value.n, value.value) == (len(kept), pytest.approx(np.mean(kept)))


def test_what_cannot_be_compared_is_one_message(tables, tmp_path):
    with pytest.raises(MechclaError, match="the base's run and one or more others"):
        mechcla.compare_aligned("runs/base", [])
    with pytest.raises(MechclaError, match=r"given 'runs/base' and 'runs/clo'; expected e\.g\."):
        mechcla.compare_aligned("runs/base", "runs/clo")
    with pytest.raises(MechclaError, match="holds no run"):
        mechcla.compare_aligned(tmp_path / "a", [tmp_path / "b"])
    with pytest.raises(MechclaError, match=r"'clo' was not scored unsteered \(it has SUR\)"):
        aligned_tables({"base": tables["base"], "clo": {"SUR": tables["clo"]["SUR"]}})
    other = Scores(tuple(replace(r, id=f"x{r.id}") for r in tables["clo"]["unsteered"]))
    with pytest.raises(MechclaError, match=r"'base', 'clo' share no test item; .* en, es, ko"):
        aligned_tables({"base": tables["base"], "clo": {"unsteered": other}})
    with pytest.raises(MechclaError, match="unknown metric 'transfr'; did you mean 'transfer'"):
        aligned_tables(tables, metrics=["transfr"])


def test_one_kind_of_items_alone_has_no_plane(tables):
    cultural = {
        m: {c: t.where(kind="cultural") for c, t in scores.items()} for m, scores in tables.items()
    }
    found = aligned_tables(cultural, resamples=100)
    assert found.plane() == ()
    assert {r["metric"] for r in found.rows()} == {"localization", "english_bias"}
    assert all(math.isfinite(r["value"]) for r in found.rows())
    with pytest.raises(MechclaError, match="the base 'base' has not both"):
        mechcla.plots.aligned_plane(found)
