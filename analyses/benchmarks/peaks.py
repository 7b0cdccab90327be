"""The most memory a call needed beyond what the process held before it."""

from __future__ import annotations

import ctypes
import gc
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass

import psutil
import torch


@dataclass(frozen=True)
class Peak:
    """Bytes beyond what was held before: the process's own, and with mapped files."""

    anonymous: int
    resident: int


def peak_bytes(run: Callable[[], object], device: torch.device | None = None) -> int:
    """Peak growth of resident memory on the CPU (sampled every 5 ms), or of allocated memory on a
    GPU. device: where it runs; default: on a GPU if there is one.
    """
    if torch.cuda.is_available() if device is None else device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        return torch.cuda.max_memory_allocated() - before
    return watched(run).resident


def watched(run: Callable[[], object]) -> Peak:
    """Peak growth of this process's memory while `run` runs, sampled every 5 ms."""
    gc.collect()
    if sys.platform == "linux":  # give freed memory back first, or what runs next would hide in it
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    process, stop = psutil.Process(), threading.Event()

    def held() -> tuple[int, int]:
        info = process.memory_info()
        return info.rss - getattr(info, "shared", 0), info.rss

    before = held()
    most = list(before)

    def watch() -> None:
        while not stop.wait(0.005):
            most[:] = map(max, most, held())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        run()
    finally:
        stop.set()
        watcher.join()
    most[:] = map(max, most, held())
    return Peak(most[0] - before[0], most[1] - before[1])
