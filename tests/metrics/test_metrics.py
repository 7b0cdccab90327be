"""Metrics against hand counts; the bootstrap against the normal interval and its own invariants."""

from __future__ import annotations

import math

import numpy as np
import pytest

import mechcla
from mechcla.errors import MechclaError
from mechcla.metrics.estimates import bootstrap_means
from mechcla.metrics.metrics import chance, item_value
from mechcla.scoring.scores import ItemScore, Scores


def row(id, language, kind, *pairs, tokens=None):
    roles, values = zip(*pairs, strict=True)
    texts = tuple("x" * (i + 1) for i in range(len(pairs)))
    return ItemScore(
        id,
        language,
        kind,
        "test",
        "t",
        None,
        "implicit",
        texts,
        roles,
        (None,) * len(pairs),
        values,
        tokens or (1,) * len(pairs),
    )


LOG = {p: math.log(p) for p in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)}
TABLE = Scores(
    (
        row("u1", "es", "universal", ("correct", LOG[0.6]), ("wrong", LOG[0.2])),
        row("u2", "es", "universal", ("wrong", LOG[0.5]), ("correct", LOG[0.5])),
        row("u1", "ko", "universal", ("correct", LOG[0.1]), ("wrong", LOG[0.3])),
        row(
            "c1", "es", "cultural", ("english", LOG[0.4]), ("local", LOG[0.2]), ("other", LOG[0.2])
        ),
        row("c2", "es", "cultural", ("local", LOG[0.6]), ("other", LOG[0.2]), ("other", LOG[0.2])),
        row(
            "c1", "ko", "cultural", ("local", LOG[0.5]), ("english", LOG[0.3]), ("other", LOG[0.2])
        ),
    )
)


def test_transfer_localization_and_bias_by_hand():
    t = mechcla.transfer(TABLE, "accuracy")
    # A tie is half a point.
    assert (t["es"].value, t["ko"].value, t["all"].value, t["all"].n) == (0.75, 0.0, 0.5, 3)
    assert mechcla.transfer(TABLE)["es"].value == pytest.approx((0.75 + 0.5) / 2)
    assert mechcla.localization(TABLE, "accuracy")["es"].value == 0.5
    assert mechcla.localization(TABLE, "share")["ko"].value == pytest.approx(0.5)
    bias = mechcla.english_bias(TABLE, "accuracy")
    # c2 has no American answer and does not count.
    assert (bias["es"].value, bias["es"].n) == (1.0, 1)
    assert mechcla.english_bias(TABLE, "share")["all"].value == pytest.approx((0.5 + 0.3) / 2)
    assert chance(TABLE) == pytest.approx((3 * 0.5 + 3 / 3) / 6)


def test_normalisations():
    r = row("u", "es", "universal", ("correct", -4.0), ("wrong", -3.0), tokens=(4, 1))
    assert r.values("token").tolist() == [-1.0, -3.0]
    assert r.values("char").tolist() == [-4.0, -1.5]
    assert item_value("correct", "accuracy", "token")(r) == 1.0
    assert item_value("correct", "accuracy", "sum")(r) == 0.0
    assert sum(r.shares()) == pytest.approx(1.0)
    with pytest.raises(MechclaError, match="unknown normalisation 'tokens'; did you mean 'token'"):
        r.values("tokens")


def test_difference_is_paired_and_recoverable_fraction_is_a_ratio():
    better = Scores(
        tuple(
            row(
                r.id,
                r.language,
                r.kind,
                *[
                    (role, v + (r.kind == "cultural") * (role == "local"))
                    for role, v in zip(r.roles, r.log_likelihood, strict=True)
                ],
            )
            for r in TABLE
        )
    )
    d = mechcla.difference(better, TABLE, "localization", "share")
    new, old = mechcla.localization(better, "share"), mechcla.localization(TABLE, "share")
    assert d["es"].value == pytest.approx(new["es"].value - old["es"].value)
    same = mechcla.difference(TABLE, TABLE, "transfer")
    assert (same["all"].value, same["all"].low, same["all"].high) == (0.0, 0.0, 0.0)
    whole = mechcla.recoverable_fraction(better, TABLE, better)
    assert (whole["all"].value, whole["all"].low) == pytest.approx((1.0, 1.0))
    # Nothing to recover.
    assert math.isnan(mechcla.recoverable_fraction(better, TABLE, TABLE)["all"].value)


def test_bootstrap_is_seeded_and_near_the_normal_interval():
    values = {
        "es": {str(i): float(v) for i, v in enumerate(np.random.default_rng(1).random(400) < 0.3)}
    }
    one, two = bootstrap_means(values, seed=3), bootstrap_means(values, seed=3)
    assert np.array_equal(one["es"], two["es"])
    p = one["es"][0]
    assert np.std(one["es"][1:]) == pytest.approx(math.sqrt(p * (1 - p) / 400), rel=0.1)


def test_pooling_keeps_the_languages_of_a_question_together():
    x = {str(i): float(i % 2) for i in range(100)}
    paired = bootstrap_means({"es": x, "ko": x})["all"]
    assert np.std(paired[1:]) == pytest.approx(
        np.std(bootstrap_means({"es": x})["es"][1:]), rel=1e-9
    )


def test_plane_takes_differences_from_the_first_method():
    points = mechcla.plane({"unsteered": TABLE, "again": TABLE}, "share")
    assert {(p.method, p.language) for p in points} == {
        (m, k) for m in ("unsteered", "again") for k in ("es", "ko", "all")
    }
    assert all(p.d_transfer.value == 0 for p in points)


def test_metrics_say_what_is_missing():
    with pytest.raises(MechclaError, match="transfer needs universal items"):
        mechcla.transfer(TABLE.where(kind="cultural"))
    with pytest.raises(MechclaError, match="unknown measure 'acc'"):
        mechcla.transfer(TABLE, "acc")
    with pytest.raises(MechclaError, match="no item in common"):
        mechcla.difference(TABLE.where(language="es"), TABLE.where(language="ko"), "transfer")
    with pytest.raises(MechclaError, match="plane needs at least one method"):
        mechcla.plane({})


def test_parquet_gives_back_every_row(tmp_path):
    table = Scores(TABLE.rows, {"prompt": "implicit"})
    table.to_parquet(tmp_path / "s.parquet")
    assert Scores.from_parquet(tmp_path / "s.parquet") == table
    frame = table.to_pandas()
    assert next(iter(frame["choice_role"])) == "correct"
    assert len(frame) == len(table)
