"""Any tokenizer times any family: mechcla.score is transformers on the folder's own tokens, one row
per candidate.
"""

from __future__ import annotations

import warnings

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import mechcla
from mechcla.items.item import Candidate, Item
from mechcla.items.item_set import ItemSet
from mechcla.models.load import load_model
from tests.engine.families import FAMILIES, Oracle, save, tokenizer

pytestmark = pytest.mark.usefixtures("one_thread")

# What the folder's tokenizer is. All of these put a BOS in front.
WITH_BOS = {
    "bos": {},
    "bos, no pad": {"pad": False},
    "bos, added tokens": {"added": ("<|user|>", "<|end|>")},
    "bos, no eos, no pad": {"eos": False, "pad": False},
    "bos, byte fallback": {"byte_fallback": True},
    "bos, byte fallback, added tokens": {"byte_fallback": True, "added": ("<|user|>",)},
}
# These do not, or put an EOS behind.
OTHERS = {
    "bos that is not added": {"adds_bos": False},
    "bos that is not added, byte fallback": {"adds_bos": False, "byte_fallback": True},
    "bos and eos": {"adds_eos": True},
    "no bos": {"bos": False},
    "no bos, no pad": {"bos": False, "pad": False},
    "no roles at all": {"bos": False, "eos": False, "pad": False},
}
DRAWN = WITH_BOS | OTHERS
# Windows that the texts fit and windows that they do not.
WINDOWS = {
    "mistral": "sliding_window",
    "gemma2": "sliding_window",
    "gemma3_text": "sliding_window",
    "gpt_neo": "window_size",
    "llama4_text": "attention_chunk_size",
    "recurrent_gemma": "attention_window_size",
}
WORDS = ["tea", "Tokyo", "city", "hall", "far", "away", "verde", "sea", "Лима", "東京", "é", "ok"]

quiet = settings(
    max_examples=4,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def phrases(least: int, most: int) -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from(WORDS), min_size=least, max_size=most).map(" ".join)


@st.composite
def items(draw) -> ItemSet:
    """One to three items of different lengths, whose candidates begin alike, go on differently, or
    end early.
    """
    made = []
    for n in range(draw(st.integers(1, 3))):
        begin = draw(phrases(1, 2))
        answers = draw(st.lists(phrases(1, 3), min_size=1, max_size=3, unique=True))
        texts = [
            begin,
            *(f"{begin} {a}" for a in answers),
            *draw(st.lists(phrases(1, 2), max_size=1)),
        ]
        unique = list(dict.fromkeys(texts))
        candidates = tuple(Candidate(t, "wrong" if i else "correct") for i, t in enumerate(unique))
        prompt = f"The capital of {draw(phrases(0, 6))} is"
        made.append(Item(f"q{n}", "en", "universal", "test", prompt, candidates))
    return ItemSet(tuple(made))


@pytest.mark.parametrize("family", FAMILIES)
def test_scores_are_transformers_own(family, tmp_path_factory):
    held: dict[tuple, tuple] = {}

    @quiet
    @given(data=st.data())
    def check(data):
        kind = data.draw(st.sampled_from(sorted(DRAWN)), "tokenizer")
        room = data.draw(st.sampled_from([16, 64]), "window") if family in WINDOWS else None
        asked = data.draw(items(), "items")
        if (kind, room) not in held:
            changes = {WINDOWS[family]: room} if room else {}
            folder = tmp_path_factory.mktemp(family)
            save(family, folder, tokenizer(**DRAWN[kind]), **changes)
            held[kind, room] = (load_model(str(folder), device="cpu"), Oracle(folder))
        model, oracle = held[kind, room]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            scores = mechcla.score(
                model, asked, prior=False, max_tokens=data.draw(st.sampled_from([1, 60, 2048]))
            )
        for row, one in zip(scores, asked, strict=True):
            assert row.log_likelihood == pytest.approx(oracle.candidates(one), abs=2e-4)

    check()
