"""No file of Python is longer than 400 lines after formatting: one idea per file. Run by `make
lint`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

MOST = 400


def main() -> int:
    root = Path(__file__).parent.parent
    listed = subprocess.run(
        ["git", "ls-files", "*.py"], cwd=root, capture_output=True, text=True, check=True
    )
    long = []
    for name in listed.stdout.split():
        path = root / name
        if path.exists() and (n := len(path.read_text(encoding="utf-8").splitlines())) > MOST:
            long.append(f"{name} has {n} lines; at most {MOST} after ruff format: two rooms?")
    print("\n".join(long) or "every file has at most 400 lines")
    return bool(long)


if __name__ == "__main__":
    sys.exit(main())
