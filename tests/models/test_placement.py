"""Weights in several places, on disk too; dtypes; attention; what the hub refuses. transformers on
one device is the oracle.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import pytest
import torch

import mechcla
from mechcla import Intervention
from mechcla.engine.capability import fits
from mechcla.errors import MechclaError
from mechcla.models.load import load_model
from mechcla.models.placement import placement
from tests.engine.families import DECODERS, Oracle, save, tokenizer
from tests.hub import Answers, said, serving

pytestmark = pytest.mark.usefixtures("one_thread")

DISK = ("model.layers.1", "model.layers.2", "model.norm", "lm_head")
PARTS = ("model.embed_tokens", "model.rotary_emb", *(f"model.layers.{k}" for k in range(4)))
MAP = {part: "disk" if part in DISK else "cpu" for part in (*PARTS, "model.norm", "lm_head")}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return save("llama", tmp_path_factory.mktemp("placed"), tokenizer(), scale=0.15)


def steered(model: mechcla.HookedModel, small_items) -> list[tuple[float, ...]]:
    """Scores on both paths, unsteered and steered at several sites, layers and strengths, which run
    together.
    """
    vector = torch.randn(model.d_model, generator=torch.Generator().manual_seed(0))
    items = small_items.test.language("es")
    found = []
    for site in ("resid_post", "resid_mid", "mlp_out"):
        edits = [[Intervention(vector, k, s, site=site)] for k in (1, 2, 3) for s in (0.5, 1.0)]
        for fast in (True, False):
            made = mechcla.scoring.prepare(model, items, fast=fast)
            tables = dict(mechcla.scoring.score_many(made, [[], *edits]))
            found += [row.log_likelihood for i in sorted(tables) for row in tables[i]]
    return found


def test_weights_on_disk_give_the_same_to_the_last_bit(folder, small_items):
    plain = load_model(folder, device="cpu")
    spread = load_model(folder, device_map=MAP)
    there = {p.device.type for p in spread.bridge.parameters()}
    assert there == {"cpu", "meta"}
    assert spread.device == torch.device("cpu")
    assert fits(spread)
    assert steered(spread, small_items) == steered(plain, small_items)
    assert spread.digest == plain.digest
    dev = small_items.universal.dev
    vectors = [mechcla.en_vectors(model, dev)["es"] for model in (plain, spread)]
    assert torch.equal(*vectors)
    asked = list(small_items.universal.test)
    answers = [mechcla.generate(model, asked, max_new_tokens=4).rows for model in (plain, spread)]
    assert answers[0] == answers[1]


def test_tied_weights_on_disk_have_the_same_digest(tmp_path):
    folder = save("llama", tmp_path, tokenizer(), scale=0.15, tie_word_embeddings=True)
    tied = {part: "cpu" if part == "model.layers.0" else "disk" for part in MAP}
    spread, plain = load_model(folder, device_map=tied), load_model(folder, device="cpu")
    assert spread.digest == plain.digest
    ids = torch.tensor([[1, 40, 50]])
    args = (ids, torch.ones_like(ids), torch.arange(3)[None])
    assert torch.equal(spread.logits(*args), plain.logits(*args))


def test_a_map_that_says_one_place_is_that_place(folder):
    for settings in ({"device_map": "auto"}, {"device_map": {"": "cpu"}}, {"n_devices": 1}):
        model = load_model(folder, **settings)
        assert {p.device.type for p in model.bridge.parameters()} <= {"cpu", "cuda"}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"device": "cpu", "device_map": "auto"}, "one or the other"),
        ({"n_devices": 0}, "expected a whole number from 1"),
        ({"n_devices": 99}, "n_devices=99"),
        ({"device_map": {"": "meta"}}, "meta"),
        ({"device_map": {"": "cpu", "lm_head": "nowhere"}}, "nowhere"),
    ],
)
def test_places_that_there_are_not_are_refused(settings, said, folder):
    with pytest.raises(MechclaError, match=said):
        load_model(folder, **settings)


def test_a_state_space_model_lies_in_one_place(tmp_path):
    folder = save("mamba", tmp_path, tokenizer(), scale=0.15)
    blocks = {f"backbone.layers.{k}": "disk" if k else "cpu" for k in range(4)}
    ends = {"backbone.embeddings": "cpu", "backbone.norm_f": "cpu", "lm_head": "cpu"}
    with pytest.raises(MechclaError, match=r"carries a state along the row.*cpu, disk"):
        load_model(folder, device_map=ends | blocks)


def test_two_devices_give_what_one_gives(folder, small_items):
    if torch.cuda.device_count() < 2:
        pytest.skip("fewer than two CUDA devices")
    one = load_model(folder, device="cuda")
    two = load_model(folder, n_devices=2)
    assert len({p.device for p in two.bridge.parameters()}) == 2
    assert fits(two)
    for left, right in zip(steered(one, small_items), steered(two, small_items), strict=True):
        assert left == pytest.approx(right, abs=1e-4)
    assert one.digest == two.digest


def test_one_place_is_no_map():
    assert placement("cpu").keywords == {}
    assert placement("cpu").device == torch.device("cpu")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_every_dtype_is_transformers_in_it(dtype, folder, small_items):
    model, oracle = load_model(folder, device="cpu", dtype=dtype), Oracle(folder)
    assert model.describe()["dtype"] == dtype
    oracle.model.to(getattr(torch, dtype))
    items = small_items.universal.test.language("es")
    room = {"float32": 1e-4, "bfloat16": 0.05, "float16": 0.01}[dtype]
    for row, item in zip(mechcla.score(model, items, prior=False), items, strict=True):
        assert row.log_likelihood == pytest.approx(oracle.candidates(item), abs=room)


OWN_ATTENTION = [f for f in DECODERS if f not in ("gemma2", "bloom", "mamba", "llama4_text")]


@pytest.mark.parametrize("family", OWN_ATTENTION[:4])
def test_the_bridge_computes_attention_itself_whatever_the_backend(family, tmp_path):
    """TransformerLens' attention never calls sdpa, so that is an option of other blocks alone."""
    model = load_model(save(family, tmp_path, tokenizer(), scale=0.15), device="cpu")
    ids, seen = torch.tensor([[1, 40, 50, 60]]), []
    args = (ids, torch.ones_like(ids), torch.arange(4)[None])
    before = model.logits(*args)
    name = "blocks.1.attn.hook_pattern"
    model.bridge.add_hook(name, lambda pattern, hook: seen.append(pattern.shape))
    model.bridge.original_model.set_attn_implementation("sdpa")
    assert torch.equal(model.logits(*args), before)
    assert len(seen) == 1


class Hub(Answers):
    """Answers as the Hub does for a gated model, and for one that is private or is not there."""

    def answer(self) -> None:
        gated = "gated" in self.path
        self.reply(403 if gated else 401, X_Error_Code="GatedRepo" if gated else "RepoNotFound")


def test_what_the_hub_refuses_ends_in_the_line_that_says_what_to_do(tmp_path):
    code = (
        "import mechcla\n"
        "for name in ('org/gated-model', 'org/private-model'):\n"
        "    try:\n        mechcla.load_model(name, device='cpu')\n"
        "    except mechcla.MechclaError as error:\n        print('REFUSED', error)\n"
    )
    with serving(Hub) as place:
        lines = said(code, address=place, HF_HOME=str(tmp_path)).splitlines()
    gated, private = (x for x in lines if x.startswith("REFUSED cannot load"))
    for part in ("it is gated. Accept its licence at", f"{place}/org/gated-model", "hf auth login"):
        assert part in gated
    for part in ("answers 'org/private-model' with 401", "no such model", "hf auth login"):
        assert part in private


def test_packed_weights_without_their_package_are_one_message_that_names_it(folder, tmp_path):
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    packed = shutil.copytree(folder, tmp_path / "packed")
    (packed / "config.json").write_text(json.dumps(config))
    if importlib.util.find_spec("bitsandbytes") is None:
        with pytest.raises(MechclaError, match=r"cannot load the model.*bitsandbytes"):
            load_model(packed, device="cpu")
