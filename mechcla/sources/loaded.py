"""What every source returns: the items, and what was left out of them and why."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from mechcla.items.item_set import ItemSet

SHOWN = 5  # reasons that a text names


@dataclass(frozen=True)
class LeftOut:
    """What became no item.

    what      the question's id, or where the row stands ("my.csv, row 3 (ends on line 4)")
    reason    why, in words
    language  "" where the row itself does not say it
    """

    what: str
    reason: str
    language: str = ""


@dataclass(frozen=True)
class Loaded:
    """A source's items and everything that it left out; a question is listed once per language.

    report   the source's own account, where it keeps one (`BlendReport`, `GlobalMMLUReport`)
    warning  what `load_items` warns of; "" where nothing is worth a warning

    >>> print(Loaded(mechcla.load_items("demo").language("es").cultural.dev))
    ItemSet(66 items: es; 66 cultural; 66 dev); nothing left out
    """

    items: ItemSet
    left_out: tuple[LeftOut, ...] = ()
    report: Any = None
    warning: str = ""

    def rows(self) -> list[dict[str, str]]:
        """What was left out, one row each: what, reason, language."""
        return [asdict(one) for one in self.left_out]

    def __str__(self) -> str:
        counts = Counter(one.reason for one in self.left_out)
        named = [f"{n} {reason}" for reason, n in counts.most_common(SHOWN)]
        if len(counts) > SHOWN:
            named.append(f"and for {len(counts) - SHOWN} more reasons")
        why = f"{len(self.left_out)} left out: {'; '.join(named)}" if named else "nothing left out"
        return f"{self.items!r}; {why}"
