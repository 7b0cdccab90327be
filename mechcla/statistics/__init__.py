"""Whether a steered model differs from an unsteered one: tests, corrections, power, agreement.

permutation.py  paired sign-flip test by question; Holm and Benjamini-Hochberg over a sweep's cells
power.py        the smallest difference that n questions would show, and the questions that a
                difference needs
compare.py      all of it in one table
differences.py  differences by item, gathered by question
cell_values.py  what all of these need of a cell's scores, for a run that lets the scores go
consistency.py  of what English gets right, how much another language gets right too
contrast.py     two cultures' answers under two conditions, free of answer priors and of length

Everything takes `Scores`, or the `ItemValues` that a run keeps of them, and gives frozen results
that echo their settings. docs/statistics.md says why.
"""

from mechcla.statistics.compare import Comparison, ComparisonRow, compare
from mechcla.statistics.consistency import consistency
from mechcla.statistics.contrast import Contrast, contrast
from mechcla.statistics.permutation import TestResult, correct, permutation_test, sign_flip
from mechcla.statistics.power import Effect, items_needed, minimum_detectable_effect

__all__ = [
    "Comparison",
    "ComparisonRow",
    "Contrast",
    "Effect",
    "TestResult",
    "compare",
    "consistency",
    "contrast",
    "correct",
    "items_needed",
    "minimum_detectable_effect",
    "permutation_test",
    "sign_flip",
]
