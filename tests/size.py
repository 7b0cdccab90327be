"""No file of Python is longer than 400 lines after formatting: one idea per file. What ruff is told
not to format is a table of literals. Run by `make lint`.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

MOST = 400
UNFORMATTED = re.compile(r"#\s*fmt:\s*(skip|off)\b")


def unformatted(source: str) -> Iterator[int]:
    """Lines with an exception from formatting at a statement that is not a name given a literal."""
    ends = {s.end_lineno: s for s in ast.walk(ast.parse(source)) if isinstance(s, ast.stmt)}
    for number, line in enumerate(source.splitlines(), 1):
        if UNFORMATTED.search(line):
            statement = ends.get(number)
            value = statement.value if isinstance(statement, ast.Assign | ast.AnnAssign) else None
            try:
                ast.literal_eval(value)  # type: ignore[arg-type]
            except (TypeError, ValueError):
                yield number


def faults(name: str, source: str) -> Iterator[str]:
    if (n := len(source.splitlines())) > MOST:
        yield f"{name} has {n} lines; at most {MOST} after ruff format: two rooms?"
    for number in unformatted(source):
        yield f"{name}:{number}: fmt: skip stands at a table of literals only"


def main() -> int:
    root = Path(__file__).parent.parent
    listed = subprocess.run(
        ["git", "ls-files", "*.py"], cwd=root, capture_output=True, text=True, check=True
    )
    paths = [name for name in listed.stdout.split() if (root / name).exists()]
    found = [f for name in paths for f in faults(name, (root / name).read_text(encoding="utf-8"))]
    print("\n".join(found) or f"every file has at most {MOST} lines, formatted but for tables")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
