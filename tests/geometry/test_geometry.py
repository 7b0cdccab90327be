"""Geometry against known answers: planted directions, transformations that must not change a value,
hand computation.
"""

from __future__ import annotations

import math
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import silhouette_score

from mechcla import geometry
from mechcla.engine import offload
from mechcla.errors import MechclaError
from mechcla.geometry.lens import english_share, first_token
from mechcla.geometry.probes import probe
from mechcla.items.item_set import ItemSet
from mechcla.vectors.residuals import Residuals, cache_residuals, en_differences, loc_differences
from tests.conftest import universal
from tests.geometry.spaces import normal, rotation, spaces


def test_a_planted_angle_is_found_and_its_interval_covers_it():
    angle = 1.1
    a = torch.zeros(1, 1, 40, dtype=torch.float64)
    b = a.clone()
    a[..., 0] = 1.0
    b[..., 0], b[..., 1] = math.cos(angle), math.sin(angle)
    curve = geometry.perpendicularity(
        a + 0.5 * normal(100, 1, 40), b + 0.5 * normal(100, 1, 40, seed=2), resamples=200
    )
    assert curve.low[0] <= 1 - math.cos(angle) <= curve.high[0] + 0.1
    assert curve.value[0] == pytest.approx(1 - math.cos(angle), abs=0.1)
    same = geometry.perpendicularity(
        a + 0.1 * normal(60, 1, 40), a + 0.1 * normal(60, 1, 40, seed=3), resamples=200
    )
    assert same.value[0] < 0.05 < same.null[0]


def test_difference_of_means_finds_what_centred_pca_misses():
    planted = torch.zeros(32, dtype=torch.float64)
    planted[0] = 1.0
    nuisance = torch.zeros(32, dtype=torch.float64)
    nuisance[1] = 1.0
    differences = (
        planted + 2 * normal(200, 1) * nuisance + 0.1 * normal(200, 32, seed=4)
    ).unsqueeze(1)
    mean = differences.mean(0)[0]
    assert float(mean @ planted / mean.norm()) > 0.95
    centred = torch.linalg.svd(differences[:, 0] - mean).Vh[0]
    assert abs(float(centred @ planted)) < 0.1
    both = geometry.top_directions(differences, 2)
    plane = torch.stack([planted, nuisance]).unsqueeze(0)
    assert float(geometry.principal_angles(both, plane).min()) > 0.99


def test_principal_angles_by_hand():
    basis = torch.eye(4, dtype=torch.float64)
    turned = torch.stack([basis[0], (basis[1] + basis[2]) / math.sqrt(2)])
    assert geometry.principal_angles(basis[:2].unsqueeze(0), turned.unsqueeze(0))[
        0
    ].tolist() == pytest.approx([1, math.sqrt(0.5)])
    with pytest.raises(MechclaError, match="k is 9"):
        geometry.top_directions(normal(5, 1, 8), 9)


def test_without_common_takes_the_shared_direction_away():
    common = torch.nn.functional.normalize(normal(16), dim=0)
    rows = (10 * common + 0.1 * normal(50, 16)).unsqueeze(1)
    cleaned = geometry.without_common(normal(20, 16, seed=5).unsqueeze(1), rows)
    assert float((cleaned[:, 0] @ common).abs().max()) < 0.05
    assert torch.allclose(geometry.without_common(cleaned, rows), cleaned, atol=1e-9)


def test_reliability_grows_with_items_and_says_how_many_are_enough():
    differences = torch.ones(64, 1, 10, dtype=torch.float64) + 4 * normal(64, 1, 10)
    found = geometry.reliability(differences, sizes=(2, 8, 32, 64))
    assert found.sizes == (2, 8, 32)
    assert found.cosine[0, 0] < found.cosine[1, 0] < found.cosine[2, 0]
    assert found.enough(0, 0.5) in (2, 8, 32)
    assert found.enough(0, 0.9999) is None
    with pytest.raises(MechclaError, match="need 8 items, there are 3"):
        geometry.reliability(normal(3, 1, 4))


def test_one_direction_seen_with_noise_in_two_languages_is_one_direction():
    planted = torch.ones(1, 1, 64, dtype=torch.float64) / 8
    noisy = {k: planted + 0.5 * normal(60, 1, 64, seed=s) for s, k in enumerate(["es", "ko"])}
    shared = geometry.across_languages(noisy, resamples=60)
    raw, corrected = shared.cosine[0, 0, 1], shared.corrected[0, 0, 1]
    assert shared.null[0, 0, 1] < raw < corrected
    assert shared.low[0, 0, 1] <= 1 <= shared.high[0, 0, 1] + 0.1  # many items would give 1
    assert corrected == pytest.approx(1, abs=0.12)
    (row,) = shared.rows(vector="EN")
    assert (row["left"], row["right"], row["cosine"]) == ("es", "ko", raw)
    other = {
        "es": noisy["es"],
        "ko": 0.5 * normal(60, 1, 64, seed=9) + normal(1, 1, 64, seed=10) / 8,
    }
    apart = geometry.across_languages(other, resamples=60)
    assert abs(apart.corrected[0, 0, 1]) < 0.5
    assert abs(apart.cosine[0, 0, 1]) < apart.null[0, 0, 1] * 1.5
    noise = geometry.across_languages(
        {"es": normal(20, 1, 64, seed=3), "ko": normal(20, 1, 64, seed=4)}, resamples=0
    )
    # Halves that do not agree have no direction to correct.
    assert np.isnan(noise.corrected[0, 0, 1])
    assert np.isnan(noise.low).all()


def test_a_side_that_both_share_is_not_a_shared_direction():
    """Two languages' differences from one noisy English side: alike as they are, apart once halves
    are held against each other.
    """
    english = normal(60, 1, 64, seed=5)
    own = {
        k: torch.nn.functional.one_hot(torch.tensor(n), 64).double()
        for n, k in enumerate(["es", "ko"])
    }
    parallel = {
        k: 1.2 * v + english + 0.2 * normal(60, 1, 64, seed=6 + n)
        for n, (k, v) in enumerate(own.items())
    }
    found = geometry.across_languages(parallel, parallel=True, resamples=40)
    assert found.cosine[0, 0, 1] > 0.2
    assert abs(found.corrected[0, 0, 1]) < found.cosine[0, 0, 1] / 2


def test_parallel_questions_are_drawn_together():
    """Two languages that are one: the same signs, and the same draws, leave them one; signs and
    draws apart do not.
    """
    same = normal(30, 1, 64) + 0.2
    together, apart = (
        geometry.across_languages({"es": same, "ko": same}, parallel=p, resamples=40)
        for p in (True, False)
    )
    assert together.null[0, 0, 1] == pytest.approx(1)
    assert apart.null[0, 0, 1] < 0.9
    with pytest.raises(MechclaError, match="'ko': 3"):
        geometry.across_languages({"es": same, "ko": same[:3]}, parallel=True)


def test_subspace_angles_are_those_of_the_singular_vectors_and_know_a_planted_plane():
    plane = torch.linalg.qr(normal(40, 2, seed=1)).Q.T
    left = normal(30, 2, 2, seed=2) @ plane * 5 + 0.3 * normal(30, 2, 40, seed=3)
    right = normal(24, 2, 2, seed=4) @ plane * 5 + 0.3 * normal(24, 2, 40, seed=5)
    found = geometry.subspace_angles(left, right, k=2, resamples=30)
    bases = (geometry.top_directions(x, 2) for x in (left, right))
    assert torch.allclose(torch.from_numpy(found.cosine), geometry.principal_angles(*bases))
    assert (found.low > 0.9).all()
    assert found.high == pytest.approx(1, abs=0.05)
    assert (found.null < 0.6).all()
    assert (found.ceiling > 0.9).all()
    other = geometry.subspace_angles(left, normal(24, 2, 40, seed=6), k=2, resamples=5)
    assert (other.cosine < 0.3).all()
    # That of noise, the side of the two that agrees less with itself.
    assert (other.ceiling < found.ceiling).all()
    turn = rotation(40)
    turned = geometry.subspace_angles(3 * left @ turn, right @ turn, k=2, resamples=0)
    assert turned.cosine == pytest.approx(found.cosine)
    assert found.curve(2).value == pytest.approx(found.cosine[:, 1])
    assert len(found.rows()) == 4
    with pytest.raises(
        MechclaError,
        match=r"k is 9; its subspaces need at least 18 differences a side, there are 30 and 7",
    ):
        geometry.subspace_angles(left, right[:7], k=9)


@pytest.mark.parametrize("measure", ["separation", "silhouette", "question", "top1"])
def test_convergence_does_not_change_under_rotation_scaling_and_translation(measure):
    h = spaces(1.0)
    turn, move = rotation(12), normal(12, seed=7)
    moved = Residuals(
        {k: 3.0 * v @ turn + move for k, v in h.values.items()}, h.ids, h.site, h.prompt
    )
    one, two = (geometry.convergence(x, measure, resamples=5) for x in (h, moved))
    assert one.value == pytest.approx(two.value, abs=1e-6)
    assert (one.low <= one.high).all()


@pytest.mark.parametrize("measure", ["silhouette", "question"])
def test_distances_in_a_file_give_the_same_bits(measure, monkeypatch):
    h = spaces(0.7)
    held = geometry.convergence(h, measure, resamples=20)
    made = []

    def mapped(*how):
        made.append(offload.mapped(*how))
        return made[-1]

    module = sys.modules[geometry.convergence.__module__]
    monkeypatch.setattr(module, "HELD", 8 * 90 * 7)  # seven rows at a time
    monkeypatch.setattr(module, "mapped", mapped)
    again = geometry.convergence(h, measure, resamples=20)
    assert [tuple(one.shape) for one in made] == [(1, 90, 90)] * 2
    for part in ("value", "low", "high"):
        assert getattr(again, part).tobytes() == getattr(held, part).tobytes()


@pytest.mark.parametrize("measure", ["separation", "silhouette"])
def test_languages_that_come_together_are_said_to(measure):
    values = [
        geometry.convergence(spaces(s), measure, resamples=0).value[0] for s in (0.0, 0.5, 2.0)
    ]
    assert values[0] < values[1] < values[2]


def test_convergence_by_hand_and_against_sklearn():
    h = spaces(0.7)
    flat = torch.cat([h[k][:, 0] for k in h.languages]).numpy()
    label = np.repeat([0, 1, 2], 30)
    assert geometry.convergence(h, "silhouette", resamples=0).value[0] == pytest.approx(
        silhouette_score(flat, label)
    )
    centres = [h[k][:, 0].mean(0) for k in h.languages]
    between = np.mean(
        [float((centres[i] - centres[j]).norm()) for i in range(3) for j in range(3) if i != j]
    )
    within = np.mean(
        [
            float((h[k][:, 0] - c).norm(dim=-1).mean())
            for k, c in zip(h.languages, centres, strict=True)
        ]
    )
    assert geometry.convergence(h, "separation", resamples=0).value[0] == pytest.approx(
        between / within
    )
    variance = np.linalg.eigvalsh(np.cov(flat.T))
    assert geometry.convergence(h, "top1", resamples=0).value[0] == pytest.approx(
        variance[-1] / variance.sum(), rel=1e-3
    )
    assert geometry.project(h, 0).explained[0] == pytest.approx(variance[-1] / variance.sum())
    apart = [
        torch.cdist(h[a][:, 0], h[b][:, 0]) for a, b in (("en", "es"), ("en", "ko"), ("es", "ko"))
    ]
    same = np.mean([float(d.diagonal().mean()) for d in apart])
    others = np.mean([float((d.sum() - d.diagonal().sum()) / (30 * 29)) for d in apart])
    assert geometry.convergence(h, "question", resamples=0).value[0] == pytest.approx(same / others)
    with pytest.raises(MechclaError, match="unknown measure 'silly'"):
        geometry.convergence(h, "silly")


def test_the_projection_keeps_distances_of_a_plane():
    plane = normal(20, 1, 2) @ rotation(8)[:2]
    h = Residuals(
        {"en": plane[:10], "es": plane[10:]},
        {"en": tuple("abcdefghij"), "es": tuple("abcdefghij")},
        "resid_post",
        "implicit",
    )
    shown = geometry.project(h, 0)
    assert sum(shown.explained) == pytest.approx(1)
    drawn = np.concatenate([shown.coordinates["en"], shown.coordinates["es"]])
    assert np.linalg.norm(drawn[3] - drawn[15]) == pytest.approx(
        float((plane[3, 0] - plane[15, 0]).norm())
    )


def test_the_interval_of_separation_is_for_many_questions():
    """The noise of few questions pushes centroids apart; the interval is about what many would
    give.
    """
    few, many = spaces(1.0, n=12, noise=1.5), spaces(1.0, n=400, noise=1.5)
    curve, truth = (
        geometry.convergence(few, "separation", 80),
        geometry.convergence(many, "separation", 0),
    )
    assert curve.settings["interval"] == "basic"
    inside = (curve.low <= truth.value) & (truth.value <= curve.high)
    assert inside.mean() >= 0.5
    assert (curve.low + curve.high < 2 * curve.value).all()


def test_a_probe_reads_what_is_there_and_not_what_is_not():
    label = ["es", "ko"] * 40
    rows = normal(80, 2, 6)
    rows[:, 1, 0] += torch.tensor([3.0 if k == "es" else -3.0 for k in label])
    curve = probe(rows, label, [f"q{k // 2}" for k in range(80)], resamples=50)
    assert curve.value[1] > 0.9
    assert curve.value[0] < 0.75
    assert abs(curve.null[1] - 0.5) < 0.2
    with pytest.raises(MechclaError, match="needs two labels"):
        probe(rows, ["es"] * 80, label)


def test_residuals_are_what_the_vectors_are_made_of(tiny, small_items):
    import mechcla

    h, e = (
        cache_residuals(tiny, small_items.cultural.dev, prompt)
        for prompt in ("implicit", "explicit")
    )
    loc = mechcla.loc_vectors(tiny, small_items.cultural.dev)
    assert torch.allclose(loc_differences(e, h, "es").mean(0).float(), loc["es"], atol=1e-5)
    u = cache_residuals(tiny, small_items.universal.dev)
    en = mechcla.en_vectors(tiny, small_items.universal.dev)
    assert torch.allclose(en_differences(u, "es").mean(0).float(), en["es"], atol=1e-5)
    with pytest.raises(MechclaError, match="no residuals of language 'fr'"):
        u["fr"]


def test_the_lens_at_the_last_layer_is_the_models_own_answer(tiny):
    texts = {"en": ("Tokyo", "Lima"), "es": ("Paris", "Roma")}
    items = ItemSet(
        tuple(
            replace(universal(f"q{k}", lang, f"{lang} capital {k} is", answer, "x"), separator="")
            for lang, answers in texts.items()
            for k, answer in enumerate(answers)
        )
    )
    curve = english_share(tiny, items, "es", resamples=0)
    shares = []
    for a, b in zip(items.language("en"), items.language("es"), strict=True):
        left, right = first_token(tiny, a), first_token(tiny, b)
        if left != right:
            ids = torch.tensor([tiny.tokenizer(b.prompt)["input_ids"]])
            p = tiny.bridge(ids, attention_mask=torch.ones_like(ids))[0, -1].softmax(-1)
            shares.append(float(p[left] / (p[left] + p[right])))
    assert curve.n == len(shares) == 2
    assert curve.value[-1] == pytest.approx(np.mean(shares), abs=1e-5)
