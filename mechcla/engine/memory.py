"""When memory runs out: batches are halved, the user is told, and the next ones begin at the
smaller size.
"""

from __future__ import annotations

import ctypes
import gc
import sys
import warnings
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

import torch

from mechcla.errors import MechclaError

if TYPE_CHECKING:
    from mechcla.models.hooked_model import HookedModel


T = TypeVar("T")
CPU_MESSAGES = ("not enough memory", "can't allocate memory", "cannot allocate memory")
_limits: weakref.WeakKeyDictionary[HookedModel, int] = weakref.WeakKeyDictionary()


class OutOfMemoryWarning(UserWarning):
    """Batches were made smaller."""


class NoMemoryLeft(MechclaError):
    """Not even one row fits."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that a device or the machine had no memory left."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(
        message in str(error).lower() for message in CPU_MESSAGES
    )


def halved(model: HookedModel, max_tokens: int, error: BaseException) -> int:
    """Half of max_tokens, announced and remembered for this model."""
    smaller = max(1, max_tokens // 2)
    _limits[model] = min(smaller, _limits.get(model, smaller))
    first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    warnings.warn(
        f"memory ran out with batches of {max_tokens} tokens ({first}); going on with {smaller}",
        OutOfMemoryWarning,
        stacklevel=3,
    )
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return smaller


def give_back() -> None:
    """Give freed memory back to the operating system, where the allocator keeps it (glibc).

    Work in many sizes leaves holes in it, which would else grow with the number of batches.
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # another C library has no such function
            ctypes.CDLL(None).malloc_trim(0)


def limit(model: HookedModel, max_tokens: int) -> int:
    """max_tokens, or what was found to fit this model."""
    return min(max_tokens, _limits.get(model, max_tokens))


def too_large(model: HookedModel, tokens: int) -> NoMemoryLeft:
    """The message for one row that does not fit."""
    return NoMemoryLeft(
        f"{model.name} has no memory left for one row of {tokens} tokens on {model.device}; use a "
        "smaller dtype (bfloat16), another device, or shorter prompts"
    )


def with_room(model: HookedModel, check: Callable[[], T]) -> T:
    """A check of the model on a few tokens, once more after memory was given back if it ran out.

    Raises NoMemoryLeft if it runs out again: what the check would have said is not known.
    """
    for last in (False, True):
        try:
            return check()
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            if last:
                raise NoMemoryLeft(
                    f"{model.name} has no memory left on {model.device} for the check of a few "
                    "tokens that decides how it is run; free some, or use a smaller dtype "
                    "(bfloat16) or another device"
                ) from error
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    raise AssertionError("unreachable")


def retry_smaller(model: HookedModel, run: Callable[[int], T], max_tokens: int, floor: int) -> T:
    """run(max_tokens), with max_tokens halved as long as memory runs out.

    floor: tokens of the longest row; below it a batch is one row already, so MechclaError is
    raised.
    """
    most = limit(model, max_tokens)
    while True:
        try:
            return run(most)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            if most <= floor:
                raise too_large(model, floor) from error
            smaller = halved(model, most, error)
        most = smaller
