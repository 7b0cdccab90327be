"""ChoiceRule: whose gains a language's choice rests on, and the registry of all rules.

    from mechcla.sweep.choosing import RULES, ChoiceRule
    RULES.register("mine", ChoiceRule("what it does", together=True, seen=mine))

Named by `--choose mine`; a file of one's own is loaded with `--plugins my_rule.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mechcla.registry import Registry
from mechcla.sweep.dev_point import DevPoint


@dataclass(frozen=True)
class ChoiceRule:
    """How a choice is shared between languages.

    does: one line for people. together: dev is searched once for all languages, so that every
    method is scored in each of them; else for each language on its own. seen: the dev points as one
    language sees them, given those of the search and the language: each with `by_language` of this
    language alone, and its gains. None: the points as they are, and one choice for all who were
    searched together.
    """

    does: str
    together: bool = True
    seen: Callable[[Sequence[DevPoint], str], Sequence[DevPoint]] | None = None

    def groups(self, languages: Sequence[str]) -> list[list[str]]:
        """The languages that are searched together.

        >>> ChoiceRule("each alone", together=False).groups(["es", "ko"])
        [['es'], ['ko']]
        """
        return [list(languages)] if self.together else [[k] for k in languages]


RULES: Registry[ChoiceRule] = Registry("choice rule", one_word=True)
