"""How the next token is chosen: the likeliest, or drawn by a seed.

A drawn answer depends on the seed, its prompt's tokens and its number alone, not on what else is in
the batch: each has a generator of its own, on the CPU, so that devices draw alike. Conditions that
are asked the same prompt share their random numbers, so a difference between them is the edit's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from mechcla.errors import MechclaError
from mechcla.storage import sha256


@dataclass(frozen=True)
class Sampling:
    """Greedy decoding, or draws: of a temperature, among the top_k likeliest, within top_p.

    None is what the model's own generation config says. n: answers per question. Raises
    MechclaError for values out of range, and for those that greedy decoding has no use for.
    """

    sample: bool = False
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    seed: int = 0
    n: int = 1

    def __post_init__(self) -> None:
        ranges = {
            "temperature": (self.temperature, 0.0, float("inf"), "a number above 0"),
            "top_k": (self.top_k, -1, float("inf"), "0 (all tokens) or more"),
            "top_p": (self.top_p, 0.0, 1.0, "a share above 0, at most 1"),
        }
        for name, (value, above, most, wanted) in ranges.items():
            if value is None:
                continue
            if not above < value <= most or value == float("inf"):
                raise MechclaError(f"{name} is {value!r}; expected {wanted}")
            if not self.sample:
                raise MechclaError(
                    f"{name}={value!r} is for drawn answers, and these are greedy; add "
                    f"sample=True, or leave {name} out"
                )
        if self.n < 1:
            raise MechclaError(f"n is {self.n}; expected at least 1 answer per question")
        if self.n > 1 and not self.sample:
            raise MechclaError(
                f"n={self.n} greedy answers to a question are one and the same; add sample=True, "
                "or leave n out"
            )

    @property
    def settings(self) -> dict[str, Any]:
        """What `generate` of transformers is told."""
        given = {"temperature": self.temperature, "top_k": self.top_k, "top_p": self.top_p}
        return {"do_sample": self.sample} | {k: v for k, v in given.items() if v is not None}

    def describe(self) -> dict[str, Any]:
        """What the settings of a table say."""
        return asdict(self) if self.sample else {"sample": False}

    def generator(self, prompt: Sequence[int], number: int) -> torch.Generator:
        """The random numbers of one answer."""
        return torch.Generator().manual_seed(seed_of(self.seed, prompt, number))

    def choose(
        self, scores: Float[Tensor, "row vocab"], draws: Sequence[torch.Generator]
    ) -> list[int]:
        """The next token of each row, as transformers' greedy or sampled search takes it."""
        if not self.sample:
            tokens: list[int] = scores.argmax(-1).tolist()
            return tokens
        shares = scores.softmax(-1).cpu()
        return [
            int(torch.multinomial(share, 1, generator=draw))
            for share, draw in zip(shares, draws, strict=True)
        ]


def seed_of(seed: int, prompt: Sequence[int], number: int) -> int:
    """The seed of one answer's generator, from the run's, the prompt's tokens and its number.

    >>> seed_of(0, [1, 70], 0) == seed_of(0, [1, 70], 1)
    False
    """
    return int(sha256(str(seed), " ".join(map(str, prompt)), str(number))[:15], 16)
