"""How many tokens a batch may have: on a GPU by free memory and a short measurement.

A GPU that is given few tokens at a time waits for the CPU that launches its work, so larger batches
run at a higher rate, until the rate stands still or memory ends. On the CPU a batch of the default
size already keeps the cores busy, so nothing is measured, and scores are the same to the last bit
on any machine. Source: ours.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from mechcla.engine.capability import fits
from mechcla.engine.head import log_probs
from mechcla.engine.memory import is_out_of_memory
from mechcla.engine.packing import Packed, collate
from mechcla.engine.reference import plain_log_probs
from mechcla.engine.state import scored, start
from mechcla.errors import MechclaError, nearest
from mechcla.models.hooking import run_bare

if TYPE_CHECKING:
    from mechcla.models.hooked_model import HookedModel

AUTO = "auto"
MAX_TOKENS = 2_048  # the default, and where a measurement begins
MOST = 2**24
SHARE = 0.5  # of the free memory that a batch may need: sweeps keep residuals beside it
GAIN = 1.05  # how much faster twice the tokens must run, for each of them, to be worth the memory
ROW = 32  # tokens of a row that is measured
_measured: weakref.WeakKeyDictionary[HookedModel, int] = weakref.WeakKeyDictionary()


@dataclass(frozen=True)
class Trial:
    """One batch that was run: its tokens, how long it took, and the bytes that it needed."""

    tokens: int
    seconds: float
    peak: int


def chosen_tokens(measure: Callable[[int], Trial | None], free: int) -> int:
    """The tokens of a batch: twice as many, again and again, while that pays and leaves room.

    measure: runs a batch of so many tokens; None where memory ran out. free: bytes that the device
    has left. A batch is tried only if twice what the one before it needed is at most SHARE of them,
    so it is never chosen larger than memory allows. One that gains less than GAIN ends the search
    when the next does not either.

    >>> chosen_tokens(lambda n: Trial(n, 1.0 + n / 8_192, 1_000 * n), free=2**40)
    131072
    >>> chosen_tokens(lambda n: Trial(n, 1.0 + n / 8_192, 1_000 * n), free=20_000_000)
    8192
    """
    best = last = measure(MAX_TOKENS)
    if best is None:
        return MAX_TOKENS // 2
    idle = 0
    while last is not None and 2 * last.tokens <= MOST and 2 * last.peak <= SHARE * free:
        last = measure(2 * last.tokens)
        if last is None:
            break
        if last.tokens / last.seconds >= GAIN * best.tokens / best.seconds:
            best, idle = last, 0
        elif (idle := idle + 1) == 2:
            break
    return best.tokens


def batch_tokens(model: HookedModel, max_tokens: int | str) -> int:
    """max_tokens as a number: itself, or for "auto" what fits this model's device.

    Measured once per model, on random tokens, without hooks of the user's own. Raises MechclaError
    for anything else.
    """
    if isinstance(max_tokens, str):
        if max_tokens != AUTO:
            raise MechclaError(
                f"max_tokens is {max_tokens!r}: {nearest(max_tokens, [AUTO])}, or a number of "
                f"tokens such as {MAX_TOKENS}"
            )
        if model.device.type != "cuda":
            return MAX_TOKENS
        if model not in _measured:
            _measured[model] = chosen_tokens(
                lambda n: run_bare(model, lambda: trial(model, n)), _free(model.device)
            )
        return _measured[model]
    if isinstance(max_tokens, bool) or max_tokens < 1:
        raise MechclaError(f"max_tokens is {max_tokens!r}; expected at least 1, or {AUTO!r}")
    return max_tokens


def _free(device: torch.device) -> int:
    """Bytes that new tensors may take: the device's free ones, and those that PyTorch holds
    unused.
    """
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


@torch.inference_mode()
def trial(model: HookedModel, tokens: int) -> Trial | None:
    """Runs a batch of so many tokens twice, from the embedding to the log-probabilities, and times
    the second. None where memory runs out.

    peak: bytes beyond what was allocated before; on the CPU, where nobody counts them, those of the
    stream alone.
    """
    device, cuda = model.device, model.device.type == "cuda"
    width = min(n for n in (ROW, model.window, model.sliding_window) if n is not None)
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(model.vocab_size, (max(1, tokens // width), width), generator=generator)
    packed = [Packed(None, tuple(row[:-1]), (tuple(row[-1:]),), 1) for row in ids.tolist()]
    fast = fits(model)
    batch = collate(packed, model.pad_id, share_prompt=fast)
    before = torch.cuda.memory_allocated(device) if cuda else 0
    try:
        for _ in range(2):
            if cuda:
                torch.cuda.synchronize(device)
                torch.cuda.reset_peak_memory_stats(device)
            begun = time.perf_counter()
            if fast:
                log_probs(model, [scored(start(model, batch))])
            else:
                plain_log_probs(model, batch)
            seconds = time.perf_counter() - begun  # the results are on the CPU: all is done
        peak = torch.cuda.max_memory_allocated(device) - before if cuda else 0
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        if cuda:
            torch.cuda.empty_cache()
        return None
    stream = batch.layout.ids.numel() * model.d_model * model.dtype.itemsize
    return Trial(int(batch.layout.ids.numel()), seconds, peak or stream)
