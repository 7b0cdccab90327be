"""Tokens of a batch: chosen from measurements and free memory, recorded, kept on resuming."""

from __future__ import annotations

import json
from contextlib import closing

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import mechcla
from mechcla import scoring
from mechcla.engine import batch_size
from mechcla.engine.batch_size import MAX_TOKENS, SHARE, Trial, batch_tokens, chosen_tokens
from mechcla.errors import MechclaError
from mechcla.runs.folder import RECORD
from mechcla.sweep.batches import beside, with_batches
from mechcla.sweep.cells import UNSTEERED, Job
from mechcla.sweep.config import make, parse
from mechcla.sweep.runner import open_sweep
from tests.engine.test_memory import edits


class Device:
    """A device whose passes cost a fixed time and a time per token, and memory per token."""

    def __init__(self, fixed: float, per_token: float, bytes_per_token: int, holds: int) -> None:
        self.fixed, self.per_token = fixed, per_token
        self.bytes_per_token, self.holds = bytes_per_token, holds
        self.tried: list[int] = []

    def measure(self, tokens: int) -> Trial | None:
        self.tried.append(tokens)
        peak = tokens * self.bytes_per_token
        if peak > self.holds:
            return None
        return Trial(tokens, self.fixed + tokens * self.per_token, peak)


@settings(max_examples=100, deadline=None)
@given(
    st.floats(1e-3, 1.0), st.floats(1e-7, 1e-3), st.integers(1, 10**6), st.integers(10**6, 10**12)
)
def test_what_is_tried_never_needs_more_than_its_share_of_the_free_memory(
    fixed, per_token, needs, free
):
    device = Device(fixed, per_token, needs, free)
    chosen = chosen_tokens(device.measure, free)
    assert chosen in device.tried or chosen == MAX_TOKENS // 2
    assert all(n * needs <= SHARE * free for n in device.tried[1:])
    assert device.tried == [MAX_TOKENS * 2**k for k in range(len(device.tried))]


def test_more_memory_never_means_a_smaller_batch():
    found = [
        chosen_tokens(Device(0.1, 1e-5, 50_000, free).measure, free)
        for free in (10**8, 10**9, 4 * 10**9, 10**11)
    ]
    assert found == sorted(found)
    assert found[0] < found[-1]


def test_it_ends_where_the_rate_stands_still():
    # A pass costs 0.02 s and 10 us per token: by hand, twice 16,384 tokens gain 1.061 and twice
    # 32,768 gain 1.032, twice 65,536 gain 1.016.
    device = Device(0.02, 1e-5, 1, 10**12)
    assert chosen_tokens(device.measure, 10**12) == 32_768
    assert device.tried[-1] == 131_072


def test_memory_that_runs_out_ends_the_search_with_what_fitted():
    device = Device(1.0, 1e-6, 1_000, holds=5_000_000)  # others took memory meanwhile
    assert chosen_tokens(device.measure, free=10**12) == 4_096
    assert device.tried == [2_048, 4_096, 8_192]
    assert chosen_tokens(Device(1.0, 1e-6, 1_000, holds=1).measure, free=10**12) == 1_024


def test_on_the_cpu_auto_is_the_default_and_the_numbers_are_the_same_bits(tiny, small_items):
    items = small_items.language("es").test
    auto = mechcla.score(tiny, items, edits(tiny, 1)[0])
    given_ = mechcla.score(tiny, items, edits(tiny, 1)[0], max_tokens=MAX_TOKENS)
    assert auto.rows == given_.rows
    assert auto.settings == given_.settings
    assert auto.settings["max_tokens"] == MAX_TOKENS


@pytest.mark.parametrize("tokens", [96, 4_096, 65_536])
def test_scores_are_equal_within_rounding_at_any_size(tiny, small_items, tokens):
    items, variants = small_items.language("es").test, [(), *edits(tiny, 0, 2)]
    expected = dict(scoring.score_many(scoring.prepare(tiny, items), variants))
    found = dict(scoring.score_many(scoring.prepare(tiny, items, max_tokens=tokens), variants))
    for i, table in expected.items():
        for a, b in zip(table, found[i], strict=True):
            assert a.log_likelihood == pytest.approx(b.log_likelihood, abs=2e-5)


def test_a_trial_runs_the_model_and_counts_what_it_ran(tiny):
    seen = []
    handle = tiny.blocks[0].register_forward_pre_hook(lambda *_: seen.append(1))
    try:
        found = batch_size.trial(tiny, 256)
    finally:
        handle.remove()
    assert found is not None
    assert 200 <= found.tokens <= 256
    assert found.seconds > 0
    assert seen == [1, 1]


def test_on_a_gpu_it_is_measured_once_per_model(tiny, monkeypatch):
    """The decision, with a device that says it is one: the measurement itself needs a card."""
    calls = []

    class There:
        device = type("Device", (), {"type": "cuda"})()

    there = There()
    monkeypatch.setattr(batch_size, "on_gpus", lambda model: {})
    monkeypatch.setattr(batch_size, "_free", lambda weights, others: 10**9 // (others + 1))
    monkeypatch.setattr(batch_size, "run_bare", lambda model, run: run())
    monkeypatch.setattr(
        batch_size, "trial", lambda model, n: calls.append(n) or Trial(n, 1.0 + n * 1e-4, n)
    )
    monkeypatch.setattr(batch_size, "_measured", type(batch_size._measured)())
    decide = getattr(batch_tokens, "__wrapped__", batch_tokens)  # shapes and types aside
    first = decide(there, "auto")
    assert calls
    before = len(calls)
    assert decide(there, "auto") == first > MAX_TOKENS
    assert len(calls) == before
    assert decide(there, "auto", others=9_999) < first


@pytest.fixture
def two_cards(monkeypatch):
    """Two GPUs as PyTorch tells of them: bytes free, held unused, in use, and in use at most."""
    cards = {torch.device("cuda", 0): [80, 10, 4, 9], torch.device("cuda", 1): [50, 30, 20, 45]}
    told = {
        "mem_get_info": lambda d: (cards[d][0], 100),
        "memory_reserved": lambda d: cards[d][1],
        "memory_allocated": lambda d: cards[d][2],
        "max_memory_allocated": lambda d: cards[d][3],
        "synchronize": lambda d: None,
        "reset_peak_memory_stats": lambda d: None,
    }
    for name, function in told.items():
        monkeypatch.setattr(torch.cuda, name, function)
    return list(cards)


def test_the_fullest_of_several_devices_decides(two_cards):
    """By hand: 80 + 6 bytes are left on the first, 50 + 10 on the second."""
    first, second = two_cards
    assert batch_size._free({first: 4}, 0) == 86
    assert batch_size._free({first: 4, second: 20}, 0) == 60
    before = batch_size._allocated(two_cards)
    assert before == {first: 4, second: 20}
    assert batch_size._peak(before) == 25  # of 5 and 25
    assert batch_size._peak({first: 4}) == 5
    assert batch_size._peak({}) == 0


def test_processes_that_share_a_gpu_share_what_their_models_leave(two_cards):
    first, second = two_cards
    assert batch_size._free({first: 4}, 1) == (86 - 4) // 2
    assert batch_size._free({first: 4, second: 20}, 2) == (60 - 40) // 3
    assert batch_size._free({second: 31}, 2) == 0


def test_a_worker_counts_those_beside_it():
    for settings_, others in (
        ({"runner": "ray", "gpus_per_worker": 0.1, "workers": 4}, 4),
        ({"runner": "ray", "gpus_per_worker": 0.1}, 10),
        ({"runner": "ray", "gpus_per_worker": 2.0}, 1),
        ({"runner": "ray", "gpus_per_worker": 0.0}, 1),
        ({"gpus_per_worker": 0.33}, 2),
    ):
        assert beside(make(settings_)) == others


@pytest.mark.parametrize("wrong", ["atuo", 0, -5])
def test_what_is_no_size_is_one_message(tiny, small_items, wrong):
    with pytest.raises(MechclaError, match=r"max_tokens is .*auto"):
        mechcla.score(tiny, small_items, max_tokens=wrong)


def test_the_setting_takes_auto_a_number_and_no_other_word():
    assert make({}).max_tokens == "auto"
    assert parse(["--max-tokens", "auto"]).max_tokens == "auto"
    assert parse(["--max-tokens", "4096"]).max_tokens == 4_096
    for wrong in ("atuo", "0", str(2**25), "1.5"):
        with pytest.raises(MechclaError, match="setting 'max_tokens' is"):
            parse(["--max-tokens", wrong])


def test_a_resumed_run_keeps_its_number(tiny, small_items, tmp_path, monkeypatch):
    config = make({"out": str(tmp_path / "r"), "languages": ["es"], "layers": [1, 2]})
    job = Job(UNSTEERED, "es", "universal", "dev")
    with closing(open_sweep(config, tiny, small_items)) as sweep:
        first = sweep.path(job)
        ((_, scores),) = sweep.run([job])
        assert scores.settings["max_tokens"] == MAX_TOKENS
    record = json.loads((tmp_path / "r" / RECORD).read_text())
    assert record["config"]["max_tokens"] == MAX_TOKENS
    monkeypatch.setattr("mechcla.sweep.batches.batch_tokens", lambda *_: 8_192)  # another device
    with closing(open_sweep(config, tiny, small_items)) as sweep:
        assert sweep.config.max_tokens == MAX_TOKENS
        assert sweep.path(job) == first
        assert sweep.store.read(first) is not None
    assert with_batches(make({"out": str(tmp_path / "new")}), tiny).max_tokens == 8_192
    assert with_batches(make({"max_tokens": 96}), tiny).max_tokens == 96
