"""Every file that mechcla keeps is written here: whole, by rename; canonical JSON, SHA-256, one
message.

What is not kept is not: `engine/offload.py` maps scratch files that have no name, and
`runs/lock.py` locks an empty file.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from mechcla.errors import MechclaError

if TYPE_CHECKING:
    import pyarrow as pa

_ROW_NUMBER = re.compile(r"__index_level_[0-9]+__")
TEMPORARY = ".mechcla-"  # what the name of every file that is not whole yet begins with
DIGEST = "digest"  # the key of a sealed JSON object that holds the digest of all its others


def digest(value: Any) -> str:
    """SHA-256 of a JSON value in canonical form."""
    return hashlib.sha256(
        json.dumps(value, sort_keys=True, ensure_ascii=False).encode()
    ).hexdigest()


def sha256(*parts: str | bytes) -> str:
    """SHA-256 of texts and bytes, each behind its length, so that no two lists share one digest."""
    sha = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        sha.update(f"{len(data)}:".encode())
        sha.update(data)
    return sha.hexdigest()


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def user_path(path: str | Path) -> Path:
    """The path that a user means: `~` and `~name` are home folders.

    Raises MechclaError where there is no such home.

    >>> user_path("runs/demo")
    PosixPath('runs/demo')
    """
    text = str(path)
    if not text.startswith("~"):
        return Path(path)
    whole = os.path.expanduser(text)
    if whole == text:
        raise MechclaError(
            f"{text!r} begins with '~', but {text.split('/')[0]!r} is no home folder here; "
            f"write the whole path, or './{text}' for a folder of that name"
        )
    return Path(whole)


def without_row_numbers(table: pa.Table) -> pa.Table:
    """The table without the columns of pandas' row numbers (`__index_level_0__`)."""
    return table.drop_columns([n for n in table.column_names if _ROW_NUMBER.fullmatch(n)])


@contextmanager
def utf8(path: Path, instead: str = "save it as UTF-8") -> Iterator[None]:
    """Turn a byte that is not UTF-8 into one message that names the file and the way out."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise MechclaError(f"{path} is not UTF-8 at byte {error.start}; {instead}") from error


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the system refuses (a full or read-only disk, rights) into one message."""
    try:
        yield
    except OSError as error:
        why = error.strerror or str(error) or type(error).__name__
        raise MechclaError(
            f"cannot write {path.name!r} in {str(path.parent)!r}: {why}. What is there is whole; "
            "make room or give rights, and the same command goes on from here"
        ) from error


def write_whole(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary file beside `path`, then rename it: the file is whole or not
    there.

    Its bytes are on the disk before the rename. Raises MechclaError, naming the folder, where the
    operating system refuses; nothing is left behind then.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=TEMPORARY, suffix=path.suffix, dir=path.parent)
        os.close(handle)
        try:
            write(Path(name))
            with open(name, "rb+") as file:
                os.fsync(file.fileno())
            os.chmod(name, 0o644)
            os.replace(name, path)
        finally:
            with suppress(OSError):
                Path(name).unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """One whole file of these bytes."""

    def write(temporary: Path) -> None:
        temporary.write_bytes(data)

    write_whole(path, write)


def write_text(path: Path, text: str) -> None:
    """One whole file of this text, in UTF-8."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """JSON that every reader takes: a number that is not there (nan) is null."""
    write_text(path, json_text(value))


def write_sealed(path: Path, value: dict[str, Any]) -> None:
    """A JSON object with the digest of all that it holds, which `read_sealed` verifies."""
    plain = _plain(value)
    write_text(path, json_text({**plain, DIGEST: digest(plain)}))


def read_sealed(path: Path, *needed: str) -> dict[str, Any] | None:
    """What `write_sealed` wrote, with its digest; None if damaged or without one of `needed`."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or any(key not in value for key in (*needed, DIGEST)):
        return None
    held = {key: part for key, part in value.items() if key != DIGEST}
    return value if digest(held) == value[DIGEST] else None


def json_meta(value: Any, what: str) -> str:
    """JSON, keys in order, for a file's metadata; paths become texts, numpy's numbers Python's.

    Raises MechclaError, naming `what` it is, for a value that JSON cannot hold.
    """

    def plain(part: Any) -> Any:
        if isinstance(part, PurePath):
            return str(part)
        if hasattr(part, "item") and getattr(part, "ndim", None) == 0:
            return part.item()
        raise TypeError(f"{type(part).__name__} {part!r:.60}")

    try:
        return json.dumps(value, sort_keys=True, default=plain)
    except (TypeError, ValueError) as error:
        raise MechclaError(
            f"{what} cannot be saved, for they are not JSON: {error}; expected texts, numbers, "
            "lists and objects"
        ) from error


def unsealed(shown: str) -> None:
    """Warn that a file carries no digest, so that damage to it cannot be seen."""
    warnings.warn(
        f"{shown} carries no digest (mechcla 0.1 wrote none), so damage to it cannot be seen; save "
        "it again to give it one",
        UserWarning,
        stacklevel=3,
    )


def json_text(value: Any) -> str:
    """What `write_json` writes."""
    return json.dumps(_plain(value), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, PurePath):
        return str(value)
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value


def cache_folder() -> Path:
    """Where converted models and digests lie: MECHCLA_CACHE, else the platform's cache folder."""
    if chosen := os.environ.get("MECHCLA_CACHE"):
        return Path(chosen).expanduser()
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "mechcla"
