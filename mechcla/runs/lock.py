"""One process per run folder: a lock that the kernel gives back when its process ends, however it
ends.

`run.lock` is locked by filelock (flock on Unix, msvcrt on Windows) and never holds anything;
`running.json` beside it says who holds it, for people, and is there only while a run goes on. A run
that was killed leaves `running.json` and no lock, so the next one goes on at once and says so.

Over a network: Linux maps flock on NFS to byte-range locks, which reach other machines; mounts with
`nolock` or `local_lock`, and Lustre with `localflock`, hold it on one machine only, and there two
machines must not share a run folder. Where a file system has no flock at all, filelock falls back
to a file that names machine and process, and cannot see whether a process of another machine is
alive.
"""

from __future__ import annotations

import json
import os
import socket
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from mechcla.errors import MechclaError
from mechcla.runs.folder import LOCK, RUNNING
from mechcla.storage import write_json, writing


class RunLock:
    """The lock of one run folder, held from `take` to `give_back`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = FileLock(folder / LOCK, timeout=0)

    @classmethod
    def take(cls, folder: Path) -> tuple[RunLock, str]:
        """The lock, and who had it and ended without giving it back ("" for nobody).

        Raises MechclaError, naming host, process and start, while another process holds it.
        """
        lock = cls(folder)
        with writing(folder / LOCK):
            try:
                lock._lock.acquire()
            except Timeout as error:
                raise MechclaError(_held(folder)) from error
        try:
            before = _holder(folder)
            write_json(folder / RUNNING, _me())
        except BaseException:
            lock._lock.release()
            raise
        return lock, before

    def give_back(self) -> None:
        """Let the folder go; once is enough, twice is no error."""
        if self._lock.is_locked:
            try:
                (self._folder / RUNNING).unlink(missing_ok=True)
            except OSError:
                pass  # the folder cannot be written any more; the lock is given back all the same
            finally:
                self._lock.release()


def check(folder: Path) -> None:
    """Raise MechclaError now if another process holds the folder, before a model is loaded."""
    if (folder / LOCK).exists() and (folder / RUNNING).exists():
        lock = FileLock(folder / LOCK, timeout=0)
        try:
            lock.acquire()
        except Timeout as error:
            raise MechclaError(_held(folder)) from error
        except OSError:
            return  # `take` will say why
        lock.release()


def is_held(folder: Path) -> bool:
    """Whether a process holds the folder now."""
    try:
        check(folder)
    except MechclaError:
        return True
    return False


def _held(folder: Path) -> str:
    who = _holder(folder) or "another process"
    return (
        f"the run folder {str(folder)!r} is in use by {who}; wait until it ends, or choose "
        "another --out"
    )


def _me() -> dict[str, Any]:
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "started": datetime.now().astimezone().isoformat(timespec="seconds"),
    }


def _holder(folder: Path) -> str:
    """Who holds, or held, the folder; "" if nobody says so."""
    path = folder / RUNNING
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        return f"process {told['pid']} on {told['host']} since {told['started']}"
    except FileNotFoundError:
        return ""
    except (OSError, ValueError, KeyError, TypeError):
        return f"a process that {RUNNING} no longer names"
