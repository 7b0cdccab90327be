"""How much memory a process can still take, where the system says so."""

from __future__ import annotations

import os
import re
from pathlib import Path

MEMINFO, CGROUP = Path("/proc/meminfo"), Path("/sys/fs/cgroup/memory.max")
LINE = re.compile(r"^(MemAvailable|SwapFree):\s+(\d+) kB", re.MULTILINE)


def available() -> int | None:
    """Bytes that can be had without the system ending a process, swap included; None if unknown.

    Linux says what is free, and a container's limit; other systems at most what is built in.
    """
    known = [found for found in (_free() or _built_in(), _limit()) if found is not None]
    return min(known, default=None)


def _free() -> int | None:
    try:
        found = dict(LINE.findall(MEMINFO.read_text("utf-8")))
    except (OSError, ValueError):
        return None
    if "MemAvailable" not in found:
        return None
    return 1024 * sum(map(int, found.values()))


def _built_in() -> int | None:
    try:
        found = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows has none of it
        return None
    return found if found > 0 else None


def _limit() -> int | None:
    try:
        return int(CGROUP.read_text("utf-8"))
    except (OSError, ValueError):  # no container, or "max"
        return None
