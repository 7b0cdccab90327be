"""Revisions: which commit of a Hugging Face repository is meant, is here, and was read.

A folder and a model from a package have no revisions, so one that is asked for there is refused:
it would be written into a record and decide nothing. Source: ours; the cache is huggingface_hub's.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from mechcla.errors import MechclaError, nearest
from mechcla.storage import user_path

REPOSITORY = r"\w[\w.-]*/\w[\w.-]*"  # a Hugging Face id
COMMIT = re.compile(r"[0-9a-f]{40}")
PINNED = re.compile(rf"({REPOSITORY})@(.+)")
ABSENT = ("LocalEntryNotFoundError", "OfflineModeIsEnabled", "RevisionResolutionError")


def at_revision(name: str) -> tuple[str, str | None]:
    """An id and its revision, of "org/name@revision"; anything else is itself, without one.

    >>> at_revision("org/name@refs/pr/1"), at_revision("org/name")
    (('org/name', 'refs/pr/1'), ('org/name', None))
    """
    found = PINNED.fullmatch(name)
    return (found[1], found[2]) if found else (name, None)


def check_no_revision(name: str, revision: str | None, adapter: str | None = None) -> None:
    """Raises MechclaError for a revision of what has none: a folder, a file, or a package's.

    adapter: what was asked for beside it.
    """
    if revision is None:
        return
    beside = re.fullmatch(REPOSITORY, adapter) if adapter is not None else None
    pin = f"; to pin the adapter, write adapter={f'{adapter}@{revision}'!r}" if beside else ""
    file = "a file" if user_path(name).is_file() else "of a Python package"
    held = "a folder" if user_path(name).is_dir() else file
    raise MechclaError(
        f"revision {revision!r} was asked for, and {name!r} is {held}, which has no revisions; "
        f"leave it out, or name a Hugging Face id such as org/model{pin}"
    )


def snapshot(name: str, revision: str | None) -> Path | None:
    """The folder in the hub's cache that has a revision of a model; its name is the commit."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(name, "config.json", revision=revision)
    return Path(found).parent if isinstance(found, str) else None


def known_revisions(name: str) -> list[str]:
    """The branches, tags and commits of a repository that are in the hub's cache here."""
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE) / f"models--{name.replace('/', '--')}"
    refs = [p.relative_to(folder / "refs") for p in (folder / "refs").rglob("*") if p.is_file()]
    commits = [p.name for p in (folder / "snapshots").glob("*")]
    return [*sorted(ref.as_posix() for ref in refs), *sorted(commits)]


def refused_revision(error: BaseException, name: str, revision: str | None) -> str:
    """What to do where a repository, or the cache here, lacks a revision; empty for other errors.

    A repository of which nothing is here is no such case: its name may be wrong.
    """
    kinds = {type(one).__name__ for one in chain_of(error)}
    known = known_revisions(name)
    if revision is None or revision in known:
        return ""
    begun = [commit for commit in known if commit.startswith(revision)]
    hint = f"did you mean {begun[0]!r}? known: {', '.join(known)}" if begun else ""
    hint = hint or nearest(revision, known)
    if "RevisionNotFoundError" in kinds:
        page = f"{os.environ.get('HF_ENDPOINT', 'https://huggingface.co').rstrip('/')}/{name}"
        return (
            f"the hub has no revision {revision!r} of {name!r}; expected a branch, a tag or a "
            f"whole commit of {page}/commits/main. In the cache here: {hint}"
        )
    if known and kinds & {*ABSENT}:
        return (
            f"the cache here has no revision {revision!r} of {name!r}, and the hub was not asked "
            f"or not reached (HF_HUB_OFFLINE forbids downloads); {hint}"
        )
    return ""


def chain_of(error: BaseException) -> Iterator[BaseException]:
    """An error and what it came from, each once."""
    one: BaseException | None = error
    seen: list[BaseException] = []
    while one is not None and one not in seen:
        seen.append(one)
        yield one
        one = one.__cause__ or one.__context__
