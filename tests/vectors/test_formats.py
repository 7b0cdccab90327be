"""Exports and imports: every file is read by the tool that it is for, and its numbers are ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

import mechcla
from mechcla.engine.intervention import Intervention
from mechcla.errors import MechclaError
from mechcla.steering.method import Manner, Method
from mechcla.vectors.formats import export_vectors, import_vectors
from mechcla.vectors.formats.added import added_by, added_of
from mechcla.vectors.formats.gguf import from_control_vector
from mechcla.vectors.formats.steering_vectors import from_steering_vector, to_steering_vector
from mechcla.vectors.steering_vectors import SteeringVectors

TEXT = "La moneda de nuestro país es el"


def vectors(name: str, seed: int, *languages: str) -> SteeringVectors:
    draw = torch.Generator().manual_seed(seed)
    made = {k: torch.randn(4, 32, generator=draw) for k in languages}
    norms = {k: torch.full((4,), 3.0) for k in languages}
    return SteeringVectors.from_tensors(name, made, norms=norms)


EN, LOC = vectors("EN", 1, "es", "ko"), vectors("LOC", 2, "es", "ko")
METHOD = Method(1, 0.5, loc_layer=2, loc_strength=2.0)
EVERY = Manner(en_positions="prompt_and_answer", loc_positions="prompt_and_answer")
SUR = METHOD.interventions({"EN": EN, "LOC": LOC}, "es", EVERY)


@pytest.fixture(scope="module")
def plain(tiny_folders: dict[str, Path]) -> Any:
    folder = tiny_folders["llama"]
    return AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()


def hooked(model: Any, ids: torch.Tensor, added: dict[int, torch.Tensor], begin: int):
    """Logits with vectors added to blocks' outputs from a token on, by transformers alone."""
    handles = []
    for block, vector in added.items():

        def hook(module, args, output, vector=vector):
            h = (output[0] if isinstance(output, tuple) else output).clone()
            h[:, begin:] += vector
            return (h, *output[1:]) if isinstance(output, tuple) else h

        handles.append(model.model.layers[block].register_forward_hook(hook))
    try:
        with torch.no_grad():
            return model(ids).logits
    finally:
        for handle in handles:
            handle.remove()


def test_what_edits_add_is_strength_times_vector_summed_by_block():
    added = added_by(SUR)
    assert (added.name, added.language, sorted(added.vectors)) == ("EN+LOC", "es", [1, 2])
    assert torch.equal(added.vectors[1], EN["es"][1] * 0.5)
    relative = Method(loc_layer=3, loc_strength=0.5).interventions(
        {"LOC": LOC}, "es", Manner(unit="relative")
    )
    unit = LOC["es"][3] / LOC["es"][3].norm()
    assert torch.allclose(added_by(relative).vectors[3], 0.5 * 3.0 * unit, atol=1e-6)
    twice = added_by([*SUR, Intervention(torch.ones(32), 2, -1.0, language="es")])
    assert torch.allclose(twice.vectors[2], LOC["es"][2] * 2.0 - 1.0)


def test_gguf_is_read_by_ggufs_own_reader_with_block_numbers_that_are_llama_cpps(tmp_path):
    gguf = pytest.importorskip("gguf")
    export_vectors(SUR, tmp_path / "sur.gguf", "gguf", hint="llama")
    reader = gguf.GGUFReader(str(tmp_path / "sur.gguf"))
    found = {t.name: (t.tensor_type.name, np.array(t.data)) for t in reader.tensors}
    assert sorted(found) == ["direction.1", "direction.2"]
    assert all(kind == "F32" for kind, _ in found.values())
    assert np.array_equal(found["direction.2"][1], (LOC["es"][2] * 2.0).numpy())
    fields = {k: f.contents() for k, f in reader.fields.items()}
    assert fields["general.architecture"] == "controlvector"
    assert fields["controlvector.model_hint"] == "llama"
    assert fields["controlvector.layer_count"] == 2
    with pytest.raises(MechclaError, match=r"no direction for block 0 .*layers=\[1, 2, 3\]"):
        export_vectors(LOC, tmp_path / "x.gguf", "gguf", language="es")
    assert not (tmp_path / "x.gguf").exists()


def test_repeng_reads_the_file_and_steers_as_we_do(tmp_path, monkeypatch, tiny, plain):
    monkeypatch.setattr(
        np, "float_", np.float64, raising=False
    )  # repeng names what numpy 2 took away
    repeng = pytest.importorskip("repeng", exc_type=ImportError)
    path = tmp_path / "loc.gguf"
    export_vectors(LOC, path, "gguf", language="es", layers=[1, 2, 3])
    control = repeng.ControlVector.import_gguf(path)
    ids = torch.tensor([tiny.tokenizer(TEXT)["input_ids"]])
    model = repeng.ControlModel(plain, [2])
    try:
        model.set_control(control, 2.0)
        with torch.no_grad():
            theirs = model(ids).logits
    finally:
        model.reset()
        model.unwrap()
    assert torch.allclose(theirs, hooked(plain, ids, {2: LOC["es"][2] * 2.0}, 0), atol=1e-5)
    assert not torch.allclose(theirs, hooked(plain, ids, {1: LOC["es"][1] * 2.0}, 0), atol=0.1)
    same = from_control_vector(control, "LOC", "es")
    assert torch.equal(same.at("es", 2)[0], LOC["es"][2])
    with pytest.raises(MechclaError, match="with directions, got a dict"):
        from_control_vector({}, "LOC", "es")
    control.export_gguf(tmp_path / "theirs.gguf")
    back = import_vectors(tmp_path / "theirs.gguf", "gguf", name="LOC", language="es")
    assert back.layers("es") == (1, 2, 3)
    assert torch.equal(back["es"][1:], LOC["es"][1:])


def test_steering_vectors_steers_as_we_do_from_the_first_written_token_on(tiny, plain):
    pytest.importorskip("steering_vectors")
    vector = to_steering_vector(added_by(SUR))
    prompt = mechcla.OpenItem(
        "a", "es", "ES", "test", "x", TEXT, TEXT, (mechcla.AnswerGroup(("a",), ("a",), 1),)
    )
    ids = torch.tensor([tiny.tokenizer(TEXT)["input_ids"]])
    with vector.apply(plain, min_token_index=1), torch.no_grad():
        theirs = plain.generate(ids, do_sample=False, max_new_tokens=1)[0, -1:].tolist()
        logits = plain(ids).logits
    added = added_by(SUR).vectors
    assert torch.allclose(logits, hooked(plain, ids, added, 1), atol=1e-5)
    ours = mechcla.generate(tiny, [prompt], SUR, max_new_tokens=1, stop=None)
    assert list(ours[0].tokens) == theirs
    back = from_steering_vector(vector, "SUR", "es", n_layers=4)
    assert back.layers("es") == (1, 2)
    assert torch.equal(back["es"][1:3], torch.stack([added[1], added[2]]))
    with pytest.raises(MechclaError, match="layer_activations, got a dict"):
        from_steering_vector({}, "SUR", "es")


@pytest.mark.parametrize("format", ["gguf", "tensors", "steering-vectors"])
def test_what_is_exported_is_imported(format, tmp_path):
    path = tmp_path / "file"
    added = export_vectors(LOC, path, format, language="ko", layers=[1, 3], strength=2.0)
    back = import_vectors(path, format, name="LOC", language="ko", n_layers=4)
    assert back.languages == ("ko",)
    assert back.layers("ko") == (1, 3)
    for block in (1, 3):
        assert torch.equal(back.at("ko", block)[0], LOC["ko"][block] * 2.0)
        assert torch.equal(added.vectors[block], LOC["ko"][block] * 2.0)
    with pytest.raises(MechclaError, match="layer 2 was left out"):
        back.at("ko", 2)


def test_plain_tensors_by_language_and_by_block(tmp_path):
    save_file(dict(LOC.vectors), tmp_path / "whole.safetensors")
    whole = import_vectors(tmp_path / "whole.safetensors", "tensors", name="LOC")
    assert whole.languages == ("es", "ko")
    assert all(torch.equal(whole[k], LOC[k]) for k in whole.languages)
    export_vectors(SUR, tmp_path / "sur.safetensors", "tensors")
    assert sorted(load_file(tmp_path / "sur.safetensors")) == ["es.block.1", "es.block.2"]
    save_file({"x": torch.zeros(3)}, tmp_path / "x.safetensors")
    with pytest.raises(MechclaError, match=r"holds 'x', \(3,\); expected a vector per block"):
        import_vectors(tmp_path / "x.safetensors", "tensors", name="LOC")


def refused() -> list[tuple[Any, str]]:
    one = {"vector": torch.ones(32), "layer": 1, "strength": 1.0}
    return [
        ([], "nothing to export"),
        (Intervention(torch.ones(32), 1, 0.0), "nothing to export"),
        (Intervention(**one, operator="ablate"), "operator 'ablate'; other tools add"),
        (Intervention(**one, site="mlp_out"), "at 'mlp_out'"),
        ([Intervention(**one, language=k) for k in ("es", "ko")], "several languages, es, ko"),
    ]


@pytest.mark.parametrize("case", range(5))
def test_what_no_tool_can_do_is_refused(case, tmp_path):
    edits, said = refused()[case]
    with pytest.raises(MechclaError, match=said):
        export_vectors(edits, tmp_path / "x", "tensors")
    assert not list(tmp_path.iterdir())


def test_bad_names_and_files(tmp_path):
    with pytest.raises(MechclaError, match=r"'ggfu'.*did you mean 'gguf'"):
        export_vectors(SUR, tmp_path / "x", "ggfu")
    with pytest.raises(MechclaError, match="'modul'"):
        export_vectors(SUR, tmp_path / "x", "lm-eval", modul="h.{layer}")
    with pytest.raises(MechclaError, match=r"has no \{layer\}"):
        export_vectors(SUR, tmp_path / "x", "lm-eval", module="h")
    with pytest.raises(MechclaError, match="of es, ko, and other tools take one"):
        added_of(LOC)
    with pytest.raises(MechclaError, match="written, not read; mechcla reads gguf"):
        import_vectors(tmp_path / "x", "lm-eval", name="LOC")
    (tmp_path / "bad.gguf").write_bytes(b"no gguf at all")
    for format in ("gguf", "tensors", "steering-vectors"):
        with pytest.raises(MechclaError, match=r"bad\.gguf"):
            import_vectors(tmp_path / "bad.gguf", format, name="LOC", language="es")
    export_vectors(SUR, tmp_path / "sur.gguf", "gguf")
    with pytest.raises(MechclaError, match='does not say its language; expected language="es"'):
        import_vectors(tmp_path / "sur.gguf", "gguf", name="SUR")
