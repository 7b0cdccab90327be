"""One choice for all languages, by the mean of their gains."""

from __future__ import annotations

from mechcla.sweep.choosing.choice_rule import RULES, ChoiceRule

RULES.register("pooled", ChoiceRule("one choice for all, by the mean over languages"))
