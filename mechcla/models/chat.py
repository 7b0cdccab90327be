"""Chat templates: a prompt as an instruction-tuned model expects it."""

from __future__ import annotations

from typing import Any

from mechcla.errors import MechclaError


def chat_prompt(text: str, tokenizer: Any) -> str:
    """One user turn with the model's own template, up to where its answer begins.

    A BOS that the tokenizer adds by itself is left out of the text, so `packing.encode` of the result has
    one, not two; where a tokenizer would add special tokens that its template does not have, this raises.
    Raises MechclaError for a tokenizer without a chat template.

    >>> chat_prompt("¿Qué se desayuna?", model.tokenizer)                # doctest: +SKIP
    '<start_of_turn>user\\n¿Qué se desayuna?<end_of_turn>\\n<start_of_turn>model\\n'
    """
    if not getattr(tokenizer, "chat_template", None):
        raise MechclaError(
            f"the tokenizer ({type(tokenizer).__name__}) has no chat template, so chat=True has no form to put the "
            "prompt in; use an instruction-tuned model, or chat=False"
        )
    turn = [{"role": "user", "content": text}]
    rendered = str(tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True))
    wanted = tokenizer(rendered, add_special_tokens=False)["input_ids"]
    bos = tokenizer.bos_token
    candidates = [rendered] + (
        [rendered.removeprefix(bos)] if bos and rendered.startswith(bos) else []
    )
    for candidate in candidates:
        if tokenizer(candidate, add_special_tokens=True)["input_ids"] == wanted:
            return candidate
    raise MechclaError(
        f"the tokenizer ({type(tokenizer).__name__}) adds special tokens that its chat template does not have; "
        "set add_bos_token=False (and add_eos_token=False) on it"
    )
