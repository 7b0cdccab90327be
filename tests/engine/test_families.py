"""Any tokenizer times any family: mechcla.score is transformers on the folder's own tokens, one row
per candidate.
"""

from __future__ import annotations

import random
import warnings

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

import mechcla
from mechcla.items.item import Candidate, Item
from mechcla.items.item_set import ItemSet
from mechcla.models.hooked_model import HookedModel
from mechcla.models.load import load_model
from tests.engine.families import (
    ATTENTION,
    FAMILIES,
    NO_TREE,
    PARALLEL,
    Oracle,
    save,
    tokenizer,
)
from tests.slow import others_slow

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

ROUND = 3  # tokenizers of a family that are the same at every run; neighbours share none
SEED = random.SystemRandom().randrange(10**6)  # what one more is drawn by; a failure prints it
quiet = settings(
    max_examples=3,  # the first is the smallest there is
    deadline=None,
    database=None,
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


def its_own(place: int) -> list[str]:
    """A family's own tokenizers: the circle of all kinds goes on where the family before it ended,
    so that families of each sort (packed, parallel, without a tree) meet every kind.
    """
    kinds = list(DRAWN)
    return [kinds[(place * ROUND + k) % len(kinds)] for k in range(ROUND)]


def agree(model: HookedModel, oracle: Oracle, seen: str) -> None:
    """mechcla.score is the oracle, on items that `seen` draws."""

    @seed(seen)
    @quiet
    @given(asked=items(), max_tokens=st.sampled_from([1, 60, 2048]))
    def check(asked, max_tokens):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            scores = mechcla.score(model, asked, prior=False, max_tokens=max_tokens)
        for row, one in zip(scores, asked, strict=True):
            expected = pytest.approx(oracle.candidates(one), abs=2e-4)
            assert row.log_likelihood == expected, f"{seen}: {one}"

    check()


# In `make test`, some of each sort; the others in `make test-slow`.
OFTEN = ("llama", "gemma3_text", "qwen3", "gpt2", "gpt_neox", "lfm2")


@pytest.mark.parametrize("family", others_slow(FAMILIES, OFTEN))
def test_scores_are_transformers_own(family, tmp_path_factory):
    """On the family's own kinds of tokenizer, always with the same items, and on one more kind with
    other items, both drawn anew at every run.
    """
    own = its_own(list(FAMILIES).index(family))
    more = random.Random(f"{SEED} {family}").choice([k for k in DRAWN if k not in own])
    for n, kind in enumerate([*own, more]):
        seen = f"{family} {kind}" if n < ROUND else f"{SEED} {family} {kind}"
        room = random.Random(seen).choice([16, 64]) if family in WINDOWS else None
        changes = {WINDOWS[family]: room} if room else {}
        folder = tmp_path_factory.mktemp(family)
        save(family, folder, tokenizer(**DRAWN[kind]), **changes)
        agree(load_model(str(folder), device="cpu"), Oracle(folder), seen)


def test_every_kind_of_tokenizer_meets_every_sort_of_family():
    place = {family: n for n, family in enumerate(FAMILIES)}
    for sort in (ATTENTION, PARALLEL, NO_TREE):
        assert {kind for family in sort for kind in its_own(place[family])} == set(DRAWN)
