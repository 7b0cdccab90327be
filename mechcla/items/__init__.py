"""What is asked. Knows nothing of models."""

from mechcla.items.item import Candidate, Item
from mechcla.items.item_set import ItemSet
from mechcla.items.lint_rules import RULES, Finding
from mechcla.items.open_item import OpenItem
from mechcla.items.study import FrozenChoice, Study

__all__ = [
    "RULES",
    "Candidate",
    "Finding",
    "FrozenChoice",
    "Item",
    "ItemSet",
    "OpenItem",
    "Study",
]
