"""The gate's direction and threshold against numpy by hand; its file; its arms; its dev search."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch

import mechcla
from mechcla.errors import MechclaError
from mechcla.items.item import Candidate, Item
from mechcla.items.item_set import ItemSet
from mechcla.steering.controls import ARMS
from mechcla.steering.families import FAMILIES, DevSearch
from mechcla.steering.gate import gated, gated_steering, pairs
from mechcla.steering.linear_map import fit_map, map_steering
from mechcla.steering.method import Manner, Method
from mechcla.sweep.dev_point import DevPoint
from mechcla.vectors.activations import last_token_residuals
from mechcla.vectors.gates import GATE, SHUFFLED, Gate, gates, gates_of_rows, left_out
from mechcla.vectors.residuals import cache_residuals
from tests.engine.families import Oracle

LANGUAGES = ("en", "es")
WORDS = {
    "en": (["Japan", "Peru", "Italy", "Lima"], ["drink", "tea", "green", "wine", "milk"]),
    "es": (["Francia", "Italia", "Roma", "Perú"], ["bebemos", "té", "verde", "vino", "leche"]),
}
FRAMES = {
    "en": ("The capital of {} is", "In our country we {} and"),
    "es": ("La capital de {} es", "En nuestro país {} y"),
}


def made_items() -> ItemSet:
    """Two topics per kind, four universal and five cultural prompts per language."""
    made = []
    for language in LANGUAGES:
        for kind, frame, words in zip(
            ("universal", "cultural"), FRAMES[language], WORDS[language], strict=True
        ):
            roles = ("correct", "wrong") if kind == "universal" else ("local", "other")
            for n, word in enumerate(words):
                made.append(
                    Item(
                        f"{kind[0]}{n}",
                        language,
                        kind,
                        "dev",
                        frame.format(word),
                        tuple(Candidate(t, r) for t, r in zip(("Roma", "tea"), roles, strict=True)),
                        topic=f"{kind} {n % 2}",
                        **(
                            {"country": "ES", "prompt_explicit": "Spain. " + frame.format(word)}
                            if kind == "cultural"
                            else {}
                        ),
                    )
                )
    return ItemSet(tuple(made))


@pytest.fixture(scope="module")
def items() -> ItemSet:
    return made_items()


@pytest.fixture(scope="module")
def gate(tiny_models, items) -> Gate:
    return mechcla.gate_vectors(tiny_models["llama"], items)


@pytest.fixture(scope="module")
def streams(tiny_folders, items) -> dict[tuple[str, str], np.ndarray]:
    """transformers' hidden states behind each block, one prompt at a time: [item, layer, width]."""
    oracle = Oracle(tiny_folders["llama"])
    found: dict[tuple[str, str], list] = {}
    for item in items:
        kept: list[torch.Tensor] = []
        hooks = [
            block.register_forward_hook(
                lambda _m, _a, out, kept=kept: kept.append(
                    (out[0] if isinstance(out, tuple) else out)[0, -1]
                )
            )
            for block in oracle.model.model.layers
        ]
        oracle.logits(oracle.ids(item.prompt))
        for hook in hooks:
            hook.remove()
        found.setdefault((item.language, item.kind), []).append(torch.stack(kept).double().numpy())
    return {key: np.stack(rows) for key, rows in found.items()}


def told(streams, language, layer, drop=((), ())):
    """Margins of every prompt of a language by numpy: universal ones, then cultural ones."""
    u, c = (streams[language, kind][:, layer] for kind in ("universal", "cultural"))
    mu, mc = (np.delete(x, list(d), 0).mean(0) for x, d in zip((u, c), drop, strict=True))
    d = mu - mc
    return [2 * ((x - (mu + mc) / 2) @ d) / (d @ d) for x in (u, c)]


def test_direction_and_threshold_are_the_difference_and_midpoint_of_means(gate, streams):
    for language in LANGUAGES:
        rows = np.concatenate([streams[language, k] for k in ("universal", "cultural")])
        found = gate.margins(language, torch.from_numpy(rows)).numpy()
        for layer in range(4):
            expected = np.concatenate(told(streams, language, layer))
            np.testing.assert_allclose(found[:, layer], expected, atol=2e-4)
            means = expected[:4].mean(), expected[4:].mean()
            assert means == pytest.approx((1, -1))
    assert gate.counts == {"en": 9, "es": 9}


def test_accuracy_leaves_each_topic_out(gate, streams):
    """Universal topics are n % 2 of four, cultural ones of five."""
    for language in LANGUAGES:
        for layer in range(4):
            right = [[], []]
            for side, n in enumerate((4, 5)):
                for t in (0, 1):
                    out = [k for k in range(n) if k % 2 == t]
                    margins = told(streams, language, layer, (out, ()) if side == 0 else ((), out))
                    sign = 1 if side == 0 else -1
                    right[side] += [sign * margins[side][k] > 0 for k in out]
            expected = (np.mean(right[0]) + np.mean(right[1])) / 2
            assert float(gate.accuracy[language][layer]) == pytest.approx(expected)


def test_a_kind_of_one_topic_is_left_out_row_by_row():
    rows = torch.tensor([[1.0], [1.2], [-1.0], [-9.0]]).reshape(4, 1, 1)
    universal = torch.tensor([True, True, False, False])
    # Without -1 the cultural mean is -9, the midpoint -3.95, and -1 lies above it.
    assert left_out(rows, universal, ["a", "a", "b", "c"]).flatten().tolist() == [1, 1, 0, 1]
    alone = left_out(rows[:3], universal[:3], ["a", "a", "b"])
    assert alone.isnan().flatten().tolist() == [False, False, True]


def test_rows_that_are_there_make_the_same_gate(tiny, items, gate):
    rows = [torch.empty(0)] * len(items)
    for indices, h in last_token_residuals(tiny, [i.prompt for i in items]):
        for column, i in enumerate(indices):
            rows[i] = h[:, column]
    again = gates_of_rows(tiny, items, torch.stack(rows))[GATE]
    assert again.record == gate.record
    for k in LANGUAGES:
        torch.testing.assert_close(again.directions[k], gate.directions[k], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(again.thresholds[k], gate.thresholds[k], atol=1e-4, rtol=1e-4)


def test_ranked_blocks_are_by_mean_accuracy_then_shallow(gate):
    values = {"en": torch.tensor([0.5, 0.9, 0.7, 0.9]), "es": torch.tensor([0.9, 0.7, 0.9, 0.7])}
    made = replace(gate, accuracy={k: v.double() for k, v in values.items()})
    assert made.ranked(["en", "es"]) == [1, 2, 3, 0]
    assert made.ranked(["en"]) == [1, 3, 2, 0]


def test_saved_and_loaded_to_the_last_bit(gate, tmp_path):
    gate.save(path := tmp_path / "gate.safetensors")
    again = Gate.load(path)
    assert (again.record, again.counts) == (gate.record, gate.counts)
    for name in ("directions", "thresholds", "accuracy", "norms"):
        for k, values in getattr(gate, name).items():
            other = getattr(again, name)[k]
            assert torch.equal(values, other), name
            assert values.dtype == other.dtype, name
    one, other = (g.at("es", 1, "cultural", 0.5) for g in (gate, again))
    assert one.describe() == other.describe()
    damaged = path.read_bytes()
    path.write_bytes(damaged[:-1] + bytes([damaged[-1] ^ 1]))
    with pytest.raises(MechclaError, match="damaged"):
        Gate.load(path)


def test_vectors_that_are_no_gate_are_refused(tiny, items, tmp_path):
    mechcla.en_vectors(tiny, items.universal).save(path := tmp_path / "en.safetensors")
    with pytest.raises(MechclaError, match="'EN' vectors are no gate"):
        Gate.load(path)


def test_what_a_gate_lacks_is_named(gate, tiny, items):
    with pytest.raises(MechclaError, match="no GATE for language 'pt'"):
        gate.at("pt", 1, "universal")
    with pytest.raises(MechclaError, match="layer 4: the gate has layers 0 to 3"):
        gate.at("es", 4, "universal")
    with pytest.raises(MechclaError, match="kind 'universel'"):
        gate.at("es", 1, "universel")
    with pytest.raises(MechclaError, match="two universal and two cultural items"):
        mechcla.gate_vectors(tiny, items.universal)


def test_the_shuffled_gate_exchanges_the_kind_of_half_of_the_questions(tiny, items):
    made = gates(tiny, items, shuffled=True, seed=3)
    assert set(made) == {GATE, SHUFFLED}
    again = gates(tiny, items, shuffled=True, seed=3)[SHUFFLED]
    other = gates(tiny, items, shuffled=True, seed=4)[SHUFFLED]
    assert torch.equal(made[SHUFFLED].directions["es"], again.directions["es"])
    assert not torch.equal(made[SHUFFLED].directions["es"], other.directions["es"])
    # Its direction is no longer the real one, and both are scaled to +1 and -1 at their own means.
    lengths = [2 / made[n].directions["es"].norm(dim=-1) for n in (GATE, SHUFFLED)]
    assert bool((lengths[1] < lengths[0]).all())


@pytest.fixture(scope="module")
def vectors(tiny, items, gate):
    return {
        "EN": mechcla.en_vectors(tiny, items.universal),
        "LOC": mechcla.loc_vectors(tiny, items.cultural),
        GATE: gate.to_vectors(),
        SHUFFLED: gates(tiny, items, shuffled=True)[SHUFFLED].to_vectors(),
    }


METHOD = Method(2, 3.0, loc_layer=3, loc_strength=5.0, gate_layer=1, gate_constant="LOC")


def scored(tiny, items, steps):
    table = mechcla.score(tiny, items.language("es"), steps, prior=False)
    return {(r.id, r.kind): r.log_likelihood for r in table}


def close(one, other):
    for key in one:
        assert one[key] == pytest.approx(other[key], abs=1e-5), key


def test_en_acts_on_prompts_told_universal_and_loc_on_the_others(tiny, items, gate, vectors):
    steps = gated_steering(
        vectors["EN"],
        vectors["LOC"],
        gate,
        language="es",
        gate_layer=1,
        en_layer=2,
        en_strength=3.0,
        loc_layer=3,
        loc_strength=5.0,
    )
    same = METHOD.interventions(vectors, "es")
    assert [s.describe() for s in steps] == [s.describe() for s in same]
    found = scored(tiny, items, steps)
    en = scored(tiny, items, Method(2, 3.0).interventions(vectors, "es"))
    loc = scored(tiny, items, Method(loc_layer=3, loc_strength=5.0).interventions(vectors, "es"))
    told_universal = {}
    for indices, h in last_token_residuals(tiny, [i.prompt for i in items.language("es")]):
        margins = gate.margins("es", h.transpose(0, 1))[:, 1]
        for i, margin in zip(indices, margins, strict=True):
            item = items.language("es")[i]
            told_universal[item.id, item.kind] = bool(margin > 0)
    assert set(told_universal.values()) == {True, False}
    close(found, {k: en[k] if u else loc[k] for k, u in told_universal.items()})


def test_the_arms_are_another_gate_no_gate_and_one_part_alone(tiny, items, vectors):
    def arm(name, method=METHOD):
        return scored(tiny, items, method.with_arm(name).interventions(vectors, "es"))

    both = Method(2, 3.0, loc_layer=3, loc_strength=5.0).interventions(vectors, "es")
    close(arm("gate_always"), scored(tiny, items, both))
    loc = Method(loc_layer=3, loc_strength=5.0).interventions(vectors, "es")
    close(arm("gate_language"), scored(tiny, items, loc))
    en = Method(2, 3.0).interventions(vectors, "es")
    close(arm("gate_language", replace(METHOD, gate_constant="EN")), scored(tiny, items, en))
    shuffled = METHOD.with_arm("gate_shuffled").interventions(vectors, "es")
    real = METHOD.interventions(vectors, "es")
    for one, other in zip(shuffled, real, strict=True):
        assert torch.equal(one.vector, other.vector)
        assert not torch.equal(one.gate.direction, other.gate.direction)
    assert {METHOD.with_arm(a).name for a in FAMILIES["GATED"].arms} == {
        "EN2x3-LOC3x5-G1-gate_shuffled",
        "EN2x3-LOC3x5-gate_always",
        "EN2x3-LOC3x5-G1-gate_language",
    }
    for name in FAMILIES["GATED"].arms:
        assert ARMS[name].possible(vectors, ["es"])
        assert not ARMS[name].possible({"EN": vectors["EN"]}, ["es"])


def test_a_soft_gate_nears_the_hard_one_as_its_scale_falls(tiny, items, vectors):
    hard = scored(tiny, items, METHOD.interventions(vectors, "es"))
    gaps = []
    for scale in (1.0, 0.1, 1e-4):
        soft = replace(METHOD, gate_scale=scale)
        found = scored(tiny, items, soft.interventions(vectors, "es"))
        gaps.append(max(abs(a - b) for k in hard for a, b in zip(hard[k], found[k], strict=True)))
    assert gaps[0] > gaps[1] > gaps[2]
    assert gaps[2] < 1e-5


def test_en_may_be_a_linear_map(tiny, items, gate, vectors):
    learnt = fit_map(cache_residuals(tiny, items.universal), "es", layer=2)
    loc = Method(loc_layer=3, loc_strength=5.0).interventions(vectors, "es")
    steps = gated(gate, language="es", layer=1, universal=map_steering(learnt, 0.5), cultural=loc)
    found = scored(tiny, items, steps)
    mapped = scored(tiny, items, map_steering(learnt, 0.5))
    only = scored(tiny, items, loc)
    for key, values in found.items():
        assert values in (pytest.approx(mapped[key], abs=1e-5), pytest.approx(only[key], abs=1e-5))


def test_edits_that_are_not_deeper_than_the_gate_are_refused(gate, vectors):
    for method in (replace(METHOD, en_layer=1), replace(METHOD, loc_layer=0)):
        with pytest.raises(MechclaError, match="expected an edit at block 2 or deeper"):
            method.interventions(vectors, "es", Manner())


def test_a_method_with_a_gate_is_of_its_own_family_name_and_place():
    assert METHOD.family == "GATED"
    assert METHOD.name == "EN2x3-LOC3x5-G1"
    assert replace(METHOD, gate_scale=0.5).name == "EN2x3-LOC3x5-G1s0.5"
    described = METHOD.describe()
    assert (described["gate_layer"], described["gate_constant"]) == (1, "LOC")
    assert not any(k.startswith("gate") for k in Method(2, 3.0).describe())
    tried = [METHOD, replace(METHOD, gate_scale=0.5), replace(METHOD, gate_constant="EN")]
    assert len({m.size for m in tried}) == 3


def test_what_dev_tries_is_the_best_gate_and_the_best_before_each_of_the_best_ens():
    en = [Method(9, 0.3), Method(5, 0.3), Method(12, 0.3)]
    loc = [Method(loc_layer=8, loc_strength=2.0), Method(loc_layer=14, loc_strength=1.0)]
    found = pairs([11, 7, 3], en, loc, 2)
    assert [(m.gate_layer, m.en_layer, m.loc_layer) for m in found] == [
        (11, 12, 14),
        (7, 9, 8),
        (3, 5, 8),
    ]
    assert pairs([11], en[:2], loc, 2) == []
    assert pairs([], en, loc, 2) == []


@dataclass
class Dev:
    """A dev whose gains are given: EN 0.1 by EN, LOC 0.2 by LOC."""

    tried: list[Method] = field(default_factory=list)
    n_layers: int = 4
    layers: tuple[int, ...] = (1, 3)
    pair_layers: int = 1

    def strengths(self, vector: str) -> list[float]:
        return [1.0]

    def fine(self, best: int) -> list[int]:
        return []

    @property
    def gate_scale(self) -> float | None:
        return None

    def gate_layers(self) -> list[int]:
        return [0, 1]

    def restored(self) -> list[Method]:
        return []

    def score(self, methods, kinds=("universal", "cultural")):
        self.tried += methods
        return [DevPoint(m, 0.1, 0.2 if m.loc_layer else 0.0, {}) for m in methods]

    def ranked(self, family, k, by="own"):
        if family == "EN":
            return [Method(1, 1.0), Method(3, 1.0)]
        strength = 4.0 if by == "own" else 1.0
        return [Method(loc_layer=3, loc_strength=strength)]


def test_the_search_tries_strong_and_gentle_loc_and_notes_the_better_part():
    dev = Dev()
    assert isinstance(dev, DevSearch)
    FAMILIES["GATED"].search(dev)
    found = [m for m in dev.tried if m.family == "GATED"]
    assert {(m.gate_layer, m.en_layer, m.loc_strength) for m in found} == {(0, 1, 4.0), (0, 1, 1.0)}
    assert {m.gate_constant for m in found} == {"LOC"}
    assert {m.family for m in dev.tried} == {"GATED", "EN", "LOC"}
