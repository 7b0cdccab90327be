"""Sweeps of a tiny model in processes that can be killed, interrupted or denied the disk.

A process is forked from this one, which has loaded the libraries already, so a sweep takes seconds.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import random
import resource
import select
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import jaxtyping
import torch
from tqdm import tqdm

from mechcla.interrupts import guard
from mechcla.items.item_set import ItemSet
from mechcla.sweep.__main__ import main

TABLES = ("summary.csv", "tests.csv", "arms.csv", "contrast.csv")
CHOICES = ("selection.json", "frozen.json")
PROJECTION = "projection.json"


@dataclass(frozen=True)
class Ended:
    """How a process ended: its exit code (minus the signal's number if one ended it) and what it
    said.
    """

    code: int
    said: str
    seconds: float

    @property
    def messages(self) -> list[str]:
        """What it said under its own name: not the progress bar."""
        lines = self.said.replace("\r", "\n").splitlines()
        return [line for line in lines if line.startswith(("mechcla.sweep: ", "mechcla: "))]

    @property
    def one_message(self) -> bool:
        """Bad input's end: exit code 2, one message, no traceback."""
        refused = [m for m in self.messages if m.startswith("mechcla.sweep: ")]
        return self.code == 2 and len(refused) == 1 and "Traceback" not in self.said


def settings(model: Path, items: ItemSet, folder: Path) -> list[str]:
    """The arguments of a small sweep, all but --out."""
    items.to_jsonl(folder / "items.jsonl")
    return [
        *("--model", str(model), "--items", str(folder / "items.jsonl"), "--device", "cpu"),
        *("--layers", "0,2,3", "--no-restore", "--resamples", "100"),
    ]


def start(arguments: list[str], limit: int | None = None) -> tuple[int, int]:
    """Fork a sweep; returns its pid and the pipe that it speaks into. limit: bytes of its largest
    file.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    reads, writes = os.pipe()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # until `try` holds it
    pid = os.fork()
    if pid:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        os.close(writes)
        return pid, reads
    code = 1
    # tqdm's lock is one semaphore for all forks, and a killed one may have died with it in hand.
    tqdm.set_lock(threading.RLock())
    try:
        os.dup2(writes, 1)
        os.dup2(writes, 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        torch.set_num_threads(1)
        jaxtyping.config.update("jaxtyping_disable", True)  # `warm` had its shapes checked
        if limit is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        sys.orig_argv = [sys.executable, "-m", "mechcla.sweep", *arguments]
        guard()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        code = main(arguments)
    except BaseException as error:  # an interrupt before main's first line or behind its last one
        sys.excepthook(type(error), error, error.__traceback__)  # as the interpreter ends
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def finish(pid: int, reads: int, after: float | None = None, send: int = signal.SIGKILL) -> Ended:
    """Wait for a process; after so many seconds, if it lives, send it a signal."""
    begun, said, sent = time.monotonic(), b"", after is None
    while True:
        wait = None if sent else max(0.0, begun + (after or 0.0) - time.monotonic())
        if not select.select([reads], [], [], wait)[0]:
            os.kill(pid, send)
            sent = True
        elif part := os.read(reads, 1 << 16):
            said += part
            continue
        else:
            break
    os.close(reads)
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    return Ended(code, said.decode(errors="replace"), time.monotonic() - begun)


def sweep(arguments: list[str], out: Path, **how: int | None) -> Ended:
    """A sweep from beginning to end."""
    return finish(*start([*arguments, "--out", str(out)], **how))


def warm(arguments: list[str], out: Path) -> None:
    """A sweep in this very process, so that those forked later find every library loaded."""
    torch.set_num_threads(1)
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        assert main([*arguments, "--out", str(out)]) == 0, said.getvalue()


def results(out: Path) -> dict[str, str]:
    """A digest per file that holds results: tables, choices, vectors, projection and every cell, to
    the last bit.
    """
    found = [out / name for name in (*TABLES, *CHOICES, PROJECTION)]
    found += sorted((out / "vectors").glob("*")) + sorted((out / "cells").rglob("*.parquet"))
    return {
        str(p.relative_to(out)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in found
        if p.exists()
    }


def hidden(out: Path) -> list[str]:
    """What should not be left in a folder when a run has ended well."""
    names = [str(p.relative_to(out)) for p in out.rglob(".*")]
    return names + [p.name for p in out.glob("mechcla-*")] + [p.name for p in out.glob("running*")]


def flip(path: Path, chance: random.Random) -> None:
    """Turn one bit of a file."""
    data = bytearray(path.read_bytes())
    bit = chance.randrange(8 * len(data))
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)


def cut(path: Path, chance: random.Random) -> None:
    """Cut a file somewhere."""
    os.truncate(path, chance.randrange(path.stat().st_size))


def empty(path: Path, _: random.Random) -> None:
    """Leave nothing in a file."""
    os.truncate(path, 0)


def damaged(
    whole: Path,
    out: Path,
    names: Iterable[str],
    damage: Callable[[Path, random.Random], None],
    chance: random.Random,
) -> Path:
    """A copy of a run folder with these files damaged."""
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(whole, out)
    for name in names:
        damage(out / name, chance)
    return out
