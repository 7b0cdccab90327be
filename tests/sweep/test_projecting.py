"""The projection that a sweep writes, held against numpy's SVD of transformers' hidden states."""

from __future__ import annotations

import json
import random
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import mechcla
from mechcla.errors import MechclaError
from mechcla.items.item_set import ItemSet
from mechcla.runs.folder import PROJECTION
from mechcla.sweep.config import make
from mechcla.sweep.held import held_settings, item_settings
from mechcla.sweep.projecting import dev_prompts
from mechcla.sweep.runner import open_sweep
from mechcla.vectors.extract import extract
from tests.conftest import tiny_items
from tests.runs.harness import flip
from tests.sweep.test_merge import two_languages

SMALL: dict[str, Any] = {
    **{"device": "cpu", "layers": [0, 2], "restore": False, "resamples": 100},
    **{"controls": False, "threads": 1},
}
ROUNDED = 1e-4  # of the largest coordinate: five digits are kept, and float32 is summed otherwise


def begun(
    model: str, items: ItemSet, out: Path, held: mechcla.HookedModel | None = None, **more: Any
) -> mechcla.Run:
    """The folder of a sweep that has made its vectors, and no cell yet."""
    config = make({"model": model, "out": str(out), **item_settings(items), **SMALL, **more})
    open_sweep(config, held, items).close()
    return mechcla.read_run(out)


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory, tiny_folders: dict[str, Path]) -> Path:
    out = tmp_path_factory.mktemp("projecting") / "run"
    return begun(str(tiny_folders["llama"]), two_languages(), out).folder


def again(swept: Path, out: Path, **more: Any) -> mechcla.Run:
    return begun(mechcla.read_run(swept).config["model"], two_languages(), out, **more)


def hidden(folder: Path, texts: list[str]) -> np.ndarray:
    """transformers' residual streams behind every block at the last token, one text at a time."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    kept: list[torch.Tensor] = []
    for block in model.model.layers:
        block.register_forward_hook(
            lambda _m, _i, out: kept.append((out[0] if isinstance(out, tuple) else out)[0, -1])
        )
    rows = []
    with torch.no_grad():
        for text in texts:
            kept.clear()
            model(**tokenizer(text, return_tensors="pt"))
            rows.append(torch.stack(kept).double().numpy())
    return np.stack(rows)


def test_it_is_numpys_svd_of_transformers_own_hidden_states(
    swept: Path, tiny_folders: dict[str, Path]
) -> None:
    run = mechcla.read_run(swept)
    rows = run.projections
    prompts = {(i.kind, i.language, i.id): i.prompt for i in run.item_set.dev}
    layers = list(dict.fromkeys(r["layer"] for r in rows))
    assert layers == [0, 1, 2, 3]  # of the tiny model's four blocks, all
    for kind in ("universal", "cultural"):
        first = rows.where(kind=kind, layer=0)
        texts = [prompts[kind, r["language"], r["id"]] for r in first]
        states = hidden(tiny_folders["llama"], texts)
        for layer in layers:
            mine = rows.where(kind=kind, layer=layer)
            x = states[:, layer] - states[:, layer].mean(0)
            _, singular, axes = np.linalg.svd(x, full_matrices=False)
            right = x @ axes[:2].T
            found = np.array([[r["x"], r["y"]] for r in mine])
            signs = np.sign((found * right).sum(0))
            most = np.abs(right).max()
            np.testing.assert_allclose(found, right * signs, atol=ROUNDED * most)
            share = (singular**2 / (singular**2).sum())[:2]
            got = (mine[0]["explained_x"], mine[0]["explained_y"])
            np.testing.assert_allclose(got, share, atol=1e-5)
    dev = run.item_set.dev
    assert {r["language"] for r in rows} == set(dev.languages) == {"en", "es", "pt"}
    assert len(rows.where(kind="cultural", layer=0)) == len(dev.cultural)
    assert rows.settings["dev"]["cultural"]["pt"] == len(dev.cultural.language("pt"))


def test_looking_on_changes_no_vector(tiny: mechcla.HookedModel) -> None:
    dev, seen = tiny_items().dev, []
    for recipe in ("mean_difference", "lda"):
        looked = extract(tiny, dev, recipe, see=lambda texts, found: seen.append((texts, found)))
        for name, vectors in extract(tiny, dev, recipe).items():
            for language in vectors.languages:
                assert vectors[language].equal(looked[name][language])
    texts = [text for batch, _ in seen for text in batch]
    assert len(texts) == 2 * len(set(texts))  # each prompt ran once for each recipe
    assert all(found.shape[1] == len(batch) for batch, found in seen)


def test_damaged_or_missing_it_is_made_again_to_the_byte(
    swept: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = (swept / PROJECTION).read_bytes()
    copy = Path(shutil.copytree(swept, tmp_path / "copy"))
    before = {p: p.stat().st_mtime_ns for p in copy.rglob("*.safetensors")}
    (copy / PROJECTION).unlink()
    again(swept, copy)
    assert (copy / PROJECTION).read_bytes() == whole
    assert PROJECTION not in capsys.readouterr().err
    flip(copy / PROJECTION, random.Random(3))
    with pytest.raises(MechclaError, match=r"projection\.json .* does not match its digest"):
        _ = mechcla.read_run(copy).projections
    again(swept, copy)
    assert f"{PROJECTION}' is damaged" in capsys.readouterr().err
    assert (copy / PROJECTION).read_bytes() == whole
    assert {p: p.stat().st_mtime_ns for p in copy.rglob("*.safetensors")} == before


def test_one_of_another_run_is_refused(swept: Path, tmp_path: Path) -> None:
    few = ItemSet(tuple(i for i in two_languages() if i.language != "pt"))
    model = mechcla.read_run(swept).config["model"]
    run = begun(model, few, tmp_path / "other")
    shutil.copy(swept / PROJECTION, run.folder / PROJECTION)
    with pytest.raises(MechclaError, match="is of another run; the sweep's command makes it"):
        _ = mechcla.read_run(run.folder).projections


def test_vectors_from_files_have_it_too(swept: Path, tmp_path: Path) -> None:
    given = [str(swept / "vectors" / f"{name}.safetensors") for name in ("en", "loc")]
    own = mechcla.read_run(swept)
    paths = []
    for name, path in zip(("EN", "LOC"), given, strict=True):
        own.vectors[name].save(tmp_path / Path(path).name)  # bound to no run
        paths.append(str(tmp_path / Path(path).name))
    found = again(swept, tmp_path / "run", vectors=paths).projections
    assert len(found) == len(own.projections)
    for mine, right in zip(found, own.projections, strict=True):
        assert [mine[k] for k in ("kind", "layer", "language", "id")] == [
            right[k] for k in ("kind", "layer", "language", "id")
        ]
        assert (mine["x"], mine["y"]) == pytest.approx((right["x"], right["y"]), rel=1e-3, abs=1e-3)


def many(n: int, languages: int) -> ItemSet:
    base = next(i for i in tiny_items().dev if i.kind == "universal" and i.language == "en")
    names = ["en", *(f"q{chr(97 + k // 26)}{chr(97 + k % 26)}" for k in range(languages - 1))]
    return ItemSet(
        tuple(
            replace(base, id=f"n{k}", language=name, prompt=f"{name} {k}")
            for name in names
            for k in range(n)
        )
    )


def test_a_large_set_is_sampled_evenly_and_the_same_questions_of_every_language() -> None:
    shown = dev_prompts(many(250, 3), 33)
    assert shown.layers == (0, 8, 16, 24, 32)
    chosen = {k: [i.id for i in mine] for k, mine in shown.items["universal"].items()}
    assert chosen["en"] == chosen["qaa"] == chosen["qab"]
    places = [int(id[1:]) for id in chosen["en"]]
    assert len(places) == len(set(places)) == shown.most == 150
    assert set(np.diff(places)) == {1, 2}
    assert shown.asked["universal"] == {"en": 250, "qaa": 250, "qab": 250}
    crowd = dev_prompts(many(60, 50), 2)
    assert (crowd.layers, crowd.most) == ((0, 1), 40)
    assert sum(map(len, crowd.items["universal"].values())) == 2000


def test_items_of_one_kind_alone_and_too_few_have_what_there_is(
    tiny: mechcla.HookedModel, tmp_path: Path
) -> None:
    cultural = tiny_items().cultural
    model = held_settings(tiny, {})
    run = begun(**model, items=cultural, out=tmp_path / "one", held=tiny)
    assert {r["kind"] for r in run.projections} == {"cultural"}
    kept = {i.id for split in (cultural.dev, cultural.test) for i in split.items[:1]}
    alone = cultural.where(lambda i: i.id in kept and i.language == "es")
    few = begun(**model, items=alone, out=tmp_path / "few", held=tiny)
    assert not few.projections
    assert json.loads((few.folder / PROJECTION).read_text("utf-8"))["kinds"] == {}
