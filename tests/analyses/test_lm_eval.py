"""mechcla's log-likelihoods and accuracies are lm-eval-harness's, and where they are not, the check
says so.
"""

from __future__ import annotations

import csv
import math
import sys

import pytest
from tokenizers.processors import TemplateProcessing

pytest.importorskip(
    "lm_eval",
    reason="lm-eval is not installed; it is in the extra `bench` (make bench installs it)",
)

import mechcla
from analyses import lm_eval_parity as parity
from mechcla.items.item import Item
from mechcla.items.item_set import ItemSet
from tests.conftest import save_tiny, tiny_tokenizer, universal

pytestmark = [pytest.mark.lm_eval, pytest.mark.usefixtures("one_thread")]
FAMILIES = ("llama", "gemma3_text", "gpt2")


@pytest.fixture(scope="module")
def backends(tiny_folders):
    return {family: parity.plain_backend(tiny_folders[family]) for family in FAMILIES}


@pytest.mark.parametrize("family", FAMILIES)
def test_both_kinds_and_both_prompts_agree(family, tiny_models, backends, small_items):
    rows = parity.compare(tiny_models[family], backends[family], small_items)
    assert len(rows) == 36  # 12 universal, 12 cultural in two prompt forms
    assert {r.why for r in rows} == {parity.COMPARED}
    assert max(r.difference for r in rows) < 1e-3
    assert parity.agree(rows, 1e-3)
    assert all(a == b for r in rows for a, b in r.choices)
    assert len({r.choices[0][0] for r in rows}) > 1  # more than one answer is chosen
    for kind, form, metric in (
        ("universal", "implicit", mechcla.transfer),
        ("cultural", "explicit", mechcla.localization),
    ):
        part = [r for r in rows if (r.item.kind, r.form) == (kind, form)]
        for k, norm in enumerate(parity.ACCURACIES.values()):
            scores = mechcla.score(tiny_models[family], small_items, prompt=form)
            mine = metric(scores, "accuracy", norm)["all"]
            assert mine.value == pytest.approx(sum(r.right[k][1] for r in part) / len(part))


def test_other_weights_are_noticed(tiny_models, tmp_path, small_items):
    other = parity.plain_backend(save_tiny("llama", tmp_path, num_hidden_layers=3))
    rows = parity.compare(tiny_models["llama"], other, small_items)
    assert max(r.difference for r in rows) > 0.1
    assert not parity.agree(rows, 1e-3)
    assert not parity.agree([], 1e-3)  # nothing compared is no agreement


def joined(id: str, prompt: str, *answers: str) -> Item:
    """An item without a separator, so that a token can span the join."""
    return Item(**{**vars(universal(id, "en", prompt, *answers)), "separator": ""})


def test_what_is_cut_elsewhere_is_left_out_and_explained(tiny_models, backends):
    """' c' + 'apital' is one token and leaves lm-eval nothing; ' c' + 'apital of' leaves it ' of'
    alone.
    """
    items = ItemSet(
        (
            joined("nothing", "The c", "apital of Peru", "apital"),
            joined("split", "The c", "apital of Japan", "apital is Lima"),
            universal("twins", "en", "The capital of Japan is", "Tokyo", "Lima", "Tokyo"),
            universal("plain", "en", "The capital of Peru is", "Lima", "Tokyo"),
            universal("long", "en", "The capital of Japan is " * 30, "Tokyo", "Lima"),
        )
    )
    model, lm = tiny_models["llama"], backends["llama"]
    rows = {r.item.id: r for r in parity.compare(model, lm, items)}
    assert {k: r.why for k, r in rows.items()} == {
        "nothing": parity.NOTHING,
        "split": parity.SPLIT,
        "twins": parity.TWINS,
        "plain": parity.COMPARED,
        "long": parity.REFUSED,
    }
    assert rows["split"].difference > 1e-3  # the whole of the difference is where the answer begins
    for name in ("nothing", "split", "twins"):
        assert rows[name].difference_same_tokens < 1e-3
    assert math.isnan(rows["nothing"].difference)
    assert "window" in rows["long"].refusal
    with pytest.raises(AssertionError):  # as lm-eval itself answers it
        lm._loglikelihood_tokens(
            [(("", ""), *lm._encode_pair("The c", "apital"))], disable_tqdm=True
        )
    assert parity.agree(list(rows.values()), 1e-3)
    lines = {
        line["status"]: line
        for line in parity.summary(list(rows.values()))
        if line["language"] == "en"
    }
    assert len(lines) == 5
    assert all(line["items"] == 1 for line in lines.values())


def test_a_tokenizer_that_ends_texts_is_left_out(tmp_path):
    folder = save_tiny("llama", tmp_path)
    tokenizer = tiny_tokenizer()
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<bos> $A <eos>", special_tokens=[("<bos>", 1), ("<eos>", 2)]
    )
    tokenizer.save_pretrained(folder)
    items = ItemSet((universal("eos", "en", "The capital of Peru is", "Lima", "Tokyo"),))
    (row,) = parity.compare(
        mechcla.load_model(str(folder), device="cpu"), parity.plain_backend(folder), items
    )
    assert row.why == parity.TOKENS
    assert row.difference > 1e-3 > row.difference_same_tokens


def test_the_command(tmp_path, monkeypatch, capsys):
    folder = save_tiny("gpt_neox", tmp_path / "model", max_position_embeddings=512)
    monkeypatch.setattr(
        sys,
        "argv",
        [
            "parity",
            "--model",
            str(folder),
            "--languages",
            "en,zh",
            "--questions",
            "4",
            "--out",
            str(tmp_path),
        ],
    )
    assert parity.main() == 0
    said = capsys.readouterr().out
    assert "| all |" in said
    assert "\nequal: " in said
    with (tmp_path / "lm_eval_parity.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * (4 + 2 * 4)
    assert {r["prompt"] for r in rows} == {"implicit", "explicit"}
