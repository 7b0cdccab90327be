"""A model that was loaded with compile=True: torch.compile's code gives what the blocks give."""

from __future__ import annotations

import pytest
import torch

import mechcla
from mechcla import scoring
from mechcla.engine import native, state
from mechcla.errors import MechclaError
from mechcla.models.load import load_model
from mechcla.sweep.held import held_settings, model_settings, of_model
from tests.engine.families import Oracle, save, tokenizer
from tests.engine.test_native import begun, cells
from tests.engine.test_user_hooks import ITEMS, last, put

pytestmark = pytest.mark.usefixtures("one_thread")


def scores(prepared) -> list[list[float]]:
    tables = dict(scoring.score_many(prepared, cells()))
    return [[x for row in tables[i] for x in row.log_likelihood] for i in sorted(tables)]


@pytest.mark.slow
@pytest.mark.parametrize("family", ["gemma3_text", "llama"])
def test_compiled_blocks_give_what_the_blocks_give(family, tmp_path, monkeypatch):
    folder = save(family, tmp_path, tokenizer())
    plain = load_model(str(folder), device="cpu")
    model = load_model(str(folder), device="cpu", compile=True)
    made, ran = torch.compile, []

    def seen(*args, **settings):
        code = made(*args, **settings)
        return lambda *a, **b: ran.append(0) or code(*a, **b)

    monkeypatch.setattr(torch, "compile", seen)
    prepared = scoring.prepare(model, ITEMS, prior=False)
    ran.clear()
    found, expected = scores(prepared), scores(scoring.prepare(plain, ITEMS, prior=False))
    assert ran
    for mine, theirs in zip(found, expected, strict=True):
        assert mine == pytest.approx(theirs, abs=1e-4)
    oracle = Oracle(folder)
    rows = mechcla.score(model, ITEMS, prior=False)
    for row, item in zip(rows, ITEMS, strict=True):
        assert row.log_likelihood == pytest.approx(oracle.candidates(item), abs=2e-4)
    begin = begun(model)  # an offloaded State has no trunk: its blocks run anew, and give the same
    alone = state.advance(state.replace(begin, trunk=(), unsteered=None), model.n_layers)
    assert torch.equal(alone.resid, begin.trunk[-1])
    take_away = put(model, "point", last)
    hooked = mechcla.score(model, ITEMS, cells()[1], prior=False, packed=True)
    take_away()
    assert hooked.rows != mechcla.score(model, ITEMS, cells()[1], prior=False).rows


def test_the_record_and_the_identity_say_so(tmp_path):
    folder = save("llama", tmp_path, tokenizer())
    compiled = load_model(str(folder), device="cpu", compile=True)
    plain = load_model(str(folder), device="cpu")
    assert of_model(compiled) == of_model(plain) | {"attention": "eager, compiled"}
    assert compiled.describe()["attention"] == "eager, compiled"
    assert model_settings(compiled) == model_settings(plain) | {"compile": True}
    assert held_settings(compiled, {"compile": True}) == model_settings(compiled)
    with pytest.raises(MechclaError, match="'compile' is True, but the model"):
        held_settings(plain, {"compile": True})


def test_what_torch_cannot_compile_is_one_message(tmp_path, monkeypatch):
    model = load_model(str(save("llama", tmp_path, tokenizer())), device="cpu", compile=True)

    def broken(*_args, **_settings):
        def run(*_a, **_b):
            raise RuntimeError("No working C++ compiler found\nwith a long list of places")

        return run

    monkeypatch.setattr(torch, "compile", broken)
    with pytest.raises(MechclaError, match=r"block 0 .*No working C\+\+ compiler.*--compile") as e:
        mechcla.score(model, ITEMS, prior=False)
    assert "long list" not in str(e.value)
    assert isinstance(e.value, native.CannotFuse)


@pytest.mark.parametrize(("family", "why"), [("gpt2", "other last digits"), ("lfm2", "plain path")])
def test_what_would_run_uncompiled_is_not_called_compiled(family, why, tmp_path):
    model = load_model(str(save(family, tmp_path, tokenizer())), device="cpu", compile=True)
    with pytest.raises(native.CannotFuse, match=why):
        mechcla.score(model, ITEMS, prior=False)
