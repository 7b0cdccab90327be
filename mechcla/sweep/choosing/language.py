"""A choice per language, from its own dev items alone."""

from __future__ import annotations

from mechcla.sweep.choosing.choice_rule import RULES, ChoiceRule

RULES.register(
    "language", ChoiceRule("one choice per language, from its own items", together=False)
)
