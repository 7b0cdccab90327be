"""The most memory a call needed beyond what the process held before it."""

from __future__ import annotations

import ctypes
import gc
import sys
import threading
from collections.abc import Callable

import psutil
import torch


def peak_bytes(run: Callable[[], object], device: torch.device | None = None) -> int:
    """Peak growth of resident memory on the CPU (sampled every 5 ms), or of allocated memory on a
    GPU. device: where it runs; default: on a GPU if there is one.
    """
    gc.collect()
    if sys.platform == "linux":  # give freed memory back first, or what runs next would hide in it
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    if torch.cuda.is_available() if device is None else device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        return torch.cuda.max_memory_allocated() - before
    process, stop = psutil.Process(), threading.Event()
    before = process.memory_info().rss
    most = [before]

    def watch() -> None:
        while not stop.wait(0.005):
            most[0] = max(most[0], process.memory_info().rss)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        run()
    finally:
        stop.set()
        watcher.join()
    return most[0] - before
