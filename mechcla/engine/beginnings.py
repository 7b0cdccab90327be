"""Which prompts share a beginning that is run once: a chat template's system turn, shots, a long
instruction.

The choice depends on the tokens alone, so that a result does not depend on the machine or on what
was scored before. Wherever the beginnings of prompts part, either all share what they have in
common up to there, or each branch what it has in common by itself, whichever saves more tokens. A
beginning counts only where it is long enough and saves enough: short ones, as all prompts of a
tokenizer with a BOS have them, run with their prompts as ever. Source: ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from mechcla.engine.packing import Packed
from mechcla.models.tokens import common

SHORTEST = 20  # tokens: fewer than the shortest system turns have, more than items share by chance
LEAST_SAVED = 256  # tokens by one beginning: its own pass, and smaller batches, cost some of them


def shared_lengths(prompts: Sequence[Packed], written: bool) -> list[int]:
    """How many tokens of each prompt are the beginning that it shares with others; 0 for none.

    Prompts with the same tokens up to the same length share one beginning. written: whether tokens
    that the user wrote may be in it, which no edit acts on then; else only those that a template or
    the tokenizer added, on which none ever does. The last token that the user wrote, and the last
    token of all, stay with their prompt.

    >>> turn = tuple(range(300))
    >>> asked = [Packed(None, turn + (900 + k, 7), (), 300) for k in range(3)]
    >>> shared_lengths(asked, written=False), shared_lengths(asked[:1], written=False)
    ([300, 300, 300], [0])
    """
    keys = [p.prompt[: _most(p, written)] for p in prompts]
    order = sorted(range(len(prompts)), key=lambda i: keys[i])
    found = [0] * len(prompts)
    for begin, end, length in _parts([keys[i] for i in order]):
        for i in order[begin:end]:
            found[i] = length
    return found


def _most(prompt: Packed, written: bool) -> int:
    """How long a prompt's beginning may be."""
    added = prompt.added
    own = [place for place in range(len(prompt.prompt)) if place not in added]
    if not own:
        return 0
    return min(own[-1] if written else own[0], len(prompt.prompt) - 1)


@dataclass
class _Node:
    """Neighbours in the sorted list, from `begin` on, that share `length` tokens; and the best way
    to share within them.
    """

    length: int
    begin: int
    saved: int = 0
    parts: list[tuple[int, int, int]] = field(default_factory=list)

    def add(self, other: _Node) -> None:
        self.saved += other.saved
        self.parts += other.parts

    def close(self, end: int) -> None:
        """Share all of `length`, if that saves more than what the parts share among themselves."""
        saved = (end - self.begin - 1) * self.length
        if self.length >= SHORTEST and saved >= LEAST_SAVED and saved > self.saved:
            self.saved, self.parts = saved, [(self.begin, end, self.length)]


def _parts(keys: Sequence[tuple[int, ...]]) -> list[tuple[int, int, int]]:
    """(begin, end, length) of the sorted keys that share a beginning: the tree of their common
    prefixes, from the leaves up.
    """
    stack = [_Node(0, 0)]
    for end in range(1, len(keys)):
        length = common(keys[end - 1], keys[end])
        begin, inner = end - 1, None
        while length < stack[-1].length:
            inner = stack.pop()
            inner.close(end)
            begin = inner.begin
            if length <= stack[-1].length:
                stack[-1].add(inner)
                inner = None
        if length > stack[-1].length:
            stack.append(_Node(length, begin))
            if inner is not None:
                stack[-1].add(inner)
    while len(stack) > 1:
        inner = stack.pop()
        inner.close(len(keys))
        stack[-1].add(inner)
    return stack[0].parts
