"""An adapter's weights as they are kept: rounded to another dtype, and of a smaller rank."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from mechcla.errors import MechclaError
from mechcla.models.adapters import CONFIG, WEIGHTS
from mechcla.models.load import DTYPES
from mechcla.storage import write_bytes, write_text

A, B = ".lora_A.weight", ".lora_B.weight"


def keep(folder: Path, dtype: str = "float32", rank: int | None = None) -> float:
    """Rewrite an adapter's weights in this dtype, and of this rank if it is smaller than theirs.

    Returns the share of the squared norm of all updates that the smaller rank holds; 1 where the
    rank stays. Raises MechclaError for a rank that is not 1 or more, and where the rank is to
    change for an adapter that is no plain LoRA.
    """
    from safetensors.torch import load_file, save

    tensors, held = load_file(folder / WEIGHTS), 1.0
    config = json.loads((folder / CONFIG).read_text("utf-8"))
    if rank is not None and rank < config["r"]:
        if rank < 1:
            raise MechclaError(f"rank {rank}; expected 1 to {config['r']}")
        _check_plain(config, tensors, folder)
        tensors, held = of_rank(tensors, rank)
        config |= {"lora_alpha": config["lora_alpha"] * rank / config["r"], "r": rank}
        write_text(folder / CONFIG, json.dumps(config, indent=2, sort_keys=True) + "\n")
    rounded = {name: t.to(DTYPES[dtype]).contiguous() for name, t in tensors.items()}
    write_bytes(folder / WEIGHTS, save(rounded, metadata={"format": "pt"}))
    return held


def of_rank(
    tensors: Mapping[str, Tensor], rank: int
) -> tuple[dict[str, Float[Tensor, "rows columns"]], float]:
    """The adapter whose updates B @ A are the nearest of this rank, in the Frobenius norm.

    Also the share of the updates' squared norm that it holds. Both factors get the root of the
    singular values, so that rounding harms neither more. Source: Eckart and Young 1936; in float64,
    through the two factors, so that no update is ever made whole.

    >>> tensors = {"m.lora_A.weight": torch.eye(2), "m.lora_B.weight": torch.diag(torch.ones(2))}
    >>> of_rank(tensors, 1)[1]
    0.5
    """
    made: dict[str, Tensor] = {}
    kept = whole = 0.0
    for name in (n.removesuffix(A) for n in tensors if n.endswith(A)):
        a, b = tensors[name + A].double(), tensors[name + B].double()
        left, r_b = torch.linalg.qr(b)
        right, r_a = torch.linalg.qr(a.T)
        u, sizes, v = torch.linalg.svd(r_b @ r_a.T)
        root = sizes[:rank].sqrt()
        made[name + B] = (left @ u[:, :rank] * root).float()
        made[name + A] = ((right @ v[:rank].T) * root).T.contiguous().float()
        kept += float((sizes[:rank] ** 2).sum())
        whole += float((sizes**2).sum())
    return made, kept / whole if whole else 1.0


def _check_plain(config: Mapping[str, Any], tensors: Mapping[str, Tensor], folder: Path) -> None:
    """Refuse to change the rank of what is more than B @ A times alpha / rank."""
    odd = [k for k in ("use_dora", "use_rslora", "rank_pattern", "alpha_pattern") if config.get(k)]
    odd += sorted(n for n in tensors if not n.endswith((A, B)))[:3]
    if config.get("peft_type") != "LORA" or odd:
        raise MechclaError(
            f"the adapter {str(folder)!r} is no plain LoRA ({', '.join(odd) or 'another kind'}), "
            "so its rank cannot be made smaller; train it with --rank"
        )
