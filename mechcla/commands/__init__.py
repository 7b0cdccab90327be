"""The commands of `python -m mechcla`: a file and a registration each.

Importing the package registers them all.
"""

from mechcla.commands import align, compare, export, generate, lint, merge, report, sweep

__all__ = ["align", "compare", "export", "generate", "lint", "merge", "report", "sweep"]
