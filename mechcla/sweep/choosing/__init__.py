"""How dev chooses: whose gains decide (choice rules), what a pair may not lose (constraints)."""

from mechcla.sweep.choosing import bounded, language, pooled, shrunken, tolerance
from mechcla.sweep.choosing.choice_rule import RULES, ChoiceRule
from mechcla.sweep.choosing.constraint import CONSTRAINTS, Constraint, Limits

__all__ = [
    "CONSTRAINTS",
    "RULES",
    "ChoiceRule",
    "Constraint",
    "Limits",
    "bounded",
    "language",
    "pooled",
    "shrunken",
    "tolerance",
]
