"""How many tokens a batch may have: on a GPU by free memory and a short measurement.

A GPU that is given few tokens at a time waits for the CPU that launches its work, so larger batches
run at a higher rate, until the rate stands still or memory ends. On the CPU a batch of the default
size already keeps the cores busy, so nothing is measured, and scores are the same to the last bit
on any machine. Source: ours.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Iterable, Mapping
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
from mechcla.models.placement import on_gpus

if TYPE_CHECKING:
    from mechcla.models.hooked_model import HookedModel

AUTO = "auto"
MAX_TOKENS = 2_048  # the default, and where a measurement begins
MOST = 2**24
SHARE = 0.5  # of the free memory that a batch may need: sweeps keep residuals beside it
GAIN = 1.05  # how much faster twice the tokens must run, for each of them, to be worth the memory
ROW = 32  # tokens of a row that is measured
_measured: weakref.WeakKeyDictionary[HookedModel, dict[int, int]] = weakref.WeakKeyDictionary()


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


def batch_tokens(model: HookedModel, max_tokens: int | str, others: int = 0) -> int:
    """max_tokens as a number: itself, or for "auto" what fits this model's devices.

    Measured once per model, on random tokens, without hooks of the user's own. others: processes
    with such a model that will share each of its GPUs. Raises MechclaError for anything else.
    """
    if isinstance(max_tokens, str):
        if max_tokens != AUTO:
            raise MechclaError(
                f"max_tokens is {max_tokens!r}: {nearest(max_tokens, [AUTO])}, or a number of "
                f"tokens such as {MAX_TOKENS}"
            )
        if model.device.type != "cuda":
            return MAX_TOKENS
        known = _measured.setdefault(model, {})
        if others not in known:
            known[others] = chosen_tokens(
                lambda n: run_bare(model, lambda: trial(model, n)), _free(on_gpus(model), others)
            )
        return known[others]
    if isinstance(max_tokens, bool) or max_tokens < 1:
        raise MechclaError(f"max_tokens is {max_tokens!r}; expected at least 1, or {AUTO!r}")
    return max_tokens


def _free(weights: Mapping[torch.device, int], others: int) -> int:
    """Bytes that new tensors of this process may take on the fullest of these devices: the free
    ones, and those that PyTorch holds unused.

    weights: the model's bytes on each. others: processes that share the devices, each with as much
    of a model that it has yet to load; what is left is divided evenly.
    """
    left = []
    for device, own in weights.items():
        free, _ = torch.cuda.mem_get_info(device)
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        left.append(max(0, free + unused - others * own) // (others + 1))
    return min(left, default=0)


def _allocated(devices: Iterable[torch.device]) -> dict[torch.device, int]:
    """Bytes in use on each device now, from which on the most is counted anew."""
    for device in devices:
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
    return {device: torch.cuda.memory_allocated(device) for device in devices}


def _peak(before: Mapping[torch.device, int]) -> int:
    """The most bytes that came on top on any device; 0 without any."""
    return max((torch.cuda.max_memory_allocated(d) - own for d, own in before.items()), default=0)


@torch.inference_mode()
def trial(model: HookedModel, tokens: int) -> Trial | None:
    """Runs a batch of so many tokens twice, from the embedding to the log-probabilities, and times
    the second. None where memory runs out.

    peak: bytes beyond what was allocated before, on the device where these are most; on the CPU,
    where nobody counts them, those of the stream alone.
    """
    devices = tuple(on_gpus(model))
    width = min(n for n in (ROW, model.window, model.sliding_window) if n is not None)
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(model.vocab_size, (max(1, tokens // width), width), generator=generator)
    packed = [Packed(None, tuple(row[:-1]), (tuple(row[-1:]),), 1) for row in ids.tolist()]
    fast = fits(model)
    batch = collate(packed, model.pad_id, share_prompt=fast)
    before = _allocated(devices)
    try:
        for _ in range(2):
            _allocated(devices)
            begun = time.perf_counter()
            if fast:
                log_probs(model, [scored(start(model, batch))])
            else:
                plain_log_probs(model, batch)
            seconds = time.perf_counter() - begun  # the results are on the CPU: all is done
        peak = _peak(before)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        if devices:
            torch.cuda.empty_cache()
        return None
    stream = batch.layout.ids.numel() * model.d_model * model.dtype.itemsize
    return Trial(int(batch.layout.ids.numel()), seconds, peak or stream)
