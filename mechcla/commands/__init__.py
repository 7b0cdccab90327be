"""The commands of `python -m mechcla`: a file and a registration each.

Importing the package registers them all.
"""

from mechcla.commands import align, compare, lint, merge, report, sweep

__all__ = ["align", "compare", "lint", "merge", "report", "sweep"]
