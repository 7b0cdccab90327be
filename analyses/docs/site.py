"""MkDocs hook: README, CHANGELOG, ... beside the pages of docs/, and Markdown as GitHub reads it.

Pages outside docs/ join the site as they stand. A link to a file that is no page becomes its path
in the repository, since the repository has no address that a page could name. Markers (`<!-- = ...
-->`) go. Python-Markdown wants an empty line before a list or a table where GitHub does not.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

# Pages of the repository outside docs/, and their names on the site.
OUTSIDE = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "data/README.md": "demo_items.md",
    "data/NOTICES.md": "notices.md",
    "data/adapters/README.md": "shipped_adapters.md",
    "data/align/README.md": "training_facts.md",
}
FENCE = re.compile(r"^( *)(`{3,}).*?^\1\2 *$", re.DOTALL | re.MULTILINE)
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
LINK = re.compile(r"(!?\[[^\]]*\])\(([^)\s#:]*)(#[^)\s]*)?\)")
ITEM = re.compile(r"(?:[-*+]|\d+\.) ")


def on_files(files: Any, config: Any) -> Any:
    """The site's files: those of docs/, and the pages outside of it."""
    root = Path(config["config_file_path"]).parent
    for source, name in OUTSIDE.items():
        files.append(File.generated(config, name, abs_src_path=str(root / source)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """A page's Markdown as Python-Markdown needs it."""
    name = page.file.src_uri
    source = {site: repo for repo, site in OUTSIDE.items()}.get(name, f"docs/{name}")
    there = {file.src_uri for file in files}
    return outside_code(markdown, lambda text: spaced(relinked(bare(text), source, name, there)))


def outside_code(markdown: str, change: Any) -> str:
    """The text with a change made in all that is no fenced block."""
    made, end = [], 0
    for fence in FENCE.finditer(markdown):
        made += [change(markdown[end : fence.start()]), fence[0] + "\n"]  # a table may follow
        end = fence.end()
    return "".join([*made, change(markdown[end:])])


def bare(text: str) -> str:
    """The text without comments, which are the numbers' markers.

    >>> bare("is <!-- = demo/summary LOC n -->63<!-- / --> of each")
    'is 63 of each'
    """
    return COMMENT.sub("", text)


def relinked(text: str, source: str, name: str, there: Collection[str]) -> str:
    """Links of the file `source` of the repository as they are on its page `name` of the site.

    >>> relinked("[notices](../data/NOTICES.md)", "docs/items.md", "items.md", {"notices.md"})
    '[notices](notices.md)'
    >>> relinked("[all](docs/results.md#all)", "README.md", "index.md", {"results.md"})
    '[all](results.md#all)'
    >>> relinked("[the licence](../LICENSE)", "docs/items.md", "items.md", set())
    'the licence (`LICENSE` in the repository)'
    """

    def moved(match: re.Match[str]) -> str:
        label, link, anchor = match[1], match[2], match[3] or ""
        if not link or link.startswith("/"):
            return match[0]
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link))
        site = OUTSIDE.get(target, target.removeprefix("docs/"))
        if site in there or target.startswith("docs/"):  # mkdocs names a page that is missing
            return f"{label}({posixpath.relpath(site, posixpath.dirname(name) or '.')}{anchor})"
        return f"{label.strip('![]')} (`{target}` in the repository)"

    return LINK.sub(moved, text)


def spaced(text: str) -> str:
    """The text with an empty line before a list or a table that follows a line of text.

    >>> spaced("Two things:\\n- one\\n- two")
    'Two things:\\n\\n- one\\n- two'
    """
    made: list[str] = []
    block: list[str] = []  # lines since the last empty one
    for line in text.split("\n"):
        is_item = bool(ITEM.match(line)) and not any(ITEM.match(b) for b in block)
        is_row = line.startswith("|") and not any(b.startswith("|") for b in block)
        if block and (is_item or is_row):
            made.append("")
            block = []
        block = [*block, line] if line.strip() else []
        made.append(line)
    return "\n".join(made)
