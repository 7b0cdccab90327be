"""What decides a number: the code, the packages, the model and the items."""

from __future__ import annotations

import ast
import hashlib
import platform
from collections.abc import Sequence
from functools import cache
from importlib import metadata
from pathlib import Path

import torch

# Folders of the package that decide no number of a run; a trained adapter is in by its weights.
OTHERS = ("plots", "report", "align")
DECIDING = ("torch", "transformers", "transformer-lens", "tokenizers", "numpy", "scikit-learn")
PACKAGES = (
    "mechcla",
    *DECIDING,
    "scipy",
    "datasets",
    "einops",
    "jaxtyping",
    "safetensors",
)


def code_digest(folder: Path | None = None, others: Sequence[str] = OTHERS) -> str:
    """SHA-256 over the package's syntax trees, without docstrings and comments, so that only code
    counts.

    The folders in `others` are left out. A module that is added to the package is in by itself.
    folder: the package; default: the one that runs. Python's own syntax trees differ between its
    minor versions, and so do the digests.
    """
    folder = Path(__file__).resolve().parent.parent if folder is None else folder
    sha = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        name = path.relative_to(folder)
        if name.parts[0] not in others:
            sha.update(f"{name.as_posix()}\n{_digest(path.read_text('utf-8'))}\n".encode())
    return sha.hexdigest()


@cache
def _digest(source: str) -> str:
    """Of a file without its docstrings; a process that makes many runs parses it once."""
    tree = ast.parse(source)
    for node in ast.walk(tree):  # a text that stands alone does nothing, also below a field
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [step for step in node.body if not _is_text(step)]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


def _is_text(step: ast.stmt) -> bool:
    return (
        isinstance(step, ast.Expr)
        and isinstance(step.value, ast.Constant)
        and isinstance(step.value.value, str)
    )


def versions(more: Sequence[str] = ()) -> dict[str, str]:
    """Versions of Python and of the packages that decide a number, and how many CPU threads PyTorch
    uses.

    Threads split sums, so a number may differ in its last digits where there are more or fewer.
    """
    found = {"python": platform.python_version(), "platform": platform.platform()}
    found["threads"] = str(torch.get_num_threads())
    for name in (*PACKAGES, *more):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found
