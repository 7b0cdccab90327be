"""Residuals in a folder: the same to the last bit as in memory, and plain safetensors to others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from mechcla.errors import MechclaError
from mechcla.geometry import convergence
from mechcla.items.item_set import ItemSet
from mechcla.models.hooked_model import HookedModel
from mechcla.vectors.extract import extract
from mechcla.vectors.residuals import Residuals, cache_residuals, read_residuals


@pytest.fixture(scope="module")
def both(
    tiny: HookedModel, small_items: ItemSet, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Residuals, Residuals, Path]:
    """In memory, and in a folder."""
    folder = tmp_path_factory.mktemp("spilled") / "new" / "residuals"
    items = small_items.universal.dev
    return cache_residuals(tiny, items), cache_residuals(tiny, items, folder=folder), folder


def test_a_folder_holds_what_memory_would(both: tuple[Residuals, Residuals, Path]) -> None:
    held, mapped, folder = both
    assert mapped.languages == held.languages
    assert (mapped.ids, mapped.site, mapped.prompt) == (held.ids, held.site, held.prompt)
    assert mapped.record == json.loads(json.dumps(held.record))
    files = {
        k: v["file"]
        for k, v in json.loads((folder / "residuals.json").read_text())["languages"].items()
    }
    for language in held.languages:
        assert torch.equal(mapped[language], held[language])
        assert torch.equal(load_file(folder / files[language])["residuals"], held[language])


def test_what_is_made_of_them_is_the_same(
    both: tuple[Residuals, Residuals, Path], tiny: HookedModel, small_items: ItemSet
) -> None:
    held, mapped, _ = both
    curves = [convergence(h, "separation", resamples=0) for h in (held, mapped)]
    assert curves[0].value.tolist() == curves[1].value.tolist()
    made = [extract(tiny, small_items.universal.dev, "lda", cached=[h]) for h in (held, mapped)]
    assert torch.equal(made[0]["EN"]["es"], made[1]["EN"]["es"])


def test_the_same_call_again_runs_nothing_and_another_is_refused(
    both: tuple[Residuals, Residuals, Path], tiny: HookedModel, small_items: ItemSet
) -> None:
    held, _, folder = both
    seen: list[int] = []
    handle = tiny.blocks[0].register_forward_hook(lambda *_: seen.append(1))
    try:
        again = cache_residuals(tiny, small_items.universal.dev, folder=folder)
    finally:
        handle.remove()
    assert not seen
    assert torch.equal(again["es"], held["es"])
    for changed in ({"site": "mlp_out"}, {"position": "mean_prompt_token"}):
        with pytest.raises(MechclaError, match=r"holds residuals with .*expected another folder"):
            cache_residuals(tiny, small_items.universal.dev, folder=folder, **changed)  # type: ignore[arg-type]
    with pytest.raises(MechclaError, match="holds residuals with items"):
        cache_residuals(tiny, small_items.cultural.dev, folder=folder)
    assert torch.equal(read_residuals(folder)["es"], held["es"])  # nothing was changed


def test_a_file_that_is_damaged_or_gone_is_named(
    tiny: HookedModel, small_items: ItemSet, tmp_path: Path
) -> None:
    with pytest.raises(MechclaError, match="no residuals lie in"):
        read_residuals(tmp_path)
    items = small_items.universal.dev
    cache_residuals(tiny, items, folder=tmp_path)
    shard = tmp_path / "residuals-001.safetensors"
    data = bytearray(shard.read_bytes())
    data[-1] ^= 1
    shard.write_bytes(data)
    with pytest.raises(MechclaError, match=r"residuals-001\.safetensors in .* is damaged or gone"):
        read_residuals(tmp_path)
    (tmp_path / "residuals.json").unlink()  # an interrupted call leaves none
    assert torch.equal(
        cache_residuals(tiny, items, folder=tmp_path)["es"], cache_residuals(tiny, items)["es"]
    )
