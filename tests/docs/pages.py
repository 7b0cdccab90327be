"""The commands of README and the docs, as they stand there, and the table that says how each is
checked.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PAGES = (
    "README.md",
    *(p.relative_to(ROOT).as_posix() for p in sorted((ROOT / "docs").rglob("*.md"))),
    "data/README.md",
)
TABLE = Path(__file__).with_name("commands.toml")
WORDS = r"(?:make|python3?|pip|mechcla|git|bash|sh|curl|HF_[A-Z_]+=\S+|OMP_[A-Z_]+=\S+) "
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)


def commands(text: str) -> list[str]:
    """Every command of a page: lines of blocks and indented lines that begin as one, spans in
    backquotes, and "python block N" for a block of Python. Comments are left out.

    >>> shell, python = "```sh\\nmake lint  # ruff\\n```\\n", "```python\\nimport mechcla\\n```\\n"
    >>> commands("Run `make test`:\\n" + shell + python)
    ['make lint', 'python block 1', 'make test']
    """
    found, python = [], 0
    for language, body in _FENCE.findall(text):
        if language == "python":
            python += 1
            found.append(f"python block {python}")
        else:
            lines = re.sub(r"\\\n\s*", "", body).splitlines()
            found += [
                _bare(line) for line in lines if re.match(WORDS, line) or language in ("sh", "bash")
            ]
    rest = _FENCE.sub("", text)
    found += [_bare(line) for line in re.findall(rf"^    ({WORDS}.*)$", rest, flags=re.MULTILINE)]
    found += [_bare(span) for span in re.findall(rf"`({WORDS}[^`]*)`", rest)]
    return [c for c in dict.fromkeys(found) if c]


def _bare(line: str) -> str:
    return " ".join(re.sub(r"(^|\s+)#.*$", "", line, flags=re.MULTILINE).split())


def python_blocks(page: str) -> list[str]:
    """The Python of a page's blocks, in order."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return [body for language, body in _FENCE.findall(text) if language == "python"]


def table() -> dict[str, dict[str, Any]]:
    """How each command is checked; a block of Python stands under "page: python block N"."""
    made: dict[str, dict[str, Any]] = {}
    for page, entries in tomllib.loads(TABLE.read_text(encoding="utf-8")).items():
        for entry in entries:
            command = entry["command"]
            key = f"{page}: {command}" if command.startswith("python block") else command
            assert key not in made, f"{TABLE.name}: {key} stands twice"
            made[key] = entry | {"page": page}
    return made


def entry_of(page: str, command: str, known: dict[str, dict[str, Any]]) -> dict[str, Any] | None:
    """The entry of a page's command, or None."""
    if not command.startswith("python block"):
        return known.get(command)
    return known.get(f"{page}: {command}") or known.get(f"{page}: python blocks")
