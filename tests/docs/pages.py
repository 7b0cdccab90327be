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


def unlike(printed: str, shown: str) -> list[str]:
    """Where a program printed another thing than its page shows, spaces apart.

    Words, signs and whole numbers (counts, blocks, strengths) are the same to the letter. A decimal
    may differ by one unit of its last printed digit: sums in float32 round otherwise on another
    processor, by far less than that unit, which can still tip the digit over.

    >>> unlike("LOC 0.356 [-0.001, 0.5] n=24", "LOC 0.357 [0.000, 0.5] n=24")
    []
    >>> unlike("LOC 0.356 n=24", "LOC 0.358 n=25")
    ["'0.356' is not '0.358'", "'24' is not '25'"]
    """
    cut = r"([-+]?\d+\.\d+|\d+)"
    ours, theirs = (re.split(cut, " ".join(text.split())) for text in (printed, shown))
    if ours[::2] != theirs[::2]:
        return [f"{printed!r} is not {shown!r}"]
    return [
        f"{one!r} is not {other!r}"
        for one, other in zip(ours[1::2], theirs[1::2], strict=True)
        if one != other and not _near(one, other)
    ]


def _near(one: str, other: str) -> bool:
    digits = [len(text.partition(".")[2]) for text in (one, other)]
    return digits[0] == digits[1] > 0 and abs(float(one) - float(other)) < 1.5 * 10 ** -digits[0]


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
