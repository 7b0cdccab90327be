"""What decides a number: the code, the packages, the model and the items."""

from __future__ import annotations

import ast
import hashlib
import platform
from importlib import metadata
from pathlib import Path

OTHERS = ("plots",)  # folders of the package that decide no number
DECIDING = ("torch", "transformers", "transformer-lens", "tokenizers", "numpy", "scikit-learn")
PACKAGES = (
    "mechcla",
    "torch",
    "transformers",
    "transformer-lens",
    "numpy",
    "datasets",
    "einops",
    "jaxtyping",
    "safetensors",
)


def code_digest() -> str:
    """SHA-256 over the package's syntax trees, without docstrings and comments, so that only code counts.

    The folders in OTHERS are left out. A module that is added to the package is in by itself.
    """
    folder = Path(__file__).resolve().parent.parent
    sha = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        name = path.relative_to(folder)
        if name.parts[0] not in OTHERS:
            sha.update(
                f"{name.as_posix()}\n{_without_docstrings(path.read_text('utf-8'))}\n".encode()
            )
    return sha.hexdigest()


def _without_docstrings(source: str) -> str:
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                node.body = node.body[1:]
    return ast.dump(tree)


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide a number."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found
