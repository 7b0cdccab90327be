"""What the builders of data do with the texts that they make: write them, or hold them against what
is committed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def put(texts: Mapping[Path, str]) -> None:
    """Write each text into its file, byte for byte."""
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())


def checked(texts: Mapping[Path, str], script: str) -> int:
    """The exit code of --check: 1 if a file is not what the script makes; each is named."""
    stale = [p for p, t in texts.items() if not p.exists() or p.read_bytes() != t.encode()]
    for path in stale:
        print(f"{path} differs from what {script} makes")
    return 1 if stale else 0
