"""Which modules of a model LoRA adapts: all projections, attention's, or those that are named."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from mechcla.errors import MechclaError, nearest
from mechcla.models.checkpoint import listed


def target_modules(model: Any, wanted: Sequence[str]) -> list[str]:
    """The endings of module names that `wanted` stands for, as peft takes them.

    wanted: "all" (every linear module of the decoder but the unembedding), "attention" (those
    within attention), or names or endings of names. Raises MechclaError, naming the module, for one
    that matches none.
    """
    head = model.get_output_embeddings()
    names = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D"
        if module is not head
    ]
    found: list[str] = []
    for one in wanted:
        if one == "all":
            chosen = names
        elif one == "attention":
            chosen = [n for n in names if "attn" in n or "attention" in n]
        else:
            chosen = [n for n in names if n == one or n.endswith(f".{one}")]
        if not chosen:
            leaves = dict.fromkeys(n.rpartition(".")[2] for n in names)
            raise MechclaError(
                f"no module of a {type(model).__name__} is named {one!r}; "
                f"{nearest(one, ['all', 'attention', *leaves], 30)}"
            )
        found += _endings(chosen, names)
    return sorted(set(found))


def _endings(chosen: Sequence[str], names: Sequence[str]) -> list[str]:
    """The shortest endings that are the chosen modules' and no other's: q_proj, attn.c_proj."""
    found = []
    for name in chosen:
        parts = name.split(".")
        for length in range(1, len(parts) + 1):
            ending = ".".join(parts[-length:])
            others = [n for n in names if n == ending or n.endswith(f".{ending}")]
            if set(others) <= set(chosen):
                found.append(ending)
                break
    return found


def check_trainable(model: Any, wanted: Sequence[str]) -> None:
    """Refuse an adapter with nothing to train."""
    if not any(p.requires_grad for p in model.parameters()):
        raise MechclaError(f"the modules {listed(wanted)} give an adapter with nothing to train")
