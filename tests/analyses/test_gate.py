"""analyses.gate: the prompts of other shapes that a gate is asked on, and what gates of shuffled
kinds make of test prompts, against gates made anew.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

import mechcla
from analyses.gate import as_global_mmlu, frame, of_shuffled, rows_of
from mechcla.errors import MechclaError
from mechcla.items.item import Candidate, Item
from mechcla.items.item_set import ItemSet
from mechcla.vectors.gates import GATE, SHUFFLED, gates
from tests.sources.global_mmlu_folder import parallel, save

PAIR = (Candidate("112", "local", "ES"), Candidate("911", "english", "US"))


def test_shuffled_gates_are_told_by_seed(tiny_models, small_items):
    model, dev, test = tiny_models["llama"], small_items.dev, small_items.test
    found = list(of_shuffled(model, dev, rows_of(model, dev), test, 3))
    assert {row["language"] for row in found} == set(dev.languages)
    for language in dev.languages:
        asked = test.language(language)
        residuals = rows_of(model, asked)
        kinds = [item.kind for item in asked]
        right, alike = [], []
        for seed in range(3):
            both = gates(model, dev, shuffled=True, seed=seed)
            real, drawn = (
                (both[name].margins(language, residuals)[:, 2] > 0).tolist()
                for name in (GATE, SHUFFLED)
            )
            by_kind = {
                kind: [
                    d == (k == "universal") for d, k in zip(drawn, kinds, strict=True) if k == kind
                ]
                for kind in set(kinds)
            }
            right.append(sum(sum(v) / len(v) for v in by_kind.values()) / len(by_kind))
            alike.append(sum(a == b for a, b in zip(real, drawn, strict=True)) / len(kinds))
        (row,) = (r for r in found if (r["language"], r["layer"]) == (language, 2))
        assert row["right"] == pytest.approx(sum(right) / 3, abs=1e-4)
        assert (row["least"], row["most"]) == pytest.approx((min(right), max(right)), abs=1e-4)
        assert row["as_the_real_one"] == pytest.approx(sum(alike) / 3, abs=1e-4)
        assert row["first_seed"] == pytest.approx(right[0], abs=1e-4)


def test_items_are_asked_as_the_loader_of_global_mmlu_asks(tmp_path):
    folder = save(tmp_path, parallel("en", "es", "zh"))
    lettered = mechcla.load_items("global_mmlu", path=folder, form="letters")
    bare = mechcla.load_items("global_mmlu", path=folder)
    bare = ItemSet(tuple(replace(i, prompt=i.prompt.rpartition("\n")[0]) for i in bare))
    found = as_global_mmlu(bare)
    assert [i.prompt for i in found] == [i.prompt for i in lettered]
    assert [i.candidates for i in found] == [i.candidates for i in bare]


@pytest.mark.parametrize("right", range(5))
def test_the_right_answer_is_among_four_options(right):
    roles = ["wrong"] * 5
    roles[right] = "correct"
    candidates = tuple(Candidate(f"answer {k}", role) for k, role in enumerate(roles))
    item = Item("a", "el", "universal", "test", "Ερώτηση", candidates)
    (found,) = as_global_mmlu(ItemSet((item,)))
    lines = found.prompt.splitlines()
    assert lines[0] == "Ερώτηση"
    assert [line[:3] for line in lines[1:5]] == ["A. ", "B. ", "C. ", "D. "]
    assert len(set(lines[1:5])) == 4
    assert f"answer {right}" in "\n".join(lines[1:5])
    assert lines[5:] == ["Απάντηση:"]


def test_a_frame_leaves_the_marks_of_a_question_to_the_question():
    asked = [
        Item(q, "es", "cultural", "test", f"¿{q}?\nRespuesta:", PAIR, country="ES")
        for q in ("Qué número", "Cuál es")
    ]
    assert frame(ItemSet(tuple(asked)), "es") == ("", "\nRespuesta:")
    with pytest.raises(MechclaError, match="es has one prompt"):
        frame(ItemSet(tuple(asked[:1])), "es")
    framed = [replace(i, prompt=f"Lee esto.\n\nPregunta: {i.prompt}") for i in asked]
    assert frame(ItemSet(tuple(framed)), "es") == ("Lee esto.\n\nPregunta: ", "\nRespuesta:")
    bare = [replace(i, prompt=i.prompt.partition("\n")[0]) for i in asked]
    assert frame(ItemSet(tuple(bare)), "es") == ("", "")


def test_what_has_no_four_options_is_not_asked_as_global_mmlu():
    few = Item("a", "es", "cultural", "test", "El número es", PAIR, country="ES")
    four = (*PAIR, Candidate("110", "other", "CN"), Candidate("15", "other", "FR"))
    strange = replace(few, language="xx", candidates=four)
    found = as_global_mmlu(ItemSet((few, strange, replace(few, id="b", candidates=four))))
    assert found.ids == ("b",)
