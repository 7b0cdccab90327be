"""The markers in a page: what stands between them is rendered, and nobody types it.

    Localization rises by <!-- = demo/summary LOC localization difference -->+0.048<!-- / -->.
    <!-- = table pooled -->
    | ...
    <!-- / -->
    <!-- holds: demo/tests LOC localization p_holm < 0.05 -->

`analyses.docs.values` says what the words mean, `analyses.docs.tables` which tables have a name. A
`holds` marker shows nothing: what the text beside it says rests on it. No number with two or more
decimals may stand outside of them and of code, but for those that `<!-- typed: 0.05 (a level) -->`
names.
"""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass
from pathlib import Path

from analyses.docs import aligned_tables as _aligned  # noqa: F401  (registers its tables)
from analyses.docs import confirm_tables as _confirm  # noqa: F401  (registers its tables)
from analyses.docs import cultural_tables as _cultural  # noqa: F401  (registers its tables)
from analyses.docs import front_tables as _front  # noqa: F401  (registers its tables)
from analyses.docs import scale_tables as _scale  # noqa: F401  (registers its tables)
from analyses.docs import smollm2_tables as _smollm2  # noqa: F401  (registers its table)
from analyses.docs.tables import TABLES, steered
from analyses.docs.values import FOLDER, amount, shown
from mechcla import MechclaError
from mechcla.errors import nearest

ROOT = Path(__file__).parents[2]
MARKED = re.compile(r"<!-- = (?P<what>.*?) -->(?P<stands>.*?)<!-- / -->", re.DOTALL)
HOLDS = re.compile(r"<!-- holds: (.*?) -->", re.DOTALL)
TYPED = re.compile(r"<!-- typed: (.*?) -->", re.DOTALL)
ENDS = re.compile(r"<!-- (?:= .*?|/) -->", re.DOTALL)
LIKE_ONE = re.compile(r"<!--\s*(?:=|/|holds|typed)[^>]*-->")
FENCE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
DECIMAL = re.compile(r"(?<![\w.])\d+\.\d\d+(?![\w.]*\d)")
SIGNS = {"<": operator.lt, ">": operator.gt, "<=": operator.le, ">=": operator.ge}


@dataclass(frozen=True)
class Fault:
    """What is wrong in a page, and where."""

    page: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}: {self.message}"


def pages(root: Path = ROOT) -> list[Path]:
    """README and the pages of docs/ and its folders."""
    return [root / "README.md", *sorted((root / "docs").rglob("*.md"))]


def render(text: str, page: str, folder: Path = FOLDER) -> tuple[str, list[Fault]]:
    """The page as the tables say it, and its faults: markers that mean nothing, what no longer
    holds, what was typed by hand. A wrong marker's text is left as it stands.
    """
    faults: list[Fault] = []

    def fault(at: int, message: str) -> None:
        faults.append(Fault(page, text.count("\n", 0, at) + 1, message))

    def filled(match: re.Match[str]) -> str:
        what, stands = " ".join(match["what"].split()), match["stands"]
        try:
            is_table = what.startswith("table ")
            made = f"\n{table(what, folder)}\n" if is_table else inline(what, folder)
        except (MechclaError, KeyError, ValueError) as error:
            fault(match.start(), f"<!-- = {what} -->: {error}")
            return match[0]
        before = text[: match.start()].rpartition("\n")[2]
        if not is_table and not before.strip():
            fault(
                match.start(), f"<!-- = {what} --> begins its line, which Markdown then leaves raw"
            )
        return match[0].replace(f"-->{stands}<!--", f"-->{made}<!--")

    made = MARKED.sub(filled, text)
    for match in HOLDS.finditer(text):
        if message := failed(" ".join(match[1].split()), folder):
            fault(match.start(), message)
    known = [m.span() for p in (MARKED, HOLDS, TYPED) for m in p.finditer(text)]
    for match in LIKE_ONE.finditer(text):
        if not any(a <= match.start() < b for a, b in known):
            fault(match.start(), f"{match[0]} has no partner, or is no marker")
    faults += typed_by_hand(text, page)
    return made, sorted(faults, key=lambda f: f.line)


def table(what: str, folder: Path = FOLDER) -> str:
    """The table of this name."""
    _, name, *arguments = what.split()
    if name not in TABLES:
        raise MechclaError(f"no table {name!r}; {nearest(name, list(TABLES))}")
    return TABLES[name](folder, *arguments)


def inline(what: str, folder: Path = FOLDER) -> str:
    """A value, or "5 of 6 (not fa)" of `steered EN`."""
    if what.startswith("steered "):
        return steered(folder, what.split()[1])
    return shown(what, folder)


def failed(claim: str, folder: Path = FOLDER) -> str:
    """Why a claim ("demo/tests SUR transfer p_holm > 0.05") does not hold; "" where it does."""
    parts = re.split(r" (<=|>=|<|>) ", claim)
    if len(parts) != 3:
        return f"<!-- holds: {claim} -->: expected a value, one of {' '.join(SIGNS)}, and a value"
    try:
        left, right = amount(parts[0], folder), amount(parts[2], folder)
    except (MechclaError, KeyError, ValueError) as error:
        return f"<!-- holds: {claim} -->: {error}"
    if SIGNS[parts[1]](left, right):
        return ""
    return f"no longer holds: {claim} ({left:.4g} and {right:.4g}); mend the text beside it"


def typed_by_hand(text: str, page: str) -> list[Fault]:
    """Decimals of a page that stand outside of markers, code and URLs."""
    allowed = {n for m in TYPED.finditer(text) for n in DECIMAL.findall(m[1])}
    bare = text
    for pattern in (MARKED, re.compile("<!--.*?-->", re.DOTALL), FENCE, re.compile("`[^`]*`")):
        bare = pattern.sub(lambda m: re.sub(r"[^\n]", " ", m[0]), bare)
    bare = re.sub(r"\]\([^)]*\)|arXiv \S+", lambda m: " " * len(m[0]), bare)
    return [
        Fault(page, bare.count("\n", 0, m.start()) + 1, f"{m[0]} is typed by hand")
        for m in DECIMAL.finditer(bare)
        if m[0] not in allowed
    ]


def changes(text: str, made: str, page: str) -> list[Fault]:
    """Every marker of which the page says something else than the tables."""
    faults = []
    for old, new in zip(MARKED.finditer(text), MARKED.finditer(made), strict=True):
        if old["stands"] == new["stands"]:
            continue
        what, line = " ".join(old["what"].split()), text.count("\n", 0, old.start("stands")) + 1
        pairs = list(zip(old["stands"].split("\n"), new["stands"].split("\n"), strict=False))
        at = next((k for k, (a, b) in enumerate(pairs) if a != b), len(pairs) - 1)
        lines = (old["stands"].split("\n"), new["stands"].split("\n"))
        stands, says = (rows[at].strip() if at < len(rows) else "" for rows in lines)
        message = f"stands {stands!r}, the tables say {says!r} (= {what})"
        faults.append(Fault(page, line + at, message))
    return faults
