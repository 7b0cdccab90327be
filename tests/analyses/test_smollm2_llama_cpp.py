"""What analyses.smollm2_llama_cpp does beside llama.cpp, which is in no extra."""

from __future__ import annotations

import pytest

import mechcla
from analyses.smollm2_llama_cpp import ODD, apart, texts


def test_every_form_of_a_prompt_is_split_with_each_candidate() -> None:
    items = mechcla.load_items("demo", languages=["es"]).cultural.language("es")[:1]
    (item,) = items
    found = texts(items)
    assert len(found) == len(ODD) + 3 * (1 + len(item.candidates))
    assert f"{item.prompt_us} {item.candidates[2].text}" in found


def test_tables_of_log_likelihoods_are_compared_by_candidate() -> None:
    found = apart([[-1.0, -2.0], [-3.0, -1.0]], [[-1.5, -2.0], [-0.5, -1.0]])
    assert found["candidates"] == 4
    assert found["apart"] == pytest.approx(0.75)
    assert found["apart at most"] == pytest.approx(2.5)
    assert found["same choice"] == 1
