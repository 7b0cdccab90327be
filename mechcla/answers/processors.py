"""What a model's own generation config asks of decoding, as transformers itself reads it.

No logits processor is built here by hand: `generate` of transformers prepares them for the very
prompts (`HookedModel.logits_processors`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mechcla.engine.memory import is_out_of_memory
from mechcla.errors import MechclaError

if TYPE_CHECKING:
    from mechcla.models.hooked_model import HookedModel

OTHER_SEARCHES: dict[str, tuple[Any, ...]] = {  # and the values at which the search is greedy
    "num_beams": (None, 1),
    "num_beam_groups": (None, 1),
    "penalty_alpha": (None, 0, 0.0),
    "dola_layers": (None,),
    "guidance_scale": (None, 1, 1.0),
    "constraints": (None,),
    "force_words_ids": (None,),
    "token_healing": (None, False),
}
WITHOUT: dict[str, Any] = {  # what decides how fast or when, not which token is the best
    "num_beams": 1,
    "num_return_sequences": 1,
    "max_length": None,
    "max_time": None,
    "stop_strings": None,
    "use_cache": False,
    "cache_implementation": None,
    "prompt_lookup_num_tokens": None,
    "assistant_early_exit": None,
    "use_mtp": None,
    "return_dict_in_generate": False,
}


@dataclass(frozen=True, eq=False)
class Rules:
    """How prompts of one length are decoded: which scores are compared, what ends an answer."""

    name: str
    processors: Any
    stop_strings: Any
    end_ids: frozenset[int]

    def scores(
        self, ids: Int[Tensor, "row seq"], logits: Float[Tensor, "row vocab"]
    ) -> Float[Tensor, "row vocab"]:
        """The next token's logits in float32, as `generate` of transformers compares them.

        ids: prompt and answer so far.
        """
        with _said(self.name):
            found: Tensor = self.processors(ids, logits.to(ids.device, torch.float32, copy=True))
        return found

    def stopped(self, ids: Int[Tensor, "row seq"]) -> list[bool]:
        """Rows that end in one of the generation config's stop strings."""
        if self.stop_strings is None:
            return [False] * len(ids)
        return [bool(s) for s in self.stop_strings(ids, None)]


def rules(
    model: HookedModel,
    prompts: list[list[int]],
    max_new_tokens: int,
    search: Mapping[str, Any] = {"do_sample": False},
) -> Rules:
    """The logits processors and end ids of transformers' `generate` for prompts of one length.

    search: do_sample, and with it temperature, top_k and top_p where they are not the generation
    config's. Raises MechclaError where the generation config asks for another search than greedy
    or sampled (beams, contrastive, guided, constrained), or holds values that transformers refuses.
    """
    config = model.generation_config
    for name, greedy in OTHER_SEARCHES.items():
        if (value := getattr(config, name, None)) not in greedy:
            raise MechclaError(
                f"the generation config of {model.name!r} asks for {name}={value!r}, and mechcla "
                f"decodes token by token; expected {name}={greedy[-1]!r}. To decode so all the "
                f"same: model.generation_config.{name} = {greedy[-1]!r}"
            )
    ids = torch.tensor(prompts, dtype=torch.long, device=model.device)
    with _said(model.name):
        processors = model.logits_processors(
            ids, max_new_tokens=max_new_tokens, **WITHOUT, **search
        )
        stop_strings = _stop_strings(model, config)
    return Rules(model.name, processors, stop_strings, model.end_ids)


@contextmanager
def _said(name: str) -> Iterator[None]:
    """What transformers refuses of a config, as one message; running out of memory passes."""
    try:
        yield
    except (ValueError, TypeError, IndexError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise
        first = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise MechclaError(
            f"the generation config of {name!r} cannot be used: {first}; mend "
            "generation_config.json, or model.generation_config"
        ) from error


def _stop_strings(model: HookedModel, config: Any) -> Any:
    if not getattr(config, "stop_strings", None):
        return None
    from transformers import StopStringCriteria

    return StopStringCriteria(model.tokenizer, config.stop_strings)


def described(model: HookedModel) -> dict[str, Any]:
    """What the generation config has beyond transformers' defaults, for a result's settings."""
    config = model.generation_config
    found = json.loads(config.to_json_string(use_diff=True))
    return {
        k: v
        for k, v in sorted(found.items())
        if k not in ("transformers_version", "_from_model_config")
    }
